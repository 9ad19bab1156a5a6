#include "json_path.h"

#include <errno.h>

struct scanner {
    const char *p, *end;
};

static void skip_space(struct scanner *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\t' || *s->p == '\r'))
        s->p++;
}

static bool take(struct scanner *s, char c)
{
    skip_space(s);
    if (s->p == s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

/* Content of a string, the opening quote taken already. */
static bool read_string(struct scanner *s, struct bytes *ret)
{
    const char *start = s->p;
    for (; s->p < s->end; s->p++) {
        if (*s->p == '"') {
            *ret = (struct bytes){start, (size_t)(s->p - start)};
            s->p++;
            return true;
        }
        if (*s->p == '\\' && ++s->p == s->end)
            return false;
    }
    return false;
}

static const bool ends_word[256] = {
    [','] = true, ['}'] = true, [']'] = true, [' '] = true, ['\n'] = true, ['\t'] = true, ['\r'] = true,
};

/* Number, true, false, null: anything up to the next separator. */
static struct bytes read_word(struct scanner *s)
{
    const char *start = s->p;
    while (s->p < s->end && !ends_word[(unsigned char)*s->p])
        s->p++;
    return (struct bytes){start, (size_t)(s->p - start)};
}

/* Objects and arrays are skipped by counting, whatever is in them. */
static bool skip_value(struct scanner *s)
{
    size_t depth = 0;
    struct bytes ignored;
    do {
        skip_space(s);
        if (s->p == s->end)
            return false;
        char c = *s->p;
        if (c == '{' || c == '[') {
            depth++;
            s->p++;
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                return false;
            depth--;
            s->p++;
        } else if (c == '"') {
            s->p++;
            if (!read_string(s, &ignored))
                return false;
        } else if (depth && (c == ',' || c == ':')) {
            s->p++;
        } else if (read_word(s).len == 0) {
            return false;
        }
    } while (depth);
    return true;
}

static int hex4(const char *p)
{
    int value = 0;
    for (int i = 0; i < 4; i++) {
        static const char digits[] = "0123456789abcdefABCDEF";
        const char *found = p[i] ? strchr(digits, p[i]) : NULL;
        if (!found)
            return -1;
        int digit = (int)(found - digits);
        value = value * 16 + (digit < 16 ? digit : digit - 6);
    }
    return value;
}

static size_t utf8(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)((0xf00 >> len) | code);
    return len;
}

/* After "\u": one code unit, or two that make a code point. 0 bytes: malformed. */
static size_t unescape_unicode(struct scanner *s, char out[4])
{
    int high = s->end - s->p >= 4 ? hex4(s->p) : -1;
    if (high < 0)
        return 0;
    s->p += 4;
    if (high < 0xd800 || high > 0xdfff)
        return utf8((uint32_t)high, out);
    if (high >= 0xdc00 || s->end - s->p < 6 || s->p[0] != '\\' || s->p[1] != 'u')
        return 0;
    int low = hex4(s->p + 2);
    if (low < 0xdc00 || low > 0xdfff)
        return 0;
    s->p += 6;
    return utf8(0x10000u + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00), out);
}

/* After a backslash. 0 bytes: malformed. */
static size_t unescape(struct scanner *s, char out[4])
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (s->p == s->end)
        return 0;
    char c = *s->p++;
    if (c == 'u')
        return unescape_unicode(s, out);
    const char *found = c ? strchr(from, c) : NULL;
    if (!found)
        return 0;
    out[0] = to[found - from];
    return 1;
}

static bool same_name(struct bytes raw, struct bytes name)
{
    if (!memchr(raw.data, '\\', raw.len))
        return bytes_eq(raw, name);
    struct scanner s = {raw.data, raw.data + raw.len};
    size_t used = 0;
    while (s.p < s.end) {
        char piece[4] = {*s.p};
        size_t len = *s.p++ == '\\' ? unescape(&s, piece) : 1;
        if (len == 0 || name.len - used < len || memcmp(name.data + used, piece, len) != 0)
            return false;
        used += len;
    }
    return used == name.len;
}

/* From before an object to before the value of its member `name`. */
static bool enter_member(struct scanner *s, struct bytes name)
{
    struct bytes raw;
    if (!take(s, '{'))
        return false;
    do {
        if (!take(s, '"') || !read_string(s, &raw) || !take(s, ':'))
            return false;
        if (same_name(raw, name))
            return true;
    } while (skip_value(s) && take(s, ','));
    return false;
}

static bool is_number(struct bytes word)
{
    for (size_t i = 0; i < word.len; i++)
        if (!word.data[i] || !strchr("+-.0123456789eE", word.data[i]))
            return false;
    return word.len > 0 && (word.data[0] == '-' || (word.data[0] >= '0' && word.data[0] <= '9'));
}

int json_path_find(struct bytes json, const struct bytes *names, size_t count, struct json_scalar *ret)
{
    if (!json.data)
        return -ENOENT;
    struct scanner s = {json.data, json.data + json.len};
    for (size_t i = 0; i < count; i++)
        if (!enter_member(&s, names[i]))
            return -ENOENT;
    if (take(&s, '"')) {
        struct bytes raw;
        if (!read_string(&s, &raw))
            return -ENOENT;
        *ret = (struct json_scalar){JSON_PATH_STRING, raw};
        return 0;
    }
    struct bytes word = read_word(&s);
    bool truth = bytes_eq_str(word, "true") || bytes_eq_str(word, "false");
    if (!truth && !is_number(word))
        return -ENOENT;
    *ret = (struct json_scalar){truth ? JSON_PATH_BOOL : JSON_PATH_NUMBER, word};
    return 0;
}

int json_scalar_append(const struct json_scalar *value, struct buf *out)
{
    if (value->kind != JSON_PATH_STRING || !memchr(value->raw.data, '\\', value->raw.len)) {
        buf_append_bytes(out, value->raw);
        return 0;
    }
    struct scanner s = {value->raw.data, value->raw.data + value->raw.len};
    while (s.p < s.end) {
        char piece[4] = {*s.p};
        size_t len = *s.p++ == '\\' ? unescape(&s, piece) : 1;
        if (len == 0)
            return -ENOENT;
        buf_append(out, piece, len);
    }
    return 0;
}
