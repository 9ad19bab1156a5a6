/* Topic names and filters of the mqtt driver. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* The driver is a shared object of its own; its pure part is compiled in here. */
#include "mqtt/topic.c"

static bool matches(const char *filter, const char *topic)
{
    assert_null(mqtt_filter_fault(bytes_of(filter)));
    return mqtt_filter_matches(bytes_of(filter), bytes_of(topic));
}

static void test_filters_that_match(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"a/b", "a/b"},      {"a/+", "a/b"},     {"a/+", "a/"},         {"+/+", "/b"},       {"+", "a"},
        {"a/#", "a"},        {"a/#", "a/b"},     {"a/#", "a/b/c"},      {"#", "a/b/c"},      {"#", "/"},
        {"+/+/c", "a//c"},   {"/+", "/finance"}, {"a/+/#", "a/b"},      {"a/+/#", "a/b/c/d"}, {"$SYS/#", "$SYS/broker"},
        {"$SYS/+", "$SYS/x"}, {"a//b", "a//b"},  {"+/#", "a"},          {"+/#", "a/b"},      {"é/+", "é/ü"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (!matches(pairs[i][0], pairs[i][1]))
            fail_msg("%s should match %s", pairs[i][0], pairs[i][1]);
}

static void test_filters_that_do_not_match(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"a/b", "a/B"},  {"a/b", "a/b/"},  {"a/+", "a"},       {"a/+", "a/b/c"},    {"+", "/a"},    {"+/+", "a"},
        {"a/#", "ab"},   {"a/#", "b/a"},   {"#", "$SYS/x"},    {"+/x", "$SYS/x"},   {"+", "$SYS"},  {"a", "a/"},
        {"a/", "a"},     {"a/+/c", "a/c"}, {"a/+/#", "a"},     {"/a", "a"},         {"a/b/#", "a"}, {"+/#", "$a/b"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (matches(pairs[i][0], pairs[i][1]))
            fail_msg("%s should not match %s", pairs[i][0], pairs[i][1]);
}

static void test_invalid_filters_are_named(void **state)
{
    (void)state;
    static const char *const filters[] = {"", "a#", "a/#/c", "#/a", "a+", "a/+b", "+a/b", "##", "a/b#", "\xff", "a/\xc0\xaf"};
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (!mqtt_filter_fault(bytes_of(filters[i])))
            fail_msg("filter %zu should be invalid", i);
    assert_non_null(mqtt_filter_fault((struct bytes){"a\0b", 3}));
}

static void test_topics_for_publishing(void **state)
{
    (void)state;
    assert_null(mqtt_topic_fault(bytes_of("a/b")));
    assert_null(mqtt_topic_fault(bytes_of("/")));
    assert_null(mqtt_topic_fault(bytes_of("Zürich/☃")));
    assert_non_null(mqtt_topic_fault(bytes_of("")));
    assert_non_null(mqtt_topic_fault(bytes_of("a/+")));
    assert_non_null(mqtt_topic_fault(bytes_of("a/b#")));
    assert_non_null(mqtt_topic_fault((struct bytes){"a\0", 2}));

    char *longest = malloc(65536);
    memset(longest, 'x', 65536);
    assert_null(mqtt_topic_fault((struct bytes){longest, 65535}));
    assert_non_null(mqtt_topic_fault((struct bytes){longest, 65536}));
    free(longest);
}

static void test_text_must_be_utf8(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\x80",         "\xc1\x81",         "\xe0\x80\x80",     "\xed\xa0\x80",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82", "a\xe2\x28\xa1",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (mqtt_text_is_valid(bytes_of(bad[i])))
            fail_msg("text %zu should be invalid", i);
    assert_true(mqtt_text_is_valid(bytes_of("\xf4\x8f\xbf\xbf")));
    assert_true(mqtt_text_is_valid(bytes_of("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filters_that_match),        cmocka_unit_test(test_filters_that_do_not_match),
        cmocka_unit_test(test_invalid_filters_are_named), cmocka_unit_test(test_topics_for_publishing),
        cmocka_unit_test(test_text_must_be_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
