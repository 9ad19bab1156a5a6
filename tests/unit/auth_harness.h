/* Tokens and keys made by hand with OpenSSL, so that the tests do not believe the code under test. */
#ifndef AUTH_HARNESS_H
#define AUTH_HARNESS_H

#include <errno.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/auth.h"

#define NOW    1700000000
#define SECRET "0123456789abcdef0123456789abcdef"

static inline void append_base64url(struct buf *out, const void *data, size_t len)
{
    unsigned char *text = malloc(len * 4 / 3 + 8);
    int n = EVP_EncodeBlock(text, data, (int)len);
    while (n > 0 && text[n - 1] == '=')
        n--;
    for (int i = 0; i < n; i++)
        text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
    buf_append(out, text, (size_t)n);
    free(text);
}

static inline struct buf unsigned_token(const char *header, const char *claims)
{
    struct buf token = BUF_INIT;
    append_base64url(&token, header, strlen(header));
    buf_append_str(&token, ".");
    append_base64url(&token, claims, strlen(claims));
    return token;
}

static inline struct buf hmac_token(const char *header, const char *claims, const EVP_MD *md, const char *secret)
{
    struct buf token = unsigned_token(header, claims);
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    if (md)
        HMAC(md, secret, (int)strlen(secret), (const unsigned char *)token.data, token.len, mac, &mac_len);
    buf_append_str(&token, ".");
    if (mac_len)
        append_base64url(&token, mac, mac_len);
    return token;
}

/* The signature as OpenSSL gives it. */
static inline struct buf raw_signature(EVP_PKEY *key, const EVP_MD *md, bool pss, struct bytes text)
{
    unsigned char signature[1024];
    size_t len = sizeof signature;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *key_context = NULL;
    struct buf out = BUF_INIT;
    assert_int_equal(EVP_DigestSignInit(context, &key_context, md, NULL, key), 1);
    if (pss) {
        EVP_PKEY_CTX_set_rsa_padding(key_context, RSA_PKCS1_PSS_PADDING);
        EVP_PKEY_CTX_set_rsa_pss_saltlen(key_context, RSA_PSS_SALTLEN_DIGEST);
    }
    assert_int_equal(EVP_DigestSign(context, signature, &len, (const unsigned char *)text.data, text.len), 1);
    EVP_MD_CTX_free(context);
    buf_append(&out, signature, len);
    return out;
}

/* DER to the two numbers side by side, each of `half` bytes. */
static inline void to_numbers(struct buf *signature, int half)
{
    const unsigned char *at = (const unsigned char *)signature->data;
    unsigned char numbers[200];
    ECDSA_SIG *parsed = d2i_ECDSA_SIG(NULL, &at, (long)signature->len);
    BN_bn2binpad(ECDSA_SIG_get0_r(parsed), numbers, half);
    BN_bn2binpad(ECDSA_SIG_get0_s(parsed), numbers + half, half);
    ECDSA_SIG_free(parsed);
    signature->len = 0;
    buf_append(signature, numbers, (size_t)(2 * half));
}

struct scheme_case {
    const char *name;
    const EVP_MD *(*md)(void);
    bool pss;
    int half; /* of an ECDSA signature; 0 none */
};

static inline struct buf key_token_with(const char *header, const char *claims, const struct scheme_case *s,
                                        EVP_PKEY *key)
{
    struct buf token = unsigned_token(header, claims);
    CLEANUP_BUF signature = raw_signature(key, s->md ? s->md() : NULL, s->pss, buf_bytes(&token));
    if (s->half)
        to_numbers(&signature, s->half);
    buf_append_str(&token, ".");
    append_base64url(&token, signature.data, signature.len);
    return token;
}

static inline struct buf key_token(const char *claims, const struct scheme_case *s, EVP_PKEY *key, const char *key_id)
{
    char header[200];
    snprintf(header, sizeof header, "{\"alg\":\"%s\",\"typ\":\"JWT\"%s%s%s}", s->name, key_id ? ",\"kid\":\"" : "",
             key_id ? key_id : "", key_id ? "\"" : "");
    return key_token_with(header, claims, s, key);
}

static inline EVP_PKEY *make_key(const char *kind)
{
    if (strncmp(kind, "RSA", 3) == 0)
        return EVP_RSA_gen((unsigned)atoi(kind + 3));
    return strcmp(kind, "Ed25519") == 0 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519") : EVP_EC_gen(kind);
}

static inline void append_number(struct buf *out, const char *name, EVP_PKEY *key, const char *param, int bytes)
{
    BIGNUM *number = NULL;
    unsigned char data[1024];
    assert_int_equal(EVP_PKEY_get_bn_param(key, param, &number), 1);
    int len = bytes ? BN_bn2binpad(number, data, bytes) : BN_bn2bin(number, data);
    buf_printf(out, ",\"%s\":\"", name);
    append_base64url(out, data, (size_t)len);
    buf_append_str(out, "\"");
    BN_free(number);
}

/* One key as JSON; `more` begins with a comma, or is empty. */
static inline void append_jwk(struct buf *out, EVP_PKEY *key, const char *more)
{
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
        buf_append_str(out, "{\"kty\":\"RSA\"");
        append_number(out, "n", key, "n", 0);
        append_number(out, "e", key, "e", 0);
        break;
    case EVP_PKEY_EC: {
        int bits = EVP_PKEY_get_bits(key), bytes = (bits + 7) / 8;
        buf_printf(out, "{\"kty\":\"EC\",\"crv\":\"P-%d\"", bits);
        append_number(out, "x", key, "qx", bytes);
        append_number(out, "y", key, "qy", bytes);
        break;
    }
    default: {
        unsigned char raw[32];
        size_t len = sizeof raw;
        EVP_PKEY_get_raw_public_key(key, raw, &len);
        buf_append_str(out, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"");
        append_base64url(out, raw, len);
        buf_append_str(out, "\"");
    }
    }
    buf_append_str(out, more);
    buf_append_str(out, "}");
}

static inline struct buf jwks_of(EVP_PKEY *key, const char *more)
{
    struct buf set = BUF_INIT;
    buf_append_str(&set, "{\"keys\":[");
    append_jwk(&set, key, more);
    buf_append_str(&set, "]}");
    return set;
}

static inline void write_public_pem(const char *path, EVP_PKEY *const *keys, size_t count)
{
    FILE *file = fopen(path, "w");
    for (size_t i = 0; i < count; i++)
        PEM_write_PUBKEY(file, keys[i]);
    fclose(file);
}

/* In one piece, as who replaces a file of keys should. */
static inline void write_text(const char *path, struct bytes text)
{
    char temporary[300];
    snprintf(temporary, sizeof temporary, "%s.new", path);
    FILE *file = fopen(temporary, "w");
    fwrite(text.data, 1, text.len, file);
    fclose(file);
    assert_int_equal(rename(temporary, path), 0);
}

/* A configuration in which nothing is set. */
static inline struct config plain_config(void)
{
    return (struct config){.auth = {.public_key_file = (char *)"",
                                    .jwks_file = (char *)"",
                                    .jwks_url = (char *)"",
                                    .audience = (char *)"",
                                    .issuer = (char *)"",
                                    .jwks_refresh_ms = 300000,
                                    .leeway_ms = 5000}};
}

static inline struct auth *open_auth(const struct config *config)
{
    char error[300] = "";
    struct auth *a = auth_new(config, error, sizeof error);
    if (!a)
        fail_msg("%s", error);
    return a;
}

static inline int verify_with(struct auth *a, struct bytes token, struct auth_claims *claims)
{
    const char *reason = NULL;
    int r = auth_verify(a, token, NOW, claims, &reason);
    if (r < 0 && !reason)
        fail_msg("refused without a reason");
    return r;
}

static inline int check_token(struct auth *a, struct bytes token)
{
    struct auth_claims claims = {0};
    int r = verify_with(a, token, &claims);
    auth_claims_done(&claims);
    return r;
}

#endif
