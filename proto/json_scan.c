#include "json_scan.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define NUMBER_CHARS_MAX 128 /* strict rules; the longest exact double needs far less to be told from infinity */

static int bad(struct json_cursor *c, const char *reason)
{
    c->reason = reason;
    return -EBADMSG;
}

static void skip_space(struct json_cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t'))
        c->at++;
}

static int skip_escape(struct json_cursor *c)
{
    if (c->end - c->at < 2)
        return bad(c, "string is not closed");
    if (c->at[1] != 'u') {
        if (!c->at[1] || !strchr("\"\\/bfnrt", c->at[1]))
            return bad(c, "unknown escape in a string");
        c->at += 2;
        return 0;
    }
    size_t len;
    int32_t point = json_unicode_escape(c->at, c->end, &len);
    if (point < 0)
        return bad(c, "\\u needs four hex digits");
    if (c->rules == JSON_STRICT && point == 0)
        return bad(c, "\\u0000 is not allowed in strings");
    if (c->rules == JSON_STRICT && json_is_surrogate(point))
        return bad(c, "lone surrogate in a string");
    c->at += len;
    return 0;
}

static bool is_plain(unsigned char ch)
{
    return ch >= 0x20 && ch < 0x80 && ch != '"' && ch != '\\';
}

/* At the opening quote. */
static int skip_string(struct json_cursor *c)
{
    c->at++;
    while (c->at < c->end) {
        unsigned char ch = (unsigned char)*c->at;
        if (is_plain(ch)) {
            c->at++;
        } else if (ch == '"') {
            c->at++;
            return 0;
        } else if (ch == '\\') {
            int err = skip_escape(c);
            if (err < 0)
                return err;
        } else if (ch < 0x20) {
            return bad(c, "control character in a string");
        } else {
            size_t n = json_utf8_length(c->at, c->end);
            if (n == 0)
                return bad(c, "text is not UTF-8");
            c->at += n;
        }
    }
    return bad(c, "string is not closed");
}

static size_t skip_digits(struct json_cursor *c)
{
    const char *start = c->at;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
        c->at++;
    return (size_t)(c->at - start);
}

int json_parse_int64(struct bytes raw, int64_t *ret)
{
    size_t i = raw.len && raw.data[0] == '-';
    int64_t value = 0;
    if (i == raw.len || (raw.data[i] == '0' && raw.len > i + 1))
        return -EINVAL;
    for (bool negative = i; i < raw.len; i++) {
        int digit = raw.data[i] - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, negative ? -digit : digit, &value))
            return -EINVAL;
    }
    *ret = value;
    return 0;
}

static int check_range(struct json_cursor *c, struct bytes number, bool real)
{
    int64_t integer;
    char text[NUMBER_CHARS_MAX + 1];
    if (number.len > NUMBER_CHARS_MAX)
        return bad(c, "number is too long");
    if (!real)
        return json_parse_int64(number, &integer) < 0 ? bad(c, "integer does not fit 64 bits") : 0;
    memcpy(text, number.data, number.len);
    text[number.len] = 0;
    return isfinite(strtod(text, NULL)) ? 0 : bad(c, "number is out of range");
}

static int skip_number(struct json_cursor *c)
{
    const char *start = c->at;
    bool real = false;
    if (*c->at == '-')
        c->at++;
    if (c->at < c->end && *c->at == '0')
        c->at++;
    else if (skip_digits(c) == 0)
        return bad(c, "not a number");
    if (c->at < c->end && *c->at == '.') {
        c->at++;
        real = true;
        if (skip_digits(c) == 0)
            return bad(c, "number without digits after the point");
    }
    if (c->at < c->end && (*c->at | 0x20) == 'e') {
        c->at++;
        real = true;
        if (c->at < c->end && (*c->at == '+' || *c->at == '-'))
            c->at++;
        if (skip_digits(c) == 0)
            return bad(c, "number without digits in the exponent");
    }
    return c->rules == JSON_STRICT ? check_range(c, (struct bytes){start, (size_t)(c->at - start)}, real) : 0;
}

static int skip_word(struct json_cursor *c, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(c->end - c->at) < len || memcmp(c->at, word, len) != 0)
        return bad(c, "unexpected character");
    c->at += len;
    return 0;
}

static int enter(struct json_cursor *c)
{
    if (c->depth_left == 0) {
        c->reason = "nested too deep";
        return -E2BIG;
    }
    c->depth_left--;
    c->at++;
    return 0;
}

static int leave(struct json_cursor *c)
{
    c->depth_left++;
    c->at++;
    return 1;
}

static int skip_value(struct json_cursor *c);

/* After the opening bracket or an element: 0 stands at the next element, 1 is past the closing bracket. */
static int next_element(struct json_cursor *c, char close)
{
    bool first = c->at[-1] == (close == '}' ? '{' : '[');
    skip_space(c);
    if (c->at == c->end)
        return bad(c, "text ends inside an object or array");
    if (*c->at == close)
        return leave(c);
    if (first)
        return 0;
    if (*c->at != ',')
        return bad(c, "expected a comma or a closing bracket");
    c->at++;
    skip_space(c);
    return c->at < c->end && *c->at == close ? bad(c, "comma before a closing bracket") : 0;
}

static int skip_array(struct json_cursor *c)
{
    int r = enter(c);
    while (r == 0) {
        r = next_element(c, ']');
        if (r == 0)
            r = skip_value(c);
    }
    return r < 0 ? r : 0;
}

static int skip_object(struct json_cursor *c)
{
    struct json_member member;
    int r = enter(c);
    while (r == 0)
        r = json_next_member(c, &member);
    return r < 0 ? r : 0;
}

static int skip_value(struct json_cursor *c)
{
    skip_space(c);
    if (c->at == c->end)
        return bad(c, "value is missing");
    switch (*c->at) {
    case '"':
        return skip_string(c);
    case '{':
        return skip_object(c);
    case '[':
        return skip_array(c);
    case 't':
        return skip_word(c, "true");
    case 'f':
        return skip_word(c, "false");
    case 'n':
        return skip_word(c, "null");
    default:
        return *c->at == '-' || (*c->at >= '0' && *c->at <= '9') ? skip_number(c) : bad(c, "unexpected character");
    }
}

struct json_cursor json_cursor_at(struct bytes text, unsigned depth_limit, enum json_rules rules)
{
    const char *start = text.data ? text.data : "";
    return (struct json_cursor){
        .at = start,
        .end = start + text.len,
        .depth_left = depth_limit < JSON_DEPTH_MAX ? depth_limit : JSON_DEPTH_MAX,
        .rules = rules,
    };
}

int json_next_value(struct json_cursor *c, struct bytes *ret_raw)
{
    skip_space(c);
    const char *start = c->at;
    int err = skip_value(c);
    if (err == 0)
        *ret_raw = (struct bytes){start, (size_t)(c->at - start)};
    return err;
}

int json_expect_end(struct json_cursor *c)
{
    skip_space(c);
    return c->at == c->end ? 0 : bad(c, "something follows the JSON value");
}

int json_enter_object(struct json_cursor *c)
{
    skip_space(c);
    return c->at < c->end && *c->at == '{' ? enter(c) : bad(c, "not a JSON object");
}

int json_enter_array(struct json_cursor *c)
{
    skip_space(c);
    return c->at < c->end && *c->at == '[' ? enter(c) : bad(c, "not a JSON array");
}

int json_next_element(struct json_cursor *c, struct bytes *ret_raw)
{
    int r = next_element(c, ']');
    return r != 0 ? r : json_next_value(c, ret_raw);
}

int json_next_member(struct json_cursor *c, struct json_member *ret)
{
    int r = next_element(c, '}');
    if (r != 0)
        return r;
    if (c->at == c->end || *c->at != '"')
        return bad(c, "expected a member name in quotes");
    const char *name = c->at + 1;
    r = skip_string(c);
    if (r < 0)
        return r;
    struct bytes raw_name = {name, (size_t)(c->at - name) - 1};
    skip_space(c);
    if (c->at == c->end || *c->at != ':')
        return bad(c, "expected a colon after the member name");
    c->at++;
    r = json_next_value(c, &ret->value);
    if (r == 0)
        ret->name = raw_name;
    return r;
}

int json_check(struct bytes text, unsigned depth_limit, enum json_rules rules, const char **ret_reason)
{
    struct json_cursor c = json_cursor_at(text, depth_limit, rules);
    int err = skip_value(&c);
    if (err == 0)
        err = json_expect_end(&c);
    if (err < 0 && ret_reason)
        *ret_reason = c.reason;
    return err;
}

bool json_is_value(struct bytes text, unsigned depth_limit)
{
    return json_check(text, depth_limit, JSON_RFC, NULL) == 0;
}

/* The value of one member, or 1 when the object is valid and has no such member. */
static int find_member(struct bytes object, const char *name, struct bytes *ret)
{
    struct json_cursor c = json_cursor_at(object, JSON_DEPTH_MAX, JSON_RFC);
    struct json_member member;
    struct bytes found = BYTES_NULL;
    int r = json_enter_object(&c);
    while (r == 0 && (r = json_next_member(&c, &member)) == 0) {
        if (!json_name_is(member.name, name))
            continue;
        if (found.data)
            return -EBADMSG;
        found = member.value;
    }
    if (r < 0 || json_expect_end(&c) < 0)
        return -EBADMSG;
    if (!found.data)
        return 1;
    *ret = found;
    return 0;
}

int json_get_raw(struct bytes object, const char *name, struct bytes *ret)
{
    int r = find_member(object, name, ret);
    return r == 1 ? -ENOENT : r;
}

/* The same for getters of a type: null counts as absent. */
static int get_value(struct bytes object, const char *name, struct bytes *ret)
{
    struct bytes raw;
    int err = json_get_raw(object, name, &raw);
    if (err < 0)
        return err;
    if (bytes_eq_str(raw, "null"))
        return -ENOENT;
    *ret = raw;
    return 0;
}

int json_get_string(struct bytes object, const char *name, struct buf *ret)
{
    struct bytes raw;
    int err = get_value(object, name, &raw);
    if (err < 0)
        return err;
    return json_unescape(raw, ret) < 0 ? -EINVAL : 0;
}

int json_get_int64(struct bytes object, const char *name, int64_t *ret)
{
    struct bytes raw;
    int err = get_value(object, name, &raw);
    return err < 0 ? err : json_parse_int64(raw, ret);
}

int json_get_bool(struct bytes object, const char *name, bool *ret)
{
    struct bytes raw;
    int err = get_value(object, name, &raw);
    if (err < 0)
        return err;
    if (!bytes_eq_str(raw, "true") && !bytes_eq_str(raw, "false"))
        return -EINVAL;
    *ret = raw.data[0] == 't';
    return 0;
}
