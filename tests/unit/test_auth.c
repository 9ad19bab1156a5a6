/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include "auth/jwt.h"
#include "auth_harness.h"

static char folder[] = "/tmp/crier-auth-XXXXXX";
static char pem_path[64], jwks_path[64];

enum { KEY_R, EC256, EC384, EC521, ED, KEY_COUNT };
static EVP_PKEY *keys[KEY_COUNT], *strangers[KEY_COUNT];
static const char *const kinds[] = {"RSA2048", "P-256", "P-384", "P-521", "Ed25519"};

static const struct {
    struct scheme_case scheme;
    int key;
} cases[] = {
    {{"RS256", EVP_sha256, false, 0}, KEY_R},    {{"RS384", EVP_sha384, false, 0}, KEY_R},
    {{"RS512", EVP_sha512, false, 0}, KEY_R},    {{"PS256", EVP_sha256, true, 0}, KEY_R},
    {{"PS384", EVP_sha384, true, 0}, KEY_R},     {{"PS512", EVP_sha512, true, 0}, KEY_R},
    {{"ES256", EVP_sha256, false, 32}, EC256}, {{"ES384", EVP_sha384, false, 48}, EC384},
    {{"ES512", EVP_sha512, false, 66}, EC521}, {{"EdDSA", NULL, false, 0}, ED},
};
#define CASE_COUNT (sizeof cases / sizeof *cases)

static struct config with_secret, with_keys;
static struct auth *secret_auth, *key_auth;

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(pem_path, sizeof pem_path, "%s/keys.pem", folder);
    snprintf(jwks_path, sizeof jwks_path, "%s/keys.json", folder);
    for (int i = 0; i < KEY_COUNT; i++) {
        keys[i] = make_key(kinds[i]);
        strangers[i] = make_key(kinds[i]);
    }
    write_public_pem(pem_path, keys, KEY_COUNT);
    with_secret = with_keys = plain_config();
    with_secret.hmac_secret = (char *)SECRET;
    with_keys.auth.public_key_file = pem_path;
    secret_auth = open_auth(&with_secret);
    key_auth = open_auth(&with_keys);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    auth_free(secret_auth);
    auth_free(key_auth);
    for (int i = 0; i < KEY_COUNT; i++) {
        EVP_PKEY_free(keys[i]);
        EVP_PKEY_free(strangers[i]);
    }
    unlink(pem_path);
    unlink(jwks_path);
    return rmdir(folder);
}

/* ---- secrets ---- */

static void test_accepts_the_three_hmacs(void **state)
{
    (void)state;
    const struct {
        const char *header;
        const EVP_MD *md;
    } hmacs[] = {
        {"{\"alg\":\"HS256\",\"typ\":\"JWT\"}", EVP_sha256()},
        {"{\"typ\":\"JWT\",\"alg\":\"HS384\"}", EVP_sha384()},
        {"{\"alg\":\"HS512\"}", EVP_sha512()},
    };
    for (size_t i = 0; i < 3; i++) {
        struct auth_claims claims = {0};
        CLEANUP_BUF token =
            hmac_token(hmacs[i].header, "{\"sub\":\"ann\",\"exp\":1700000100,\"room\":\"x\"}", hmacs[i].md, SECRET);
        assert_int_equal(verify_with(secret_auth, buf_bytes(&token), &claims), 0);
        assert_string_equal(claims.user, "ann");
        assert_int_equal(claims.expires_at, 1700000100);
        assert_non_null(strstr(claims.claims_json, "\"room\":\"x\""));
        auth_claims_done(&claims);
    }
}

static void test_refuses_no_algorithm(void **state)
{
    (void)state;
    static const char *const headers[] = {"{\"alg\":\"none\"}",
                                          "{\"alg\":\"None\",\"typ\":\"JWT\"}",
                                          "{\"alg\":\"NONE\"}",
                                          "{\"alg\":\"\"}",
                                          "{\"alg\":\"hs256\"}",
                                          "{\"alg\":\"HS256 \"}",
                                          "{\"alg\":\"HS256\\u0000\"}",
                                          "{\"typ\":\"JWT\"}",
                                          "{}",
                                          "[]",
                                          "{\"alg\":1}",
                                          "{\"alg\":null}",
                                          "{\"alg\":[\"HS256\"]}"};
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        CLEANUP_BUF bare = hmac_token(headers[i], "{\"sub\":\"root\"}", NULL, SECRET);
        CLEANUP_BUF signed_one = hmac_token(headers[i], "{\"sub\":\"root\"}", EVP_sha256(), SECRET);
        struct auth *const both[] = {secret_auth, key_auth};
        for (int a = 0; a < 2; a++) {
            assert_int_equal(check_token(both[a], buf_bytes(&bare)), -EACCES);
            assert_int_equal(check_token(both[a], (struct bytes){bare.data, bare.len - 1}), -EACCES);
            assert_int_equal(check_token(both[a], buf_bytes(&signed_one)), -EACCES);
        }
    }
}

static void test_refuses_headers_that_mean_more(void **state)
{
    (void)state;
    static const char *const headers[] = {"{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", "{\"alg\":\"HS256\",\"crit\":[]}",
                                          "{\"alg\":\"HS256\",\"alg\":\"HS256\"}", "{\"alg\":\"HS256\",\"kid\":7}",
                                          "{\"alg\":\"HS256\"}x"};
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        CLEANUP_BUF token = hmac_token(headers[i], "{}", EVP_sha256(), SECRET);
        if (check_token(secret_auth, buf_bytes(&token)) != -EACCES)
            fail_msg("%s", headers[i]);
    }
    /* What only helps to find keys, or is for people, is not followed. */
    CLEANUP_BUF harmless =
        hmac_token("{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"jku\":\"http://evil.test/\",\"kid\":\"../x\"}", "{}",
                   EVP_sha256(), SECRET);
    assert_int_equal(check_token(secret_auth, buf_bytes(&harmless)), 0);
}

static void test_refuses_every_changed_byte(void **state)
{
    (void)state;
    CLEANUP_BUF token = hmac_token("{\"alg\":\"HS256\"}", "{\"sub\":\"ann\"}", EVP_sha256(), SECRET);
    assert_int_equal(check_token(secret_auth, buf_bytes(&token)), 0);
    for (size_t i = 0; i < token.len; i++) {
        char kept = token.data[i];
        for (const char *other = "AB.=+_\xff"; *other; other++) {
            token.data[i] = *other;
            if (*other != kept && check_token(secret_auth, buf_bytes(&token)) != -EACCES)
                fail_msg("accepted with byte %zu changed", i);
        }
        token.data[i] = kept;
    }
    for (size_t len = 0; len < token.len; len++)
        assert_int_equal(check_token(secret_auth, (struct bytes){token.data, len}), -EACCES);
}

static void test_refuses_what_is_no_token(void **state)
{
    (void)state;
    CLEANUP_BUF good = hmac_token("{\"alg\":\"HS256\"}", "{}", EVP_sha256(), SECRET);
    assert_int_equal(check_token(secret_auth, BYTES_NULL), -EACCES);
    assert_int_equal(check_token(secret_auth, (struct bytes){"a\0b", 3}), -EACCES);
    assert_int_equal(check_token(secret_auth, BYTES_LIT("..")), -EACCES);
    assert_int_equal(check_token(secret_auth, BYTES_LIT("a.b.c")), -EACCES);
    static const char *const tails[] = {".", ".x", "=", " ", "\n"};
    for (size_t i = 0; i < 5; i++) {
        CLEANUP_BUF more = BUF_INIT;
        buf_append_bytes(&more, buf_bytes(&good));
        buf_append_str(&more, tails[i]);
        assert_int_equal(check_token(secret_auth, buf_bytes(&more)), -EACCES);
    }
    CLEANUP_BUF big = BUF_INIT;
    buf_reserve(&big, AUTH_TOKEN_LIMIT_BYTES + 1);
    memset(big.data, 'a', AUTH_TOKEN_LIMIT_BYTES + 1);
    assert_int_equal(check_token(secret_auth, (struct bytes){big.data, AUTH_TOKEN_LIMIT_BYTES + 1}), -EACCES);
}

static void test_refuses_the_wrong_secret(void **state)
{
    (void)state;
    struct config none = plain_config(), empty = plain_config();
    empty.hmac_secret = (char *)"";
    struct auth *no_secret = open_auth(&none), *empty_secret = open_auth(&empty);
    CLEANUP_BUF other = hmac_token("{\"alg\":\"HS256\"}", "{}", EVP_sha256(), "another");
    CLEANUP_BUF nothing = hmac_token("{\"alg\":\"HS256\"}", "{}", EVP_sha256(), "");
    assert_int_equal(check_token(secret_auth, buf_bytes(&other)), -EACCES);
    assert_int_equal(check_token(no_secret, buf_bytes(&nothing)), -EACCES);
    assert_int_equal(check_token(empty_secret, buf_bytes(&nothing)), -EACCES);
    assert_false(auth_enabled(no_secret));
    assert_true(auth_enabled(secret_auth));
    assert_true(auth_enabled(key_auth));
    auth_free(no_secret);
    auth_free(empty_secret);
}

/* ---- public keys ---- */

static void test_accepts_every_public_algorithm(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASE_COUNT; i++) {
        CLEANUP_BUF token = key_token("{\"sub\":\"ann\"}", &cases[i].scheme, keys[cases[i].key], NULL);
        CLEANUP_BUF strange = key_token("{\"sub\":\"ann\"}", &cases[i].scheme, strangers[cases[i].key], NULL);
        if (check_token(key_auth, buf_bytes(&token)) != 0)
            fail_msg("%s", cases[i].scheme.name);
        assert_int_equal(check_token(key_auth, buf_bytes(&strange)), -EACCES);
        assert_int_equal(check_token(secret_auth, buf_bytes(&token)), -EACCES);
        token.data[token.len / 2] ^= 1;
        assert_int_equal(check_token(key_auth, buf_bytes(&token)), -EACCES);
    }
}

/* A signature that is good for one algorithm does not pass under the name of another. */
static void test_algorithm_and_key_belong_together(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASE_COUNT; i++)
        for (size_t j = 0; j < CASE_COUNT; j++) {
            char header[80];
            snprintf(header, sizeof header, "{\"alg\":\"%s\"}", cases[j].scheme.name);
            CLEANUP_BUF token = key_token_with(header, "{}", &cases[i].scheme, keys[cases[i].key]);
            assert_int_equal(check_token(key_auth, buf_bytes(&token)), i == j ? 0 : -EACCES);
        }
}

/* The public key, which everybody may know, is not the secret of an HMAC. */
static void test_refuses_key_confusion(void **state)
{
    (void)state;
    CLEANUP_BUF pem = BUF_INIT;
    const char *reason;
    assert_int_equal(key_file_read(pem_path, &pem, &reason), 0);
    buf_append(&pem, "", 1);
    static const char *const headers[] = {"{\"alg\":\"HS256\"}", "{\"alg\":\"RS256\"}", "{\"alg\":\"EdDSA\"}"};
    for (size_t i = 0; i < 3; i++) {
        CLEANUP_BUF token = hmac_token(headers[i], "{\"sub\":\"root\"}", EVP_sha256(), pem.data);
        assert_int_equal(check_token(key_auth, buf_bytes(&token)), -EACCES);
    }
    /* Nor does a configured secret that is a public key verify what the private one signed. */
    struct config config = plain_config();
    config.hmac_secret = pem.data;
    struct auth *a = open_auth(&config);
    CLEANUP_BUF signed_one = key_token("{}", &cases[0].scheme, keys[KEY_R], NULL);
    assert_int_equal(check_token(a, buf_bytes(&signed_one)), -EACCES);
    auth_free(a);
}

/* A token has the two numbers, of full length; what OpenSSL makes is something else. */
static void test_signatures_of_curves_have_one_form(void **state)
{
    (void)state;
    const struct scheme_case der = {"ES256", EVP_sha256, false, 0}, wide = {"ES256", EVP_sha256, false, 33};
    CLEANUP_BUF a = key_token("{}", &der, keys[EC256], NULL);
    CLEANUP_BUF b = key_token("{}", &wide, keys[EC256], NULL);
    assert_int_equal(check_token(key_auth, buf_bytes(&a)), -EACCES);
    assert_int_equal(check_token(key_auth, buf_bytes(&b)), -EACCES);
    CLEANUP_BUF zeros = unsigned_token("{\"alg\":\"ES256\"}", "{\"sub\":\"root\"}");
    buf_append_str(&zeros, ".");
    append_base64url(&zeros, (char[64]){0}, 64);
    assert_int_equal(check_token(key_auth, buf_bytes(&zeros)), -EACCES);
}

static void expect_no_pem(struct bytes text, const char *want)
{
    const char *reason = NULL;
    struct key_set *set = key_set_new();
    assert_int_equal(key_set_add_pem(set, text, &reason), -EINVAL);
    assert_string_equal(reason, want);
    key_set_unref(set);
}

static void test_weak_and_other_keys_are_left_out(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *reason;
    } weak[] = {{"RSA1024", "an RSA key of fewer than 2048 bits"},
                {"secp256k1", "an EC key on another curve than P-256, P-384, P-521"}};
    for (size_t i = 0; i < 2; i++) {
        EVP_PKEY *key = make_key(weak[i].kind);
        write_public_pem(jwks_path, &key, 1);
        CLEANUP_BUF text = BUF_INIT;
        const char *reason;
        key_file_read(jwks_path, &text, &reason);
        expect_no_pem(buf_bytes(&text), weak[i].reason);
        EVP_PKEY_free(key);
    }
    EVP_PKEY *other = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    write_public_pem(jwks_path, &other, 1);
    CLEANUP_BUF text = BUF_INIT;
    const char *reason;
    key_file_read(jwks_path, &text, &reason);
    expect_no_pem(buf_bytes(&text), "a key that is not RSA, EC or Ed25519");
    EVP_PKEY_free(other);
    expect_no_pem(BYTES_LIT(""), "no public key in PEM");
    expect_no_pem(BYTES_LIT("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), "no public key in PEM");
}

/* ---- sets of keys ---- */

static struct auth *auth_with_set(struct config *config, struct bytes text)
{
    write_text(jwks_path, text);
    *config = plain_config();
    config->auth.jwks_file = jwks_path;
    return open_auth(config);
}

static void test_sets_hold_every_kind(void **state)
{
    (void)state;
    struct config config;
    CLEANUP_BUF set = BUF_INIT;
    buf_append_str(&set, "{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"},{\"kty\":\"RSA\",\"n\":\"AQ\"},7,{}");
    for (int i = 0; i < KEY_COUNT; i++) {
        buf_append_str(&set, ",");
        append_jwk(&set, keys[i], "");
    }
    buf_append_str(&set, "]}");
    struct auth *a = auth_with_set(&config, buf_bytes(&set));
    for (size_t i = 0; i < CASE_COUNT; i++) {
        CLEANUP_BUF token = key_token("{}", &cases[i].scheme, keys[cases[i].key], "any");
        if (check_token(a, buf_bytes(&token)) != 0)
            fail_msg("%s", cases[i].scheme.name);
    }
    /* A secret does not become one because a set has it. */
    CLEANUP_BUF hmac = hmac_token("{\"alg\":\"HS256\"}", "{}", EVP_sha256(), "secret");
    assert_int_equal(check_token(a, buf_bytes(&hmac)), -EACCES);
    auth_free(a);
}

static void test_sets_tell_keys_by_id_and_algorithm(void **state)
{
    (void)state;
    struct config config;
    CLEANUP_BUF set = BUF_INIT;
    buf_append_str(&set, "{\"keys\":[");
    append_jwk(&set, keys[KEY_R], ",\"kid\":\"one\",\"alg\":\"RS256\",\"use\":\"sig\"");
    buf_append_str(&set, ",");
    append_jwk(&set, strangers[KEY_R], ",\"kid\":\"two\"");
    buf_append_str(&set, ",");
    append_jwk(&set, keys[EC256], ",\"use\":\"enc\"");
    buf_append_str(&set, "]}");
    struct auth *a = auth_with_set(&config, buf_bytes(&set));
    const struct {
        int scheme;
        EVP_PKEY *key;
        const char *key_id;
        int want;
    } rows[] = {
        {0, keys[KEY_R], "one", 0},         {0, keys[KEY_R], NULL, 0},        {0, keys[KEY_R], "two", -EACCES},
        {0, keys[KEY_R], "three", -EACCES}, {1, keys[KEY_R], "one", -EACCES}, {3, keys[KEY_R], "one", -EACCES},
        {1, strangers[KEY_R], "two", 0},    {3, strangers[KEY_R], NULL, 0},   {0, strangers[KEY_R], "one", -EACCES},
        {6, keys[EC256], NULL, -EACCES},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CLEANUP_BUF token = key_token("{}", &cases[rows[i].scheme].scheme, rows[i].key, rows[i].key_id);
        if (check_token(a, buf_bytes(&token)) != rows[i].want)
            fail_msg("row %zu", i);
    }
    auth_free(a);
}

static void test_sets_that_are_none(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"", "not a JSON Web Key Set"},
        {"[]", "not a JSON Web Key Set"},
        {"{\"keys\":{}}", "not a JSON Web Key Set"},
        {"{\"keys\":[]}", "a set without keys"},
        {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"AA\"}]}", "a key that is not RSA, EC or OKP"},
        {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}]}", "a malformed key"},
        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"}]}", "a malformed key"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *reason = NULL;
        struct key_set *set = key_set_new();
        assert_int_equal(key_set_add_jwks(set, bytes_of(texts[i][0]), &reason), -EINVAL);
        assert_string_equal(reason, texts[i][1]);
        key_set_unref(set);
    }
    /* A point that is not on the curve. */
    CLEANUP_BUF off = BUF_INIT;
    const char *reason = NULL;
    buf_append_str(&off, "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"");
    append_base64url(&off, (char[32]){1}, 32);
    buf_append_str(&off, "\",\"y\":\"");
    append_base64url(&off, (char[32]){1}, 32);
    buf_append_str(&off, "\"}]}");
    struct key_set *set = key_set_new();
    assert_int_equal(key_set_add_jwks(set, buf_bytes(&off), &reason), -EINVAL);
    key_set_unref(set);
}

static void test_a_changed_file_is_read_again(void **state)
{
    (void)state;
    struct config config;
    CLEANUP_BUF first = jwks_of(keys[ED], ""), second = jwks_of(strangers[ED], "");
    CLEANUP_BUF old = key_token("{}", &cases[9].scheme, keys[ED], NULL);
    CLEANUP_BUF new = key_token("{}", &cases[9].scheme, strangers[ED], NULL);
    write_text(jwks_path, buf_bytes(&first));
    config = plain_config();
    config.auth.jwks_file = jwks_path;
    config.auth.jwks_refresh_ms = 20;
    struct auth *a = open_auth(&config);
    assert_int_equal(check_token(a, buf_bytes(&old)), 0);
    assert_int_equal(check_token(a, buf_bytes(&new)), -EACCES);
    write_text(jwks_path, buf_bytes(&second));
    for (int i = 0; i < 500 && check_token(a, buf_bytes(&new)) != 0; i++)
        usleep(10000);
    assert_int_equal(check_token(a, buf_bytes(&new)), 0);
    assert_int_equal(check_token(a, buf_bytes(&old)), -EACCES);
    /* What cannot be used leaves the keys as they are. */
    write_text(jwks_path, BYTES_LIT("{"));
    usleep(100000);
    assert_int_equal(check_token(a, buf_bytes(&new)), 0);
    auth_free(a);
}

/* ---- signing ---- */

static void test_signs_what_it_verifies(void **state)
{
    (void)state;
    const char *reason = NULL;
    for (size_t i = 0; i < CASE_COUNT; i++) {
        CLEANUP_BUF token = BUF_INIT;
        const struct jwt_signer signer = {
            .algorithm = cases[i].scheme.name, .key_id = "k\"1", .key = keys[cases[i].key]};
        assert_int_equal(jwt_sign(&signer, BYTES_LIT("{\"sub\":\"ann\"}"), &token, &reason), 0);
        assert_int_equal(check_token(key_auth, buf_bytes(&token)), 0);
    }
    static const char *const hmacs[] = {NULL, "HS256", "HS384", "HS512"};
    for (size_t i = 0; i < 4; i++) {
        CLEANUP_BUF token = BUF_INIT;
        const struct jwt_signer signer = {.algorithm = hmacs[i], .secret = SECRET};
        assert_int_equal(jwt_sign(&signer, BYTES_LIT("{}"), &token, &reason), 0);
        assert_int_equal(check_token(secret_auth, buf_bytes(&token)), 0);
    }
}

static void test_refuses_to_sign_with_what_does_not_fit(void **state)
{
    (void)state;
    const struct jwt_signer signers[] = {
        {.algorithm = "HS256", .key = keys[KEY_R]},   {.algorithm = "RS256", .secret = SECRET},
        {.algorithm = "ES384", .key = keys[EC256]}, {.algorithm = "none", .secret = SECRET},
        {.algorithm = "EdDSA", .key = keys[EC256]},
    };
    for (size_t i = 0; i < sizeof signers / sizeof *signers; i++) {
        CLEANUP_BUF token = BUF_INIT;
        const char *reason = NULL;
        assert_int_equal(jwt_sign(&signers[i], BYTES_LIT("{}"), &token, &reason), -EINVAL);
        assert_int_equal(token.len, 0);
        assert_non_null(reason);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts_the_three_hmacs),
        cmocka_unit_test(test_refuses_no_algorithm),
        cmocka_unit_test(test_refuses_headers_that_mean_more),
        cmocka_unit_test(test_refuses_every_changed_byte),
        cmocka_unit_test(test_refuses_what_is_no_token),
        cmocka_unit_test(test_refuses_the_wrong_secret),
        cmocka_unit_test(test_accepts_every_public_algorithm),
        cmocka_unit_test(test_algorithm_and_key_belong_together),
        cmocka_unit_test(test_refuses_key_confusion),
        cmocka_unit_test(test_signatures_of_curves_have_one_form),
        cmocka_unit_test(test_weak_and_other_keys_are_left_out),
        cmocka_unit_test(test_sets_hold_every_kind),
        cmocka_unit_test(test_sets_tell_keys_by_id_and_algorithm),
        cmocka_unit_test(test_sets_that_are_none),
        cmocka_unit_test(test_a_changed_file_is_read_again),
        cmocka_unit_test(test_signs_what_it_verifies),
        cmocka_unit_test(test_refuses_to_sign_with_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
