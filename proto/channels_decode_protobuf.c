/* Commands of the channels wire in protobuf: strings and bytes stay where they are. Of a field that comes twice the
 * last counts, as the format has it. */
#include "channels_schema.h"

#include "json_scan.h"
#include "pb_wire.h"

#include <errno.h>

static int bad(struct channels_reader *r, const char *reason)
{
    return channels_fail(r, -EBADMSG, reason);
}

static int read_string(struct channels_reader *r, const struct channels_field *f, const struct pb_value *v, void *base)
{
    *(struct bytes *)((char *)base + f->at) = v->bytes;
    return channels_check_string(r, v->bytes);
}

/* Empty is absent, as in all of proto3. */
static int read_raw(struct channels_reader *r, const struct channels_field *f, const struct pb_value *v, void *base)
{
    (void)r;
    *(struct bytes *)((char *)base + f->at) = v->bytes.len ? v->bytes : BYTES_NULL;
    return 0;
}

/* An empty message is there all the same. */
static int read_filter(struct channels_reader *r, const struct channels_field *f, const struct pb_value *v, void *base)
{
    (void)r;
    *(struct bytes *)((char *)base + f->at) = v->bytes;
    return 0;
}

static int read_bool(struct channels_reader *r, const struct channels_field *f, const struct pb_value *v, void *base)
{
    (void)r;
    *(bool *)((char *)base + f->at) = v->number != 0;
    return 0;
}

static int read_u32(struct channels_reader *r, const struct channels_field *f, const struct pb_value *v, void *base)
{
    *(uint32_t *)((char *)base + f->at) = (uint32_t)v->number;
    return v->number > UINT32_MAX ? bad(r, "an integer is too large") : 0;
}

static int read_u64(struct channels_reader *r, const struct channels_field *f, const struct pb_value *v, void *base)
{
    (void)r;
    *(uint64_t *)((char *)base + f->at) = v->number;
    return 0;
}

static int read_i64(struct channels_reader *r, const struct channels_field *f, const struct pb_value *v, void *base)
{
    (void)r;
    *(int64_t *)((char *)base + f->at) = (int64_t)v->number;
    return 0;
}

static int read_i32(struct channels_reader *r, const struct channels_field *f, const struct pb_value *v, void *base)
{
    int64_t value = (int64_t)v->number;
    *(int32_t *)((char *)base + f->at) = (int32_t)value;
    return value < INT32_MIN || value > INT32_MAX ? bad(r, "an integer is too large") : 0;
}

static int read_nested(struct channels_reader *r, const struct channels_field *f, const struct pb_value *v, void *base)
{
    *(bool *)((char *)base + f->has) = true;
    return channels_read_protobuf_message(r, v->bytes, f->nested, base);
}

/* Key and value of one entry of a map; both may be absent. */
static int read_entry(struct channels_reader *r, struct bytes entry, struct bytes *ret_key, struct bytes *ret_value)
{
    uint32_t number;
    struct pb_value v;
    *ret_key = *ret_value = BYTES_LIT("");
    while (entry.len > 0) {
        if (!pb_take_field(&entry, &number, &v))
            return bad(r, "broken protobuf");
        if (number > 2)
            continue;
        if (v.type != PB_BYTES)
            return bad(r, "field of another type");
        *(number == 1 ? ret_key : ret_value) = v.bytes;
    }
    return channels_check_string(r, *ret_key);
}

/* Headers become a JSON object, so that both encodings give the same; only these use the text of the reader. */
static int read_header(struct channels_reader *r, const struct channels_field *f, const struct pb_value *v, void *base)
{
    struct bytes key, value;
    int err = read_entry(r, v->bytes, &key, &value);
    if (err == 0)
        err = channels_check_string(r, value);
    if (err < 0)
        return err;
    if (r->text->len > 0)
        r->text->data[r->text->len - 1] = ',';
    else
        buf_append(r->text, "{", 1);
    buf_append_json_string(r->text, key);
    buf_append(r->text, ":", 1);
    buf_append_json_string(r->text, value);
    buf_append(r->text, "}", 1);
    *(struct bytes *)((char *)base + f->at) = buf_bytes(r->text);
    return 0;
}

static int read_sub(struct channels_reader *r, const struct channels_field *f, const struct pb_value *v, void *base)
{
    struct channels_subscribe sub = {0};
    struct bytes key, value;
    (void)f;
    int err = read_entry(r, v->bytes, &key, &value);
    if (err == 0)
        err = channels_read_protobuf_message(r, value, &channels_subscribe_fields, &sub);
    if (err < 0)
        return err;
    sub.channel = key;
    channels_add_sub(r, base, &sub);
    return 0;
}

static const struct {
    int (*read)(struct channels_reader *r, const struct channels_field *f, const struct pb_value *v, void *base);
    enum pb_type type;
} readers[FIELD_KIND_COUNT] = {
    [FIELD_STRING] = {read_string, PB_BYTES}, [FIELD_RAW] = {read_raw, PB_BYTES},
    [FIELD_FILTER] = {read_filter, PB_BYTES}, [FIELD_LINES] = {read_raw, PB_BYTES},
    [FIELD_BOOL] = {read_bool, PB_VARINT},    [FIELD_U32] = {read_u32, PB_VARINT},
    [FIELD_U64] = {read_u64, PB_VARINT},      [FIELD_I32] = {read_i32, PB_VARINT},
    [FIELD_I64] = {read_i64, PB_VARINT},      [FIELD_NESTED] = {read_nested, PB_BYTES},
    [FIELD_HEADERS] = {read_header, PB_BYTES}, [FIELD_SUBS] = {read_sub, PB_BYTES},
};

static const struct channels_field *find_field(const struct channels_fields *fields, uint32_t number)
{
    for (size_t i = 0; i < fields->count; i++)
        if (fields->list[i].number == number)
            return &fields->list[i];
    return NULL;
}

int channels_read_protobuf_message(struct channels_reader *r, struct bytes message,
                                   const struct channels_fields *fields, void *base)
{
    uint32_t number;
    struct pb_value v;
    int err = 0;
    while (err == 0 && message.len > 0) {
        if (!pb_take_field(&message, &number, &v))
            return bad(r, "broken protobuf");
        const struct channels_field *f = find_field(fields, number);
        if (f && v.type != readers[f->kind].type)
            return bad(r, "field of another type");
        if (f)
            err = readers[f->kind].read(r, f, &v, base);
    }
    return err;
}

static enum channels_method find_method(uint32_t number)
{
    for (int m = CHANNELS_PONG + 1; m < CHANNELS_METHOD_COUNT; m++)
        if (channels_methods[m].command_number == number)
            return (enum channels_method)m;
    return CHANNELS_PONG;
}

/* The same method twice is one message in two pieces. */
static int read_method(struct channels_reader *r, enum channels_method method, const struct pb_value *v,
                       struct channels_command *ret)
{
    if (v->type != PB_BYTES)
        return bad(r, "field of another type");
    if (ret->method != CHANNELS_PONG && ret->method != method)
        return bad(r, "more than one method");
    ret->method = method;
    return channels_read_protobuf_message(r, v->bytes, channels_methods[method].fields, &ret->connect);
}

int channels_read_protobuf(struct channels_reader *r, struct bytes message, struct channels_command *ret)
{
    static const struct channels_field id = {"id", 1, FIELD_U32, offsetof(struct channels_command, id), NULL, 0};
    uint32_t number;
    struct pb_value v;
    bool has_unknown = false;
    int err = 0;
    while (err == 0 && message.len > 0) {
        if (!pb_take_field(&message, &number, &v))
            return bad(r, "broken protobuf");
        enum channels_method method = find_method(number);
        if (number == id.number)
            err = v.type == PB_VARINT ? read_u32(r, &id, &v, ret) : bad(r, "field of another type");
        else if (method != CHANNELS_PONG)
            err = read_method(r, method, &v, ret);
        else
            has_unknown = true;
    }
    return err < 0 ? err : channels_check_command(r, ret, has_unknown);
}
