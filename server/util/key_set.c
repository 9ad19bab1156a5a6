#include "key_set.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>

#include "base64.h"

struct key_set *key_set_new(void)
{
    struct key_set *s = xcalloc(1, sizeof *s);
    atomic_init(&s->refs, 1);
    return s;
}

struct key_set *key_set_ref(struct key_set *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void key_set_unref(struct key_set *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < s->count; i++) {
        EVP_PKEY_free(s->keys[i].key);
        free(s->keys[i].id);
        free(s->keys[i].algorithm);
    }
    free(s);
}

/* ---- taking a key ---- */

static int curve_bits(const EVP_PKEY *key)
{
    static const struct {
        const char *name;
        int bits;
    } curves[] = {{"prime256v1", 256}, {"P-256", 256},     {"secp384r1", 384},
                  {"P-384", 384},      {"secp521r1", 521}, {"P-521", 521}};
    char name[64];
    if (EVP_PKEY_get_group_name(key, name, sizeof name, NULL) != 1)
        return 0;
    for (size_t i = 0; i < sizeof curves / sizeof *curves; i++)
        if (strcmp(name, curves[i].name) == 0)
            return curves[i].bits;
    return 0;
}

/* What the key is good for; a reason when for nothing here. */
static const char *classify(const EVP_PKEY *key, struct verify_key *ret)
{
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
        ret->kind = KEY_RSA;
        return EVP_PKEY_get_bits(key) < KEY_RSA_MIN_BITS ? "an RSA key of fewer than 2048 bits" : NULL;
    case EVP_PKEY_EC:
        ret->kind = KEY_EC;
        ret->curve_bits = curve_bits(key);
        return ret->curve_bits ? NULL : "an EC key on another curve than P-256, P-384, P-521";
    case EVP_PKEY_ED25519:
        ret->kind = KEY_ED25519;
        return NULL;
    default:
        return "a key that is not RSA, EC or Ed25519";
    }
}

bool key_classify(const EVP_PKEY *key, struct verify_key *ret)
{
    return !classify(key, ret);
}

/* Takes the reference of `key`. */
static const char *take_key(struct key_set *s, EVP_PKEY *key, const char *id, const char *algorithm)
{
    struct verify_key entry = {.key = key};
    const char *fault = s->count == KEY_SET_MAX ? "more than 64 keys" : classify(key, &entry);
    if (fault) {
        EVP_PKEY_free(key);
        return fault;
    }
    entry.id = xstrdup(id);
    entry.algorithm = xstrdup(algorithm);
    s->keys[s->count++] = entry;
    return NULL;
}

/* ---- PEM ---- */

/* Nobody is asked for a passphrase. */
static int no_passphrase(char *out, int size, int writing, void *arg)
{
    (void)out, (void)size, (void)writing, (void)arg;
    return -1;
}

int key_set_add_pem(struct key_set *s, struct bytes text, const char **ret_reason)
{
    size_t before = s->count;
    const char *fault = NULL;
    BIO *bio = BIO_new_mem_buf(text.data ? text.data : "", (int)text.len);
    EVP_PKEY *key;
    while (bio && (key = PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL))) {
        const char *reason = take_key(s, key, NULL, NULL);
        fault = fault ? fault : reason;
    }
    BIO_free(bio);
    ERR_clear_error();
    if (s->count > before)
        return 0;
    *ret_reason = fault ? fault : "no public key in PEM";
    return -EINVAL;
}

/* ---- JSON Web Keys ---- */

static void done_json(json_t **json)
{
    json_decref(*json);
}

static const char *member(const json_t *key, const char *name)
{
    return json_string_value(json_object_get(key, name));
}

/* A number or a coordinate: base64url of its bytes. */
static bool decode_member(const json_t *key, const char *name, struct buf *ret)
{
    const char *text = member(key, name);
    return text && text[0] && base64url_decode(bytes_of(text), ret) == 0 && ret->len <= 2048;
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *build)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (params && context && EVP_PKEY_fromdata_init(context) == 1)
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params);
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(params);
    return key;
}

static EVP_PKEY *rsa_key(const json_t *jwk)
{
    CLEANUP_BUF n = BUF_INIT, e = BUF_INIT;
    if (!decode_member(jwk, "n", &n) || !decode_member(jwk, "e", &e) || e.len > 8)
        return NULL;
    BIGNUM *modulus = BN_bin2bn((const unsigned char *)n.data, (int)n.len, NULL);
    BIGNUM *exponent = BN_bin2bn((const unsigned char *)e.data, (int)e.len, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
        key = from_params("RSA", build);
    OSSL_PARAM_BLD_free(build);
    BN_free(modulus);
    BN_free(exponent);
    return key;
}

/* Coordinates have the length of the curve's field, zeros in front included (RFC 7518, 6.2.1.2). */
static EVP_PKEY *ec_key(const json_t *jwk)
{
    static const struct {
        const char *name;
        size_t bytes;
    } curves[] = {{"P-256", 32}, {"P-384", 48}, {"P-521", 66}};
    const char *name = member(jwk, "crv");
    CLEANUP_BUF point = BUF_INIT;
    size_t i = 0;
    while (i < 3 && (!name || strcmp(name, curves[i].name) != 0))
        i++;
    buf_append(&point, "\x04", 1);
    if (i == 3 || !decode_member(jwk, "x", &point) || point.len != 1 + curves[i].bytes ||
        !decode_member(jwk, "y", &point) || point.len != 1 + 2 * curves[i].bytes)
        return NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, curves[i].name, 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point.data, point.len) == 1)
        key = from_params("EC", build);
    OSSL_PARAM_BLD_free(build);
    return key;
}

static EVP_PKEY *okp_key(const json_t *jwk)
{
    const char *curve = member(jwk, "crv");
    CLEANUP_BUF x = BUF_INIT;
    if (!curve || strcmp(curve, "Ed25519") != 0 || !decode_member(jwk, "x", &x))
        return NULL;
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)x.data, x.len);
}

static const char *add_jwk(struct key_set *s, const json_t *jwk)
{
    static const struct {
        const char *type;
        EVP_PKEY *(*make)(const json_t *jwk);
    } types[] = {{"RSA", rsa_key}, {"EC", ec_key}, {"OKP", okp_key}};
    const char *type = member(jwk, "kty"), *use = member(jwk, "use");
    size_t i = 0;
    while (i < 3 && (!type || strcmp(type, types[i].type) != 0))
        i++;
    if (i == 3)
        return "a key that is not RSA, EC or OKP"; /* a secret, for one: those have a file of their own */
    if (use && strcmp(use, "sig") != 0)
        return "a key that is not for signatures";
    EVP_PKEY *key = types[i].make(jwk);
    return key ? take_key(s, key, member(jwk, "kid"), member(jwk, "alg")) : "a malformed key";
}

int key_set_add_jwks(struct key_set *s, struct bytes text, const char **ret_reason)
{
    __attribute__((cleanup(done_json))) json_t *root =
        json_loadb(text.data ? text.data : "", text.len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *list = json_object_get(root, "keys"), *jwk;
    size_t before = s->count, i;
    const char *fault = json_is_array(list) ? "a set without keys" : "not a JSON Web Key Set";

    json_array_foreach(list, i, jwk)
    {
        const char *reason = add_jwk(s, jwk);
        fault = reason ? reason : fault;
    }
    ERR_clear_error();
    if (s->count > before)
        return 0;
    *ret_reason = fault;
    return -EINVAL;
}

int key_file_read(const char *path, struct buf *ret, const char **ret_reason)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        int error = errno;
        *ret_reason = strerror(error);
        return -error;
    }
    buf_reserve(ret, KEY_FILE_LIMIT + 1);
    size_t got = fread(ret->data + ret->len, 1, KEY_FILE_LIMIT + 1, file);
    int error = ferror(file) ? errno : got > KEY_FILE_LIMIT ? EFBIG : 0;
    fclose(file);
    if (error) {
        *ret_reason = strerror(error);
        return -error;
    }
    ret->len += got;
    return 0;
}
