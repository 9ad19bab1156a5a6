/* JSON to protobuf: members are collected by field, then written in the order of the fields' numbers. */
#include <errno.h>
#include <stdlib.h>

#include "json_scan.h"
#include "protojson.h"
#include "protojson_reader.h"

static int read_message(struct reader *r, const ProtobufCMessageDescriptor *d, struct bytes json, unsigned depth);

static int read_value(struct reader *r, const ProtobufCFieldDescriptor *f, struct bytes raw, unsigned depth,
                      bool *ret_default)
{
    size_t start = r->out->len;
    if (f->type != PROTOBUF_C_TYPE_MESSAGE)
        return reader_scalar(r, f, raw, ret_default);
    *ret_default = false;
    int error = read_message(r, f->descriptor, raw, depth);
    if (error == 0)
        pb_close(r->out, (struct pb_mark){start, 0});
    return error;
}

/* ---- fields ---- */

/* Without presence a default value is as good as none. */
static bool has_presence(const ProtobufCFieldDescriptor *f)
{
    return f->label != PROTOBUF_C_LABEL_NONE || schema_is_oneof(f) || f->type == PROTOBUF_C_TYPE_MESSAGE;
}

static int read_singular(struct reader *r, const ProtobufCFieldDescriptor *f, struct bytes raw, unsigned depth)
{
    size_t start = r->out->len;
    bool is_default;
    pb_append_tag(r->out, f->id, schema_wire_type(f->type));
    int error = read_value(r, f, raw, depth, &is_default);
    if (error == 0 && is_default && !has_presence(f))
        r->out->len = start;
    return error;
}

static int scan_error(struct reader *r, const struct json_cursor *c, int error)
{
    r->reason = c->reason;
    return error;
}

static int read_elements(struct reader *r, const ProtobufCFieldDescriptor *f, struct json_cursor *c)
{
    bool packed = (f->flags & PROTOBUF_C_FIELD_FLAG_PACKED) != 0, unused;
    struct bytes raw;
    int error;
    while ((error = json_next_element(c, &raw)) == 0) {
        if (bytes_eq_str(raw, "null"))
            return reader_fail(r, "null in a list");
        if (!packed)
            pb_append_tag(r->out, f->id, schema_wire_type(f->type));
        error = read_value(r, f, raw, c->depth_left, &unused);
        if (error)
            return error;
    }
    return error < 0 ? scan_error(r, c, error) : 0;
}

static int read_repeated(struct reader *r, const ProtobufCFieldDescriptor *f, struct bytes raw, unsigned depth)
{
    struct json_cursor c = json_cursor_at(raw, depth, JSON_RFC);
    size_t start = r->out->len;
    if (raw.data[0] != '[')
        return reader_fail(r, "not a list");
    int error = json_enter_array(&c);
    if (error)
        return scan_error(r, &c, error);
    if (!(f->flags & PROTOBUF_C_FIELD_FLAG_PACKED))
        return read_elements(r, f, &c);
    pb_append_tag(r->out, f->id, PB_BYTES);
    size_t first = r->out->len;
    error = read_elements(r, f, &c);
    if (error)
        return error;
    if (r->out->len == first)
        r->out->len = start;
    else
        pb_close(r->out, (struct pb_mark){first, 0});
    return 0;
}

/* A key is always a JSON string; numbers and booleans are inside of it. */
static int read_map_key(struct reader *r, const ProtobufCFieldDescriptor *key, struct bytes name, unsigned depth)
{
    struct buf quoted = BUF_INIT;
    bool is_default, is_text = key->type == PROTOBUF_C_TYPE_STRING || key->type == PROTOBUF_C_TYPE_BYTES;
    if (key->type == PROTOBUF_C_TYPE_BOOL) {
        buf_append_bytes(&quoted, name);
    } else {
        buf_append(&quoted, "\"", 1);
        buf_append_bytes(&quoted, name);
        buf_append(&quoted, "\"", 1);
    }
    pb_append_tag(r->out, 1, schema_wire_type(key->type));
    int error = is_text || schema_wire_type(key->type) != PB_BYTES
                    ? read_value(r, key, buf_bytes(&quoted), depth, &is_default)
                    : reader_fail(r, "type of a map's key");
    buf_done(&quoted);
    return error;
}

static int read_map(struct reader *r, const ProtobufCFieldDescriptor *f, struct bytes raw, unsigned depth)
{
    const ProtobufCMessageDescriptor *entry = f->descriptor;
    struct json_cursor c = json_cursor_at(raw, depth, JSON_RFC);
    struct json_member m;
    bool is_default;
    if (raw.data[0] != '{')
        return reader_fail(r, "not an object");
    int error = json_enter_object(&c);
    while (error == 0 && (error = json_next_member(&c, &m)) == 0) {
        if (bytes_eq_str(m.value, "null"))
            return reader_fail(r, "null in a map");
        pb_append_tag(r->out, f->id, PB_BYTES);
        size_t start = r->out->len;
        int fault = read_map_key(r, &entry->fields[0], m.name, c.depth_left);
        if (fault)
            return fault;
        pb_append_tag(r->out, 2, schema_wire_type(entry->fields[1].type));
        fault = read_value(r, &entry->fields[1], m.value, c.depth_left, &is_default);
        if (fault)
            return fault;
        pb_close(r->out, (struct pb_mark){start, 0});
    }
    return error < 0 ? scan_error(r, &c, error) : 0;
}

static int read_field(struct reader *r, const ProtobufCFieldDescriptor *f, struct bytes raw, unsigned depth)
{
    if (!raw.data)
        return f->label == PROTOBUF_C_LABEL_REQUIRED ? reader_fail(r, "a required field is missing") : 0;
    if (schema_is_map(f))
        return read_map(r, f, raw, depth);
    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return read_repeated(r, f, raw, depth);
    return read_singular(r, f, raw, depth);
}

/* ---- messages ---- */

static int find_field(const ProtobufCMessageDescriptor *d, struct bytes name)
{
    for (unsigned i = 0; i < d->n_fields; i++)
        if (bytes_eq_str(name, d->fields[i].name) || schema_is_camel(d->fields[i].name, name))
            return (int)i;
    return -1;
}

static bool has_other_of_oneof(const ProtobufCMessageDescriptor *d, const struct bytes *values, unsigned at)
{
    for (unsigned i = 0; i < d->n_fields; i++)
        if (i != at && values[i].data && schema_is_oneof(&d->fields[i]) &&
            d->fields[i].quantifier_offset == d->fields[at].quantifier_offset)
            return true;
    return false;
}

/* A name with escapes is unescaped first, so that no spelling of it gets round the check for doubles. */
static int take_member(struct reader *r, const ProtobufCMessageDescriptor *d, const struct json_member *m,
                       struct bytes *values)
{
    struct bytes name = m->name;
    if (memchr(name.data, '\\', name.len)) {
        if (reader_unescape(r, (struct bytes){name.data - 1, name.len + 2}))
            return -EBADMSG;
        name = buf_bytes(&r->scratch);
    }
    int i = find_field(d, name);
    if (i < 0 || bytes_eq_str(m->value, "null"))
        return 0;
    if (values[i].data)
        return reader_fail(r, "a field is given twice");
    if (schema_is_oneof(&d->fields[i]) && has_other_of_oneof(d, values, (unsigned)i))
        return reader_fail(r, "two fields of one oneof are given");
    values[i] = m->value;
    return 0;
}

static int collect(struct reader *r, const ProtobufCMessageDescriptor *d, struct json_cursor *c, struct bytes *values)
{
    struct json_member m;
    int error = json_enter_object(c);
    while (error == 0 && (error = json_next_member(c, &m)) == 0) {
        int fault = take_member(r, d, &m, values);
        if (fault)
            return fault;
    }
    return error < 0 ? scan_error(r, c, error) : 0;
}

static int read_message(struct reader *r, const ProtobufCMessageDescriptor *d, struct bytes json, unsigned depth)
{
    struct json_cursor c = json_cursor_at(json, depth, JSON_RFC);
    if (json.len == 0 || json.data[0] != '{')
        return reader_fail(r, "not an object");
    struct bytes *values = xcalloc(d->n_fields, sizeof *values);
    int error = collect(r, d, &c, values);
    for (unsigned i = 0; i < d->n_fields && error == 0; i++)
        error = read_field(r, &d->fields[i], values[i], depth ? depth - 1 : 0);
    free(values);
    return error;
}

int protojson_to_binary(const ProtobufCMessageDescriptor *d, struct bytes json, unsigned depth_limit, struct buf *out,
                        const char **ret_reason)
{
    struct reader r = {.out = out};
    struct json_cursor c = json_cursor_at(json, depth_limit, JSON_RFC);
    struct bytes raw;
    size_t start = out->len;
    int error = json_next_value(&c, &raw);
    if (error == 0)
        error = json_expect_end(&c);
    r.reason = c.reason;
    if (error == 0)
        error = read_message(&r, d, raw, depth_limit);
    buf_done(&r.scratch);
    if (error) {
        out->len = start;
        *ret_reason = r.reason;
    }
    return error;
}
