/* Commands of the channels wire in JSON. */
#include "channels_schema.h"

#include "json_scan.h"

#include <errno.h>

static int bad(struct channels_reader *r, const char *reason)
{
    return channels_fail(r, -EBADMSG, reason);
}

static bool is_null(struct bytes raw)
{
    return bytes_eq(raw, BYTES_LIT("null"));
}

/* Keeps strings without escapes where they are. */
static int read_text(struct channels_reader *r, struct bytes raw, struct bytes *ret)
{
    if (raw.len < 2 || raw.data[0] != '"')
        return bad(r, "a member should be a string");
    *ret = (struct bytes){raw.data + 1, raw.len - 2};
    if (!memchr(raw.data, '\\', raw.len))
        return 0;
    size_t start = r->text->len;
    if (json_unescape(raw, r->text) < 0)
        return bad(r, "lone surrogate in a string");
    *ret = (struct bytes){r->text->data + start, r->text->len - start};
    return 0;
}

static int read_string(struct channels_reader *r, const struct channels_field *f, struct bytes raw, void *base)
{
    struct bytes *ret = (struct bytes *)((char *)base + f->at);
    int err = read_text(r, raw, ret);
    return err < 0 ? err : channels_check_string(r, *ret);
}

static int read_lines(struct channels_reader *r, const struct channels_field *f, struct bytes raw, void *base)
{
    return raw.data[0] == '"' ? read_text(r, raw, (struct bytes *)((char *)base + f->at)) : 0;
}

static int read_raw(struct channels_reader *r, const struct channels_field *f, struct bytes raw, void *base)
{
    (void)r;
    *(struct bytes *)((char *)base + f->at) = raw;
    return 0;
}

static int read_filter(struct channels_reader *r, const struct channels_field *f, struct bytes raw, void *base)
{
    return raw.data[0] == '{' ? read_raw(r, f, raw, base) : bad(r, "tf should be an object");
}

static int read_bool(struct channels_reader *r, const struct channels_field *f, struct bytes raw, void *base)
{
    if (raw.data[0] != 't' && raw.data[0] != 'f')
        return bad(r, "a member should be true or false");
    *(bool *)((char *)base + f->at) = raw.data[0] == 't';
    return 0;
}

/* Decimal digits only: 1.0 and 1e3 are no integers here. */
static int parse_unsigned(struct channels_reader *r, struct bytes raw, uint64_t max, uint64_t *ret)
{
    uint64_t value = 0;
    for (size_t i = 0; i < raw.len; i++) {
        unsigned digit = (unsigned)raw.data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, digit, &value))
            return bad(r, "a member should be an integer from 0 on");
    }
    if (value > max)
        return bad(r, "an integer is too large");
    *ret = value;
    return 0;
}

static int read_u64(struct channels_reader *r, const struct channels_field *f, struct bytes raw, void *base)
{
    return parse_unsigned(r, raw, UINT64_MAX, (uint64_t *)((char *)base + f->at));
}

static int read_u32(struct channels_reader *r, const struct channels_field *f, struct bytes raw, void *base)
{
    uint64_t value;
    int err = parse_unsigned(r, raw, UINT32_MAX, &value);
    if (err == 0)
        *(uint32_t *)((char *)base + f->at) = (uint32_t)value;
    return err;
}

static int read_i64(struct channels_reader *r, const struct channels_field *f, struct bytes raw, void *base)
{
    int64_t value;
    if (json_parse_int64(raw, &value) < 0)
        return bad(r, "a member should be an integer");
    *(int64_t *)((char *)base + f->at) = value;
    return 0;
}

static int read_i32(struct channels_reader *r, const struct channels_field *f, struct bytes raw, void *base)
{
    int64_t value;
    if (json_parse_int64(raw, &value) < 0 || value < INT32_MIN || value > INT32_MAX)
        return bad(r, "a member should be an integer of 32 bits");
    *(int32_t *)((char *)base + f->at) = (int32_t)value;
    return 0;
}

static int read_nested(struct channels_reader *r, const struct channels_field *f, struct bytes raw, void *base)
{
    *(bool *)((char *)base + f->has) = true;
    return channels_read_json_object(r, raw, JSON_DEPTH_MAX, f->nested, base);
}

static int read_headers(struct channels_reader *r, const struct channels_field *f, struct bytes raw, void *base)
{
    struct json_cursor c = json_cursor_at(raw, JSON_DEPTH_MAX, JSON_RFC);
    struct json_member m;
    int err = json_enter_object(&c);
    while (err == 0 && (err = json_next_member(&c, &m)) == 0)
        if (m.value.data[0] != '"')
            return bad(r, "headers should be strings");
    return err < 0 ? bad(r, "headers should be an object") : read_raw(r, f, raw, base);
}

static int read_subs(struct channels_reader *r, const struct channels_field *f, struct bytes raw, void *base)
{
    struct json_cursor c = json_cursor_at(raw, JSON_DEPTH_MAX, JSON_RFC);
    struct json_member m;
    int err = json_enter_object(&c);
    (void)f;
    while (err == 0 && (err = json_next_member(&c, &m)) == 0) {
        struct channels_subscribe sub = {0};
        if (!is_null(m.value))
            err = channels_read_json_object(r, m.value, JSON_DEPTH_MAX, &channels_subscribe_fields, &sub);
        if (err == 0)
            err = read_text(r, (struct bytes){m.name.data - 1, m.name.len + 2}, &sub.channel);
        if (err == 0)
            err = channels_check_string(r, sub.channel);
        if (err == 0)
            channels_add_sub(r, base, &sub);
    }
    return err >= 0 ? 0 : r->reason ? err : bad(r, "subs should be an object");
}

typedef int (*read_fn)(struct channels_reader *r, const struct channels_field *f, struct bytes raw, void *base);

static const read_fn readers[FIELD_KIND_COUNT] = {
    [FIELD_STRING] = read_string, [FIELD_RAW] = read_raw,       [FIELD_FILTER] = read_filter,
    [FIELD_LINES] = read_lines,   [FIELD_BOOL] = read_bool,     [FIELD_U32] = read_u32,
    [FIELD_U64] = read_u64,       [FIELD_I32] = read_i32,       [FIELD_I64] = read_i64,
    [FIELD_NESTED] = read_nested, [FIELD_HEADERS] = read_headers, [FIELD_SUBS] = read_subs,
};

static const struct channels_field *find_field(const struct channels_fields *fields, struct bytes raw_name)
{
    for (size_t i = 0; i < fields->count; i++)
        if (json_name_is(raw_name, fields->list[i].name))
            return &fields->list[i];
    return NULL;
}

static int read_members(struct channels_reader *r, struct json_cursor *c, const struct channels_fields *fields,
                        void *base)
{
    struct json_member m;
    uint32_t seen = 0;
    int err = json_enter_object(c);
    while (err == 0 && (err = json_next_member(c, &m)) == 0) {
        const struct channels_field *f = find_field(fields, m.name);
        if (!f)
            continue;
        uint32_t bit = 1u << (f - fields->list);
        if (seen & bit)
            return bad(r, "a member is there twice");
        seen |= bit;
        if (f->kind == FIELD_RAW || !is_null(m.value))
            err = readers[f->kind](r, f, m.value, base);
    }
    return err;
}

static void reserve_text(struct channels_reader *r, struct bytes text)
{
    if (r->text->len == 0 && text.len && memchr(text.data, '\\', text.len))
        buf_reserve(r->text, text.len);
}

int channels_read_json_object(struct channels_reader *r, struct bytes text, unsigned depth_limit,
                              const struct channels_fields *fields, void *base)
{
    struct json_cursor c = json_cursor_at(text, depth_limit, JSON_RFC);
    reserve_text(r, text);
    int err = read_members(r, &c, fields, base);
    if (err >= 0)
        err = json_expect_end(&c);
    if (err < 0 && !r->reason)
        r->reason = c.reason;
    return err;
}

static enum channels_method find_method(struct bytes raw_name)
{
    for (int m = CHANNELS_PONG + 1; m < CHANNELS_METHOD_COUNT; m++)
        if (json_name_is(raw_name, channels_methods[m].name))
            return (enum channels_method)m;
    return CHANNELS_PONG;
}

static int read_method(struct channels_reader *r, enum channels_method method, struct bytes raw,
                       struct channels_command *ret)
{
    if (is_null(raw))
        return 0;
    if (ret->method != CHANNELS_PONG)
        return bad(r, "more than one method");
    ret->method = method;
    return channels_read_json_object(r, raw, JSON_DEPTH_MAX, channels_methods[method].fields, &ret->connect);
}

int channels_read_json(struct channels_reader *r, struct bytes line, unsigned depth_limit, struct channels_command *ret)
{
    static const struct channels_field id = {"id", 1, FIELD_U32, offsetof(struct channels_command, id), NULL, 0};
    struct json_cursor c = json_cursor_at(line, depth_limit, JSON_RFC);
    struct json_member m;
    bool has_id = false, has_unknown = false;
    reserve_text(r, line);
    int err = json_enter_object(&c);
    while (err == 0 && (err = json_next_member(&c, &m)) == 0) {
        enum channels_method method = find_method(m.name);
        bool is_id = json_name_is(m.name, id.name);
        if (is_id && has_id)
            return bad(r, "a member is there twice");
        has_id |= is_id;
        has_unknown |= !is_id && method == CHANNELS_PONG;
        if (is_id)
            err = read_u32(r, &id, m.value, ret);
        else if (method != CHANNELS_PONG)
            err = read_method(r, method, m.value, ret);
    }
    if (err >= 0)
        err = json_expect_end(&c);
    if (err < 0 && !r->reason)
        r->reason = c.reason;
    return err < 0 ? err : channels_check_command(r, ret, has_unknown);
}
