/* How messages of the channels wire are framed for their transports. */
#include "channels.h"

#include "pb_wire.h"
#include "ws_frame.h"

#define FRAME_GUESS 300 /* most messages are between 126 and 65535 bytes: their header has 4 */

static size_t make_header(char out[WS_HEADER_MAX + PB_VARINT_MAX], const struct channels_style *style, size_t len)
{
    char length[PB_VARINT_MAX];
    size_t length_size = style->encoding == CHANNELS_PROTOBUF ? pb_put_varint(length, len) : 0;
    size_t n = 0;
    if (style->transport == CHANNELS_WEBSOCKET)
        n = ws_frame_header(out, style->encoding == CHANNELS_JSON ? WS_TEXT : WS_BINARY, false, length_size + len);
    memcpy(out + n, length, length_size);
    return n + length_size;
}

static size_t guessed_header(const struct channels_style *style)
{
    char header[WS_HEADER_MAX + PB_VARINT_MAX];
    return make_header(header, style, FRAME_GUESS);
}

void channels_begin(struct buf *out, const struct channels_style *style, size_t *ret_mark)
{
    *ret_mark = out->len;
    if (style->transport == CHANNELS_SSE) {
        buf_append(out, "data: ", 6);
        return;
    }
    size_t gap = guessed_header(style);
    buf_reserve(out, gap);
    out->len += gap;
}

static const char *find_beyond_ascii(const char *p, const char *end)
{
    uint64_t word;
    while (end - p >= 8 && (memcpy(&word, p, 8), (word & 0x8080808080808080u) == 0))
        p += 8;
    while (p < end && (unsigned char)*p < 0x80)
        p++;
    return p;
}

/* Takes one character of valid UTF-8; where it is none, a byte that stands for nothing. */
static uint32_t take_character(const char **p, const char *end)
{
    unsigned lead = (unsigned char)*(*p)++, more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
    uint32_t c = more ? lead & (0x3fu >> more) : 0xfffd;
    if (more > (size_t)(end - *p))
        return 0xfffd;
    for (; more && (**p & 0xc0) == 0x80; more--)
        c = c << 6 | (unsigned)(*(*p)++ & 0x3f);
    return more ? 0xfffd : c;
}

static void append_escape(struct buf *out, uint32_t unit)
{
    static const char hex[] = "0123456789abcdef";
    const char text[6] = {'\\', 'u', hex[unit >> 12 & 15], hex[unit >> 8 & 15], hex[unit >> 4 & 15], hex[unit & 15]};
    buf_append(out, text, sizeof text);
}

/* Outside of strings JSON is ASCII, so the escapes stand inside of strings only. */
static void escape_beyond_ascii(struct buf *out, size_t from)
{
    const char *first = find_beyond_ascii(out->data + from, out->data + out->len);
    size_t at = (size_t)(first - out->data);
    if (at == out->len)
        return;
    CLEANUP_BUF tail = BUF_INIT;
    buf_append(&tail, out->data + at, out->len - at);
    out->len = at;
    for (const char *p = tail.data, *end = p + tail.len; p < end;) {
        const char *next = find_beyond_ascii(p, end);
        buf_append(out, p, (size_t)(next - p));
        p = next;
        if (p == end)
            break;
        uint32_t c = take_character(&p, end);
        if (c >= 0x10000)
            append_escape(out, 0xd7c0 + (c >> 10));
        append_escape(out, c >= 0x10000 ? 0xdc00 + (c & 0x3ff) : c);
    }
}

void channels_end(struct buf *out, const struct channels_style *style, size_t mark)
{
    char header[WS_HEADER_MAX + PB_VARINT_MAX];
    if (style->transport == CHANNELS_SSE) {
        buf_append(out, "\n\n", 2);
        return;
    }
    size_t gap = guessed_header(style), len = out->len - mark - gap;
    size_t n = make_header(header, style, len);
    if (n != gap) {
        buf_reserve(out, n);
        memmove(out->data + mark + n, out->data + mark + gap, len);
        out->len = mark + n + len;
    }
    memcpy(out->data + mark, header, n);
    if (style->transport == CHANNELS_LINES && style->encoding == CHANNELS_JSON) {
        escape_beyond_ascii(out, mark);
        buf_append(out, "\n", 1);
    }
}

static bool cut(struct bytes *s, size_t front, size_t back)
{
    if (s->len < front + back)
        return false;
    *s = (struct bytes){s->data + front, s->len - front - back};
    return true;
}

/* The message inside of its framing. */
static bool unframe(const struct channels_style *style, struct bytes *frame)
{
    if (style->transport == CHANNELS_SSE)
        return cut(frame, 6, 2);
    if (style->transport == CHANNELS_WEBSOCKET) {
        if (frame->len < 2 || !cut(frame, ws_frame_header_size(frame->data), 0))
            return false;
    } else if (style->encoding == CHANNELS_JSON) {
        return cut(frame, 0, 1);
    }
    struct bytes rest = *frame;
    return style->encoding == CHANNELS_JSON || pb_take_bytes(&rest, frame);
}

static struct bytes item_of_json(bool uni, struct bytes message)
{
    static const char prefix[] = "{\"push\":{\"channel\":\"", uni_prefix[] = "{\"channel\":\"", pub[] = "\"pub\":";
    size_t skip = uni ? sizeof uni_prefix - 1 : sizeof prefix - 1;
    const char *p = message.data + skip, *end = message.data + message.len - (uni ? 1 : 2);
    if (message.len < skip + sizeof pub + 4)
        return BYTES_NULL;
    while (p < end && *p != '"')
        p += *p == '\\' ? 2 : 1;
    p += 2; /* quote and comma */
    if (end - p < (ptrdiff_t)sizeof pub - 1 || memcmp(p, pub, sizeof pub - 1) != 0)
        return BYTES_NULL;
    p += sizeof pub - 1;
    return (struct bytes){p, (size_t)(end - p)};
}

static struct bytes find_message(struct bytes in, uint32_t wanted)
{
    uint32_t number;
    struct pb_value v;
    while (pb_take_field(&in, &number, &v))
        if (number == wanted && v.type == PB_BYTES)
            return v.bytes;
    return BYTES_NULL;
}

struct bytes channels_item_of_frame(const struct channels_style *style, struct bytes frame)
{
    if (!unframe(style, &frame))
        return BYTES_NULL;
    if (style->encoding == CHANNELS_JSON)
        return item_of_json(style->uni, frame);
    return find_message(style->uni ? frame : find_message(frame, 4), 4);
}
