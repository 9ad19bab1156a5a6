#include "ws_deflate.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

#include "http1.h"

#define WINDOW_MIN WS_DEFLATE_WINDOW_MIN
#define WINDOW_MAX WS_DEFLATE_WINDOW_MAX
#define LEVEL 3
#define MEM_LEVEL_MAX 8
#define LOOKAHEAD 262 /* part of a window that zlib does not search */
#define INFLATE_STEP (16u << 10)

static const unsigned char tail[4] = {0x00, 0x00, 0xff, 0xff}; /* of an empty stored block; left out on the wire (7.2.1) */

struct ws_deflate {
    z_stream inflater;
    bool inflater_ready;
    z_stream deflater[WINDOW_MAX + 1];
    bool deflater_ready[WINDOW_MAX + 1];
};

struct ws_deflate *ws_deflate_new(void)
{
    return xcalloc(1, sizeof(struct ws_deflate));
}

void ws_deflate_free(struct ws_deflate *d)
{
    if (!d)
        return;
    if (d->inflater_ready)
        inflateEnd(&d->inflater);
    for (int bits = WINDOW_MIN; bits <= WINDOW_MAX; bits++)
        if (d->deflater_ready[bits])
            deflateEnd(&d->deflater[bits]);
    free(d);
}

/* ---- negotiation (7.1) ---- */

static bool split_semicolon(struct bytes *rest, struct bytes *ret_part)
{
    if (rest->len == 0)
        return false;
    const char *at = memchr(rest->data, ';', rest->len);
    size_t n = at ? (size_t)(at - rest->data) : rest->len;
    *ret_part = (struct bytes){rest->data, n};
    rest->data += at ? n + 1 : n;
    rest->len -= at ? n + 1 : n;
    while (ret_part->len && strchr(" \t", ret_part->data[0]))
        ret_part->data++, ret_part->len--;
    while (ret_part->len && strchr(" \t", ret_part->data[ret_part->len - 1]))
        ret_part->len--;
    return true;
}

/* "8" to "15", or the same in quotes; 0 when it is anything else. */
static int window_bits(struct bytes v)
{
    if (v.len >= 2 && v.data[0] == '"' && v.data[v.len - 1] == '"')
        v = (struct bytes){v.data + 1, v.len - 2};
    if (v.len == 1 && (v.data[0] == '8' || v.data[0] == '9'))
        return v.data[0] - '0';
    if (v.len == 2 && v.data[0] == '1' && v.data[1] >= '0' && v.data[1] <= '5')
        return 10 + v.data[1] - '0';
    return 0;
}

enum parameter { SERVER_NO_TAKEOVER, CLIENT_NO_TAKEOVER, SERVER_BITS, CLIENT_BITS, PARAMETER_COUNT };

static const struct {
    const char *name;
    bool may_have_value, may_lack_value;
} parameters[PARAMETER_COUNT] = {
    [SERVER_NO_TAKEOVER] = {"server_no_context_takeover", false, true},
    [CLIENT_NO_TAKEOVER] = {"client_no_context_takeover", false, true},
    [SERVER_BITS] = {"server_max_window_bits", true, false},
    [CLIENT_BITS] = {"client_max_window_bits", true, true},
};

/* One parameter of an offer; false declines the offer. */
static bool take_parameter(struct bytes part, bool seen[PARAMETER_COUNT], int *bits)
{
    struct bytes name = part, value = BYTES_NULL;
    const char *eq = part.len ? memchr(part.data, '=', part.len) : NULL;
    int p = 0;

    if (eq) {
        name.len = (size_t)(eq - part.data);
        value = (struct bytes){eq + 1, part.len - name.len - 1};
    }
    while (p < PARAMETER_COUNT && !http1_name_eq(name, parameters[p].name))
        p++;
    if (p == PARAMETER_COUNT || seen[p])
        return false;
    seen[p] = true;
    if (!value.data)
        return parameters[p].may_lack_value;
    int n = window_bits(value);
    if (!parameters[p].may_have_value || n == 0)
        return false;
    if (p == SERVER_BITS)
        *bits = n;
    return *bits >= WINDOW_MIN;
}

/* Returns the window bits, 0 when the offer is not met. */
static int read_offer(struct bytes offer, bool *ret_bits_asked)
{
    bool seen[PARAMETER_COUNT] = {false};
    struct bytes part;
    int bits = WINDOW_MAX;

    if (offer.data[offer.len - 1] == ';')
        return 0;
    if (!split_semicolon(&offer, &part) || !http1_name_eq(part, "permessage-deflate"))
        return 0;
    while (split_semicolon(&offer, &part))
        if (!take_parameter(part, seen, &bits))
            return 0;
    *ret_bits_asked = seen[SERVER_BITS];
    return bits;
}

int ws_deflate_negotiate(struct bytes offers, int least_bits, struct buf *response)
{
    struct bytes offer;

    while (http1_list_next(&offers, &offer)) {
        bool bits_asked = false;
        int bits = read_offer(offer, &bits_asked);
        if (bits < least_bits)
            continue;
        buf_append_str(response, "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
        if (bits_asked)
            buf_printf(response, "; server_max_window_bits=%d", bits);
        return bits;
    }
    return 0;
}

/* ---- messages (7.2) ---- */

/* A window that holds the whole message finds all that a larger one would, and there is less to clear before it. */
static int window_for(size_t len, int bits_max)
{
    int bits = WINDOW_MIN;
    while (bits < bits_max && (size_t)1 << bits < len + LOOKAHEAD)
        bits++;
    return bits;
}

static z_stream *get_deflater(struct ws_deflate *d, int bits)
{
    z_stream *z = &d->deflater[bits];
    int mem_level = bits - WINDOW_MIN + 3;
    if (d->deflater_ready[bits])
        return deflateReset(z) == Z_OK ? z : NULL;
    if (mem_level > MEM_LEVEL_MAX)
        mem_level = MEM_LEVEL_MAX;
    if (deflateInit2(z, LEVEL, Z_DEFLATED, -bits, mem_level, Z_DEFAULT_STRATEGY) != Z_OK)
        return NULL;
    d->deflater_ready[bits] = true;
    return z;
}

int ws_deflate_message(struct ws_deflate *d, int bits, struct bytes message, struct buf *out)
{
    z_stream *z = get_deflater(d, window_for(message.len, bits));
    if (!z || message.len > UINT32_MAX)
        return -ENOSPC;

    /* Room for one byte less than the message, so that zlib stops where compressing does not pay. */
    size_t start = out->len;
    buf_reserve(out, message.len + sizeof tail);
    z->next_in = (Bytef *)message.data;
    z->avail_in = (uInt)message.len;
    z->next_out = (Bytef *)out->data + start;
    z->avail_out = (uInt)(message.len + sizeof tail - 1);
    int r = deflate(z, Z_SYNC_FLUSH);
    size_t n = message.len + sizeof tail - 1 - z->avail_out;
    if (r != Z_OK || z->avail_in || z->avail_out == 0 || n < sizeof tail ||
        memcmp(out->data + start + n - sizeof tail, tail, sizeof tail) != 0)
        return -ENOSPC;
    out->len = start + n - sizeof tail;
    return 0;
}

static z_stream *get_inflater(struct ws_deflate *d)
{
    z_stream *z = &d->inflater;
    if (d->inflater_ready)
        return inflateReset(z) == Z_OK ? z : NULL;
    if (inflateInit2(z, -WINDOW_MAX) != Z_OK)
        return NULL;
    d->inflater_ready = true;
    return z;
}

/* Inflates one stretch of input; out->len may pass the limit by one byte and no more. */
static int inflate_stretch(z_stream *z, const void *data, size_t len, size_t max_len, struct buf *out)
{
    z->next_in = (Bytef *)data;
    z->avail_in = (uInt)len;
    for (;;) {
        size_t room = max_len + 1 - out->len;
        if (room > INFLATE_STEP)
            room = INFLATE_STEP;
        buf_reserve(out, room);
        z->next_out = (Bytef *)out->data + out->len;
        z->avail_out = (uInt)room;
        int r = inflate(z, Z_SYNC_FLUSH);
        out->len += room - z->avail_out;
        if (out->len > max_len)
            return -EMSGSIZE;
        if (r == Z_STREAM_END) { /* a final block (7.2.3.4); more may follow it */
            if (inflateReset(z) != Z_OK)
                return -EBADMSG;
            if (z->avail_in == 0)
                return 0;
        } else if (r != Z_OK && r != Z_BUF_ERROR) {
            return -EBADMSG;
        } else if (z->avail_in == 0 && z->avail_out > 0) {
            return 0;
        } else if (r == Z_BUF_ERROR && z->avail_out == room) {
            return -EBADMSG; /* no way forward */
        }
    }
}

int ws_inflate_message(struct ws_deflate *d, struct bytes wire, size_t limit, struct buf *out)
{
    z_stream *z = get_inflater(d);
    size_t max_len = out->len + limit;

    if (!z || wire.len > UINT32_MAX)
        return -EBADMSG;
    int r = inflate_stretch(z, wire.data, wire.len, max_len, out);
    return r < 0 ? r : inflate_stretch(z, tail, sizeof tail, max_len, out);
}
