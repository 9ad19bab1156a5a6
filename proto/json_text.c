/* The characters of JSON strings: UTF-8, escapes, surrogate pairs. */
#include "json_scan.h"

#include <errno.h>

size_t json_utf8_length(const char *s, const char *end)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t left = (size_t)(end - s);
    if (left == 0)
        return 0;
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    size_t n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (left < n)
        return 0;
    /* RFC 3629, 4: the second byte's range depends on the first. */
    unsigned char low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

static int hex_digit(char ch)
{
    if (ch >= '0' && ch <= '9')
        return ch - '0';
    ch |= 0x20;
    return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

/* Four hex digits at `p`; -1 when they are not there. */
static int32_t hex4(const char *p, const char *end)
{
    int32_t value = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

int32_t json_unicode_escape(const char *escape, const char *end, size_t *ret_len)
{
    int32_t unit = hex4(escape + 2, end);
    *ret_len = 6;
    if (unit >= 0xd800 && unit < 0xdc00 && end - escape >= 12 && escape[6] == '\\' && escape[7] == 'u') {
        int32_t low = hex4(escape + 8, end);
        if (low >= 0xdc00 && low < 0xe000) {
            *ret_len = 12;
            return 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        }
    }
    return unit;
}

static size_t put_utf8(char *out, int32_t point)
{
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    size_t n = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, point >>= 6)
        out[i] = (char)(0x80 | (point & 0x3f));
    out[0] = (char)(lead[n] | point);
    return n;
}

/* Decodes the escape at `p` into at most 4 bytes. Returns what it takes of the text, 0 when it is none or stands for a
 * lone surrogate. */
static size_t decode_escape(const char *p, const char *end, char out[4], size_t *ret_out_len)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (end - p < 2)
        return 0;
    if (p[1] != 'u') {
        const char *found = memchr(from, p[1], sizeof from - 1);
        if (!found)
            return 0;
        out[0] = to[found - from];
        *ret_out_len = 1;
        return 2;
    }
    size_t len;
    int32_t point = json_unicode_escape(p, end, &len);
    if (point < 0 || json_is_surrogate(point))
        return 0;
    *ret_out_len = put_utf8(out, point);
    return len;
}

static int unescape_inside(const char *p, const char *end, struct buf *ret)
{
    buf_reserve(ret, (size_t)(end - p));
    while (p < end) {
        const char *escape = memchr(p, '\\', (size_t)(end - p));
        buf_append(ret, p, (size_t)((escape ? escape : end) - p));
        if (!escape)
            return 0;
        char decoded[4];
        size_t decoded_len, taken = decode_escape(escape, end, decoded, &decoded_len);
        if (taken == 0)
            return -EILSEQ;
        buf_append(ret, decoded, decoded_len);
        p = escape + taken;
    }
    return 0;
}

int json_unescape(struct bytes raw, struct buf *ret)
{
    if (raw.len < 2 || raw.data[0] != '"' || raw.data[raw.len - 1] != '"')
        return -EINVAL;
    size_t len_before = ret->len;
    int err = unescape_inside(raw.data + 1, raw.data + raw.len - 1, ret);
    if (err < 0)
        ret->len = len_before;
    return err;
}

bool json_name_is(struct bytes raw, const char *name)
{
    size_t len = strlen(name);
    if (!raw.len || !memchr(raw.data, '\\', raw.len))
        return raw.len == len && (len == 0 || memcmp(raw.data, name, len) == 0);
    const char *p = raw.data, *end = raw.data + raw.len;
    while (p < end) {
        char decoded[4] = {*p};
        size_t decoded_len = 1, taken = *p == '\\' ? decode_escape(p, end, decoded, &decoded_len) : 1;
        if (taken == 0 || len < decoded_len || memcmp(decoded, name, decoded_len) != 0)
            return false;
        name += decoded_len;
        len -= decoded_len;
        p += taken;
    }
    return len == 0;
}

void json_append_text(struct buf *out, struct bytes s)
{
    const char *p = s.data, *end = s.data + s.len, *start = p;
    buf_append(out, "\"", 1);
    while (p < end) {
        size_t n = json_utf8_length(p, end);
        if (n > 0) {
            p += n;
            continue;
        }
        buf_append_json_escaped(out, (struct bytes){start, (size_t)(p - start)});
        buf_append(out, "\xef\xbf\xbd", 3);
        start = ++p;
    }
    if (start < end)
        buf_append_json_escaped(out, (struct bytes){start, (size_t)(end - start)});
    buf_append(out, "\"", 1);
}
