/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include "auth_harness.h"

static struct config config;
static struct auth *auth;

static int set_up(void **state)
{
    (void)state;
    config = plain_config();
    config.hmac_secret = (char *)SECRET;
    auth = open_auth(&config);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    auth_free(auth);
    return 0;
}

static int verify_claims(const char *json, struct auth_claims *claims)
{
    CLEANUP_BUF token = hmac_token("{\"alg\":\"HS256\",\"typ\":\"JWT\"}", json, EVP_sha256(), SECRET);
    return verify_with(auth, buf_bytes(&token), claims);
}

static void expect(const char *json, int want)
{
    struct auth_claims claims = {0};
    int r = verify_claims(json, &claims);
    if (r != want)
        fail_msg("%s: %d", json, r);
    auth_claims_done(&claims);
}

static void test_times_have_a_leeway(void **state)
{
    (void)state;
    expect("{\"exp\":1700000001}", 0);
    expect("{\"exp\":1699999996}", 0); /* 4 s ago */
    expect("{\"exp\":1699999995}", -EKEYEXPIRED);
    expect("{\"exp\":1699999995.9}", 0);
    expect("{\"exp\":0}", -EKEYEXPIRED);
    expect("{\"nbf\":1700000005}", 0);
    expect("{\"nbf\":1700000006}", -EKEYEXPIRED);
    config.auth.leeway_ms = 0;
    expect("{\"exp\":1700000000}", -EKEYEXPIRED);
    expect("{\"exp\":1700000001}", 0);
    config.auth.leeway_ms = 5000;
}

static void test_times_are_numbers(void **state)
{
    (void)state;
    static const char *const names[] = {"exp", "nbf", "iat", "expire_at"};
    static const char *const values[] = {"\"1800000000\"", "null", "-1", "1e300", "{}", "[1]", "true"};
    for (size_t n = 0; n < 4; n++)
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            char json[80];
            snprintf(json, sizeof json, "{\"%s\":%s}", names[n], values[v]);
            expect(json, -EACCES);
        }
}

static void test_end_of_the_session(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        int64_t want;
    } cases[] = {
        {"{}", 0},
        {"{\"exp\":1700000100}", 1700000100},
        {"{\"exp\":1700000100,\"expire_at\":1700000900}", 1700000900},
        {"{\"exp\":1700000100,\"expire_at\":0}", 0},
        {"{\"expire_at\":1700000050}", 1700000050},
        {"{\"expire_at\":1600000000}", 1600000000}, /* over already: the wire says 110 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct auth_claims claims = {0};
        assert_int_equal(verify_claims(cases[i].json, &claims), 0);
        if (claims.expires_at != cases[i].want)
            fail_msg("%s: %lld", cases[i].json, (long long)claims.expires_at);
        auth_claims_done(&claims);
    }
    expect("{\"exp\":1600000000,\"expire_at\":0}", -EKEYEXPIRED);
}

static void test_user_is_a_short_text(void **state)
{
    (void)state;
    struct auth_claims claims = {0};
    char longest[200];
    assert_int_equal(verify_claims("{}", &claims), 0);
    assert_string_equal(claims.user, "");
    auth_claims_done(&claims);
    expect("{\"sub\":7}", -EACCES);
    expect("{\"sub\":null}", -EACCES);
    expect("{\"sub\":\"a\\u0000b\"}", -EACCES);
    snprintf(longest, sizeof longest, "{\"sub\":\"%0*d\"}", 127, 1);
    assert_int_equal(verify_claims(longest, &claims), 0);
    assert_int_equal(strlen(claims.user), 127);
    auth_claims_done(&claims);
    snprintf(longest, sizeof longest, "{\"sub\":\"%0*d\"}", 128, 1);
    assert_int_equal(verify_claims(longest, &claims), -EACCES);
    assert_string_equal(claims.user, ""); /* untouched */
}

static void test_claims_are_one_sound_object(void **state)
{
    (void)state;
    expect("[]", -EACCES);
    expect("\"x\"", -EACCES);
    expect("", -EACCES);
    expect("{\"sub\":\"a\"", -EACCES);
    expect("{\"sub\":\"a\"}x", -EACCES);
    expect("{\"sub\":\"a\",\"sub\":\"root\"}", -EACCES);
    expect("{\"exp\":1800000000,\"exp\":1}", -EACCES);
    expect("{\"channels\":[],\"channels\":[\"x\"]}", -EACCES);
    expect("{\"sub\":\"\xff\"}", -EACCES);
    CLEANUP_BUF deep = BUF_INIT;
    buf_append_str(&deep, "{\"x\":");
    for (int i = 0; i < 500; i++)
        buf_append_str(&deep, "[");
    for (int i = 0; i < 500; i++)
        buf_append_str(&deep, "]");
    buf_append_str(&deep, "}");
    buf_append(&deep, "", 1);
    expect(deep.data, -EACCES);
}

static void test_audience_and_issuer(void **state)
{
    (void)state;
    config.auth.audience = (char *)"crier";
    expect("{}", -EACCES);
    expect("{\"aud\":\"other\"}", -EACCES);
    expect("{\"aud\":\"crier2\"}", -EACCES);
    expect("{\"aud\":\"crier\"}", 0);
    expect("{\"aud\":[\"a\",\"crier\"]}", 0);
    expect("{\"aud\":[\"a\",7]}", -EACCES);
    expect("{\"aud\":[]}", -EACCES);
    expect("{\"aud\":{\"crier\":1}}", -EACCES);
    config.auth.audience = (char *)"";
    config.auth.issuer = (char *)"https://login.test/";
    expect("{}", -EACCES);
    expect("{\"iss\":\"https://login.test\"}", -EACCES);
    expect("{\"iss\":[\"https://login.test/\"]}", -EACCES);
    expect("{\"iss\":\"https:\\/\\/login.test\\/\"}", 0);
    config.auth.issuer = (char *)"";
    expect("{\"iss\":7,\"aud\":7}", 0); /* not looked at */
}

static void expect_bytes(struct bytes got, const char *want)
{
    if (want ? !bytes_eq_str(got, want) || !got.data : got.data != NULL)
        fail_msg("%.*s is not %s", (int)got.len, got.data ? got.data : "", want ? want : "absent");
}

static void test_what_others_see(void **state)
{
    (void)state;
    struct auth_claims c = {0};
    assert_int_equal(
        verify_claims("{\"sub\":\"ann\",\"jti\":\"t\\u00e9\",\"iat\":1699999990,\"info\":{ \"name\":\"Ann\"},"
                      "\"meta\":{\"plan\":1}}",
                      &c),
        0);
    expect_bytes(c.id, "t\xc3\xa9");
    expect_bytes(c.info, "{ \"name\":\"Ann\"}"); /* as it was signed */
    expect_bytes(c.meta, "{\"plan\":1}");
    expect_bytes(c.channel, NULL);
    assert_int_equal(c.issued_at, 1699999990);
    auth_claims_done(&c);
    assert_int_equal(verify_claims("{\"b64info\":\"eyJhIjoxfQ==\",\"info\":{\"b\":2}}", &c), 0);
    expect_bytes(c.info, "{\"a\":1}");
    auth_claims_done(&c);
    expect("{\"b64info\":\"###\"}", -EACCES);
    expect("{\"meta\":[]}", -EACCES);
    expect("{\"jti\":1}", -EACCES);
}

static void test_tokens_of_channels(void **state)
{
    (void)state;
    struct auth_claims c = {0};
    assert_int_equal(verify_claims("{\"sub\":\"ann\",\"channel\":\"$chat:a\",\"client\":\"c1\"}", &c), 0);
    expect_bytes(c.channel, "$chat:a");
    expect_bytes(c.client, "c1");
    auth_claims_done(&c);
    assert_int_equal(verify_claims("{\"channel\":\"\",\"client\":\"\"}", &c), 0);
    expect_bytes(c.channel, NULL);
    expect_bytes(c.client, NULL);
    auth_claims_done(&c);
    expect("{\"channel\":[\"a\"]}", -EACCES);
    expect("{\"channel\":\"a\",\"client\":1}", -EACCES);
}

static void test_channels_of_the_session(void **state)
{
    (void)state;
    struct auth_claims c = {0};
    assert_int_equal(verify_claims("{\"channels\":[\"chat:a\",\"n\\u00e9\"]}", &c), 0);
    assert_int_equal(c.subscription_count, 2);
    expect_bytes(c.subscriptions[0].channel, "chat:a");
    expect_bytes(c.subscriptions[1].channel, "n\xc3\xa9");
    assert_int_equal(c.subscriptions[0].presence, AUTH_AS_CONFIGURED);
    auth_claims_done(&c);
    expect("{\"channels\":\"a\"}", -EACCES);
    expect("{\"channels\":[1]}", -EACCES);
    expect("{\"channels\":[null]}", -EACCES);
}

static void test_subscriptions_of_the_session(void **state)
{
    (void)state;
    struct auth_claims c = {0};
    assert_int_equal(
        verify_claims("{\"channels\":[\"ignored\"],\"subs\":{\"chat:\\u0061\":{\"info\":{\"x\":1},\"b64data\":\"AAH/\","
                      "\"override\":{\"presence\":{\"value\":true},\"join_leave\":{\"value\":false},"
                      "\"force_push_join_leave\":{\"value\":true},\"force_recovery\":{\"value\":true},"
                      "\"force_positioning\":{\"value\":false}}},\"b\":{\"data\":[1, 2]}}}",
                      &c),
        0);
    assert_int_equal(c.subscription_count, 2);
    const struct auth_subscription *a = &c.subscriptions[0], *b = &c.subscriptions[1];
    expect_bytes(a->channel, "chat:a");
    expect_bytes(a->info, "{\"x\":1}");
    assert_int_equal(a->data.len, 3);
    assert_memory_equal(a->data.data, "\x00\x01\xff", 3);
    assert_int_equal(a->presence, AUTH_ON);
    assert_int_equal(a->join_leave, AUTH_OFF);
    assert_int_equal(a->push_join_leave, AUTH_ON);
    assert_int_equal(a->force_recovery, AUTH_ON);
    assert_int_equal(a->force_positioning, AUTH_OFF);
    expect_bytes(b->channel, "b");
    expect_bytes(b->info, NULL);
    expect_bytes(b->data, "[1, 2]");
    auth_claims_done(&c);
    expect("{\"subs\":[]}", -EACCES);
    expect("{\"subs\":{\"a\":1}}", -EACCES);
    expect("{\"subs\":{\"a\":{\"override\":{\"presence\":true}}}}", -EACCES);
    expect("{\"subs\":{\"a\":{\"override\":{\"presence\":{\"value\":1}}}}}", -EACCES);
    expect("{\"subs\":{\"a\":{\"b64info\":7}}}", -EACCES);
    expect("{\"subs\":{}}", 0);
    expect("{\"subs\":null,\"channels\":null}", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times_have_a_leeway),
        cmocka_unit_test(test_times_are_numbers),
        cmocka_unit_test(test_end_of_the_session),
        cmocka_unit_test(test_user_is_a_short_text),
        cmocka_unit_test(test_claims_are_one_sound_object),
        cmocka_unit_test(test_audience_and_issuer),
        cmocka_unit_test(test_what_others_see),
        cmocka_unit_test(test_tokens_of_channels),
        cmocka_unit_test(test_channels_of_the_session),
        cmocka_unit_test(test_subscriptions_of_the_session),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
