/* JSON Web Tokens as bytes (RFC 7515, 7518): signature and algorithm, not what the claims mean.
 *
 *     valid:   eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.SIGNATURE
 *     invalid: two parts or four, padding, bits left over, a header with `crit`, `alg` "none" in any spelling
 * A key is only used for algorithms of its own kind, so a public key is never the secret of an HMAC. Pure functions. */
#ifndef CRIER_AUTH_JWT_H
#define CRIER_AUTH_JWT_H

#include "util/key_set.h"

/* The reason when no key of the token's kind and id is there: reading the keys again may help. */
CRIER_API extern const char JWT_UNKNOWN_KEY[];

struct jwt_keys {
    const char *secret;            /* HS256, HS384, HS512; NULL none */
    const struct key_set *sets[2]; /* NULL none */
};

/* -EACCES with a constant reason; else the claims' text is appended. */
CRIER_API int jwt_verify(struct bytes token, const struct jwt_keys *keys, struct buf *ret_claims,
                         const char **ret_reason);

struct jwt_signer {
    const char *algorithm; /* "HS256", "RS256", ...; NULL: the usual one of the key, HS256 for a secret */
    const char *key_id;    /* NULL none */
    const char *secret;    /* or */
    EVP_PKEY *key;         /* a private one */
};

/* Appends the token. -EINVAL with a constant reason when algorithm and key do not fit. */
CRIER_API int jwt_sign(const struct jwt_signer *signer, struct bytes claims, struct buf *ret_token,
                       const char **ret_reason);

#endif
