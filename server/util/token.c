#include "token.h"

#include <errno.h>
#include <jansson.h>
#include <jwt.h>
#include <stdlib.h>

static void free_json(json_t **json)
{
    json_decref(*json);
}

static void free_jwt(jwt_t **jwt)
{
    jwt_free(*jwt);
}

#define CLEANUP_JSON __attribute__((cleanup(free_json))) json_t
#define CLEANUP_JWT  __attribute__((cleanup(free_jwt))) jwt_t

static int refuse(int error, const char *reason, const char **ret_reason)
{
    *ret_reason = reason;
    return error;
}

/* Verifies the signature. libjwt takes the algorithm from the token's header, so what it took is checked afterwards:
 * neither `none` nor a public-key algorithm fed with our secret counts. */
static jwt_t *decode(const char *secret, struct bytes token, const char **ret_reason)
{
    jwt_t *jwt = NULL;
    if (token.len == 0 || token.len > TOKEN_LIMIT_BYTES || memchr(token.data, 0, token.len)) {
        *ret_reason = "no token";
        return NULL;
    }
    char *text = bytes_dup(token);
    int r = jwt_decode(&jwt, text, (const unsigned char *)secret, (int)strlen(secret));
    free(text);
    if (r) {
        *ret_reason = "malformed or wrong signature";
        return NULL;
    }
    jwt_alg_t alg = jwt_get_alg(jwt);
    if (alg == JWT_ALG_HS256 || alg == JWT_ALG_HS384 || alg == JWT_ALG_HS512)
        return jwt;
    *ret_reason = "algorithm is not HS256, HS384 or HS512";
    jwt_free(jwt);
    return NULL;
}

/* NumericDate: seconds, fractions allowed. False when the claim is there and is none. */
static bool read_time(const json_t *claims, const char *name, bool *ret_given, double *ret_s)
{
    const json_t *value = json_object_get(claims, name);
    *ret_given = value != NULL;
    if (!value)
        return true;
    *ret_s = json_number_value(value);
    return json_is_number(value) && *ret_s >= 0 && *ret_s < 1e15;
}

static int check_times(const json_t *claims, int64_t now_s, int64_t leeway_s, int64_t *ret_expires_at,
                       const char **ret_reason)
{
    double expires = 0, begins = 0;
    bool has_expiry, has_begin;
    if (!read_time(claims, "exp", &has_expiry, &expires) || !read_time(claims, "nbf", &has_begin, &begins))
        return refuse(-EACCES, "exp or nbf is no time", ret_reason);
    if (has_expiry && (double)now_s >= expires + (double)leeway_s)
        return refuse(-EKEYEXPIRED, "expired", ret_reason);
    if (has_begin && (double)now_s < begins - (double)leeway_s)
        return refuse(-EKEYEXPIRED, "not valid yet", ret_reason);
    /* exp 0 was refused above unless the clock stands at 1970; 0 is left to mean "never". */
    *ret_expires_at = has_expiry ? (int64_t)expires : 0;
    return 0;
}

static int read_user(const json_t *claims, struct token_claims *c, const char **ret_reason)
{
    const json_t *sub = json_object_get(claims, "sub");
    size_t len = sub ? json_string_length(sub) : 0;
    if (sub && (!json_is_string(sub) || len >= sizeof c->user || strlen(json_string_value(sub)) != len))
        return refuse(-EACCES, "sub is no text of 127 bytes at most", ret_reason);
    if (len)
        memcpy(c->user, json_string_value(sub), len);
    return 0;
}

int token_verify(const char *secret, struct bytes token, int64_t now_s, int64_t leeway_s, struct token_claims *ret,
                 const char **ret_reason)
{
    struct token_claims claims = {0};
    CLEANUP_JWT *jwt = secret[0] ? decode(secret, token, ret_reason) : NULL;
    if (!jwt)
        return secret[0] ? -EACCES : refuse(-EACCES, "no secret", ret_reason);
    char *text = jwt_get_grants_json(jwt, NULL);
    CLEANUP_JSON *json = text ? json_loads(text, 0, NULL) : NULL;
    free(text);
    if (!json_is_object(json))
        return refuse(-EACCES, "claims are no object", ret_reason);
    int r = check_times(json, now_s, leeway_s, &claims.expires_at, ret_reason);
    if (r == 0)
        r = read_user(json, &claims, ret_reason);
    if (r < 0)
        return r;
    claims.claims_json = json_dumps(json, JSON_COMPACT);
    *ret = claims;
    return 0;
}

void token_claims_done(struct token_claims *claims)
{
    free(claims->claims_json);
    *claims = (struct token_claims){0};
}

static json_t *build_claims(const char *user, int64_t now_s, int64_t ttl_s, const char *claims_json)
{
    json_t *claims = claims_json ? json_loads(claims_json, JSON_REJECT_DUPLICATES, NULL) : json_object();
    if (!json_is_object(claims) || strlen(user) >= sizeof((struct token_claims *)0)->user) {
        json_decref(claims);
        return NULL;
    }
    int r =
        json_object_set_new(claims, "sub", json_string(user)) | json_object_set_new(claims, "iat", json_integer(now_s));
    if (ttl_s)
        r |= json_object_set_new(claims, "exp", json_integer(now_s + ttl_s));
    if (r == 0)
        return claims;
    json_decref(claims); /* a user that is not UTF-8 */
    return NULL;
}

int token_sign(const char *secret, const char *user, int64_t now_s, int64_t ttl_s, const char *claims_json,
               char **ret_token)
{
    CLEANUP_JSON *claims = build_claims(user, now_s, ttl_s, claims_json);
    CLEANUP_JWT *jwt = NULL;
    if (!claims || !secret[0] || jwt_new(&jwt))
        return -EINVAL;
    char *text = json_dumps(claims, JSON_COMPACT);
    int r = jwt_add_grants_json(jwt, text);
    free(text);
    if (r || jwt_set_alg(jwt, JWT_ALG_HS256, (const unsigned char *)secret, (int)strlen(secret)))
        return -EINVAL;
    char *token = jwt_encode_str(jwt);
    if (!token)
        return -EINVAL;
    *ret_token = xstrdup(token);
    free(token);
    return 0;
}
