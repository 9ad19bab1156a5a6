/* Percent-encoding, query parameters and chunked bodies: the parts of http1.h that come after the head. */
#include <errno.h>

#include "http1.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int http1_percent_decode(struct bytes s, bool plus_is_blank, struct buf *out)
{
    buf_reserve(out, s.len + 1);
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        if (c == '+' && plus_is_blank) {
            c = ' ';
        } else if (c == '%') {
            int high = i + 1 < s.len ? hex_value(s.data[i + 1]) : -1;
            int low = i + 2 < s.len ? hex_value(s.data[i + 2]) : -1;
            if (high < 0 || low < 0)
                return -EINVAL;
            c = (char)(high << 4 | low);
            i += 2;
        }
        out->data[out->len++] = c;
    }
    return 0;
}

/* Valid: /a/b  /a..b  /...   Invalid: /..  /a/../b  /a\b  and control bytes. */
static bool path_is_safe(struct bytes path)
{
    size_t segment = 0;
    for (size_t i = 0; i <= path.len; i++) {
        unsigned char c = i < path.len ? (unsigned char)path.data[i] : '/';
        if (c < 0x20 || c == 0x7f || c == '\\')
            return false;
        if (c != '/')
            continue;
        if (i - segment == 2 && memcmp(path.data + segment, "..", 2) == 0)
            return false;
        segment = i + 1;
    }
    return true;
}

int http1_path_decode(struct bytes raw, struct buf *out)
{
    size_t start = out->len;
    int r = http1_percent_decode(raw, false, out);
    if (r < 0)
        return r;
    return path_is_safe((struct bytes){out->data + start, out->len - start}) ? 0 : -EINVAL;
}

static bool next_parameter(struct bytes *rest, struct bytes *ret_name, struct bytes *ret_value)
{
    if (rest->len == 0)
        return false;
    const char *amp = memchr(rest->data, '&', rest->len);
    size_t n = amp ? (size_t)(amp - rest->data) : rest->len;
    const char *eq = memchr(rest->data, '=', n);
    size_t name_len = eq ? (size_t)(eq - rest->data) : n;

    *ret_name = (struct bytes){rest->data, name_len};
    *ret_value = eq ? (struct bytes){eq + 1, n - name_len - 1} : BYTES_LIT("");
    rest->data += amp ? n + 1 : n;
    rest->len -= amp ? n + 1 : n;
    return true;
}

int http1_query_get(struct bytes query, const char *name, struct buf *out)
{
    struct bytes raw_name, value;

    while (next_parameter(&query, &raw_name, &value)) {
        CLEANUP_BUF decoded = BUF_INIT;
        if (http1_percent_decode(raw_name, true, &decoded) < 0 || !bytes_eq_str(buf_bytes(&decoded), name))
            continue;
        size_t start = out->len;
        int r = http1_percent_decode(value, true, out);
        if (r < 0)
            out->len = start;
        return r;
    }
    return -ENOENT;
}

enum chunk_state {
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    TRAILER_START,
    TRAILER_LINE,
    TRAILER_LF,
    TRAILER_END_LF,
    CHUNK_DONE,
};

#define CHUNK_LINE_MAX 1024 /* of an extension, and of all trailers together */

/* One byte outside of the data. Returns 0 or -400. */
static int chunk_step(struct http1_chunked *c, char byte)
{
    int digit;

    switch ((enum chunk_state)c->state) {
    case CHUNK_SIZE:
        digit = hex_value(byte);
        if (digit >= 0 && c->digits < 15) {
            c->remaining = c->remaining << 4 | (unsigned)digit;
            c->digits++;
            return 0;
        }
        if (c->digits == 0 || (byte != '\r' && byte != ';' && byte != ' ' && byte != '\t'))
            return -400;
        c->line = 0;
        c->state = byte == '\r' ? CHUNK_SIZE_LF : CHUNK_EXTENSION;
        return 0;
    case CHUNK_EXTENSION:
    case TRAILER_LINE:
        if (byte == '\r')
            c->state = c->state == CHUNK_EXTENSION ? CHUNK_SIZE_LF : TRAILER_LF;
        return byte == '\n' || ++c->line > CHUNK_LINE_MAX ? -400 : 0;
    case CHUNK_SIZE_LF:
        c->line = 0;
        c->state = c->remaining ? CHUNK_DATA : TRAILER_START;
        return byte == '\n' ? 0 : -400;
    case CHUNK_DATA_CR:
        c->state = CHUNK_DATA_LF;
        return byte == '\r' ? 0 : -400;
    case CHUNK_DATA_LF:
        c->state = CHUNK_SIZE;
        c->digits = 0;
        return byte == '\n' ? 0 : -400;
    case TRAILER_START:
        c->state = byte == '\r' ? TRAILER_END_LF : TRAILER_LINE;
        return byte == '\n' ? -400 : 0;
    case TRAILER_LF:
        c->state = TRAILER_START;
        return byte == '\n' ? 0 : -400;
    case TRAILER_END_LF:
        c->state = CHUNK_DONE;
        return byte == '\n' ? 0 : -400;
    case CHUNK_DATA:
    case CHUNK_DONE:
        break;
    }
    return -400;
}

int http1_chunked_next(struct http1_chunked *c, const char *data, size_t len, size_t *ret_used, struct bytes *ret_piece)
{
    size_t used = 0;
    int r = 0;

    while (used < len && c->state != CHUNK_DONE && r == 0) {
        if (c->state == CHUNK_DATA) {
            size_t n = len - used < c->remaining ? len - used : (size_t)c->remaining;
            *ret_piece = (struct bytes){data + used, n};
            *ret_used = used + n;
            c->remaining -= n;
            if (c->remaining == 0)
                c->state = CHUNK_DATA_CR;
            return HTTP1_CHUNK_DATA;
        }
        r = chunk_step(c, data[used++]);
    }
    *ret_used = used;
    return r < 0 ? r : c->state == CHUNK_DONE ? HTTP1_CHUNK_END : HTTP1_CHUNK_MORE;
}
