/* JSON Web Tokens of sessions: HS256, HS384 and HS512 with one secret, nothing else.
 *
 * Pure functions; token_claims_done() frees what token_verify() gave. The detailed reason is for the log: a client is
 * told the same words whatever was wrong. */
#ifndef CRIER_UTIL_TOKEN_H
#define CRIER_UTIL_TOKEN_H

#include "bytes.h"

#define TOKEN_LIMIT_BYTES 8192
#define TOKEN_LEEWAY_S    5 /* between the clocks of who signs and who verifies */

struct token_claims {
    char user[128];     /* sub; "" without one */
    char *claims_json;  /* the whole object, compact */
    int64_t expires_at; /* exp, seconds since 1970 UTC; 0 never */
};

/* -EACCES: malformed, wrong algorithm or signature, unusable claims; -EKEYEXPIRED: past exp or before nbf, so a new
 * token may help. `ret` is untouched then; `ret_reason` is a constant. */
CRIER_API int token_verify(const char *secret, struct bytes token, int64_t now_s, int64_t leeway_s,
                           struct token_claims *ret, const char **ret_reason);
CRIER_API void token_claims_done(struct token_claims *claims);

/* HS256. `ttl_s` 0: never expires. `claims_json`: an object of more claims, NULL none; sub, iat and exp are set over
 * it. -EINVAL when it is no object or the user is too long. */
CRIER_API int token_sign(const char *secret, const char *user, int64_t now_s, int64_t ttl_s, const char *claims_json,
                         char **ret_token);

#endif
