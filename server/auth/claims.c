#include "claims.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/json_scan.h"
#include "util/base64.h"

struct reader {
    struct bytes text; /* the claims that are kept */
    struct auth_claims *claims;
    const char *fault;
};

static int fault(struct reader *r, const char *reason)
{
    r->fault = reason;
    return -EACCES;
}

/* A claim that is there and not null. One that stands twice is refused: programs differ in which of them counts. */
static bool get(struct reader *r, struct bytes object, const char *name, struct bytes *ret)
{
    struct bytes raw;
    int error = json_get_raw(object, name, &raw);
    if (error == -EBADMSG)
        fault(r, "a claim stands twice");
    if (error < 0 || bytes_eq_str(raw, "null"))
        return false;
    *ret = raw;
    return true;
}

/* Decoded texts take no more room than they do in the claims, so that much is reserved once and views stay. */
static struct bytes keep_text(struct reader *r, struct bytes raw_string, const char *reason)
{
    struct buf *memory = &r->claims->memory;
    size_t start = memory->len;
    if (json_unescape(raw_string, memory) < 0) {
        fault(r, reason);
        return BYTES_NULL;
    }
    return (struct bytes){memory->data + start, memory->len - start};
}

static struct bytes get_text(struct reader *r, struct bytes object, const char *name, const char *reason)
{
    struct bytes raw;
    return get(r, object, name, &raw) ? keep_text(r, raw, reason) : BYTES_NULL;
}

/* `name` is JSON and taken as it stands, `b64name` any bytes in base64. */
static struct bytes get_payload(struct reader *r, struct bytes object, const char *name, const char *b64name)
{
    CLEANUP_BUF text = BUF_INIT;
    struct bytes raw = BYTES_NULL;
    if (!get(r, object, b64name, &raw)) {
        get(r, object, name, &raw);
        return raw;
    }
    struct buf *memory = &r->claims->memory;
    size_t start = memory->len;
    if (json_unescape(raw, &text) < 0 || base64_decode(buf_bytes(&text), memory) < 0) {
        fault(r, "b64info or b64data is not base64");
        return BYTES_NULL;
    }
    return (struct bytes){memory->data + start, memory->len - start};
}

/* ---- times ---- */

/* NumericDate: seconds, fractions allowed. False without the claim. */
static bool get_time(struct reader *r, const char *name, double *ret_s)
{
    char number[64], *end;
    struct bytes raw;
    if (json_get_raw(r->text, name, &raw) == -ENOENT)
        return false;
    *ret_s = 0;
    if (!get(r, r->text, name, &raw) || raw.len >= sizeof number || !strchr("-0123456789", raw.data[0])) {
        fault(r, "exp, nbf, iat or expire_at is no time");
        return true;
    }
    memcpy(number, raw.data, raw.len);
    number[raw.len] = 0;
    *ret_s = strtod(number, &end);
    if (*end || *ret_s < 0 || *ret_s >= 1e15)
        fault(r, "exp, nbf, iat or expire_at is no time");
    return true;
}

static int read_times(struct reader *r, const struct config_auth *config, int64_t now_s)
{
    double expires = 0, begins = 0, issued = 0, session_ends = 0;
    double leeway_s = (double)config->leeway_ms / 1000;
    bool has_expiry = get_time(r, "exp", &expires), has_begin = get_time(r, "nbf", &begins);
    bool has_end = get_time(r, "expire_at", &session_ends);
    get_time(r, "iat", &issued);
    if (r->fault)
        return -EACCES;
    r->claims->issued_at = (int64_t)issued;
    /* exp 0 is refused below unless the clock stands at 1970; 0 is left to mean "never". */
    r->claims->expires_at = (int64_t)(has_end ? session_ends : has_expiry ? expires : 0);
    if (has_expiry && (double)now_s >= expires + leeway_s)
        r->fault = "expired";
    else if (has_begin && (double)now_s < begins - leeway_s)
        r->fault = "not valid yet";
    return r->fault ? -EKEYEXPIRED : 0;
}

/* ---- for whom and by whom ---- */

static bool names_audience(struct bytes raw, const char *audience)
{
    CLEANUP_BUF text = BUF_INIT;
    struct bytes element;
    if (json_unescape(raw, &text) == 0)
        return bytes_eq_str(buf_bytes(&text), audience);
    struct json_cursor cursor = json_cursor_at(raw, JSON_DEPTH_DEFAULT, JSON_STRICT);
    if (json_enter_array(&cursor) < 0)
        return false;
    while (json_next_element(&cursor, &element) == 0) {
        text.len = 0;
        if (json_unescape(element, &text) == 0 && bytes_eq_str(buf_bytes(&text), audience))
            return true;
    }
    return false;
}

static int read_parties(struct reader *r, const struct config_auth *config)
{
    struct bytes raw;
    if (config->audience[0] && !(get(r, r->text, "aud", &raw) && names_audience(raw, config->audience)))
        return fault(r, "for another audience");
    if (config->issuer[0] && !bytes_eq_str(get_text(r, r->text, "iss", "iss is no text"), config->issuer))
        return fault(r, "of another issuer");
    return 0;
}

static int read_user(struct reader *r)
{
    struct bytes raw, user = get_text(r, r->text, "sub", "sub is no text");
    if (!r->fault && json_get_raw(r->text, "sub", &raw) == 0 && !user.data)
        return fault(r, "sub is no text");
    if (r->fault)
        return -EACCES;
    if (user.len >= sizeof r->claims->user)
        return fault(r, "sub is longer than 127 bytes");
    if (user.len)
        memcpy(r->claims->user, user.data, user.len);
    return 0;
}

/* ---- channels ---- */

static struct auth_subscription *add_subscription(struct auth_claims *c, struct bytes channel)
{
    c->subscriptions = xrealloc(c->subscriptions, (c->subscription_count + 1) * sizeof *c->subscriptions);
    c->subscriptions[c->subscription_count] = (struct auth_subscription){.channel = channel};
    return &c->subscriptions[c->subscription_count++];
}

/* {"presence":{"value":true}} */
static enum auth_override read_override(struct reader *r, struct bytes object, const char *name)
{
    struct bytes option;
    bool value = false;
    if (!get(r, object, name, &option))
        return AUTH_AS_CONFIGURED;
    if (json_get_bool(option, "value", &value) < 0)
        fault(r, "an override is {\"value\": true or false}");
    return value ? AUTH_ON : AUTH_OFF;
}

static void read_overrides(struct reader *r, struct bytes options, struct auth_subscription *s)
{
    struct bytes list;
    if (!get(r, options, "override", &list))
        return;
    s->presence = read_override(r, list, "presence");
    s->join_leave = read_override(r, list, "join_leave");
    s->push_join_leave = read_override(r, list, "force_push_join_leave");
    s->force_recovery = read_override(r, list, "force_recovery");
    s->force_positioning = read_override(r, list, "force_positioning");
}

/* {"chat:lobby":{"info":..,"override":{..}}} */
static int read_subs(struct reader *r, struct bytes object)
{
    struct json_cursor cursor = json_cursor_at(object, JSON_DEPTH_DEFAULT, JSON_STRICT);
    struct json_member m;
    if (json_enter_object(&cursor) < 0)
        return fault(r, "subs is no object");
    while (!r->fault && json_next_member(&cursor, &m) == 0) {
        struct bytes quoted = {m.name.data - 1, m.name.len + 2};
        struct auth_subscription *s = add_subscription(r->claims, keep_text(r, quoted, "a channel's name is no text"));
        if (m.value.data[0] != '{')
            return fault(r, "options in subs are objects");
        s->info = get_payload(r, m.value, "info", "b64info");
        s->data = get_payload(r, m.value, "data", "b64data");
        read_overrides(r, m.value, s);
    }
    return r->fault ? -EACCES : 0;
}

static int read_channel_list(struct reader *r, struct bytes list)
{
    struct json_cursor cursor = json_cursor_at(list, JSON_DEPTH_DEFAULT, JSON_STRICT);
    struct bytes element;
    if (json_enter_array(&cursor) < 0)
        return fault(r, "channels is no list");
    while (!r->fault && json_next_element(&cursor, &element) == 0)
        add_subscription(r->claims, keep_text(r, element, "channels is no list of texts"));
    return r->fault ? -EACCES : 0;
}

static int read_channels(struct reader *r)
{
    struct bytes raw;
    r->claims->channel = get_text(r, r->text, "channel", "channel is no text");
    r->claims->client = get_text(r, r->text, "client", "client is no text");
    if (r->claims->channel.len == 0)
        r->claims->channel = BYTES_NULL;
    if (r->claims->client.len == 0)
        r->claims->client = BYTES_NULL;
    if (r->fault)
        return -EACCES;
    if (get(r, r->text, "subs", &raw))
        return read_subs(r, raw);
    return get(r, r->text, "channels", &raw) ? read_channel_list(r, raw) : 0;
}

static int read_rest(struct reader *r)
{
    struct auth_claims *c = r->claims;
    c->id = get_text(r, r->text, "jti", "jti is no text");
    c->info = get_payload(r, r->text, "info", "b64info");
    if (get(r, r->text, "meta", &c->meta) && c->meta.data[0] != '{')
        return fault(r, "meta is no object");
    return r->fault ? -EACCES : 0;
}

int claims_read(const struct config_auth *config, struct bytes text, int64_t now_s, struct auth_claims *ret,
                const char **ret_reason)
{
    struct auth_claims claims = {.id = BYTES_NULL};
    struct reader r = {.claims = &claims};
    if (json_check(text, JSON_DEPTH_DEFAULT, JSON_STRICT, NULL) < 0 || text.data[0] != '{') {
        *ret_reason = "the claims are no JSON object";
        return -EACCES;
    }
    claims.claims_json = bytes_dup(text);
    r.text = (struct bytes){claims.claims_json, text.len};
    buf_reserve(&claims.memory, text.len);
    int error = read_parties(&r, config);
    if (error == 0)
        error = read_user(&r);
    if (error == 0)
        error = read_channels(&r);
    if (error == 0)
        error = read_rest(&r);
    /* Last, so that a new token, which an expired one asks for, would not fail for another reason. */
    if (error == 0)
        error = read_times(&r, config, now_s);
    if (error == 0) {
        *ret = claims;
        return 0;
    }
    *ret_reason = r.fault;
    auth_claims_done(&claims);
    return error;
}

void auth_claims_done(struct auth_claims *claims)
{
    free(claims->claims_json);
    free(claims->subscriptions);
    buf_done(&claims->memory);
    *claims = (struct auth_claims){0};
}
