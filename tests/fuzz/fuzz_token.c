/* Any bytes as a token, as claims, and as keys; the first byte says which. Claims that are accepted have to point into
 * memory of their own. */
#include "auth/claims.h"
#include "auth/jwt.h"

#include <stdlib.h>

#define SECRET "0123456789abcdef0123456789abcdef"
#define NOW    1700000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static volatile unsigned char sink;

/* Reads every byte, for the sanitizer. */
static void touch(struct bytes b)
{
    for (size_t i = 0; i < b.len; i++)
        sink ^= (unsigned char)b.data[i];
}

static void read_claims(struct bytes text)
{
    static char none[] = "", issuer[] = "me";
    const struct config_auth plain = {.audience = none, .issuer = none, .leeway_ms = 5000};
    const struct config_auth narrow = {.audience = issuer, .issuer = issuer};
    struct auth_claims c = {0};
    const char *reason = NULL;
    require(claims_read(&narrow, text, NOW, &c, &reason) == 0 || reason);
    auth_claims_done(&c);
    if (claims_read(&plain, text, NOW, &c, &reason) < 0)
        return;
    const struct bytes views[] = {c.id, c.info, c.meta, c.channel, c.client};
    for (size_t i = 0; i < sizeof views / sizeof *views; i++)
        touch(views[i]);
    for (size_t i = 0; i < c.subscription_count; i++) {
        touch(c.subscriptions[i].channel);
        touch(c.subscriptions[i].info);
        touch(c.subscriptions[i].data);
    }
    require(strlen(c.user) < sizeof c.user && c.expires_at >= 0);
    auth_claims_done(&c);
}

/* Claims that are signed come out as they went in; whatever else is given is refused with a reason. */
static void verify(struct bytes text, const struct key_set *set)
{
    CLEANUP_BUF token = BUF_INIT, claims = BUF_INIT;
    const struct jwt_keys keys = {.secret = SECRET, .sets = {set}};
    const struct jwt_signer signer = {.secret = SECRET};
    const char *reason = NULL;
    require(jwt_verify(text, &keys, &claims, &reason) == 0 || reason);
    claims.len = 0;
    require(jwt_sign(&signer, text, &token, &reason) == 0);
    require(jwt_verify(buf_bytes(&token), &keys, &claims, &reason) == 0 && bytes_eq(buf_bytes(&claims), text));
}

static void read_keys(struct bytes text, int (*add)(struct key_set *, struct bytes, const char **))
{
    struct key_set *set = key_set_new();
    const char *reason = NULL;
    if (add(set, text, &reason) < 0)
        require(reason && set->count == 0);
    else
        verify(BYTES_LIT("eyJhbGciOiJSUzI1NiJ9.e30.AAAA"), set);
    key_set_unref(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct bytes text = {(const char *)data + 1, size - 1};
    switch (data[0] & 3) {
    case 0:
        verify(text, NULL);
        break;
    case 1:
        read_claims(text);
        break;
    case 2:
        read_keys(text, key_set_add_jwks);
        break;
    default:
        read_keys(text, key_set_add_pem);
    }
    return 0;
}
