#include "ws_decoder.h"

#include "util/error.h"

void ws_unmask(char *data, size_t len, const uint8_t mask[4])
{
    uint64_t wide, word;
    uint8_t repeated[8];
    size_t i = 0;

    for (int k = 0; k < 8; k++)
        repeated[k] = mask[k & 3];
    memcpy(&wide, repeated, 8);
    for (; i + 8 <= len; i += 8) {
        memcpy(&word, data + i, 8);
        word ^= wide;
        memcpy(data + i, &word, 8);
    }
    for (; i < len; i++)
        data[i] = (char)((uint8_t)data[i] ^ mask[i & 3]);
}

static void rotate_mask(uint8_t mask[4], size_t n)
{
    uint8_t old[4];
    memcpy(old, mask, 4);
    for (size_t i = 0; i < 4; i++)
        mask[i] = old[(i + n) & 3];
}

static bool is_control(uint8_t opcode)
{
    return opcode & 0x8;
}

/* The first two bytes (5.2). Returns 0 or a negative close code. */
static int check_start(const struct ws_decoder *d, const struct ws_limits *limits)
{
    uint8_t b0 = d->header[0], b1 = d->header[1], opcode = b0 & 0x0f;
    bool fin = b0 & 0x80;

    if (!(b1 & 0x80)) /* 5.1: a client masks every frame */
        return -CLOSE_PROTOCOL_ERROR;
    if (b0 & 0x30)
        return -CLOSE_PROTOCOL_ERROR;
    if ((b0 & 0x40) && !(limits->deflate && (opcode == WS_TEXT || opcode == WS_BINARY)))
        return -CLOSE_PROTOCOL_ERROR;
    if ((opcode > WS_BINARY && opcode < WS_CLOSE) || opcode > WS_PONG)
        return -CLOSE_PROTOCOL_ERROR;
    if (is_control(opcode))
        return fin && (b1 & 0x7f) <= 125 ? 0 : -CLOSE_PROTOCOL_ERROR;
    return (opcode == WS_CONTINUATION) == (d->message != 0) ? 0 : -CLOSE_PROTOCOL_ERROR;
}

static size_t header_size(uint8_t b1)
{
    size_t length_bytes = (b1 & 0x7f) == 126 ? 2 : (b1 & 0x7f) == 127 ? 8 : 0;
    return 2 + length_bytes + 4;
}

/* Length of a complete header; only the shortest form is allowed. */
static int read_length(const uint8_t *header, uint64_t *ret_len)
{
    uint8_t short_len = header[1] & 0x7f;
    uint64_t len = 0;

    if (short_len < 126) {
        *ret_len = short_len;
        return 0;
    }
    for (int i = 0; i < (short_len == 126 ? 2 : 8); i++)
        len = len << 8 | header[2 + i];
    if (len < (short_len == 126 ? 126u : 65536u) || len >> 63)
        return -CLOSE_PROTOCOL_ERROR;
    *ret_len = len;
    return 0;
}

static int check_message_limits(struct ws_decoder *d, const struct ws_limits *limits, uint64_t len)
{
    /* Incompressible data grows a little under deflate; the inflated size is checked by whoever inflates. */
    uint64_t limit = limits->message_bytes;
    if (d->compressed)
        limit += limit / 512 + 64;
    if (len > limit || d->message_bytes > limit - len)
        return -CLOSE_TOO_BIG;
    if (limits->fragments && d->fragments >= limits->fragments)
        return -CLOSE_POLICY;
    d->message_bytes += len;
    d->fragments++;
    return 0;
}

static int start_frame(struct ws_decoder *d, const struct ws_limits *limits)
{
    uint64_t len;
    int r = read_length(d->header, &len);
    if (r < 0)
        return r;

    d->opcode = d->header[0] & 0x0f;
    d->fin = d->header[0] & 0x80;
    d->first = true;
    if (!is_control(d->opcode)) {
        d->first = d->opcode != WS_CONTINUATION;
        if (d->first) {
            d->message = d->opcode;
            d->compressed = d->header[0] & 0x40;
            d->message_bytes = 0;
            d->fragments = 0;
            d->utf8 = (struct utf8){0};
        }
        r = check_message_limits(d, limits, len);
        if (r < 0)
            return r;
    }
    memcpy(d->mask, d->header + d->header_len - 4, 4);
    d->remaining = len;
    d->header_len = 0;
    d->in_payload = true;
    return 0;
}

/* Returns 1 when the header is complete, 0 when bytes are missing, or a negative close code. */
static int take_header(struct ws_decoder *d, const struct ws_limits *limits, const char *data, size_t len, size_t *used)
{
    while (*used < len) {
        d->header[d->header_len++] = (uint8_t)data[(*used)++];
        if (d->header_len < 2)
            continue;
        if (d->header_len == 2) {
            int r = check_start(d, limits);
            if (r < 0)
                return r;
        }
        if (d->header_len == header_size(d->header[1])) {
            int r = start_frame(d, limits);
            return r < 0 ? r : 1;
        }
    }
    return 0;
}

static bool text_is_valid(struct ws_decoder *d, const struct ws_piece *piece)
{
    if (piece->opcode != WS_TEXT || piece->compressed)
        return true;
    return utf8_feed(&d->utf8, piece->data, piece->len) && (!piece->last || utf8_complete(&d->utf8));
}

static int take_payload(struct ws_decoder *d, char *data, size_t len, struct ws_piece *ret_piece)
{
    bool control = is_control(d->opcode), frame_ends;
    size_t n = len < d->remaining ? len : (size_t)d->remaining;

    ws_unmask(data, n, d->mask);
    rotate_mask(d->mask, n);
    d->remaining -= n;
    frame_ends = d->remaining == 0;

    *ret_piece = (struct ws_piece){
        .opcode = control ? d->opcode : d->message,
        .compressed = !control && d->compressed,
        .first = d->first,
        .last = frame_ends && d->fin,
        .data = data,
        .len = n,
    };
    d->first = false;
    if (frame_ends)
        d->in_payload = false;
    if (ret_piece->last && !control)
        d->message = 0;
    return text_is_valid(d, ret_piece) ? WS_PIECE : -CLOSE_INVALID_DATA;
}

int ws_decoder_next(struct ws_decoder *d, const struct ws_limits *limits, char *data, size_t len, size_t *ret_used,
                    struct ws_piece *ret_piece)
{
    size_t used = 0;

    if (!d->in_payload) {
        int r = take_header(d, limits, data, len, &used);
        if (r <= 0) {
            *ret_used = used;
            return r;
        }
    }
    if (d->remaining && used == len) {
        *ret_used = used;
        return WS_NEED_MORE;
    }
    int r = take_payload(d, data + used, len - used, ret_piece);
    *ret_used = used + ret_piece->len;
    return r;
}

bool ws_close_code_valid(int code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

int ws_close_parse(struct bytes payload, int *ret_code, struct bytes *ret_reason)
{
    if (payload.len == 0) {
        *ret_code = 1005;
        *ret_reason = BYTES_LIT("");
        return 0;
    }
    if (payload.len == 1)
        return -CLOSE_PROTOCOL_ERROR;
    int code = (uint8_t)payload.data[0] << 8 | (uint8_t)payload.data[1];
    struct bytes reason = {payload.data + 2, payload.len - 2};
    if (!ws_close_code_valid(code))
        return -CLOSE_PROTOCOL_ERROR;
    if (!utf8_valid(reason.data, reason.len))
        return -CLOSE_INVALID_DATA;
    *ret_code = code;
    *ret_reason = reason;
    return 0;
}
