#include "base64.h"

#include <errno.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_append(struct buf *out, struct bytes data)
{
    const unsigned char *in = (const unsigned char *)data.data;
    buf_reserve(out, (data.len + 2) / 3 * 4);
    for (size_t i = 0; i < data.len; i += 3) {
        size_t left = data.len - i;
        uint32_t v = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) | (left > 2 ? in[i + 2] : 0);
        const char quad[4] = {digits[v >> 18], digits[v >> 12 & 63], left > 1 ? digits[v >> 6 & 63] : '=',
                              left > 2 ? digits[v & 63] : '='};
        buf_append(out, quad, sizeof quad);
    }
}

static int digit_value(char c)
{
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

int base64_decode(struct bytes text, struct buf *out)
{
    size_t start = out->len;
    if (text.len % 4)
        return -EINVAL;
    for (size_t i = 0; i < text.len; i += 4) {
        bool last = i + 4 == text.len;
        int pad = last && text.data[i + 3] == '=' ? (text.data[i + 2] == '=' ? 2 : 1) : 0;
        uint32_t v = 0;
        for (int j = 0; j < 4; j++) {
            int d = j >= 4 - pad ? 0 : digit_value(text.data[i + (size_t)j]);
            if (d < 0) {
                out->len = start;
                return -EINVAL;
            }
            v = v << 6 | (uint32_t)d;
        }
        const char bytes[3] = {(char)(v >> 16), (char)(v >> 8), (char)v};
        buf_append(out, bytes, (size_t)(3 - pad));
    }
    return 0;
}

/* ---- the form of tokens ---- */

static const char url_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void base64url_append(struct buf *out, struct bytes data)
{
    const unsigned char *in = (const unsigned char *)data.data;
    for (size_t i = 0; i < data.len; i += 3) {
        size_t left = data.len - i;
        uint32_t v = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) | (left > 2 ? in[i + 2] : 0);
        const char quad[4] = {url_digits[v >> 18], url_digits[v >> 12 & 63], url_digits[v >> 6 & 63],
                              url_digits[v & 63]};
        buf_append(out, quad, left > 2 ? 4 : left + 1);
    }
}

int base64url_decode(struct bytes text, struct buf *out)
{
    size_t start = out->len;
    uint32_t v = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < text.len; i++) {
        const char *at = text.data[i] ? strchr(url_digits, text.data[i]) : NULL;
        if (!at)
            break;
        v = (v << 6 | (uint32_t)(at - url_digits)) & 0xffffff;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            buf_append(out, &(char){(char)(v >> bits)}, 1);
        }
        if (i + 1 == text.len && bits < 6 && !(v & ((1u << bits) - 1)))
            return 0;
    }
    out->len = start;
    return text.len ? -EINVAL : 0;
}
