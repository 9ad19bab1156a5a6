/* Inside of tags filters: what the parser makes and the evaluation walks over. Owned by the filter. */
#ifndef CRIER_PROTO_TAG_FILTER_NODE_H
#define CRIER_PROTO_TAG_FILTER_NODE_H

#include "tag_filter.h"

enum tag_filter_op { TAG_LEAF, TAG_AND, TAG_OR, TAG_NOT, TAG_OP_COUNT };

enum tag_filter_cmp {
    TAG_EQ,
    TAG_NEQ,
    TAG_IN,
    TAG_NIN,
    TAG_EX,
    TAG_NEX,
    TAG_SW,
    TAG_EW,
    TAG_CT,
    TAG_LT,
    TAG_LTE,
    TAG_GT,
    TAG_GTE,
    TAG_CMP_COUNT
};

extern const char *const tag_filter_ops[TAG_OP_COUNT];
extern const char *const tag_filter_cmps[TAG_CMP_COUNT];

/* A string, by its place in the filter's `strings`. */
struct tag_span {
    uint32_t at, len;
};

/* Nodes stand in the order of their text: the first child follows its parent, `end` is behind the last descendant. */
struct tag_node {
    uint8_t op, cmp;
    uint32_t end;
    struct tag_span key, val;
    uint32_t first_value, value_count; /* in the filter's `values`, sorted, each once */
};

struct tag_filter {
    struct buf nodes;  /* struct tag_node */
    struct buf values; /* struct tag_span */
    struct buf strings;
    struct buf text;
};

static inline const struct tag_node *tag_filter_node(const struct tag_filter *f, uint32_t i)
{
    return (const struct tag_node *)f->nodes.data + i;
}

static inline struct bytes tag_filter_string(const struct tag_filter *f, struct tag_span s)
{
    return (struct bytes){buf_bytes(&f->strings).data + s.at, s.len};
}

static inline struct bytes tag_filter_value(const struct tag_filter *f, uint32_t i)
{
    return tag_filter_string(f, ((const struct tag_span *)f->values.data)[i]);
}

/* As memcmp, a shorter one first. */
static inline int tag_compare(struct bytes a, struct bytes b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.data, b.data, n) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

#endif
