#include "json_scan.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

struct check_case {
    const char *text;
    const char *reason; /* NULL: valid */
};

static const struct check_case rfc_cases[] = {
    {"{}", NULL},
    {" [ ] ", NULL},
    {"\t\r\n 0 \n", NULL},
    {"-0", NULL},
    {"1.5E+10", NULL},
    {"1e999", NULL},
    {"123456789012345678901234567890", NULL},
    {"\"\\u0000\\ud800\"", NULL},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", NULL},
    {"\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x7f\"", NULL},
    {"[true,false,null,[[]],{\"a\":{\"a\":1}}]", NULL},
    {"", "value is missing"},
    {"  ", "value is missing"},
    {"[", "text ends inside an object or array"},
    {"[1", "text ends inside an object or array"},
    {"[1,", "value is missing"},
    {"[1,]", "comma before a closing bracket"},
    {"[,1]", "unexpected character"},
    {"[1 2]", "expected a comma or a closing bracket"},
    {"[1}", "expected a comma or a closing bracket"},
    {"{\"a\":1]", "expected a comma or a closing bracket"},
    {"{\"a\"}", "expected a colon after the member name"},
    {"{\"a\":}", "unexpected character"},
    {"{1:2}", "expected a member name in quotes"},
    {"{\"a\":1,,}", "expected a member name in quotes"},
    {"1 2", "something follows the JSON value"},
    {"{}]", "something follows the JSON value"},
    {"01", "something follows the JSON value"},
    {"+1", "unexpected character"},
    {"-", "not a number"},
    {".5", "unexpected character"},
    {"1.", "number without digits after the point"},
    {"1e", "number without digits in the exponent"},
    {"1e+", "number without digits in the exponent"},
    {"0x10", "something follows the JSON value"},
    {"NaN", "unexpected character"},
    {"nul", "unexpected character"},
    {"True", "unexpected character"},
    {"'a'", "unexpected character"},
    {"\"a", "string is not closed"},
    {"\"a\\", "string is not closed"},
    {"\"\\x\"", "unknown escape in a string"},
    {"\"\\u12g4\"", "\\u needs four hex digits"},
    {"\"\\u12\"", "\\u needs four hex digits"},
    {"\"a\nb\"", "control character in a string"},
    {"\"\x80\"", "text is not UTF-8"},
    {"\"\xc0\xaf\"", "text is not UTF-8"},         /* overlong */
    {"\"\xed\xa0\x80\"", "text is not UTF-8"},     /* surrogate */
    {"\"\xf4\x90\x80\x80\"", "text is not UTF-8"}, /* beyond U+10FFFF */
    {"\"\xe2\x82\"", "text is not UTF-8"},         /* cut */
    {"\xef\xbb\xbf{}", "unexpected character"},    /* byte order mark */
    {"// c\n1", "unexpected character"},
};

static const struct check_case strict_cases[] = {
    {"9223372036854775807", NULL},
    {"-9223372036854775808", NULL},
    {"1.7976931348623157e308", NULL},
    {"1e-999", NULL},
    {"\"\\ud83d\\ude00\"", NULL},
    {"9223372036854775808", "integer does not fit 64 bits"},
    {"-9223372036854775809", "integer does not fit 64 bits"},
    {"12345678901234567890", "integer does not fit 64 bits"},
    {"1e999", "number is out of range"},
    {"-1e999", "number is out of range"},
    {"\"\\u0000\"", "\\u0000 is not allowed in strings"},
    {"\"\\ud800\"", "lone surrogate in a string"},
    {"\"\\udc00\\ud800\"", "lone surrogate in a string"},
    {"\"\\ud800\\u0041\"", "lone surrogate in a string"},
    {"{\"\\ud800\":1}", "lone surrogate in a string"},
};

static void check_all(const struct check_case *cases, size_t n, enum json_rules rules)
{
    for (size_t i = 0; i < n; i++) {
        const char *reason = NULL;
        /* An exact heap copy, so that a read beyond the end shows under AddressSanitizer. */
        size_t len = strlen(cases[i].text);
        char *exact = xmalloc(len);
        memcpy(exact, cases[i].text, len);
        int err = json_check((struct bytes){exact, len}, 32, rules, &reason);
        if ((err == 0) != !cases[i].reason || (reason && strcmp(reason, cases[i].reason) != 0))
            fail_msg("%s: got %d %s, expected %s", cases[i].text, err, reason, cases[i].reason);
        free(exact);
    }
}

static void values_are_checked_as_rfc_8259_says(void **state)
{
    (void)state;
    check_all(rfc_cases, sizeof rfc_cases / sizeof *rfc_cases, JSON_RFC);
}

static void strict_rules_refuse_what_programs_cannot_hold(void **state)
{
    (void)state;
    check_all(strict_cases, sizeof strict_cases / sizeof *strict_cases, JSON_STRICT);
}

static void every_cut_of_a_valid_text_is_refused(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":[1.5e3,\"\\ud83d\\ude00\xe2\x82\xac\",{\"b\":[true,false,null]}],"
                               "\"c\":\"\\\\\"}";
    for (size_t len = 0; len < sizeof text - 1; len++) {
        char *exact = xmalloc(len);
        memcpy(exact, text, len);
        assert_false(json_is_value((struct bytes){exact, len}, 32));
        free(exact);
    }
    assert_true(json_is_value(bytes_of(text), 32));
}

static struct bytes nested(struct buf *b, size_t depth, const char *open, const char *close)
{
    b->len = 0;
    for (size_t i = 0; i < depth; i++)
        buf_append_str(b, open);
    buf_append_str(b, "1");
    for (size_t i = 0; i < depth; i++)
        buf_append_str(b, close);
    return buf_bytes(b);
}

static void depth_is_limited(void **state)
{
    (void)state;
    CLEANUP_BUF b = BUF_INIT;
    const char *reason = NULL;
    assert_int_equal(json_check(nested(&b, 32, "[", "]"), 32, JSON_RFC, NULL), 0);
    assert_int_equal(json_check(nested(&b, 33, "[", "]"), 32, JSON_RFC, &reason), -E2BIG);
    assert_string_equal(reason, "nested too deep");
    assert_int_equal(json_check(nested(&b, 32, "{\"a\":", "}"), 32, JSON_RFC, NULL), 0);
    assert_int_equal(json_check(nested(&b, 33, "{\"a\":", "}"), 32, JSON_RFC, NULL), -E2BIG);
    assert_int_equal(json_check(nested(&b, 100000, "[", "]"), UINT32_MAX, JSON_RFC, NULL), -E2BIG);
    assert_int_equal(json_check(BYTES_LIT("[]"), 0, JSON_RFC, NULL), -E2BIG);
    assert_int_equal(json_check(BYTES_LIT("1"), 0, JSON_RFC, NULL), 0);
    /* Depth is given back: many objects side by side are no nesting. */
    assert_int_equal(json_check(BYTES_LIT("[[1],[2],{\"a\":[]},[[]]]"), 3, JSON_RFC, NULL), 0);
}

static void members_come_in_their_order(void **state)
{
    (void)state;
    struct json_cursor c = json_cursor_at(BYTES_LIT(" {\"a\" : 1 , \"b\":[2, 3]}"), 4, JSON_RFC);
    struct json_member m;
    assert_int_equal(json_enter_object(&c), 0);
    assert_int_equal(json_next_member(&c, &m), 0);
    assert_true(bytes_eq_str(m.name, "a") && bytes_eq_str(m.value, "1"));
    assert_int_equal(json_next_member(&c, &m), 0);
    assert_true(bytes_eq_str(m.name, "b") && bytes_eq_str(m.value, "[2, 3]"));
    assert_int_equal(json_next_member(&c, &m), 1);
    assert_int_equal(json_expect_end(&c), 0);
}

static void names_are_compared_unescaped(void **state)
{
    (void)state;
    assert_true(json_name_is(BYTES_LIT("type"), "type"));
    assert_true(json_name_is(BYTES_LIT("\\u0074yp\\u0065"), "type"));
    assert_true(json_name_is(BYTES_LIT("\\u00e9\\\""), "\xc3\xa9\""));
    assert_true(json_name_is(BYTES_LIT(""), ""));
    assert_false(json_name_is(BYTES_LIT("\\u0074yp"), "type"));
    assert_false(json_name_is(BYTES_LIT("\\u0074ypes"), "type"));
    assert_false(json_name_is(BYTES_LIT("type\\u0000"), "type"));
    assert_false(json_name_is(BYTES_LIT("\\ud800"), "\xed\xa0\x80"));
}

static void strings_are_unescaped(void **state)
{
    (void)state;
    CLEANUP_BUF b = BUF_INIT;
    buf_append_str(&b, "+");
    assert_int_equal(json_unescape(BYTES_LIT("\"a\\n\\u00e9\\ud83d\\ude00\\u20ac\\/\""), &b), 0);
    assert_true(bytes_eq_str(buf_bytes(&b), "+a\n\xc3\xa9\xf0\x9f\x98\x80\xe2\x82\xac/"));
    assert_int_equal(json_unescape(BYTES_LIT("\"x\\ud800\""), &b), -EILSEQ);
    assert_int_equal(json_unescape(BYTES_LIT("12"), &b), -EINVAL);
    assert_int_equal(b.len, strlen("+a\n\xc3\xa9\xf0\x9f\x98\x80\xe2\x82\xac/"));
    b.len = 0;
    assert_int_equal(json_unescape(BYTES_LIT("\"a\\u0000b\""), &b), 0);
    assert_true(bytes_eq(buf_bytes(&b), BYTES_LIT("a\0b")));
}

static const char object[] =
    "{\"s\":\"a\\tb\",\"i\":-12,\"t\":true,\"f\":false,\"n\":null,\"o\":{\"i\":9},"
    "\"r\":1.5,\"big\":9223372036854775808,\"e\":\"\"}";

static void getters_find_values_of_their_type(void **state)
{
    (void)state;
    CLEANUP_BUF s = BUF_INIT;
    struct bytes o = bytes_of(object), raw = BYTES_NULL;
    int64_t i = 7;
    bool flag = false;
    assert_int_equal(json_get_string(o, "s", &s), 0);
    assert_true(bytes_eq_str(buf_bytes(&s), "a\tb"));
    assert_int_equal(json_get_string(o, "e", &s), 0);
    assert_int_equal(json_get_int64(o, "i", &i), 0);
    assert_int_equal(i, -12);
    assert_int_equal(json_get_bool(o, "t", &flag), 0);
    assert_true(flag);
    assert_int_equal(json_get_raw(o, "o", &raw), 0);
    assert_true(bytes_eq_str(raw, "{\"i\":9}"));
    assert_int_equal(json_get_raw(o, "n", &raw), 0);
    assert_true(bytes_eq_str(raw, "null"));
}

static void getters_tell_absent_from_wrong(void **state)
{
    (void)state;
    CLEANUP_BUF s = BUF_INIT;
    struct bytes o = bytes_of(object), raw = BYTES_NULL;
    int64_t i = 7;
    bool flag = true;
    assert_int_equal(json_get_string(o, "missing", &s), -ENOENT);
    assert_int_equal(json_get_string(o, "n", &s), -ENOENT);
    assert_int_equal(json_get_string(o, "i", &s), -EINVAL);
    assert_int_equal(json_get_int64(o, "s", &i), -EINVAL);
    assert_int_equal(json_get_int64(o, "r", &i), -EINVAL);
    assert_int_equal(json_get_int64(o, "big", &i), -EINVAL);
    assert_int_equal(json_get_int64(o, "n", &i), -ENOENT);
    assert_int_equal(json_get_bool(o, "i", &flag), -EINVAL);
    assert_int_equal(json_get_raw(BYTES_LIT("[1]"), "a", &raw), -EBADMSG);
    assert_int_equal(json_get_raw(BYTES_LIT("{\"a\":1,\"a\":2}"), "a", &raw), -EBADMSG);
    assert_int_equal(json_get_raw(BYTES_LIT("{\"a\":1,\"b\":}"), "a", &raw), -EBADMSG);
    assert_int_equal(json_get_raw(BYTES_LIT("{\"a\":1}}"), "a", &raw), -EBADMSG);
    assert_true(i == 7 && flag && !raw.data && s.len == 0);
}

static void text_that_is_not_utf8_is_repaired(void **state)
{
    (void)state;
    CLEANUP_BUF b = BUF_INIT;
    json_append_text(&b, BYTES_LIT("a\"\xff\xc3\xa9\xe2\x82|\0"));
    assert_true(bytes_eq_str(buf_bytes(&b), "\"a\\\"\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd|\\u0000\""));
    b.len = 0;
    json_append_text(&b, BYTES_NULL);
    assert_true(bytes_eq_str(buf_bytes(&b), "\"\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_checked_as_rfc_8259_says),
        cmocka_unit_test(strict_rules_refuse_what_programs_cannot_hold),
        cmocka_unit_test(every_cut_of_a_valid_text_is_refused),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(members_come_in_their_order),
        cmocka_unit_test(names_are_compared_unescaped),
        cmocka_unit_test(strings_are_unescaped),
        cmocka_unit_test(getters_find_values_of_their_type),
        cmocka_unit_test(getters_tell_absent_from_wrong),
        cmocka_unit_test(text_that_is_not_utf8_is_repaired),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
