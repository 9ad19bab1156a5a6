#include "jwt.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <stdlib.h>

#include "util/base64.h"

const char JWT_UNKNOWN_KEY[] = "no key for this token";

/* ---- algorithms ---- */

enum scheme { SCHEME_HMAC, SCHEME_RSA, SCHEME_RSA_PSS, SCHEME_ECDSA, SCHEME_ED25519 };

struct algorithm {
    const char *name;
    enum scheme scheme;
    const EVP_MD *(*digest)(void);
    int curve_bits;
};

static const struct algorithm algorithms[] = {
    {"HS256", SCHEME_HMAC, EVP_sha256, 0},    {"HS384", SCHEME_HMAC, EVP_sha384, 0},
    {"HS512", SCHEME_HMAC, EVP_sha512, 0},    {"RS256", SCHEME_RSA, EVP_sha256, 0},
    {"RS384", SCHEME_RSA, EVP_sha384, 0},     {"RS512", SCHEME_RSA, EVP_sha512, 0},
    {"PS256", SCHEME_RSA_PSS, EVP_sha256, 0}, {"PS384", SCHEME_RSA_PSS, EVP_sha384, 0},
    {"PS512", SCHEME_RSA_PSS, EVP_sha512, 0}, {"ES256", SCHEME_ECDSA, EVP_sha256, 256},
    {"ES384", SCHEME_ECDSA, EVP_sha384, 384}, {"ES512", SCHEME_ECDSA, EVP_sha512, 521},
    {"EdDSA", SCHEME_ED25519, NULL, 0},
};
#define ALGORITHM_COUNT (sizeof algorithms / sizeof *algorithms)

static const struct algorithm *find_algorithm(const char *name)
{
    for (size_t i = 0; name && i < ALGORITHM_COUNT; i++)
        if (strcmp(name, algorithms[i].name) == 0)
            return &algorithms[i];
    return NULL;
}

static bool fits_key(const struct algorithm *a, const struct verify_key *key)
{
    switch (a->scheme) {
    case SCHEME_RSA:
    case SCHEME_RSA_PSS:
        return key->kind == KEY_RSA;
    case SCHEME_ECDSA:
        return key->kind == KEY_EC && key->curve_bits == a->curve_bits;
    case SCHEME_ED25519:
        return key->kind == KEY_ED25519;
    default:
        return false;
    }
}

static const EVP_MD *digest_of(const struct algorithm *a)
{
    return a->digest ? a->digest() : NULL;
}

/* Bytes of each of the two numbers that a signature of ECDSA is in a token. */
static size_t number_bytes(const struct algorithm *a)
{
    return (size_t)(a->curve_bits + 7) / 8;
}

static bool set_padding(const struct algorithm *a, EVP_PKEY_CTX *context)
{
    if (a->scheme != SCHEME_RSA_PSS)
        return true;
    return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

/* ---- the parts of a token ---- */

struct parts {
    struct bytes header, claims, signature, signed_text;
};

static bool split(struct bytes token, struct parts *ret)
{
    const char *end = token.data + token.len;
    const char *first = token.len ? memchr(token.data, '.', token.len) : NULL;
    const char *second = first ? memchr(first + 1, '.', (size_t)(end - first - 1)) : NULL;
    if (!second || memchr(second + 1, '.', (size_t)(end - second - 1)))
        return false;
    ret->header = (struct bytes){token.data, (size_t)(first - token.data)};
    ret->claims = (struct bytes){first + 1, (size_t)(second - first - 1)};
    ret->signature = (struct bytes){second + 1, (size_t)(end - second - 1)};
    ret->signed_text = (struct bytes){token.data, (size_t)(second - token.data)};
    return true;
}

static void done_json(json_t **json)
{
    json_decref(*json);
}

static void free_text(char **text)
{
    free(*text);
}

static const char *read_header(struct bytes encoded, const struct algorithm **ret_algorithm, char **ret_key_id)
{
    CLEANUP_BUF text = BUF_INIT;
    if (base64url_decode(encoded, &text) < 0)
        return "the header is not base64url";
    __attribute__((cleanup(done_json))) json_t *header =
        json_loadb(buf_bytes(&text).data, text.len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(header))
        return "the header is no JSON object";
    const json_t *key_id = json_object_get(header, "kid");
    if (json_object_get(header, "crit"))
        return "the header asks for an extension";
    if (key_id && !json_is_string(key_id))
        return "kid is no text";
    *ret_algorithm = find_algorithm(json_string_value(json_object_get(header, "alg")));
    if (!*ret_algorithm)
        return "unknown algorithm, or none";
    *ret_key_id = xstrdup(json_string_value(key_id));
    return NULL;
}

/* ---- verifying ---- */

static bool verify_hmac(const struct algorithm *a, const char *secret, struct bytes text, struct bytes signature)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (!HMAC(a->digest(), secret, (int)strlen(secret), (const unsigned char *)text.data, text.len, mac, &len))
        return false;
    return signature.len == len && CRYPTO_memcmp(mac, signature.data, len) == 0;
}

/* The two numbers side by side, as a token has them, to the structure that OpenSSL verifies. -1 when they do not fit. */
static int numbers_to_der(const struct algorithm *a, struct bytes raw, unsigned char **ret)
{
    size_t half = number_bytes(a);
    if (raw.len != 2 * half)
        return -1;
    ECDSA_SIG *signature = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn((const unsigned char *)raw.data, (int)half, NULL);
    BIGNUM *s = BN_bin2bn((const unsigned char *)raw.data + half, (int)half, NULL);
    ECDSA_SIG_set0(signature, r, s);
    int len = i2d_ECDSA_SIG(signature, ret);
    ECDSA_SIG_free(signature);
    return len;
}

static bool verify_public(const struct algorithm *a, EVP_PKEY *key, struct bytes text, struct bytes signature)
{
    unsigned char *der = NULL;
    const unsigned char *given = (const unsigned char *)signature.data;
    size_t len = signature.len;
    if (a->scheme == SCHEME_ECDSA) {
        int der_len = numbers_to_der(a, signature, &der);
        if (der_len < 0)
            return false;
        given = der;
        len = (size_t)der_len;
    }
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *key_context = NULL;
    bool good = EVP_DigestVerifyInit(context, &key_context, digest_of(a), NULL, key) == 1 &&
                set_padding(a, key_context) &&
                EVP_DigestVerify(context, given, len, (const unsigned char *)text.data, text.len) == 1;
    EVP_MD_CTX_free(context);
    OPENSSL_free(der);
    ERR_clear_error();
    return good;
}

/* Key ids that differ rule each other out; a key or a token without one goes with all. */
static bool is_candidate(const struct verify_key *k, const struct algorithm *a, const char *key_id)
{
    return fits_key(a, k) && (!k->algorithm || strcmp(k->algorithm, a->name) == 0) &&
           (!key_id || !k->id || strcmp(k->id, key_id) == 0);
}

static const char *verify_signature(const struct algorithm *a, const char *key_id, const struct jwt_keys *keys,
                                    struct bytes text, struct bytes signature)
{
    bool tried = false;
    if (a->scheme == SCHEME_HMAC) {
        if (!keys->secret || !keys->secret[0])
            return "no secret is configured for this algorithm";
        return verify_hmac(a, keys->secret, text, signature) ? NULL : "wrong signature";
    }
    for (size_t i = 0; i < sizeof keys->sets / sizeof *keys->sets; i++)
        for (size_t k = 0; keys->sets[i] && k < keys->sets[i]->count; k++) {
            const struct verify_key *key = &keys->sets[i]->keys[k];
            if (!is_candidate(key, a, key_id))
                continue;
            if (verify_public(a, key->key, text, signature))
                return NULL;
            tried = true;
        }
    return tried ? "wrong signature" : JWT_UNKNOWN_KEY;
}

int jwt_verify(struct bytes token, const struct jwt_keys *keys, struct buf *ret_claims, const char **ret_reason)
{
    CLEANUP_BUF signature = BUF_INIT;
    __attribute__((cleanup(free_text))) char *key_id = NULL;
    const struct algorithm *a = NULL;
    struct parts parts;
    const char *fault = split(token, &parts) ? read_header(parts.header, &a, &key_id) : "not three parts";
    if (!fault && base64url_decode(parts.signature, &signature) < 0)
        fault = "the signature is not base64url";
    if (!fault)
        fault = verify_signature(a, key_id, keys, parts.signed_text, buf_bytes(&signature));
    if (!fault && base64url_decode(parts.claims, ret_claims) < 0)
        fault = "the claims are not base64url";
    if (!fault)
        return 0;
    *ret_reason = fault;
    return -EACCES;
}

/* ---- signing ---- */

static bool sign_hmac(const struct algorithm *a, const char *secret, struct bytes text, struct buf *ret)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (!HMAC(a->digest(), secret, (int)strlen(secret), (const unsigned char *)text.data, text.len, mac, &len))
        return false;
    buf_append(ret, mac, len);
    return true;
}

static bool der_to_numbers(const struct algorithm *a, struct buf *signature)
{
    const unsigned char *at = (const unsigned char *)signature->data;
    int half = (int)number_bytes(a);
    ECDSA_SIG *parsed = d2i_ECDSA_SIG(NULL, &at, (long)signature->len);
    unsigned char numbers[2 * 66];
    bool good = parsed && BN_bn2binpad(ECDSA_SIG_get0_r(parsed), numbers, half) == half &&
                BN_bn2binpad(ECDSA_SIG_get0_s(parsed), numbers + half, half) == half;
    ECDSA_SIG_free(parsed);
    signature->len = 0;
    if (good)
        buf_append(signature, numbers, (size_t)(2 * half));
    return good;
}

static bool sign_private(const struct algorithm *a, EVP_PKEY *key, struct bytes text, struct buf *ret)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *key_context = NULL;
    const unsigned char *in = (const unsigned char *)text.data;
    size_t len = 0;
    bool good = EVP_DigestSignInit(context, &key_context, digest_of(a), NULL, key) == 1 &&
                set_padding(a, key_context) && EVP_DigestSign(context, NULL, &len, in, text.len) == 1;
    if (good) {
        buf_reserve(ret, len);
        good = EVP_DigestSign(context, (unsigned char *)ret->data, &len, in, text.len) == 1;
        ret->len = good ? len : 0;
    }
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return good && (a->scheme != SCHEME_ECDSA || der_to_numbers(a, ret));
}

/* The first algorithm of the table that the key can do. */
static const struct algorithm *algorithm_for(const struct jwt_signer *s)
{
    struct verify_key kind = {.key = s->key};
    if (!s->secret && !key_classify(s->key, &kind))
        return NULL;
    for (size_t i = 0; i < ALGORITHM_COUNT; i++) {
        const struct algorithm *a = &algorithms[i];
        bool fits = s->secret ? a->scheme == SCHEME_HMAC : fits_key(a, &kind);
        if (fits && (!s->algorithm || strcmp(s->algorithm, a->name) == 0))
            return a;
    }
    return NULL;
}

static void append_header(const struct algorithm *a, const char *key_id, struct buf *token)
{
    CLEANUP_BUF header = BUF_INIT;
    buf_printf(&header, "{\"alg\":\"%s\",\"typ\":\"JWT\"", a->name);
    if (key_id) {
        buf_append_str(&header, ",\"kid\":");
        buf_append_json_string(&header, bytes_of(key_id));
    }
    buf_append_str(&header, "}");
    base64url_append(token, buf_bytes(&header));
}

int jwt_sign(const struct jwt_signer *s, struct bytes claims, struct buf *ret_token, const char **ret_reason)
{
    CLEANUP_BUF token = BUF_INIT;
    CLEANUP_BUF signature = BUF_INIT;
    const struct algorithm *a = algorithm_for(s);
    if (!a) {
        *ret_reason = "the key is not for this algorithm";
        return -EINVAL;
    }
    append_header(a, s->key_id, &token);
    buf_append_str(&token, ".");
    base64url_append(&token, claims);
    bool good = s->secret ? sign_hmac(a, s->secret, buf_bytes(&token), &signature)
                          : sign_private(a, s->key, buf_bytes(&token), &signature);
    if (!good) {
        *ret_reason = "signing failed";
        return -EINVAL;
    }
    buf_append_str(&token, ".");
    base64url_append(&token, buf_bytes(&signature));
    buf_append_bytes(ret_token, buf_bytes(&token));
    return 0;
}
