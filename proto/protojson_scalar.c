/* JSON to protobuf: the values that are no messages. */
#include <math.h>
#include <stdlib.h>

#include "json_scan.h"
#include "protojson_reader.h"
#include "util/base64.h"

#define NUMBER_LIMIT 64
#define EXACT_DOUBLE 9007199254740992.0 /* 2^53: integers above are not what was written */

/* ---- wire ---- */

static void put_fixed(struct buf *out, uint64_t v, size_t size)
{
    unsigned char bytes[8];
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(v >> 8 * i);
    buf_append(out, bytes, size);
}

/* ---- numbers ---- */

/* The text of a number: as it is, or the inside of a string. */
static bool number_text(struct bytes raw, char text[NUMBER_LIMIT])
{
    if (raw.len >= 2 && raw.data[0] == '"')
        raw = (struct bytes){raw.data + 1, raw.len - 2};
    if (raw.len == 0 || raw.len >= NUMBER_LIMIT || !memchr("-0123456789", raw.data[0], 11))
        return false;
    memcpy(text, raw.data, raw.len);
    text[raw.len] = 0;
    return strpbrk(text, "xXpP ") == NULL;
}

/* 5.0 and 1e3 are integers too. */
static bool integral_double(const char *text, double *ret)
{
    char *end;
    double v = strtod(text, &end);
    *ret = v;
    return *end == 0 && isfinite(v) && v == trunc(v) && fabs(v) <= EXACT_DOUBLE;
}

static bool parse_signed(struct bytes raw, int64_t min, int64_t max, int64_t *ret)
{
    char text[NUMBER_LIMIT], *end;
    double d;
    if (!number_text(raw, text))
        return false;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text)
        return false;
    if (*end) {
        if (!integral_double(text, &d))
            return false;
        v = (long long)d;
    } else if (errno) {
        return false;
    }
    *ret = v;
    return v >= min && v <= max;
}

static bool parse_unsigned(struct bytes raw, uint64_t max, uint64_t *ret)
{
    char text[NUMBER_LIMIT], *end;
    double d;
    if (!number_text(raw, text))
        return false;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (end == text || (text[0] == '-' && v))
        return false;
    if (*end) {
        if (!integral_double(text, &d) || d < 0)
            return false;
        v = (unsigned long long)d;
    } else if (errno) {
        return false;
    }
    *ret = v;
    return v <= max;
}

static bool parse_double(struct bytes raw, double *ret)
{
    static const struct {
        const char *text;
        double value;
    } words[] = {{"\"NaN\"", NAN}, {"\"Infinity\"", INFINITY}, {"\"-Infinity\"", -INFINITY}};
    char text[NUMBER_LIMIT], *end;
    for (size_t i = 0; i < 3; i++)
        if (bytes_eq_str(raw, words[i].text)) {
            *ret = words[i].value;
            return true;
        }
    if (!number_text(raw, text))
        return false;
    *ret = strtod(text, &end);
    return *end == 0 && isfinite(*ret);
}

static uint64_t zigzag(int64_t v)
{
    return (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0);
}

/* ---- scalars: each appends the value without its tag, and says whether it is the default ---- */

static int read_integer(struct reader *r, ProtobufCType type, struct bytes raw, bool *ret_default)
{
    bool wide = type == PROTOBUF_C_TYPE_INT64 || type == PROTOBUF_C_TYPE_SINT64 || type == PROTOBUF_C_TYPE_SFIXED64;
    int64_t v;
    if (!parse_signed(raw, wide ? INT64_MIN : INT32_MIN, wide ? INT64_MAX : INT32_MAX, &v))
        return reader_fail(r, "not an integer, or out of range");
    *ret_default = v == 0;
    if (type == PROTOBUF_C_TYPE_SFIXED64)
        put_fixed(r->out, (uint64_t)v, 8);
    else if (type == PROTOBUF_C_TYPE_SFIXED32)
        put_fixed(r->out, (uint64_t)v, 4);
    else if (type == PROTOBUF_C_TYPE_SINT32 || type == PROTOBUF_C_TYPE_SINT64)
        pb_append_varint(r->out, zigzag(v));
    else
        pb_append_varint(r->out, (uint64_t)v);
    return 0;
}

static int read_unsigned(struct reader *r, ProtobufCType type, struct bytes raw, bool *ret_default)
{
    bool wide = type == PROTOBUF_C_TYPE_UINT64 || type == PROTOBUF_C_TYPE_FIXED64;
    uint64_t v;
    if (!parse_unsigned(raw, wide ? UINT64_MAX : UINT32_MAX, &v))
        return reader_fail(r, "not an unsigned integer, or out of range");
    *ret_default = v == 0;
    if (type == PROTOBUF_C_TYPE_FIXED64)
        put_fixed(r->out, v, 8);
    else if (type == PROTOBUF_C_TYPE_FIXED32)
        put_fixed(r->out, v, 4);
    else
        pb_append_varint(r->out, v);
    return 0;
}

static int read_float(struct reader *r, ProtobufCType type, struct bytes raw, bool *ret_default)
{
    double v;
    uint64_t bits = 0;
    if (!parse_double(raw, &v))
        return reader_fail(r, "not a number");
    float narrow = (float)v;
    if (type == PROTOBUF_C_TYPE_FLOAT && isinf(narrow) && !isinf(v))
        return reader_fail(r, "number is out of range for float");
    *ret_default = v == 0 && !signbit(v);
    if (type == PROTOBUF_C_TYPE_FLOAT) {
        uint32_t bits32;
        memcpy(&bits32, &narrow, sizeof narrow);
        bits = bits32;
    } else {
        memcpy(&bits, &v, sizeof v);
    }
    put_fixed(r->out, bits, type == PROTOBUF_C_TYPE_FLOAT ? 4 : 8);
    return 0;
}

static int read_bool(struct reader *r, struct bytes raw, bool *ret_default)
{
    bool yes = bytes_eq_str(raw, "true");
    if (!yes && !bytes_eq_str(raw, "false"))
        return reader_fail(r, "not a boolean");
    *ret_default = !yes;
    pb_append_varint(r->out, yes);
    return 0;
}

int reader_unescape(struct reader *r, struct bytes raw)
{
    r->scratch.len = 0;
    return json_unescape(raw, &r->scratch) == 0 ? 0 : reader_fail(r, "not a string");
}

static int read_string(struct reader *r, struct bytes raw, bool *ret_default)
{
    int error = reader_unescape(r, raw);
    if (error)
        return error;
    if (r->scratch.len && memchr(r->scratch.data, 0, r->scratch.len))
        return reader_fail(r, "U+0000 in a string");
    *ret_default = r->scratch.len == 0;
    pb_append_varint(r->out, r->scratch.len);
    buf_append_bytes(r->out, buf_bytes(&r->scratch));
    return 0;
}

/* To the standard alphabet with padding. */
static void normalise_base64(struct buf *b)
{
    for (size_t i = 0; i < b->len; i++)
        b->data[i] = b->data[i] == '-' ? '+' : b->data[i] == '_' ? '/' : b->data[i];
    while (b->len % 4 && b->len % 4 != 1)
        buf_append(b, "=", 1);
}

static int read_bytes(struct reader *r, struct bytes raw, bool *ret_default)
{
    int error = reader_unescape(r, raw);
    if (error)
        return error;
    normalise_base64(&r->scratch);
    size_t start = r->out->len;
    if (base64_decode(buf_bytes(&r->scratch), r->out) < 0)
        return reader_fail(r, "not base64");
    *ret_default = r->out->len == start;
    pb_close(r->out, (struct pb_mark){start, 0});
    return 0;
}

static int read_enum(struct reader *r, const ProtobufCEnumDescriptor *d, struct bytes raw, bool *ret_default)
{
    int64_t v;
    if (raw.data[0] == '"') {
        if (reader_unescape(r, raw))
            return -EBADMSG;
        buf_append(&r->scratch, "", 1);
        const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value_by_name(d, r->scratch.data);
        if (!value)
            return reader_fail(r, "unknown name of an enum");
        v = value->value;
    } else if (!parse_signed(raw, INT32_MIN, INT32_MAX, &v)) {
        return reader_fail(r, "not a name or number of an enum");
    }
    *ret_default = v == 0;
    pb_append_varint(r->out, (uint64_t)v);
    return 0;
}

/* The JSON form of a type; 64-bit and 32-bit ones differ by their range only. */
int reader_scalar(struct reader *r, const ProtobufCFieldDescriptor *f, struct bytes raw, bool *ret_default)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return read_unsigned(r, f->type, raw, ret_default);
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE:
        return read_float(r, f->type, raw, ret_default);
    case PROTOBUF_C_TYPE_BOOL:
        return read_bool(r, raw, ret_default);
    case PROTOBUF_C_TYPE_ENUM:
        return read_enum(r, f->descriptor, raw, ret_default);
    case PROTOBUF_C_TYPE_STRING:
        return read_string(r, raw, ret_default);
    case PROTOBUF_C_TYPE_BYTES:
        return read_bytes(r, raw, ret_default);
    default:
        return read_integer(r, f->type, raw, ret_default);
    }
}
