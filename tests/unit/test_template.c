/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>

#include "util/json_path.h"
#include "util/template.h"

#define ANY_FIELD 127u

static struct bytes header(const void *arg, struct bytes name)
{
    (void)arg;
    if (bytes_eq_str(name, "ce_type"))
        return BYTES_LIT("moved");
    if (bytes_eq_str(name, "empty"))
        return BYTES_LIT("");
    return BYTES_NULL;
}

static const char payload[] =
    "{ \"skip\": [1,{\"line\":\"no\"},\"]}\"], \"VP\" : {\"line\":\"550\",\"oper\":22,\"spd\":-1.50e+1,"
    "\"odo\":null,\"drst\":true,\"deep\":{\"x\":{}}, \"na\\u006de\":\"a\\u00e9\\ud83d\\ude00\\n\\\"/\\/\"},"
    "\"bad\":\"\\ud83d\",\"line\":\"second\",\"VP2\":[] }";

static const struct template_input full = {
    .topic = {"/hfp/v2//vp", 11},
    .channel = {"chat:lobby:1", 12},
    .key = {"k1", 2},
    .user = {"ann", 3},
    .payload = {payload, sizeof payload - 1},
    .partition = -7,
    .header = header,
};

/* `want` NULL: -ENOENT and nothing appended. */
static void expect(const char *text, const struct template_input *in, const char *want)
{
    char error[200] = "";
    struct template *t = template_parse(text, ANY_FIELD, error, sizeof error);
    if (!t)
        fail_msg("%s: %s", text, error);
    CLEANUP_BUF out = BUF_INIT;
    buf_append_str(&out, "before|");
    int r = template_expand(t, in, &out);
    template_free(t);
    if (r != (want ? 0 : -ENOENT))
        fail_msg("%s: returned %d", text, r);
    CLEANUP_BUF whole = BUF_INIT;
    buf_printf(&whole, "before|%s", want ? want : "");
    if (!bytes_eq(buf_bytes(&out), buf_bytes(&whole)))
        fail_msg("%s: gave %.*s, not %s", text, (int)out.len, out.data, whole.data);
}

static void test_fields_are_replaced(void **state)
{
    (void)state;
    expect("", &full, "");
    expect("plain", &full, "plain");
    expect("chat:{key}", &full, "chat:k1");
    expect("{topic}", &full, "/hfp/v2//vp");
    expect("{channel}|{channel.0}|{channel.1}", &full, "chat:lobby:1|chat|lobby:1");
    expect("{user}{partition}", &full, "ann-7");
    expect("{header.ce_type}-{header.empty}-", &full, "moved--");
    expect("{{{key}}}", &full, "{k1}");
    expect("{{}}", &full, "{}");
}

static void test_topic_levels_count_from_zero(void **state)
{
    (void)state;
    const struct template_input flat = {.topic = {"a/b", 3}};
    expect("{topic.0}|{topic.1}|{topic.2}|{topic.3}|{topic.4}", &full, "|hfp|v2||vp");
    expect("{topic.5}", &full, NULL);
    expect("{topic.0}+{topic.1}", &flat, "a+b");
    expect("{topic.2}", &flat, NULL);
}

static void test_channel_without_namespace_is_in_default(void **state)
{
    (void)state;
    const struct template_input news = {.channel = {"news", 4}};
    expect("{channel.0}/{channel.1}", &news, "default/news");
}

static void test_payload_fields(void **state)
{
    (void)state;
    expect("{payload.VP.line}", &full, "550");
    expect("{payload.VP.oper}", &full, "22");
    expect("{payload.VP.spd}", &full, "-1.50e+1");
    expect("{payload.VP.drst}", &full, "true");
    expect("{payload.VP.name}", &full, "a\xc3\xa9\xf0\x9f\x98\x80\n\"//");
    expect("{payload.line}", &full, "second");
}

static void test_absent_fields_append_nothing(void **state)
{
    (void)state;
    static const char *const absent[] = {
        "x{payload.VP.odo}",  "x{payload.VP.deep}",      "x{payload.VP2}",
        "x{payload.nothing}", "x{payload.VP.line.more}", "x{payload.bad}",
        "x{header.other}",    "{key}{header.none}",      "x{payload.skip.line}",
    };
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        expect(absent[i], &full, NULL);
    const struct template_input nothing = {.user = {"", 0}};
    expect("{key}", &nothing, NULL);
    expect("{topic}", &nothing, NULL);
    expect("{topic.0}", &nothing, NULL);
    expect("{user}", &nothing, NULL);
    expect("{header.a}", &nothing, NULL);
    expect("{payload.a}", &nothing, NULL);
}

static void test_payload_that_is_no_json(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "",
        " ",
        "[1]",
        "12",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\": ",
        "{\"a\":\"",
        "{\"a\":\"\\",
        "{\"a\":}",
        "{a:1}",
        "{\"b\":[1,2,\"a\":3}",
        "{\"b\":[[[[",
        "{\"b\"1,\"a\":2}",
        "{\"a\":tru}",
        "{\"a\":12x}",
        "{\"b\":]]],\"a\":1}",
    };
    struct json_scalar value;
    struct bytes name = BYTES_LIT("a");
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        if (json_path_find(bytes_of(broken[i]), &name, 1, &value) != -ENOENT)
            fail_msg("found a in %s", broken[i]);
    assert_int_equal(json_path_find(BYTES_NULL, &name, 1, &value), -ENOENT);
}

/* Every cut of a text is read without going past its end; the sanitizer watches. */
static void test_cut_payloads(void **state)
{
    (void)state;
    struct bytes names[] = {BYTES_LIT("VP"), BYTES_LIT("name")};
    for (size_t len = 0; len < sizeof payload; len++) {
        char *copy = bytes_dup((struct bytes){payload, len});
        struct json_scalar value;
        CLEANUP_BUF out = BUF_INIT;
        if (json_path_find((struct bytes){copy, len}, names, 2, &value) == 0)
            json_scalar_append(&value, &out);
        __builtin_free(copy);
    }
}

static void expect_refusal(const char *text, unsigned allowed, const char *want)
{
    char error[200] = "";
    struct template *t = template_parse(text, allowed, error, sizeof error);
    if (t)
        fail_msg("%s was accepted", text);
    assert_string_equal(error, want);
}

static void test_malformed_templates_are_refused(void **state)
{
    (void)state;
    static const char brace[] = "brace without its counterpart, allowed: {FIELD}, and {{ or }} for a brace";
    expect_refusal("a{key", ANY_FIELD, brace);
    expect_refusal("key}", ANY_FIELD, brace);
    expect_refusal("{", ANY_FIELD, brace);
    expect_refusal("{kye}", TEMPLATE_KEY | TEMPLATE_HEADER,
                   "field {kye} is not known here, allowed: {key}, {header.NAME}");
    expect_refusal("{}", TEMPLATE_KEY, "field {} is not known here, allowed: {key}");
    expect_refusal("{user}", TEMPLATE_KEY, "field {user} is not known here, allowed: {key}");
    expect_refusal("{topic.x}", ANY_FIELD, "malformed field {topic.x}, allowed: {topic} or {topic.3}");
    expect_refusal("{topic.}", ANY_FIELD, "malformed field {topic.}, allowed: {topic} or {topic.3}");
    expect_refusal("{topic.1000}", ANY_FIELD, "malformed field {topic.1000}, allowed: {topic} or {topic.3}");
    expect_refusal("{channel.2}", ANY_FIELD,
                   "malformed field {channel.2}, allowed: {channel}, {channel.0} or {channel.1}");
    expect_refusal("{key.1}", ANY_FIELD, "malformed field {key.1}, allowed: {key}");
    expect_refusal("{header}", ANY_FIELD, "malformed field {header}, allowed: {header.NAME}");
    expect_refusal("{header.}", ANY_FIELD, "malformed field {header.}, allowed: {header.NAME}");
    expect_refusal("{payload}", ANY_FIELD,
                   "malformed field {payload}, allowed: {payload.NAME} or {payload.NAME.NAME}, 8 names at most");
    expect_refusal("{payload.a..b}", ANY_FIELD,
                   "malformed field {payload.a..b}, allowed: {payload.NAME} or {payload.NAME.NAME}, 8 names at most");
    expect_refusal(
        "{payload.1.2.3.4.5.6.7.8.9}", ANY_FIELD,
        "malformed field {payload.1.2.3.4.5.6.7.8.9}, allowed: {payload.NAME} or {payload.NAME.NAME}, 8 names at "
        "most");
}

static void test_fields_used(void **state)
{
    (void)state;
    char error[200];
    struct template *t = template_parse("{key}:{payload.a}{key}", ANY_FIELD, error, sizeof error);
    assert_non_null(t);
    assert_int_equal(template_fields(t), TEMPLATE_KEY | TEMPLATE_PAYLOAD);
    template_free(t);
    template_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_are_replaced),
        cmocka_unit_test(test_topic_levels_count_from_zero),
        cmocka_unit_test(test_channel_without_namespace_is_in_default),
        cmocka_unit_test(test_payload_fields),
        cmocka_unit_test(test_absent_fields_append_nothing),
        cmocka_unit_test(test_payload_that_is_no_json),
        cmocka_unit_test(test_cut_payloads),
        cmocka_unit_test(test_malformed_templates_are_refused),
        cmocka_unit_test(test_fields_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
