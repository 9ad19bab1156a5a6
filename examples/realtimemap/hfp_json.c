#include "hfp_json.h"

#include <math.h>

#define DEPTH_MAX 16

void hfp_json_skip_space(struct hfp_json *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++;
}

bool hfp_json_take(struct hfp_json *s, char c)
{
    hfp_json_skip_space(s);
    if (s->p == s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

/* The opening quote is taken already. */
bool hfp_json_read_text(struct hfp_json *s, struct bytes *ret, bool *ret_escaped)
{
    const char *start = s->p;
    *ret_escaped = false;
    for (; s->p < s->end && (unsigned char)*s->p >= 0x20; s->p++) {
        if (*s->p == '"') {
            *ret = (struct bytes){start, (size_t)(s->p - start)};
            s->p++;
            return true;
        }
        if (*s->p == '\\') {
            *ret_escaped = true;
            if (++s->p == s->end)
                return false;
        }
    }
    return false;
}

static bool is_digit(const struct hfp_json *s)
{
    return s->p < s->end && *s->p >= '0' && *s->p <= '9';
}

/* Eighteen digits are kept; more only move the exponent. Returns how many digits there were. */
static int read_digits(struct hfp_json *s, struct hfp_value *v, bool fraction)
{
    int n = 0;
    for (; is_digit(s); s->p++, n++) {
        bool kept = v->digits < 100000000000000000u;
        if (kept)
            v->digits = v->digits * 10 + (uint64_t)(*s->p - '0');
        v->exponent += fraction ? (kept ? -1 : 0) : (kept ? 0 : 1);
    }
    return n;
}

static bool read_exponent(struct hfp_json *s, struct hfp_value *v)
{
    if (s->p == s->end || (*s->p | 0x20) != 'e')
        return true;
    bool negative = ++s->p < s->end && *s->p == '-';
    if (s->p < s->end && (*s->p == '-' || *s->p == '+'))
        s->p++;
    if (!is_digit(s))
        return false;
    int exponent = 0;
    for (; is_digit(s); s->p++)
        exponent = exponent < 1000 ? exponent * 10 + (*s->p - '0') : exponent;
    v->exponent += negative ? -exponent : exponent;
    return true;
}

static bool read_number(struct hfp_json *s, struct hfp_value *v)
{
    const char *start = s->p;
    v->kind = HFP_VALUE_NUMBER;
    v->negative = *s->p == '-';
    s->p += v->negative;
    bool zero = s->p < s->end && *s->p == '0';
    int n = read_digits(s, v, false);
    if (n == 0 || (zero && n > 1))
        return false;
    if (s->p < s->end && *s->p == '.') {
        s->p++;
        if (read_digits(s, v, true) == 0)
            return false;
    }
    if (!read_exponent(s, v))
        return false;
    v->raw = (struct bytes){start, (size_t)(s->p - start)};
    return true;
}

/* Objects and arrays are counted through, not checked: nothing in them is used. */
static bool skip_nested(struct hfp_json *s)
{
    char closing[DEPTH_MAX];
    int depth = 0;
    do {
        struct bytes ignored;
        bool escaped;
        if (s->p == s->end)
            return false;
        char c = *s->p++;
        if (c == '"' && !hfp_json_read_text(s, &ignored, &escaped))
            return false;
        if (c == '{' || c == '[') {
            if (depth == DEPTH_MAX)
                return false;
            closing[depth++] = c == '{' ? '}' : ']';
        } else if ((c == '}' || c == ']') && closing[--depth] != c) {
            return false;
        }
    } while (depth > 0);
    return true;
}

static bool read_word(struct hfp_json *s, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0)
        return false;
    s->p += n;
    return true;
}

bool hfp_json_read_value(struct hfp_json *s, struct hfp_value *ret)
{
    *ret = (struct hfp_value){.kind = HFP_VALUE_NULL};
    hfp_json_skip_space(s);
    if (s->p == s->end)
        return false;
    switch (*s->p) {
    case '"':
        ret->kind = HFP_VALUE_TEXT;
        s->p++;
        return hfp_json_read_text(s, &ret->raw, &ret->escaped);
    case '{':
    case '[':
        ret->kind = HFP_VALUE_NESTED;
        return skip_nested(s);
    case 'n':
        return read_word(s, "null");
    case 't':
        *ret = (struct hfp_value){.kind = HFP_VALUE_BOOL, .truth = true};
        return read_word(s, "true");
    case 'f':
        ret->kind = HFP_VALUE_BOOL;
        return read_word(s, "false");
    default:
        return read_number(s, ret);
    }
}

double hfp_json_number(const struct hfp_value *v)
{
    static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    double d = (double)v->digits;
    int e = v->exponent;
    if (e <= 0 && e > -16)
        d /= powers[-e];
    else
        d *= pow(10, e);
    return v->negative ? -d : d;
}
