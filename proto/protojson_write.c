/* Protobuf to JSON: the bytes are scanned once a message, then the fields are written in the order of their numbers. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "protojson.h"
#include "protojson_schema.h"
#include "utf8.h"
#include "util/base64.h"

struct writer {
    const char *reason;
    struct buf *out;
    size_t limit; /* of out->len */
};

/* What a scan found of a field. */
struct found {
    size_t count;
    struct pb_value last;
};

static int bad(struct writer *w, const char *reason)
{
    w->reason = reason;
    return -EBADMSG;
}

static int write_message(struct writer *w, const ProtobufCMessageDescriptor *d, struct bytes data, unsigned depth);

/* ---- wire ---- */

static bool is_packed(const ProtobufCFieldDescriptor *f, const struct pb_value *v)
{
    return f->label == PROTOBUF_C_LABEL_REPEATED && v->type == PB_BYTES && schema_wire_type(f->type) != PB_BYTES;
}

/* A value of another wire type than the schema says is an unknown field. */
static bool fits(const ProtobufCFieldDescriptor *f, const struct pb_value *v)
{
    return v->type == schema_wire_type(f->type) || is_packed(f, v);
}

static bool is_other_of_oneof(const ProtobufCFieldDescriptor *f, const ProtobufCFieldDescriptor *other)
{
    return other && other != f && schema_is_oneof(f) && schema_is_oneof(other) &&
           other->quantifier_offset == f->quantifier_offset;
}

/* ---- scalars ---- */

static void write_double(struct buf *out, double v, int first, int last)
{
    char text[40];
    if (isnan(v) || isinf(v)) {
        buf_append_str(out, isnan(v) ? "\"NaN\"" : v > 0 ? "\"Infinity\"" : "\"-Infinity\"");
        return;
    }
    for (int digits = first; digits <= last; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (first < 10 ? strtof(text, NULL) == (float)v : strtod(text, NULL) == v)
            break;
    }
    buf_append_str(out, text);
}

/* The fewest digits that read back as the same value: 6 to 9 for float, 15 to 17 for double. */
static void write_real(struct buf *out, ProtobufCType type, uint64_t bits)
{
    double wide;
    float narrow;
    uint32_t low = (uint32_t)bits;
    memcpy(&wide, &bits, sizeof wide);
    memcpy(&narrow, &low, sizeof narrow);
    if (type == PROTOBUF_C_TYPE_FLOAT)
        write_double(out, (double)narrow, 6, 9);
    else
        write_double(out, wide, 15, 17);
}

static int64_t unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1 ^ (v & 1 ? UINT64_MAX : 0));
}

static void write_enum(struct buf *out, const ProtobufCEnumDescriptor *d, int32_t number)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(d, number);
    if (value)
        buf_append_json_string(out, bytes_of(value->name));
    else
        buf_printf(out, "%" PRId32, number);
}

static int write_string(struct writer *w, struct bytes s)
{
    if (!utf8_valid(s.data ? s.data : "", s.len))
        return bad(w, "a string is not UTF-8");
    buf_append_json_string(w->out, s);
    return 0;
}

static void write_base64(struct buf *out, struct bytes s)
{
    buf_append(out, "\"", 1);
    base64_append(out, s);
    buf_append(out, "\"", 1);
}

static void write_number(struct buf *out, const ProtobufCFieldDescriptor *f, uint64_t n)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        buf_printf(out, "%" PRId32, (int32_t)n);
        break;
    case PROTOBUF_C_TYPE_SINT32:
        buf_printf(out, "%" PRId32, (int32_t)unzigzag((uint32_t)n));
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        buf_printf(out, "%" PRIu32, (uint32_t)n);
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        buf_printf(out, "\"%" PRId64 "\"", (int64_t)n);
        break;
    case PROTOBUF_C_TYPE_SINT64:
        buf_printf(out, "\"%" PRId64 "\"", unzigzag(n));
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        buf_printf(out, "\"%" PRIu64 "\"", n);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        buf_append_str(out, n ? "true" : "false");
        break;
    case PROTOBUF_C_TYPE_ENUM:
        write_enum(out, f->descriptor, (int32_t)n);
        break;
    default:
        write_real(out, f->type, n);
    }
}

static int write_value(struct writer *w, const ProtobufCFieldDescriptor *f, const struct pb_value *v, unsigned depth)
{
    if (w->out->len > w->limit) {
        w->reason = "the JSON would be too long";
        return -E2BIG;
    }
    if (f->type == PROTOBUF_C_TYPE_MESSAGE)
        return write_message(w, f->descriptor, v->bytes, depth);
    if (f->type == PROTOBUF_C_TYPE_STRING)
        return write_string(w, v->bytes);
    if (f->type == PROTOBUF_C_TYPE_BYTES)
        write_base64(w->out, v->bytes);
    else
        write_number(w->out, f, v->number);
    return 0;
}

/* ---- fields ---- */

static void write_name(struct buf *out, const char *name)
{
    buf_append(out, "\"", 1);
    for (char c = schema_next_camel(&name); c; c = schema_next_camel(&name))
        buf_append(out, &c, 1);
    buf_append(out, "\":", 2);
}

static int write_packed(struct writer *w, const ProtobufCFieldDescriptor *f, struct bytes list, const char **comma)
{
    struct pb_value v;
    while (list.len) {
        if (!pb_take_value(&list, schema_wire_type(f->type), &v))
            return bad(w, "a packed field is cut");
        buf_append_str(w->out, *comma);
        *comma = ",";
        int error = write_value(w, f, &v, 0);
        if (error)
            return error;
    }
    return 0;
}

/* Key and value of a map's entry; what is not there has its default. */
static int write_entry(struct writer *w, const ProtobufCMessageDescriptor *entry, struct bytes data, unsigned depth)
{
    const ProtobufCFieldDescriptor *key = &entry->fields[0], *value = &entry->fields[1];
    struct pb_value k = {.type = schema_wire_type(key->type)}, v = {.type = schema_wire_type(value->type)}, next = {0};
    uint32_t id;
    while (data.len) {
        if (!pb_take_field(&data, &id, &next))
            return bad(w, "the message is cut or malformed");
        if (id == 1 && fits(key, &next))
            k = next;
        else if (id == 2 && fits(value, &next))
            v = next;
    }
    size_t start = w->out->len;
    int error = write_value(w, key, &k, depth);
    if (error)
        return error;
    if (w->out->data[start] != '"') { /* JSON has strings for keys only */
        CLEANUP_BUF text = BUF_INIT;
        buf_append(&text, w->out->data + start, w->out->len - start);
        w->out->len = start;
        buf_append_json_string(w->out, buf_bytes(&text));
    }
    buf_append(w->out, ":", 1);
    return write_value(w, value, &v, depth);
}

static int write_element(struct writer *w, const ProtobufCFieldDescriptor *f, const struct pb_value *v, unsigned depth,
                         const char **comma)
{
    if (is_packed(f, v))
        return write_packed(w, f, v->bytes, comma);
    buf_append_str(w->out, *comma);
    *comma = ",";
    if (!schema_is_map(f))
        return write_value(w, f, v, depth);
    if (depth == 0) {
        w->reason = "nested too deep";
        return -E2BIG;
    }
    return write_entry(w, f->descriptor, v->bytes, depth - 1);
}

static int write_repeated(struct writer *w, const ProtobufCFieldDescriptor *f, struct bytes data, size_t count,
                          unsigned depth)
{
    bool map = schema_is_map(f);
    const char *comma = "";
    struct pb_value v = {0};
    uint32_t id;
    int error = 0;
    buf_append_str(w->out, map ? "{" : "[");
    while (count && error == 0 && pb_take_field(&data, &id, &v)) {
        if (id != f->id || !fits(f, &v))
            continue;
        count--;
        error = write_element(w, f, &v, depth, &comma);
    }
    buf_append_str(w->out, map ? "}" : "]");
    return error;
}

/* A message field that comes more than once is merged: that is the message of all its bytes in a row. Another field of
 * its oneof in between ends what was before. */
static int write_merged(struct writer *w, const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f,
                        struct bytes data, unsigned depth)
{
    CLEANUP_BUF all = BUF_INIT;
    struct pb_value v = {0};
    uint32_t id;
    while (pb_take_field(&data, &id, &v)) {
        const ProtobufCFieldDescriptor *of = protobuf_c_message_descriptor_get_field(d, id);
        if (of == f && fits(f, &v))
            buf_append_bytes(&all, v.bytes);
        else if (is_other_of_oneof(f, of) && fits(of, &v))
            all.len = 0;
    }
    v = (struct pb_value){.type = PB_BYTES, .bytes = buf_bytes(&all)};
    return write_value(w, f, &v, depth);
}

static int write_field(struct writer *w, const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f,
                       const struct found *found, struct bytes data, unsigned depth)
{
    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return write_repeated(w, f, data, found->count, depth);
    if (f->type == PROTOBUF_C_TYPE_MESSAGE && found->count > 1)
        return write_merged(w, d, f, data, depth);
    if (f->type == PROTOBUF_C_TYPE_MESSAGE && found->count == 0) {
        buf_append_str(w->out, "null");
        return 0;
    }
    return write_value(w, f, &found->last, depth);
}

/* Unset: left out where that differs from the default. */
static bool is_shown(const ProtobufCFieldDescriptor *f, const struct found *found)
{
    if (found->count)
        return true;
    if (schema_is_oneof(f))
        return false;
    return f->label == PROTOBUF_C_LABEL_NONE || f->label == PROTOBUF_C_LABEL_REPEATED ||
           f->type == PROTOBUF_C_TYPE_MESSAGE;
}

/* ---- messages ---- */

/* Of a oneof the last one on the wire counts. */
static void forget_others(const ProtobufCMessageDescriptor *d, struct found *found, const ProtobufCFieldDescriptor *f)
{
    for (unsigned i = 0; i < d->n_fields; i++)
        if (is_other_of_oneof(f, &d->fields[i]))
            found[i].count = 0;
}

static int scan(struct writer *w, const ProtobufCMessageDescriptor *d, struct bytes data, struct found *found)
{
    struct pb_value v = {0};
    uint32_t id;
    while (data.len) {
        if (!pb_take_field(&data, &id, &v))
            return bad(w, "the message is cut or malformed");
        const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(d, id);
        if (!f || !fits(f, &v))
            continue;
        found[f - d->fields].count++;
        found[f - d->fields].last = v;
        if (schema_is_oneof(f))
            forget_others(d, found, f);
    }
    return 0;
}

static int write_fields(struct writer *w, const ProtobufCMessageDescriptor *d, struct bytes data,
                        const struct found *found, unsigned depth)
{
    const char *comma = "";
    int error = 0;
    buf_append(w->out, "{", 1);
    for (unsigned i = 0; i < d->n_fields && error == 0; i++) {
        if (!is_shown(&d->fields[i], &found[i]))
            continue;
        buf_append_str(w->out, comma);
        comma = ",";
        write_name(w->out, d->fields[i].name);
        error = write_field(w, d, &d->fields[i], &found[i], data, depth);
    }
    buf_append(w->out, "}", 1);
    return error;
}

static int write_message(struct writer *w, const ProtobufCMessageDescriptor *d, struct bytes data, unsigned depth)
{
    if (depth == 0) {
        w->reason = "nested too deep";
        return -E2BIG;
    }
    struct found *found = xcalloc(d->n_fields, sizeof *found);
    int error = scan(w, d, data, found);
    if (error == 0)
        error = write_fields(w, d, data, found, depth - 1);
    free(found);
    return error;
}

int protojson_from_binary(const ProtobufCMessageDescriptor *d, struct bytes data, struct buf *out,
                          const char **ret_reason)
{
    size_t start = out->len;
    struct writer w = {.out = out, .limit = start + PROTOJSON_OUTPUT_LIMIT};
    int error = write_message(&w, d, data, PROTOJSON_DEPTH);
    if (error) {
        out->len = start;
        *ret_reason = w.reason;
    }
    return error;
}
