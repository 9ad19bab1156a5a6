#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <utlist.h>

#include "channels_wire.h"
#include "session/rights.h"
#include "loop/engine.h"

/* ---- bookkeeping ---- */

struct channels_subscription *channels_subscription_find(struct session *s, struct bytes channel)
{
    struct channels_subscription *sub = channels_client(s)->subscriptions;
    while (sub && !bytes_eq_str(channel, sub->channel))
        sub = sub->next;
    return sub;
}

static void subscription_free(struct channels_subscription *sub)
{
    buf_done(&sub->items);
    buf_done(&sub->ends);
    channels_map_free(sub->map);
    free(sub->data);
    free(sub->info);
    free(sub);
}

void channels_subscription_drop(struct session *s, struct channels_subscription *sub)
{
    LL_DELETE(channels_client(s)->subscriptions, sub);
    subscription_free(sub);
}

void channels_subscriptions_free(struct channels_client *c)
{
    struct channels_subscription *sub;
    while ((sub = c->subscriptions)) {
        c->subscriptions = sub->next;
        subscription_free(sub);
    }
}

/* Where clients may not read the history, nothing is recovered either: a position from the past would read it. */
static bool may_resume(const struct session *s, struct bytes channel)
{
    const struct config_namespace *ns = config_namespace_of(s->loop->engine->config, channel);
    return rights_check(s, ns, channel, RIGHT_HISTORY, RIGHT_SUBSCRIBED) == CRIER_OK;
}

struct channels_subscription *channels_subscription_add(struct session *s, struct bytes channel,
                                                        const struct channels_subscribe *r)
{
    struct channels_subscription *sub = xcalloc(1, sizeof *sub + channel.len + 1);
    memcpy(sub->channel, channel.data, channel.len);
    sub->may_resume = may_resume(s, channel);
    if (r) {
        sub->asked_offset = r->offset;
        sub->recover = r->recover && (sub->may_resume || r->type != CHANNELS_STREAM); /* a map's position is its own */
        sub->strict = r->flag & CHANNELS_FLAG_STRICT;
        sub->delta = r->delta.len != 0;
        sub->join_leave = r->join_leave;
        sub->type = r->type;
        sub->wants_recovery = r->recoverable;
        sub->wants_position = r->positioned;
    }
    LL_PREPEND(channels_client(s)->subscriptions, sub);
    return sub;
}

uint32_t channels_subscription_ttl(const struct channels_subscription *sub)
{
    int64_t left = sub->expire_at_s - (int64_t)time(NULL);
    return sub->expire_at_s ? (left > 0 ? (uint32_t)left : 1) : 0;
}

/* ---- asking ---- */

/* Offset 0 is "nothing so far" on this wire; which offset of the channel that is depends on who numbers it, so the hub
 * takes the shift off again. */
static void ask(struct session *s, struct channels_subscription *sub, const struct channels_subscribe *r)
{
    CLEANUP_BUF epoch = BUF_INIT;
    const struct config_namespace *ns = config_namespace_of(s->loop->engine->config, bytes_of(sub->channel));
    /* By the server API, which speaks of the broker's offsets; its push has no room for what was missed. */
    bool pushed = sub->server_side && channels_client(s)->state == CHANNELS_CONNECTED;
    struct subscribe_request q = {.channel = bytes_of(sub->channel),
                                  .items = !pushed,
                                  .shifted = !pushed,
                                  .strict = sub->strict,
                                  .info = sub->info,
                                  .join_leave = sub->join_leave ||
                                                (ns && auth_overridden(sub->push_join_leave, ns->push_join_leave)),
                                  .presence = sub->presence,
                                  .joins = sub->joins,
                                  .deltas = sub->delta,
                                  .filter = r ? r->tf : BYTES_NULL,
                                  .filter_encoding = channels_client(s)->style.encoding,
                                  .box = channels_box(sub)};

    if (r && sub->recover) {
        buf_append_bytes(&epoch, r->epoch);
        buf_append(&epoch, "", 1);
        q.epoch = epoch.data;
        q.offset = (int64_t)r->offset;
    }
    session_subscribe(s, &q);
}

/* ---- rights ---- */

static enum crier_error check_request(struct session *s, const struct channels_subscribe *r)
{
    const struct config *config = s->loop->engine->config;
    const struct config_namespace *ns = config_namespace_of(config, r->channel);

    if (r->channel.len > (size_t)config->limits.channel_name_bytes)
        return CRIER_ERR_BAD_REQUEST;
    if (channels_subscription_find(s, r->channel))
        return CRIER_ERR_ALREADY_SUBSCRIBED;
    if (!ns)
        return CRIER_ERR_UNKNOWN_CHANNEL;
    if (!channel_name_valid(config, r->channel) || (r->recover && r->epoch.len >= CHANNEL_EPOCH_SIZE))
        return CRIER_ERR_BAD_REQUEST;
    if (r->tf.data && !ns->tags_filter)
        return CRIER_ERR_BAD_REQUEST;
    return CRIER_OK;
}

/* The token of one channel. False when the session was closed or answered. */
static bool take_token(struct session *s, struct channels_subscription *sub, struct bytes token)
{
    struct auth_claims claims = {0};
    const char *reason;
    int r = auth_verify(s->loop->engine->auth, token, (int64_t)time(NULL), &claims, &reason);
    if (r < 0) {
        channels_error(s, sub->id, r == -EKEYEXPIRED ? CRIER_ERR_TOKEN_EXPIRED : CRIER_ERR_PERMISSION_DENIED, NULL);
        return false;
    }
    bool fits = claims.channel.data && bytes_eq_str(claims.channel, sub->channel) && strcmp(claims.user, s->user) == 0 &&
                (!claims.client.len || bytes_eq_str(claims.client, s->id));
    if (fits) {
        sub->expire_at_s = s->loop->engine->config->debug.insecure ? 0 : claims.expires_at;
        free(sub->info);
        sub->info = claims.info.data ? bytes_dup(claims.info) : NULL;
    } else {
        session_close(s, CHANNELS_CLOSE_INVALID_TOKEN, "invalid token");
    }
    auth_claims_done(&claims);
    return fits;
}

static bool is_allowed(struct session *s, struct channels_subscription *sub, const struct channels_subscribe *r)
{
    const struct config_namespace *ns = config_namespace_of(s->loop->engine->config, r->channel);
    if (r->token.len && !take_token(s, sub, r->token))
        return false;
    enum crier_error error = rights_check(s, ns, r->channel, RIGHT_SUBSCRIBE, r->token.len ? RIGHT_HAS_TOKEN : 0);
    channels_error(s, error == CRIER_OK ? 0 : sub->id, error, NULL);
    return error == CRIER_OK;
}

/* NULL when it is not allowed, and answered. */
struct channels_subscription *channels_subscription_new(struct session *s, uint32_t id,
                                                        const struct channels_subscribe *r,
                                                        const struct geo_box *box)
{
    enum crier_error error = check_request(s, r);
    if (error != CRIER_OK) {
        channels_error(s, id, error, NULL);
        return NULL;
    }
    struct channels_subscription *sub = channels_subscription_add(s, r->channel, r);
    channels_box_keep(sub, box, r->tf);
    sub->id = id;
    if (!is_allowed(s, sub, r)) {
        if (!s->closing)
            channels_subscription_drop(s, sub);
        return NULL;
    }
    channels_schedule(s);
    return sub;
}

void channels_subscription_refuse(struct session *s, struct channels_subscription *sub, enum crier_error error,
                                  const char *detail)
{
    uint32_t id = sub->id;
    channels_subscription_drop(s, sub);
    channels_error(s, id, error, detail);
}

void channels_handle_subscribe(struct session *s, uint32_t id, const struct channels_subscribe *r)
{
    if (!r->channel.len || (r->delta.len && !bytes_eq_str(r->delta, "fossil"))) {
        session_close(s, CHANNELS_CLOSE_BAD_REQUEST, "bad request");
        return;
    }
    if (r->type > CHANNELS_MAP_USERS) {
        channels_error(s, id, CRIER_ERR_NOT_AVAILABLE, NULL);
        return;
    }
    struct channels_subscribe own = *r;
    struct geo_box read;
    const struct geo_box *box;
    const char *detail = NULL;
    enum crier_error error = channels_box_read(s, &own, &read, &box, &detail);
    if (error != CRIER_OK) {
        channels_error(s, id, error, detail);
        return;
    }
    if (r->type != CHANNELS_STREAM) {
        channels_map_subscribe(s, id, &own, box);
        return;
    }
    struct channels_subscription *sub = channels_subscription_new(s, id, &own, box);
    if (sub)
        ask(s, sub, &own);
}

/* Of the token or of the server API. */
static void take_wishes_of(struct channels_subscription *sub, const struct auth_subscription *by)
{
    sub->info = by->info.data ? bytes_dup(by->info) : NULL;
    sub->data = by->data.data ? bytes_dup(by->data) : NULL;
    sub->push_join_leave = by->push_join_leave;
    sub->presence = by->presence;
    sub->joins = by->join_leave;
    sub->force_recovery = by->force_recovery;
    sub->force_positioning = by->force_positioning;
}

void channels_subscribe_server_side(struct session *s, struct bytes channel, const struct channels_subscribe *r,
                                    const struct auth_subscription *by)
{
    struct channels_client *c = channels_client(s);
    if (channels_subscription_find(s, channel))
        return;
    struct channels_subscription *sub = channels_subscription_add(s, channel, r);
    sub->server_side = true;
    if (by)
        take_wishes_of(sub, by);
    if (c->state == CHANNELS_CONNECTING)
        c->connect_waits++;
    ask(s, sub, r);
}

void channels_handle_sub_refresh(struct session *s, uint32_t id, struct bytes channel, struct bytes token)
{
    struct channels_subscription *sub = channels_subscription_find(s, channel);
    enum crier_error error = !sub || !sub->answered ? CRIER_ERR_PERMISSION_DENIED : !token.len ? CRIER_ERR_BAD_REQUEST : CRIER_OK;
    struct channels_out out;

    if (error != CRIER_OK) {
        channels_error(s, id, error, NULL);
        return;
    }
    sub->id = id;
    if (!take_token(s, sub, token))
        return;
    channels_schedule(s);
    const struct channels_refresh_result result = {.expires = sub->expire_at_s != 0, .ttl = channels_subscription_ttl(sub)};
    channels_out_begin(s, &out);
    channels_reply_refresh(&out.bytes, channels_client(s)->style.encoding, id, true, &result);
    channels_out_send(s, &out);
}

/* ---- ending ---- */

void channels_send_unsubscribed(struct session *s, uint32_t id)
{
    struct channels_out out;
    channels_out_begin(s, &out);
    channels_reply_empty(&out.bytes, channels_client(s)->style.encoding, id, CHANNELS_UNSUBSCRIBE);
    channels_out_send(s, &out);
}

/* Undoes a subscription that has just begun. */
void channels_subscription_undo(struct session *s, struct channels_subscription *sub)
{
    CLEANUP_BUF name = BUF_INIT;
    buf_append_str(&name, sub->channel);
    channels_subscription_drop(s, sub);
    session_unsubscribe(s, buf_bytes(&name));
}

void channels_handle_unsubscribe(struct session *s, uint32_t id, struct bytes channel)
{
    struct channels_subscription *sub = channels_subscription_find(s, channel);
    if (sub && channels_map_is_paging(sub)) {
        channels_subscription_drop(s, sub);
        sub = NULL;
    }
    if (sub && !sub->answered) {
        sub->unsubscribe_id = id; /* the subscribe is answered first, then undone, then comes what is behind it */
        channels_client(s)->undoing = true;
        return;
    }
    if (sub)
        channels_subscription_undo(s, sub);
    channels_send_unsubscribed(s, id);
}

void channels_subscriptions_expire(struct session *s, int64_t now_s)
{
    struct channels_subscription *sub, *next;
    LL_FOREACH_SAFE(channels_client(s)->subscriptions, sub, next)
    {
        if (!sub->expire_at_s || now_s < sub->expire_at_s + channels_grace_s(s) || s->closing)
            continue;
        if (sub->server_side) {
            session_close(s, CHANNELS_CLOSE_SUBSCRIPTION_EXPIRED, "subscription expired");
            return;
        }
        CLEANUP_BUF name = BUF_INIT;
        buf_append_str(&name, sub->channel);
        session_unsubscribe(s, buf_bytes(&name));
        channels_on_unsubscribed(s, buf_bytes(&name), CHANNELS_UNSUBSCRIBED_EXPIRED, "subscription expired");
    }
}
