#include "tag_filter_node.h"

#include "json_scan.h"

#include <stdlib.h>

#define NUMBER_CHARS_MAX   200
#define TAG_LIST_MAX      32
#define NUMBER_DIGITS_MAX  19 /* after the point */

/* ---- decimals ---- */

struct decimal {
    bool negative;
    struct bytes whole, fraction; /* without zeros at the outer ends */
};

static bool are_digits(struct bytes s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] < '0' || s.data[i] > '9')
            return false;
    return true;
}

static bool parse_decimal(struct bytes s, struct decimal *ret)
{
    bool sign = s.len && (s.data[0] == '-' || s.data[0] == '+');
    if (s.len > NUMBER_CHARS_MAX)
        return false;
    ret->negative = sign && s.data[0] == '-';
    ret->whole = (struct bytes){s.data + sign, s.len - sign};
    ret->fraction = BYTES_LIT("");
    const char *point = ret->whole.len ? memchr(ret->whole.data, '.', ret->whole.len) : NULL;
    if (point) {
        ret->fraction = (struct bytes){point + 1, (size_t)(s.data + s.len - point) - 1};
        ret->whole.len = (size_t)(point - ret->whole.data);
        if (ret->fraction.len == 0 || ret->fraction.len > NUMBER_DIGITS_MAX)
            return false;
    }
    if (ret->whole.len == 0 || !are_digits(ret->whole) || !are_digits(ret->fraction))
        return false;
    while (ret->whole.len && ret->whole.data[0] == '0')
        ret->whole = (struct bytes){ret->whole.data + 1, ret->whole.len - 1};
    while (ret->fraction.len && ret->fraction.data[ret->fraction.len - 1] == '0')
        ret->fraction.len--;
    if (ret->whole.len == 0 && ret->fraction.len == 0)
        ret->negative = false;
    return true;
}

static int compare_decimals(const struct decimal *a, const struct decimal *b)
{
    if (a->negative != b->negative)
        return a->negative ? -1 : 1;
    int order = (a->whole.len > b->whole.len) - (a->whole.len < b->whole.len);
    if (order == 0)
        order = tag_compare(a->whole, b->whole);
    if (order == 0)
        order = tag_compare(a->fraction, b->fraction);
    return a->negative ? -order : order;
}

static bool compare_numbers(enum tag_filter_cmp cmp, struct bytes tag, struct bytes val)
{
    struct decimal a, b;
    if (!parse_decimal(tag, &a) || !parse_decimal(val, &b))
        return false;
    int order = compare_decimals(&a, &b);
    return cmp == TAG_LT ? order < 0 : cmp == TAG_LTE ? order <= 0 : cmp == TAG_GT ? order > 0 : order >= 0;
}

/* ---- leaves ---- */

static bool is_value(const struct tag_filter *f, const struct tag_node *n, struct bytes tag)
{
    uint32_t low = n->first_value, high = low + n->value_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = tag_compare(tag, tag_filter_value(f, middle));
        if (order == 0)
            return true;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

static bool starts_with(struct bytes tag, struct bytes val)
{
    return tag.len >= val.len && memcmp(tag.data, val.data, val.len) == 0;
}

static bool ends_with(struct bytes tag, struct bytes val)
{
    return tag.len >= val.len && memcmp(tag.data + tag.len - val.len, val.data, val.len) == 0;
}

/* `tag`: data NULL when it is missing. */
static bool leaf_matches(const struct tag_filter *f, const struct tag_node *n, struct bytes tag)
{
    struct bytes val = tag_filter_string(f, n->val);
    bool missing = !tag.data;
    switch ((enum tag_filter_cmp)n->cmp) {
    case TAG_EQ:
        return !missing && bytes_eq(tag, val);
    case TAG_NEQ:
        return missing || !bytes_eq(tag, val);
    case TAG_IN:
        return is_value(f, n, tag);
    case TAG_NIN:
        return !is_value(f, n, tag);
    case TAG_EX:
        return !missing;
    case TAG_NEX:
        return missing;
    case TAG_SW:
        return !missing && starts_with(tag, val);
    case TAG_EW:
        return !missing && ends_with(tag, val);
    case TAG_CT:
        return !missing && memmem(tag.data, tag.len, val.data, val.len);
    default:
        return !missing && compare_numbers((enum tag_filter_cmp)n->cmp, tag, val);
    }
}

/* The text of a raw JSON string without its quotes; strings with escapes go to the scratch. */
static struct bytes unescape(struct bytes inside, struct buf *scratch)
{
    if (inside.len == 0 || !memchr(inside.data, '\\', inside.len))
        return inside;
    scratch->len = 0;
    if (json_unescape((struct bytes){inside.data - 1, inside.len + 2}, scratch) < 0)
        return BYTES_NULL;
    return buf_bytes(scratch);
}

/* data NULL when the tag is not there. The name is unescaped into the scratch before the value is. */
static struct bytes find_tag(struct bytes tags, struct bytes key, struct buf *scratch)
{
    struct json_cursor c = json_cursor_at(tags, 1, JSON_RFC);
    struct json_member m;
    int r = json_enter_object(&c);
    while (r == 0 && (r = json_next_member(&c, &m)) == 0) {
        struct bytes name = unescape(m.name, scratch);
        if (name.data && bytes_eq(name, key) && m.value.data[0] == '"')
            return unescape((struct bytes){m.value.data + 1, m.value.len - 2}, scratch);
    }
    return BYTES_NULL;
}

/* Tags that are read once for all leaves; `count` -1: they have to be looked up in the text each time, because there are
 * more of them than fit, or some have escapes. */
struct tag_list {
    struct bytes text;
    struct json_member tags[TAG_LIST_MAX]; /* values without their quotes */
    int count;
    struct buf scratch;
};

static void list_tags(struct tag_list *l)
{
    struct json_cursor c = json_cursor_at(l->text, 1, JSON_RFC);
    struct json_member m;
    int r = json_enter_object(&c);
    l->count = 0;
    while (r == 0 && (r = json_next_member(&c, &m)) == 0) {
        if (m.value.data[0] != '"')
            continue;
        if (l->count == TAG_LIST_MAX) {
            l->count = -1;
            return;
        }
        m.value = (struct bytes){m.value.data + 1, m.value.len - 2};
        l->tags[l->count++] = m;
    }
}

static struct bytes get_tag(struct tag_list *l, struct bytes key)
{
    if (l->count < 0)
        return find_tag(l->text, key, &l->scratch);
    for (int i = 0; i < l->count; i++)
        if (bytes_eq(l->tags[i].name, key))
            return l->tags[i].value;
    return BYTES_NULL;
}

/* ---- trees ---- */

static bool node_matches(const struct tag_filter *f, uint32_t i, struct tag_list *tags)
{
    const struct tag_node *n = tag_filter_node(f, i);
    if (n->op == TAG_LEAF)
        return leaf_matches(f, n, get_tag(tags, tag_filter_string(f, n->key)));
    if (n->op == TAG_NOT)
        return !node_matches(f, i + 1, tags);
    for (uint32_t child = i + 1; child < n->end; child = tag_filter_node(f, child)->end)
        if (node_matches(f, child, tags) == (n->op == TAG_OR))
            return n->op == TAG_OR;
    return n->op == TAG_AND;
}

/* One leaf finds its tag without a list. */
bool tag_filter_matches(const struct tag_filter *f, struct bytes tags)
{
    struct tag_list list;
    list.text = tags;
    list.count = -1;
    list.scratch = BUF_INIT;
    if (tag_filter_node(f, 0)->op != TAG_LEAF && !(tags.len && memchr(tags.data, '\\', tags.len)))
        list_tags(&list);
    bool matches = node_matches(f, 0, &list);
    buf_done(&list.scratch);
    return matches;
}

struct bytes tag_filter_text(const struct tag_filter *f)
{
    return buf_bytes(&f->text);
}

void tag_filter_free(struct tag_filter *f)
{
    if (!f)
        return;
    buf_done(&f->nodes);
    buf_done(&f->values);
    buf_done(&f->strings);
    buf_done(&f->text);
    free(f);
}
