/* Who a client is: JSON Web Tokens of sessions and of single channels, verified with the configured secret and keys.
 *
 * Made at start and shared by all threads; a key set that was read again takes the old one's place as a whole. Claims
 * are the caller's until auth_claims_done(). The detailed reason of a refusal is for the log: a client is told the same
 * words whatever was wrong. */
#ifndef CRIER_AUTH_AUTH_H
#define CRIER_AUTH_AUTH_H

#include "config/config.h"

#define AUTH_TOKEN_LIMIT_BYTES 16384

struct auth;

/* An option of the namespace that a token sets for one subscription. */
enum auth_override { AUTH_AS_CONFIGURED, AUTH_OFF, AUTH_ON };

static inline bool auth_overridden(enum auth_override by, bool configured)
{
    return by == AUTH_AS_CONFIGURED ? configured : by == AUTH_ON;
}

/* What the token of a session subscribes it to. Absent bytes have data NULL. */
struct auth_subscription {
    struct bytes channel;
    struct bytes info; /* JSON, for presence */
    struct bytes data; /* JSON, or any bytes from b64data */
    enum auth_override presence, join_leave, push_join_leave, force_recovery, force_positioning;
};

struct auth_claims {
    char user[128];       /* sub; "" without one */
    char *claims_json;    /* the whole object as it was signed, NUL-terminated */
    int64_t expires_at;   /* seconds since 1970 UTC: expire_at, else exp; 0 never */
    int64_t issued_at;    /* iat; 0 without one */
    struct bytes id;      /* jti */
    struct bytes info;    /* JSON, or any bytes from b64info */
    struct bytes meta;    /* JSON object */
    struct bytes channel; /* data NULL: the token of a session, else of a subscription to this channel */
    struct bytes client;  /* of a channel token: the one session that may use it */
    struct auth_subscription *subscriptions; /* of `subs`; without it of `channels` */
    size_t subscription_count;
    struct buf memory; /* of the views above that are not in claims_json */
};

/* Reads the keys; starts the thread that reads them again where the configuration says so. NULL with a reason. */
CRIER_API struct auth *auth_new(const struct config *config, char *error, size_t error_size);
CRIER_API void auth_free(struct auth *a); /* accepts NULL; after the last auth_verify() */
/* Whether any kind of token could be valid: a secret or a key is configured. */
CRIER_API bool auth_enabled(const struct auth *a);

/* 0. -EACCES: malformed, unknown key or algorithm, wrong signature, unusable claims, another audience or issuer.
 * -EKEYEXPIRED: past exp or before nbf, so a new token may help. `ret` is untouched then; `ret_reason` is a constant. */
CRIER_API int auth_verify(struct auth *a, struct bytes token, int64_t now_s, struct auth_claims *ret,
                          const char **ret_reason);
CRIER_API void auth_claims_done(struct auth_claims *claims);

#endif
