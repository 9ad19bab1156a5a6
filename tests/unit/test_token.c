/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <stdlib.h>

#include "util/token.h"

#define NOW    1700000000
#define SECRET "0123456789abcdef0123456789abcdef"

static void append_base64url(struct buf *out, const void *data, size_t len)
{
    unsigned char text[8192];
    int n = EVP_EncodeBlock(text, data, (int)len);
    while (n > 0 && text[n - 1] == '=')
        n--;
    for (int i = 0; i < n; i++)
        text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
    buf_append(out, text, (size_t)n);
}

/* A token made by hand, so that the tests do not believe the code under test. */
static struct buf make(const char *header, const char *claims, const EVP_MD *md, const char *secret)
{
    struct buf token = BUF_INIT;
    append_base64url(&token, header, strlen(header));
    buf_append_str(&token, ".");
    append_base64url(&token, claims, strlen(claims));
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    if (md)
        HMAC(md, secret, (int)strlen(secret), (const unsigned char *)token.data, token.len, mac, &mac_len);
    buf_append_str(&token, ".");
    if (mac_len)
        append_base64url(&token, mac, mac_len);
    return token;
}

static int verify(struct bytes token, struct token_claims *claims)
{
    const char *reason = NULL;
    int r = token_verify(SECRET, token, NOW, TOKEN_LEEWAY_S, claims, &reason);
    if (r < 0 && !reason)
        fail_msg("refused without a reason");
    return r;
}

static int verify_claims(const char *claims_json, struct token_claims *claims)
{
    CLEANUP_BUF token = make("{\"alg\":\"HS256\",\"typ\":\"JWT\"}", claims_json, EVP_sha256(), SECRET);
    return verify(buf_bytes(&token), claims);
}

static void test_accepts_the_three_hmacs(void **state)
{
    (void)state;
    const struct {
        const char *header;
        const EVP_MD *md;
    } cases[] = {
        {"{\"alg\":\"HS256\",\"typ\":\"JWT\"}", EVP_sha256()},
        {"{\"typ\":\"JWT\",\"alg\":\"HS384\"}", EVP_sha384()},
        {"{\"alg\":\"HS512\"}", EVP_sha512()},
    };
    for (size_t i = 0; i < 3; i++) {
        struct token_claims claims;
        CLEANUP_BUF token =
            make(cases[i].header, "{\"sub\":\"ann\",\"exp\":1700000100,\"room\":\"x\"}", cases[i].md, SECRET);
        assert_int_equal(verify(buf_bytes(&token), &claims), 0);
        assert_string_equal(claims.user, "ann");
        assert_int_equal(claims.expires_at, 1700000100);
        assert_non_null(strstr(claims.claims_json, "\"room\":\"x\""));
        token_claims_done(&claims);
    }
}

static void test_refuses_no_algorithm(void **state)
{
    (void)state;
    static const char *const headers[] = {"{\"alg\":\"none\"}",
                                          "{\"alg\":\"None\",\"typ\":\"JWT\"}",
                                          "{\"alg\":\"NONE\"}",
                                          "{\"typ\":\"JWT\"}",
                                          "{}",
                                          "[]",
                                          "{\"alg\":1}"};
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        struct token_claims claims;
        CLEANUP_BUF bare = make(headers[i], "{\"sub\":\"root\"}", NULL, SECRET);
        CLEANUP_BUF signed_one = make(headers[i], "{\"sub\":\"root\"}", EVP_sha256(), SECRET);
        assert_int_equal(verify(buf_bytes(&bare), &claims), -EACCES);
        assert_int_equal(verify((struct bytes){bare.data, bare.len - 1}, &claims), -EACCES); /* without the last dot */
        assert_int_equal(verify(buf_bytes(&signed_one), &claims), -EACCES);
    }
}

/* A token with an RSA signature does not pass, not even when the configured secret is the fitting public key. */
static void test_refuses_key_confusion(void **state)
{
    (void)state;
    EVP_PKEY *pair = EVP_RSA_gen(2048);
    BIO *pem = BIO_new(BIO_s_mem());
    PEM_write_bio_PUBKEY(pem, pair);
    char *pem_data;
    long pem_len = BIO_get_mem_data(pem, &pem_data);
    char *public_key = bytes_dup((struct bytes){pem_data, (size_t)pem_len});

    CLEANUP_BUF token = make("{\"alg\":\"RS256\",\"typ\":\"JWT\"}", "{\"sub\":\"root\"}", NULL, "");
    unsigned char signature[512];
    size_t signature_len = sizeof signature;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, pair), 1);
    assert_int_equal(EVP_DigestSign(md, signature, &signature_len, (unsigned char *)token.data, token.len - 1), 1);
    append_base64url(&token, signature, signature_len);

    struct token_claims claims;
    const char *reason = "";
    assert_int_equal(token_verify(public_key, buf_bytes(&token), NOW, 5, &claims, &reason), -EACCES);
    assert_string_equal(reason, "algorithm is not HS256, HS384 or HS512");
    EVP_MD_CTX_free(md);
    EVP_PKEY_free(pair);
    BIO_free(pem);
    free(public_key);
}

static void test_refuses_every_changed_byte(void **state)
{
    (void)state;
    CLEANUP_BUF token = make("{\"alg\":\"HS256\"}", "{\"sub\":\"ann\"}", EVP_sha256(), SECRET);
    struct token_claims claims;
    assert_int_equal(verify(buf_bytes(&token), &claims), 0);
    token_claims_done(&claims);
    for (size_t i = 0; i < token.len - 1; i++) { /* the last character has bits that do not count */
        char kept = token.data[i];
        token.data[i] = kept == 'A' ? 'B' : 'A';
        if (verify(buf_bytes(&token), &claims) != -EACCES)
            fail_msg("accepted with byte %zu changed", i);
        token.data[i] = kept;
    }
    for (size_t len = 0; len < token.len; len++)
        assert_int_equal(verify((struct bytes){token.data, len}, &claims), -EACCES);
}

static void test_refuses_the_wrong_secret(void **state)
{
    (void)state;
    struct token_claims claims;
    const char *reason;
    CLEANUP_BUF token = make("{\"alg\":\"HS256\"}", "{}", EVP_sha256(), "another");
    assert_int_equal(verify(buf_bytes(&token), &claims), -EACCES);
    CLEANUP_BUF empty = make("{\"alg\":\"HS256\"}", "{}", EVP_sha256(), "");
    assert_int_equal(token_verify("", buf_bytes(&empty), NOW, 5, &claims, &reason), -EACCES);
    assert_int_equal(verify(BYTES_NULL, &claims), -EACCES);
    assert_int_equal(verify((struct bytes){"a\0b", 3}, &claims), -EACCES);
}

static void test_times_have_a_leeway(void **state)
{
    (void)state;
    const struct {
        const char *claims;
        int want;
    } cases[] = {
        {"{\"exp\":1700000001}", 0},
        {"{\"exp\":1699999996}", 0}, /* 4 s ago */
        {"{\"exp\":1699999995}", -EKEYEXPIRED},
        {"{\"exp\":1699999995.9}", 0},
        {"{\"exp\":0}", -EKEYEXPIRED},
        {"{\"nbf\":1700000005}", 0},
        {"{\"nbf\":1700000006}", -EKEYEXPIRED},
        {"{\"exp\":\"1800000000\"}", -EACCES},
        {"{\"exp\":null}", -EACCES},
        {"{\"exp\":-1}", -EACCES},
        {"{\"exp\":1e300}", -EACCES},
        {"{\"nbf\":{}}", -EACCES},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct token_claims claims = {0};
        int r = verify_claims(cases[i].claims, &claims);
        if (r != cases[i].want)
            fail_msg("%s: %d", cases[i].claims, r);
        token_claims_done(&claims);
    }
}

static void test_user_is_a_short_text(void **state)
{
    (void)state;
    struct token_claims claims = {0};
    char longest[200];
    assert_int_equal(verify_claims("{}", &claims), 0);
    assert_string_equal(claims.user, "");
    assert_int_equal(claims.expires_at, 0);
    token_claims_done(&claims);
    assert_int_equal(verify_claims("{\"sub\":7}", &claims), -EACCES);
    assert_int_equal(verify_claims("{\"sub\":null}", &claims), -EACCES);
    assert_int_equal(verify_claims("{\"sub\":\"a\\u0000b\"}", &claims), -EACCES);
    assert_int_equal(verify_claims("[]", &claims), -EACCES);
    snprintf(longest, sizeof longest, "{\"sub\":\"%0*d\"}", 127, 1);
    assert_int_equal(verify_claims(longest, &claims), 0);
    assert_int_equal(strlen(claims.user), 127);
    token_claims_done(&claims);
    snprintf(longest, sizeof longest, "{\"sub\":\"%0*d\"}", 128, 1);
    assert_int_equal(verify_claims(longest, &claims), -EACCES);
    assert_string_equal(claims.user, ""); /* untouched */
}

static void test_signs_what_it_verifies(void **state)
{
    (void)state;
    struct token_claims claims;
    char *token;
    assert_int_equal(token_sign(SECRET, "ann", NOW, 60, "{\"sub\":\"root\",\"exp\":9,\"n\":[1]}", &token), 0);
    assert_int_equal(verify(bytes_of(token), &claims), 0);
    assert_string_equal(claims.claims_json, "{\"exp\":1700000060,\"iat\":1700000000,\"n\":[1],\"sub\":\"ann\"}");
    token_claims_done(&claims);
    free(token);
    assert_int_equal(token_sign(SECRET, "ann", NOW, 0, NULL, &token), 0);
    assert_int_equal(verify(bytes_of(token), &claims), 0);
    assert_int_equal(claims.expires_at, 0);
    token_claims_done(&claims);
    free(token);
}

static void test_refuses_to_sign_nonsense(void **state)
{
    (void)state;
    char *token = NULL, user[129] = "";
    memset(user, 'u', 128);
    assert_int_equal(token_sign(SECRET, user, NOW, 60, NULL, &token), -EINVAL);
    assert_int_equal(token_sign(SECRET, "a\xff", NOW, 60, NULL, &token), -EINVAL);
    assert_int_equal(token_sign(SECRET, "ann", NOW, 60, "[]", &token), -EINVAL);
    assert_int_equal(token_sign(SECRET, "ann", NOW, 60, "{", &token), -EINVAL);
    assert_int_equal(token_sign("", "ann", NOW, 60, NULL, &token), -EINVAL);
    assert_null(token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts_the_three_hmacs),  cmocka_unit_test(test_refuses_no_algorithm),
        cmocka_unit_test(test_refuses_key_confusion),    cmocka_unit_test(test_refuses_every_changed_byte),
        cmocka_unit_test(test_refuses_the_wrong_secret), cmocka_unit_test(test_times_have_a_leeway),
        cmocka_unit_test(test_user_is_a_short_text),     cmocka_unit_test(test_signs_what_it_verifies),
        cmocka_unit_test(test_refuses_to_sign_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
