/* Tags filters out of JSON and protobuf, and their canonical text. */
#include "tag_filter_node.h"

#include "json_scan.h"
#include "pb_wire.h"
#include "utf8.h"

#include <errno.h>
#include <stdlib.h>

const char *const tag_filter_ops[TAG_OP_COUNT] = {"", "and", "or", "not"};
const char *const tag_filter_cmps[TAG_CMP_COUNT] = {"eq", "neq", "in",  "nin", "ex",  "nex", "sw",
                                                    "ew", "ct",  "lt",  "lte", "gt",  "gte"};

/* Members of a node. The first four are strings, the others lists. */
enum member { OP, KEY, CMP, VAL, VALS, NODES, MEMBER_COUNT };
static const char *const member_names[MEMBER_COUNT] = {"op", "key", "cmp", "val", "vals", "nodes"};
#define NUMBER_OF(member) ((uint32_t)(member) + 1) /* in protobuf */

struct parser {
    struct tag_filter *f;
    enum channels_encoding encoding;
    const char *reason;
};

static int bad(struct parser *p, const char *reason)
{
    p->reason = reason;
    return -EINVAL;
}

static int too_big(struct parser *p, const char *reason)
{
    p->reason = reason;
    return -E2BIG;
}

/* ---- what both encodings have in common: strings, and lists one item at a time ---- */

/* Raw members of one node; lists of protobuf are in the message itself. */
struct raw_node {
    struct bytes members[MEMBER_COUNT];
};

static int read_string(struct parser *p, struct bytes raw, struct tag_span *ret)
{
    struct buf *strings = &p->f->strings;
    struct tag_span span = {(uint32_t)strings->len, 0};
    if (p->encoding == CHANNELS_PROTOBUF) {
        if (!utf8_valid(raw.data, raw.len))
            return bad(p, "string is not UTF-8");
        buf_append_bytes(strings, raw);
    } else if (raw.data && json_unescape(raw, strings) < 0) {
        return bad(p, "op, key, cmp, val and vals should be strings");
    }
    span.len = (uint32_t)(strings->len - span.at);
    *ret = span;
    return 0;
}

static int read_json_node(struct parser *p, struct bytes raw, struct raw_node *ret)
{
    struct json_cursor c = json_cursor_at(raw, JSON_DEPTH_MAX, JSON_RFC);
    struct json_member m;
    int r = json_enter_object(&c);
    while (r == 0 && (r = json_next_member(&c, &m)) == 0)
        for (int i = 0; i < MEMBER_COUNT; i++) {
            if (!json_name_is(m.name, member_names[i]) || bytes_eq_str(m.value, "null"))
                continue;
            if (ret->members[i].data)
                return bad(p, "a member is there twice");
            ret->members[i] = m.value;
        }
    if (r < 0 || json_expect_end(&c) < 0)
        return bad(p, c.reason);
    for (int i = VALS; i <= NODES; i++)
        if (ret->members[i].data && ret->members[i].data[0] != '[')
            return bad(p, "vals and nodes should be lists");
    return 0;
}

static int read_protobuf_node(struct parser *p, struct bytes raw, struct raw_node *ret)
{
    struct pb_value v;
    uint32_t number;
    ret->members[VALS] = ret->members[NODES] = raw;
    while (raw.len > 0) {
        if (!pb_take_field(&raw, &number, &v))
            return bad(p, "broken protobuf");
        if (number > NUMBER_OF(NODES))
            continue;
        if (v.type != PB_BYTES)
            return bad(p, "field of another type");
        if (number <= NUMBER_OF(VAL))
            ret->members[number - 1] = v.bytes;
    }
    return 0;
}

struct list {
    enum member member;
    bool json;
    struct bytes rest; /* protobuf */
    struct json_cursor cursor;
    bool done;
};

static struct list list_of(const struct parser *p, const struct raw_node *raw, enum member member)
{
    struct list l = {.member = member, .json = p->encoding == CHANNELS_JSON, .rest = raw->members[member]};
    if (!l.json)
        return l;
    l.cursor = json_cursor_at(l.rest, JSON_DEPTH_MAX, JSON_RFC);
    l.done = !l.rest.data || json_enter_array(&l.cursor) < 0;
    return l;
}

/* The whole was checked when its node was read, so that nothing is malformed here. */
static bool list_next(struct list *l, struct bytes *ret)
{
    struct pb_value v;
    uint32_t number;
    if (l->json)
        return !l->done && !(l->done = json_next_element(&l->cursor, ret) != 0);
    while (l->rest.len > 0 && pb_take_field(&l->rest, &number, &v))
        if (number == NUMBER_OF(l->member)) {
            *ret = v.bytes;
            return true;
        }
    return false;
}

/* ---- nodes ---- */

static int find_name(const struct tag_filter *f, struct tag_span s, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (bytes_eq_str(tag_filter_string(f, s), names[i]))
            return i;
    return -1;
}

static struct tag_node *own_node(struct tag_filter *f, uint32_t i)
{
    return (struct tag_node *)f->nodes.data + i;
}

static int compare_spans(const void *a, const void *b, void *filter)
{
    return tag_compare(tag_filter_string(filter, *(const struct tag_span *)a),
                       tag_filter_string(filter, *(const struct tag_span *)b));
}

/* Each once, in order: for the text, and to be searched. */
static void sort_values(struct tag_filter *f, struct tag_node *n)
{
    if (n->value_count == 0)
        return;
    struct tag_span *values = (struct tag_span *)f->values.data + n->first_value;
    uint32_t kept = 0;
    qsort_r(values, n->value_count, sizeof *values, compare_spans, f);
    for (uint32_t i = 0; i < n->value_count; i++)
        if (kept == 0 || compare_spans(&values[kept - 1], &values[i], f) != 0)
            values[kept++] = values[i];
    n->value_count = kept;
    f->values.len = (n->first_value + kept) * sizeof *values;
}

static int read_values(struct parser *p, const struct raw_node *raw, struct tag_node *n)
{
    struct list l = list_of(p, raw, VALS);
    struct tag_span span;
    struct bytes item;
    n->first_value = (uint32_t)(p->f->values.len / sizeof span);
    while (list_next(&l, &item)) {
        if (n->first_value + n->value_count == TAG_FILTER_VALUES)
            return too_big(p, "too many values");
        int err = read_string(p, item, &span);
        if (err < 0)
            return err;
        buf_append(&p->f->values, &span, sizeof span);
        n->value_count++;
    }
    sort_values(p->f, n);
    return 0;
}

static int check_leaf(struct parser *p, const struct tag_node *n)
{
    bool key = n->key.len > 0, val = n->val.len > 0, vals = n->value_count > 0;
    switch ((enum tag_filter_cmp)n->cmp) {
    case TAG_EQ:
    case TAG_NEQ:
        return key && val && !vals ? 0 : bad(p, "eq and neq need key and val, and no vals");
    case TAG_IN:
    case TAG_NIN:
        return key && vals && !val ? 0 : bad(p, "in and nin need key and vals, and no val");
    case TAG_EX:
    case TAG_NEX:
        return !val && !vals ? 0 : bad(p, "ex and nex take no val and no vals");
    default:
        return key && val ? 0 : bad(p, "this cmp needs key and val");
    }
}

/* What the comparison does not look at is dropped, so that it does not make equal filters differ. */
static int read_leaf(struct parser *p, const struct raw_node *raw, struct tag_node *n)
{
    struct tag_span cmp = {0};
    int err = read_string(p, raw->members[CMP], &cmp);
    int found = err < 0 ? -1 : find_name(p->f, cmp, tag_filter_cmps, TAG_CMP_COUNT);
    if (err == 0 && found < 0)
        err = bad(p, "unknown cmp");
    if (err == 0)
        err = read_string(p, raw->members[KEY], &n->key);
    if (err == 0)
        err = read_string(p, raw->members[VAL], &n->val);
    if (err == 0)
        err = read_values(p, raw, n);
    if (err < 0)
        return err;
    n->cmp = (uint8_t)found;
    err = check_leaf(p, n);
    if (found != TAG_IN && found != TAG_NIN) {
        n->value_count = 0;
        p->f->values.len = n->first_value * sizeof(struct tag_span);
    }
    return err;
}

static int read_node(struct parser *p, struct bytes raw_text, unsigned depth);

static int read_children(struct parser *p, const struct raw_node *raw, enum tag_filter_op op, unsigned depth)
{
    struct list l = list_of(p, raw, NODES);
    struct bytes item;
    uint32_t count = 0;
    int err = 0;
    while (err == 0 && list_next(&l, &item)) {
        err = read_node(p, item, depth + 1);
        count++;
    }
    if (err < 0)
        return err;
    if (count == 0)
        return bad(p, "and, or and not need nodes");
    return op == TAG_NOT && count > 1 ? bad(p, "not takes one node") : 0;
}

static int read_node(struct parser *p, struct bytes raw_text, unsigned depth)
{
    struct raw_node raw = {0};
    struct tag_node node = {0};
    struct tag_span op = {0};
    uint32_t i = (uint32_t)(p->f->nodes.len / sizeof node);
    if (depth >= TAG_FILTER_DEPTH)
        return too_big(p, "nested too deep");
    if (i == TAG_FILTER_NODES)
        return too_big(p, "too many nodes");
    int err = p->encoding == CHANNELS_JSON ? read_json_node(p, raw_text, &raw) : read_protobuf_node(p, raw_text, &raw);
    if (err == 0)
        err = read_string(p, raw.members[OP], &op);
    if (err < 0)
        return err;
    int found = find_name(p->f, op, tag_filter_ops, TAG_OP_COUNT);
    if (found < 0)
        return bad(p, "unknown op");
    node.op = (uint8_t)found;
    if (found == TAG_LEAF && (err = read_leaf(p, &raw, &node)) < 0)
        return err;
    buf_append(&p->f->nodes, &node, sizeof node);
    if (found != TAG_LEAF && (err = read_children(p, &raw, (enum tag_filter_op)found, depth)) < 0)
        return err;
    own_node(p->f, i)->end = (uint32_t)(p->f->nodes.len / sizeof node);
    return 0;
}

/* ---- canonical text ---- */

static void write_leaf(const struct tag_filter *f, const struct tag_node *n, struct buf *out)
{
    buf_append_str(out, "{\"key\":");
    buf_append_json_string(out, tag_filter_string(f, n->key));
    buf_append_str(out, ",\"cmp\":\"");
    buf_append_str(out, tag_filter_cmps[n->cmp]);
    buf_append_str(out, "\"");
    if (n->val.len) {
        buf_append_str(out, ",\"val\":");
        buf_append_json_string(out, tag_filter_string(f, n->val));
    }
    for (uint32_t i = 0; i < n->value_count; i++) {
        buf_append_str(out, i ? "," : ",\"vals\":[");
        buf_append_json_string(out, tag_filter_value(f, n->first_value + i));
    }
    buf_append_str(out, n->value_count ? "]}" : "}");
}

static void write_node(const struct tag_filter *f, uint32_t i, struct buf *out)
{
    const struct tag_node *n = tag_filter_node(f, i);
    if (n->op == TAG_LEAF) {
        write_leaf(f, n, out);
        return;
    }
    buf_append_str(out, "{\"op\":\"");
    buf_append_str(out, tag_filter_ops[n->op]);
    buf_append_str(out, "\",\"nodes\":[");
    for (uint32_t child = i + 1; child < n->end; child = tag_filter_node(f, child)->end) {
        if (child > i + 1)
            buf_append_str(out, ",");
        write_node(f, child, out);
    }
    buf_append_str(out, "]}");
}

static void free_filter(struct tag_filter **f)
{
    tag_filter_free(*f);
}

int tag_filter_parse(struct bytes raw, enum channels_encoding encoding, struct tag_filter **ret,
                     const char **ret_reason)
{
    __attribute__((cleanup(free_filter))) struct tag_filter *f = xcalloc(1, sizeof *f);
    struct parser p = {.f = f, .encoding = encoding};
    int err = read_node(&p, raw, 0);
    if (err < 0) {
        *ret_reason = p.reason;
        return err;
    }
    write_node(f, 0, &f->text);
    *ret = f;
    f = NULL;
    return 0;
}
