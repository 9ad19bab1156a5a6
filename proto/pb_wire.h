/* The wire format of protobuf: fields are taken off the front of a view, varints and tags are appended to a buffer.
 *
 * Pure functions; views point into what was read. Strict where the format leaves room: groups, field number 0, varints
 * beyond 64 bits and lengths beyond the end are refused.
 *     valid:   08 96 01 (field 1 = 150)    12 02 68 69 (field 2 = "hi")
 *     invalid: 08    12 03 68 69    0b (a group)    00 00 (number 0)    08 ff ff ff ff ff ff ff ff ff 02 */
#ifndef CRIER_PROTO_PB_WIRE_H
#define CRIER_PROTO_PB_WIRE_H

#include "util/bytes.h"

enum pb_type { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };

struct pb_value {
    enum pb_type type;
    uint64_t number;    /* of the other types */
    struct bytes bytes; /* of PB_BYTES */
};

#define PB_VARINT_MAX 10

static inline bool pb_take_varint(struct bytes *in, uint64_t *ret)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < PB_VARINT_MAX && i < in->len; i++) {
        unsigned char c = (unsigned char)in->data[i];
        v |= (uint64_t)(c & 0x7f) << 7 * i;
        if (c < 0x80) {
            *in = (struct bytes){in->data + i + 1, in->len - i - 1};
            *ret = v;
            return i < PB_VARINT_MAX - 1 || c <= 1;
        }
    }
    return false;
}

static inline bool pb_take_fixed(struct bytes *in, size_t size, uint64_t *ret)
{
    uint64_t v = 0;
    if (in->len < size)
        return false;
    for (size_t i = 0; i < size; i++)
        v |= (uint64_t)(unsigned char)in->data[i] << 8 * i;
    *in = (struct bytes){in->data + size, in->len - size};
    *ret = v;
    return true;
}

/* A length and so many bytes. */
static inline bool pb_take_bytes(struct bytes *in, struct bytes *ret)
{
    uint64_t n;
    if (!pb_take_varint(in, &n) || n > in->len)
        return false;
    *ret = (struct bytes){in->data, (size_t)n};
    *in = (struct bytes){in->data + n, in->len - (size_t)n};
    return true;
}

static inline bool pb_take_value(struct bytes *in, enum pb_type type, struct pb_value *ret)
{
    *ret = (struct pb_value){.type = type};
    switch (type) {
    case PB_VARINT:
        return pb_take_varint(in, &ret->number);
    case PB_FIXED64:
        return pb_take_fixed(in, 8, &ret->number);
    case PB_FIXED32:
        return pb_take_fixed(in, 4, &ret->number);
    case PB_BYTES:
        return pb_take_bytes(in, &ret->bytes);
    }
    return false; /* groups, and what does not exist */
}

static inline bool pb_take_field(struct bytes *in, uint32_t *ret_number, struct pb_value *ret)
{
    uint64_t tag;
    if (!pb_take_varint(in, &tag) || tag >> 3 == 0 || tag >> 32)
        return false;
    *ret_number = (uint32_t)(tag >> 3);
    return pb_take_value(in, (enum pb_type)(tag & 7), ret);
}

/* The shortest form; returns its size. */
static inline size_t pb_put_varint(char out[PB_VARINT_MAX], uint64_t v)
{
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        out[n++] = (char)(v | 0x80);
    out[n++] = (char)v;
    return n;
}

static inline size_t pb_varint_size(uint64_t v)
{
    size_t n = 1;
    while (v >>= 7)
        n++;
    return n;
}

static inline void pb_append_varint(struct buf *out, uint64_t v)
{
    char bytes[PB_VARINT_MAX];
    buf_append(out, bytes, pb_put_varint(bytes, v));
}

static inline void pb_append_tag(struct buf *out, uint32_t number, enum pb_type type)
{
    pb_append_varint(out, (uint64_t)number << 3 | (unsigned)type);
}

static inline void pb_append_bytes(struct buf *out, uint32_t number, struct bytes value)
{
    pb_append_tag(out, number, PB_BYTES);
    pb_append_varint(out, value.len);
    buf_append_bytes(out, value);
}

/* Something whose length goes in front of it: room for the length of about `expected` bytes is left. */
struct pb_mark {
    size_t start;
    size_t gap;
};

static inline struct pb_mark pb_open(struct buf *out, size_t expected)
{
    struct pb_mark mark = {out->len, pb_varint_size(expected)};
    buf_reserve(out, mark.gap);
    out->len += mark.gap;
    return mark;
}

/* Puts the length into the gap; what was appended since moves when its size was guessed wrong. */
static inline void pb_close(struct buf *out, struct pb_mark mark)
{
    char length[PB_VARINT_MAX];
    size_t from = mark.start + mark.gap, len = out->len - from;
    size_t n = pb_put_varint(length, len);
    if (n != mark.gap) {
        buf_reserve(out, n);
        memmove(out->data + mark.start + n, out->data + from, len);
        out->len = mark.start + n + len;
    }
    memcpy(out->data + mark.start, length, n);
}

#endif
