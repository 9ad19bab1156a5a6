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

static struct channels_subscription *add(struct session *s, struct bytes channel, const struct channels_subscribe *r)
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
                                  .join_leave = sub->join_leave || (ns && ns->push_join_leave),
                                  .deltas = sub->delta,
                                  .filter = r ? r->tf : BYTES_NULL,
                                  .filter_encoding = channels_client(s)->style.encoding};

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
                                                        const struct channels_subscribe *r)
{
    enum crier_error error = check_request(s, r);
    if (error != CRIER_OK) {
        channels_error(s, id, error, NULL);
        return NULL;
    }
    struct channels_subscription *sub = add(s, r->channel, r);
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
    if (r->type != CHANNELS_STREAM) {
        channels_map_subscribe(s, id, r);
        return;
    }
    struct channels_subscription *sub = channels_subscription_new(s, id, r);
    if (sub)
        ask(s, sub, r);
}

/* Of the token or of the server API. */
static void take_wishes_of(struct channels_subscription *sub, const struct auth_subscription *by)
{
    sub->info = by->info.data ? bytes_dup(by->info) : NULL;
    sub->data = by->data.data ? bytes_dup(by->data) : NULL;
    sub->join_leave |= by->push_join_leave == AUTH_ON;
    sub->force_recovery = by->force_recovery;
    sub->force_positioning = by->force_positioning;
}

void channels_subscribe_server_side(struct session *s, struct bytes channel, const struct channels_subscribe *r,
                                    const struct auth_subscription *by)
{
    struct channels_client *c = channels_client(s);
    if (channels_subscription_find(s, channel))
        return;
    struct channels_subscription *sub = add(s, channel, r);
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

/* ---- answers ---- */

#define REPLY_ITEMS_BYTES 65536 /* of recovered publications in the reply; more follow it as pushes */

uint32_t channels_item_ends(const struct frame_block *block, size_t limit_bytes, struct buf *ret_ends)
{
    uint32_t n = 0;
    for (; block && n < block->count && (n == 0 || block->marks[n].end <= limit_bytes); n++)
        buf_append(ret_ends, &block->marks[n].end, sizeof block->marks[n].end);
    return n;
}

struct channels_items channels_items_view(struct bytes items, const struct buf *ends)
{
    return (struct channels_items){
        .bytes = items, .ends = (const uint32_t *)(const void *)ends->data, .count = ends->len / sizeof(uint32_t)};
}

uint32_t channels_subscription_keep(struct channels_subscription *sub, const struct frame_block *block,
                                    size_t limit_bytes)
{
    uint32_t n = channels_item_ends(block, limit_bytes, &sub->ends);
    buf_append(&sub->items, block->bytes, n ? block->marks[n - 1].end : 0);
    sub->result.publications = channels_items_view(buf_bytes(&sub->items), &sub->ends);
    return n;
}

static uint32_t fill_result(struct channels_subscription *sub, const struct hub_subscribe *h)
{
    bool recovered = sub->recover && h->recovered;
    if (h->numbered)
        memcpy(sub->epoch, h->ret_epoch, sizeof sub->epoch);
    sub->result = (struct channels_subscribe_result){
        .epoch = bytes_of(sub->epoch),
        .offset = recovered ? sub->asked_offset : (uint64_t)(h->position + h->shift),
        .recoverable = sub->recoverable,
        .positioned = sub->positioned,
        .recovered = recovered,
        .was_recovering = sub->recover,
        .delta = sub->delta,
        .expires = sub->expire_at_s != 0,
        .ttl = channels_subscription_ttl(sub),
        .data = sub->data ? bytes_of(sub->data) : BYTES_NULL,
    };
    return recovered && h->items && h->block ? channels_subscription_keep(sub, h->block, REPLY_ITEMS_BYTES) : 0;
}

/* What did not fit into the reply, as frames that follow it. */
static void push_rest(struct session *s, const struct channels_subscription *sub, struct subscription *live,
                      const struct frame_block *items, uint32_t from)
{
    const struct channels_style *style = &channels_client(s)->style;
    struct frame_builder frames;
    frame_builder_init(&frames, s->form, NULL);
    for (uint32_t i = from; i < items->count; i++) {
        uint32_t start = i ? items->marks[i - 1].end : 0;
        size_t mark;
        channels_begin(&frames.bytes, style, &mark);
        channels_push_item(&frames.bytes, style, bytes_of(sub->channel),
                           (struct bytes){items->bytes + start, items->marks[i].end - start});
        channels_end(&frames.bytes, style, mark);
        frame_builder_mark(&frames, items->marks[i].offset);
    }
    session_send_block(s, frame_builder_finish(&frames), live);
}

void channels_subscription_answer(struct session *s, struct channels_subscription *sub)
{
    struct channels_out out;
    channels_out_begin(s, &out);
    if (sub->server_side)
        channels_push_subscribe(&out.bytes, &channels_client(s)->style, bytes_of(sub->channel), &sub->result);
    else
        channels_reply_subscribe(&out.bytes, channels_client(s)->style.encoding, sub->id, &sub->result);
    channels_out_send(s, &out);
    buf_done(&sub->items);
    buf_done(&sub->ends);
}

static void send_unsubscribed(struct session *s, uint32_t id)
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

static void finish_undo(struct session *s, uint32_t id)
{
    send_unsubscribed(s, id);
    channels_client(s)->undoing = false;
    channels_receive_held(s);
}

static void begin(struct session *s, struct channels_subscription *sub, struct subscription *live,
                  const struct hub_subscribe *h)
{
    struct channels_client *c = channels_client(s);
    uint32_t taken = fill_result(sub, h);

    sub->answered = true;
    if (sub->server_side && c->state == CHANNELS_CONNECTING) {
        sub->in_connect = true;
        c->connect_waits--;
        channels_connect_progress(s);
    } else {
        channels_subscription_answer(s, sub);
    }
    if (h->items && h->block && taken < h->block->count && !s->closing)
        push_rest(s, sub, live, h->block, taken);
}

static bool overridden(enum auth_override by, bool configured)
{
    return by == AUTH_AS_CONFIGURED ? configured : by == AUTH_ON;
}

/* Nothing can be recovered where neither history nor a broker keeps it. */
static void take_options(struct channels_subscription *sub, const struct channel_form *f)
{
    const struct config_namespace *ns = f->channel->ns;
    bool kept = sub->may_resume && (ns->history > 0 || f->channel->by_broker);
    sub->recoverable = kept && (overridden(sub->force_recovery, ns->force_recovery) || sub->wants_recovery);
    sub->positioned = sub->recoverable || (kept && (overridden(sub->force_positioning, ns->force_positioning) ||
                                                    sub->wants_position));
}

void channels_on_subscribed(struct session *s, struct subscription *live, const struct hub_subscribe *h)
{
    const struct loop_channel *channel = live->form->channel;
    struct bytes name = {channel->name, channel->name_len};
    struct channels_subscription *sub = channels_subscription_find(s, name);

    if (!sub) { /* a module subscribed the session */
        sub = add(s, name, NULL);
        sub->server_side = true;
    }
    take_options(sub, live->form);
    live->positioned = sub->positioned || sub->map;
    sub->delta = live->deltas;
    uint32_t id = sub->id, unsubscribe_id = sub->unsubscribe_id;
    if (sub->map) {
        channels_map_live(s, sub, live, h);
    } else if (sub->recover && sub->strict && !h->recovered) {
        channels_subscription_undo(s, sub);
        channels_error(s, id, CRIER_ERR_UNRECOVERABLE_POSITION, NULL);
    } else {
        begin(s, sub, live, h);
    }
    if (!unsubscribe_id || s->closing)
        return;
    sub = channels_subscription_find(s, name);
    if (sub)
        channels_subscription_undo(s, sub);
    finish_undo(s, unsubscribe_id);
}

void channels_on_subscribe_failed(struct session *s, struct bytes channel, enum crier_error error, const char *detail)
{
    struct channels_client *c = channels_client(s);
    struct channels_subscription *sub = channels_subscription_find(s, channel);
    if (!sub)
        return;
    uint32_t id = sub->id, unsubscribe_id = sub->unsubscribe_id;
    bool in_connect = sub->server_side && c->state == CHANNELS_CONNECTING;

    channels_subscription_drop(s, sub);
    channels_error(s, id, error, detail);
    if (unsubscribe_id)
        finish_undo(s, unsubscribe_id);
    if (in_connect) {
        c->connect_waits--;
        channels_connect_progress(s);
    }
}

void channels_on_unsubscribed(struct session *s, struct bytes channel, int code, const char *reason)
{
    struct channels_subscription *sub = channels_subscription_find(s, channel);
    struct channels_out out;
    if (!sub)
        return;
    bool server_side = sub->server_side;
    channels_subscription_drop(s, sub);
    if (server_side && code >= CHANNELS_UNSUBSCRIBED_STATE) {
        session_close(s, CHANNELS_CLOSE_INSUFFICIENT_STATE, "insufficient state");
        return;
    }
    channels_out_begin(s, &out);
    channels_push_unsubscribe(&out.bytes, &channels_client(s)->style, channel, (uint32_t)code, bytes_of(reason));
    channels_out_send(s, &out);
}

/* ---- ending ---- */

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
    send_unsubscribed(s, id);
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
