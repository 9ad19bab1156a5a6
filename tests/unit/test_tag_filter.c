#include "tag_filter.h"

#include "pb_wire.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

static struct tag_filter *parse(const char *json)
{
    struct tag_filter *f = NULL;
    const char *reason = "";
    if (tag_filter_parse(bytes_of(json), CHANNELS_JSON, &f, &reason) != 0)
        fail_msg("%s: %s", json, reason);
    return f;
}

static void assert_matches(const char *filter, const char *tags, bool expected)
{
    struct tag_filter *f = parse(filter);
    bool got = tag_filter_matches(f, bytes_of(tags));
    tag_filter_free(f);
    if (got != expected)
        fail_msg("%s on %s: %s", filter, tags ? tags : "nothing", got ? "matches" : "does not match");
}

static void comparisons_of_strings(void **state)
{
    (void)state;
    static const struct {
        const char *filter, *tags;
        bool matches;
    } cases[] = {
        {"{'key':'k','cmp':'eq','val':'v'}", "{'k':'v'}", true},
        {"{'key':'k','cmp':'eq','val':'v'}", "{'k':'w'}", false},
        {"{'key':'k','cmp':'eq','val':'v'}", "{'a':'v'}", false},
        {"{'key':'k','cmp':'eq','val':'v'}", NULL, false},
        {"{'key':'k','cmp':'neq','val':'v'}", "{'k':'v'}", false},
        {"{'key':'k','cmp':'neq','val':'v'}", "{'k':''}", true},
        {"{'key':'k','cmp':'neq','val':'v'}", "{}", true},
        {"{'key':'k','cmp':'in','vals':['c','a','b','a']}", "{'x':'y','k':'a'}", true},
        {"{'key':'k','cmp':'in','vals':['c','a','b']}", "{'k':'b'}", true},
        {"{'key':'k','cmp':'in','vals':['c','a','b']}", "{'k':'c'}", true},
        {"{'key':'k','cmp':'in','vals':['c','a','b']}", "{'k':'d'}", false},
        {"{'key':'k','cmp':'in','vals':['c','a','b']}", "{}", false},
        {"{'key':'k','cmp':'in','vals':['c','']}", "{}", true},
        {"{'key':'k','cmp':'nin','vals':['c']}", "{}", true},
        {"{'key':'k','cmp':'nin','vals':['c','']}", "{}", false},
        {"{'key':'k','cmp':'nin','vals':['c']}", "{'k':'c'}", false},
        {"{'key':'k','cmp':'ex'}", "{'k':''}", true},
        {"{'key':'k','cmp':'ex'}", "{'kk':'k'}", false},
        {"{'key':'','cmp':'ex'}", "{'':'x'}", true},
        {"{'cmp':'nex'}", "{'a':'x'}", true},
        {"{'key':'k','cmp':'nex'}", "{'k':'x'}", false},
        {"{'key':'k','cmp':'sw','val':'ab'}", "{'k':'abc'}", true},
        {"{'key':'k','cmp':'sw','val':'ab'}", "{'k':'a'}", false},
        {"{'key':'k','cmp':'sw','val':'ab'}", "{}", false},
        {"{'key':'k','cmp':'ew','val':'bc'}", "{'k':'abc'}", true},
        {"{'key':'k','cmp':'ew','val':'bc'}", "{'k':'bcd'}", false},
        {"{'key':'k','cmp':'ct','val':'b'}", "{'k':'abc'}", true},
        {"{'key':'k','cmp':'ct','val':'abcd'}", "{'k':'abc'}", false},
        {"{'key':'k','cmp':'ct','val':'x'}", "{}", false},
        {"{'key':'k','cmp':'eq','val':'\\n\\u00e9'}", "{'k':'\\u000a\xc3\xa9'}", true},
        {"{'key':'\\\\','cmp':'ew','val':'\\\\'}", "{'\\\\':'x\\\\'}", true},
        {"{'key':'k','cmp':'ct','val':'u00'}", "{'k':'\\u0061'}", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char filter[128], tags[128];
        snprintf(filter, sizeof filter, "%s", cases[i].filter);
        snprintf(tags, sizeof tags, "%s", cases[i].tags ? cases[i].tags : "");
        for (char *texts[] = {filter, tags}, **t = texts; t < texts + 2; t++)
            for (char *p = *t; *p; p++)
                *p = *p == '\'' ? '"' : *p;
        assert_matches(filter, cases[i].tags ? tags : NULL, cases[i].matches);
    }
}

static void numbers_are_compared_exactly(void **state)
{
    (void)state;
    static const struct {
        const char *tag, *cmp, *val;
        bool matches;
    } cases[] = {
        {"10.5", "gte", "10.50", true}, {"10.5", "gt", "10.50", false}, {"10.50", "lte", "10.5", true},
        {"011", "lte", "11", true}, {"+11", "gte", "11", true}, {"9", "lt", "10", true}, {"-9", "gt", "-10", true},
        {"-1", "lt", "1", true}, {"-0", "gte", "0", true}, {"-0.00", "lte", "+0", true}, {"0.1", "gt", "0.09", true},
        {"-0.1", "lt", "-0.09", true}, {"1", "lt", "1.0000000000000000001", true},
        {"99999999999999999999999999999999", "gt", "99999999999999999999999999999998", true},
        {"1e3", "gt", "1", false}, {".5", "gt", "0", false}, {"5.", "gt", "0", false}, {"", "lt", "1", false},
        {" 5", "gt", "0", false}, {"+", "lt", "1", false}, {"-", "lt", "1", false}, {"1.2.3", "gt", "0", false},
        {"0.00000000000000000001", "gt", "0", false}, {"5", "gt", "x", false}, {"5", "lte", "x", false},
        {"0x10", "gt", "0", false}, {"--5", "lt", "0", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char filter[256], tags[256];
        snprintf(filter, sizeof filter, "{\"key\":\"n\",\"cmp\":\"%s\",\"val\":\"%s\"}", cases[i].cmp, cases[i].val);
        snprintf(tags, sizeof tags, "{\"n\":\"%s\"}", cases[i].tag);
        assert_matches(filter, tags, cases[i].matches);
    }
    char tags[256];
    snprintf(tags, sizeof tags, "{\"n\":\"%0200d\"}", 5);
    assert_matches("{\"key\":\"n\",\"cmp\":\"lte\",\"val\":\"5\"}", tags, true);
    snprintf(tags, sizeof tags, "{\"n\":\"%0201d\"}", 5);
    assert_matches("{\"key\":\"n\",\"cmp\":\"lte\",\"val\":\"5\"}", tags, false);
    assert_matches("{\"key\":\"n\",\"cmp\":\"lte\",\"val\":\"5\"}", "{}", false);
}

#define A "{\"key\":\"a\",\"cmp\":\"ex\"}"
#define B "{\"key\":\"b\",\"cmp\":\"ex\"}"
#define C "{\"key\":\"c\",\"cmp\":\"ex\"}"

static void trees_combine_their_nodes(void **state)
{
    (void)state;
    static const char *const tree = "{\"op\":\"or\",\"nodes\":[{\"op\":\"and\",\"nodes\":[" A "," B "]},"
                                    "{\"op\":\"not\",\"nodes\":[{\"op\":\"or\",\"nodes\":[" A "," B "," C "]}]}]}";
    assert_matches(tree, "{\"a\":\"\",\"b\":\"\"}", true);
    assert_matches(tree, "{\"a\":\"\"}", false);
    assert_matches(tree, "{\"c\":\"\"}", false);
    assert_matches(tree, "{}", true);
    assert_matches(tree, "{\"a\":\"\",\"b\":\"\",\"c\":\"\"}", true);
    assert_matches("{\"op\":\"and\",\"nodes\":[" A "]}", "{}", false);
    assert_matches("{\"op\":\"or\",\"nodes\":[" A "]}", "{\"a\":\"\"}", true);
}

static void assert_refused(struct bytes raw, enum channels_encoding encoding, int error)
{
    struct tag_filter *f = NULL;
    const char *reason = NULL;
    int err = tag_filter_parse(raw, encoding, &f, &reason);
    if (err != error || f || !reason)
        fail_msg("%.*s: %d", (int)raw.len, raw.data, err);
}

static void filters_that_break_a_rule_are_refused(void **state)
{
    (void)state;
    static const char *const filters[] = {
        "{}",
        "",
        "[]",
        "null",
        "{",
        A "x",
        "{\"key\":\"k\"}",
        "{\"key\":\"k\",\"cmp\":\"EQ\",\"val\":\"v\"}",
        "{\"key\":\"k\",\"cmp\":\"eq\"}",
        "{\"cmp\":\"eq\",\"val\":\"v\"}",
        "{\"key\":\"k\",\"cmp\":\"eq\",\"val\":\"\"}",
        "{\"key\":\"k\",\"cmp\":\"eq\",\"val\":\"v\",\"vals\":[\"v\"]}",
        "{\"key\":\"k\",\"cmp\":\"neq\"}",
        "{\"key\":\"k\",\"cmp\":\"in\"}",
        "{\"key\":\"k\",\"cmp\":\"in\",\"vals\":[]}",
        "{\"key\":\"k\",\"cmp\":\"in\",\"vals\":[\"v\"],\"val\":\"v\"}",
        "{\"cmp\":\"nin\",\"vals\":[\"v\"]}",
        "{\"key\":\"k\",\"cmp\":\"in\",\"vals\":[1]}",
        "{\"key\":\"k\",\"cmp\":\"in\",\"vals\":[null]}",
        "{\"key\":\"k\",\"cmp\":\"in\",\"vals\":\"v\"}",
        "{\"key\":\"k\",\"cmp\":\"in\",\"vals\":{\"v\":\"v\"}}",
        "{\"key\":\"k\",\"cmp\":\"ex\",\"val\":\"v\"}",
        "{\"key\":\"k\",\"cmp\":\"nex\",\"vals\":[\"v\"]}",
        "{\"key\":\"k\",\"cmp\":\"sw\"}",
        "{\"cmp\":\"ct\",\"val\":\"v\"}",
        "{\"key\":\"k\",\"cmp\":\"lt\"}",
        "{\"key\":1,\"cmp\":\"ex\"}",
        "{\"key\":\"\\ud800\",\"cmp\":\"ex\"}",
        "{\"op\":\"and\"}",
        "{\"op\":\"or\",\"nodes\":[]}",
        "{\"op\":\"and\",\"nodes\":[1]}",
        "{\"op\":\"and\",\"nodes\":[{}]}",
        "{\"op\":\"and\",\"nodes\":" A "}",
        "{\"op\":\"not\"}",
        "{\"op\":\"not\",\"nodes\":[" A "," B "]}",
        "{\"op\":\"xor\",\"nodes\":[" A "]}",
        "{\"op\":\"AND\",\"nodes\":[" A "]}",
        "{\"key\":\"k\",\"key\":\"k\",\"cmp\":\"ex\"}",
    };
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        assert_refused(bytes_of(filters[i]), CHANNELS_JSON, -EINVAL);
}

static void append_nested(struct buf *b, int depth)
{
    for (int i = 1; i < depth; i++)
        buf_append_str(b, "{\"op\":\"not\",\"nodes\":[");
    buf_append_str(b, A);
    for (int i = 1; i < depth; i++)
        buf_append_str(b, "]}");
}

static void append_list(struct buf *b, const char *before, const char *item, int count, const char *after)
{
    b->len = 0;
    buf_append_str(b, before);
    for (int i = 0; i < count; i++) {
        buf_append_str(b, i ? "," : "");
        buf_append_str(b, item);
    }
    buf_append_str(b, after);
}

static void size_is_bounded(void **state)
{
    (void)state;
    CLEANUP_BUF b = BUF_INIT;
    append_nested(&b, TAG_FILTER_DEPTH);
    struct tag_filter *f;
    const char *reason;
    assert_int_equal(tag_filter_parse(buf_bytes(&b), CHANNELS_JSON, &f, &reason), 0);
    tag_filter_free(f);
    b.len = 0;
    append_nested(&b, TAG_FILTER_DEPTH + 1);
    assert_refused(buf_bytes(&b), CHANNELS_JSON, -E2BIG);
    append_list(&b, "{\"op\":\"or\",\"nodes\":[", A, TAG_FILTER_NODES - 1, "]}");
    assert_int_equal(tag_filter_parse(buf_bytes(&b), CHANNELS_JSON, &f, &reason), 0);
    tag_filter_free(f);
    append_list(&b, "{\"op\":\"or\",\"nodes\":[", A, TAG_FILTER_NODES, "]}");
    assert_refused(buf_bytes(&b), CHANNELS_JSON, -E2BIG);
    append_list(&b, "{\"key\":\"k\",\"cmp\":\"in\",\"vals\":[", "\"v\"", TAG_FILTER_VALUES + 1, "]}");
    assert_refused(buf_bytes(&b), CHANNELS_JSON, -E2BIG);
}

static void assert_text(struct bytes raw, enum channels_encoding encoding, const char *text)
{
    struct tag_filter *f = NULL;
    const char *reason = "";
    assert_int_equal(tag_filter_parse(raw, encoding, &f, &reason), 0);
    assert_true(bytes_eq(tag_filter_text(f), bytes_of(text)));
    tag_filter_free(f);
}

static void append_string(struct buf *b, uint32_t number, const char *s)
{
    pb_append_bytes(b, number, bytes_of(s));
}

static void equal_filters_have_equal_text(void **state)
{
    (void)state;
    static const char *const in = "{\"key\":\"k\",\"cmp\":\"in\",\"vals\":[\"\",\"a\",\"b\"]}";
    static const char *const not = "{\"op\":\"not\",\"nodes\":[{\"key\":\"k\\n\",\"cmp\":\"eq\",\"val\":\"v\"}]}";
    CLEANUP_BUF b = BUF_INIT;
    CLEANUP_BUF node = BUF_INIT;
    assert_text(bytes_of(in), CHANNELS_JSON, in);
    assert_text(BYTES_LIT(" { \"vals\":[\"b\",\"\\u0061\",\"\",\"b\"],\"val\":\"\", \"op\":\"\",\"nodes\":null,"
                          "\"cmp\":\"in\",\"key\":\"k\",\"x\":1} "),
                CHANNELS_JSON, in);
    append_string(&b, 2, "k");
    append_string(&b, 3, "in");
    append_string(&b, 5, "b");
    append_string(&b, 5, "");
    append_string(&b, 5, "a");
    assert_text(buf_bytes(&b), CHANNELS_PROTOBUF, in);
    append_string(&node, 2, "k\n");
    append_string(&node, 3, "eq");
    append_string(&node, 4, "v");
    b.len = 0;
    pb_append_bytes(&b, 6, buf_bytes(&node));
    append_string(&b, 1, "not");
    append_string(&b, 9, "unknown");
    assert_text(buf_bytes(&b), CHANNELS_PROTOBUF, not);
    assert_text(bytes_of(not), CHANNELS_JSON, not);
    /* what a comparison does not look at does not count */
    assert_text(BYTES_LIT("{\"key\":\"k\",\"cmp\":\"sw\",\"val\":\"a\",\"vals\":[\"x\"]}"), CHANNELS_JSON,
                "{\"key\":\"k\",\"cmp\":\"sw\",\"val\":\"a\"}");
}

static void malformed_protobuf_is_refused(void **state)
{
    (void)state;
    assert_refused(BYTES_LIT(""), CHANNELS_PROTOBUF, -EINVAL);
    assert_refused(BYTES_LIT("\x12"), CHANNELS_PROTOBUF, -EINVAL);
    assert_refused(BYTES_LIT("\x12\x02k"), CHANNELS_PROTOBUF, -EINVAL);
    assert_refused(BYTES_LIT("\x10\x01\x1a\x02"
                             "ex"),
                   CHANNELS_PROTOBUF, -EINVAL);
    assert_refused(BYTES_LIT("\x12\x01\xff\x1a\x02"
                             "ex"),
                   CHANNELS_PROTOBUF, -EINVAL);
    assert_refused(BYTES_LIT("\x0a\x03"
                             "and\x32\x01\x12"),
                   CHANNELS_PROTOBUF, -EINVAL);
    assert_refused(BYTES_LIT("\x0a\x03"
                             "and\x30\x01"),
                   CHANNELS_PROTOBUF, -EINVAL);
}

#define AND_FIRST(leaf) "{\"op\":\"and\",\"nodes\":[" leaf ",{\"key\":\"first\",\"cmp\":\"eq\",\"val\":\"1\"}]}"
#define LEAF(key, val) "{\"key\":\"" key "\",\"cmp\":\"eq\",\"val\":\"" val "\"}"

/* Trees read the tags once; what does not fit that is looked up as for a single leaf. */
static void trees_find_tags_among_many_and_behind_escapes(void **state)
{
    static const char *const extra[] = {"", ",\"x\":\"a\\\"b\""};
    (void)state;
    for (int count = 1; count < 80; count += 13) {
        for (size_t i = 0; i < 2; i++) {
            CLEANUP_BUF tags = BUF_INIT;
            buf_append_str(&tags, "{\"first\":\"1\"");
            for (int n = 0; n < count; n++)
                buf_printf(&tags, ",\"tag%d\":\"v%d\"", n, n);
            buf_printf(&tags, "%s,\"last\":\"z\"}", extra[i]);
            buf_append(&tags, "", 1);
            assert_matches(AND_FIRST(LEAF("last", "z")), tags.data, true);
            assert_matches(AND_FIRST(LEAF("tag0", "v0")), tags.data, true);
            assert_matches(AND_FIRST(LEAF("tag0", "v1")), tags.data, false);
            assert_matches(AND_FIRST(LEAF("none", "z")), tags.data, false);
            assert_matches("{\"op\":\"not\",\"nodes\":[" LEAF("none", "z") "]}", tags.data, true);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparisons_of_strings),       cmocka_unit_test(numbers_are_compared_exactly),
        cmocka_unit_test(trees_combine_their_nodes),    cmocka_unit_test(filters_that_break_a_rule_are_refused),
        cmocka_unit_test(size_is_bounded),              cmocka_unit_test(equal_filters_have_equal_text),
        cmocka_unit_test(malformed_protobuf_is_refused),
        cmocka_unit_test(trees_find_tags_among_many_and_behind_escapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
