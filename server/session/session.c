#include "session.h"

#include <stdlib.h>
#include <utlist.h>

#include "loop/engine.h"
#include "loop/view.h"
#include "util/clock.h"
#include "util/metrics.h"

#define WRITE_MAX 65536 /* bytes a write: net sends them in one piece */

/* Frames that wait for the socket: bytes of its own, or a shared block with the next frame to send. */
struct outbox_item {
    struct outbox_item *next;
    struct frame_block *block;
    const struct subscription *owner; /* of the block */
    uint32_t next_frame;
    size_t len;
    char data[];
};

struct session *session_new(struct loop *l, const struct wire_ops *wire, const char *user, const char *claims)
{
    struct session *s = xcalloc(1, sizeof *s);
    s->key = (uint64_t)l->index << 56 | ++l->next_session;
    s->loop = l;
    s->wire = wire;
    s->user = xstrdup(user);
    s->claims = claims ? xstrdup(claims) : NULL;
    char epoch[CHANNEL_EPOCH_SIZE];
    epoch_random(epoch);
    memcpy(s->id, epoch, 12);
    HASH_ADD(hh, l->sessions, key, sizeof s->key, s);
    return s;
}

struct session *session_find(struct loop *l, uint64_t key)
{
    struct session *s;
    HASH_FIND(hh, l->sessions, &key, sizeof key, s);
    return s;
}

static void drop_outbox(struct session *s)
{
    while (s->outbox_first) {
        struct outbox_item *item = s->outbox_first;
        s->outbox_first = item->next;
        frame_block_unref(item->block);
        free(item);
    }
    s->outbox_last = NULL;
    s->outbox_bytes = 0;
}

/* ---- subscriptions that wait for the form ---- */

struct deferred_subscribe {
    struct deferred_subscribe *next;
    struct subscribe_request request;
    char channel[];
};

static void leave_undecided(struct session *s)
{
    DL_DELETE2(s->loop->undecided, s, undecided_prev, undecided_next);
}

static void drop_deferred(struct session *s)
{
    if (s->deferred)
        leave_undecided(s);
    while (s->deferred) {
        struct deferred_subscribe *d = s->deferred;
        s->deferred = d->next;
        free(d);
    }
}

/* Positions are the client's to give, and a client that gives one has spoken. */
static void defer(struct session *s, const struct subscribe_request *request)
{
    struct deferred_subscribe *d = xmalloc(sizeof *d + request->channel.len);
    *d = (struct deferred_subscribe){.request = {.history = request->history}};
    memcpy(d->channel, request->channel.data, request->channel.len);
    d->request.channel = (struct bytes){d->channel, request->channel.len};
    if (!s->deferred) {
        s->decide_at_ms = clock_mono_ms() + SESSION_DECIDE_MS;
        DL_APPEND2(s->loop->undecided, s, undecided_prev, undecided_next);
        loop_decide_in(s->loop, SESSION_DECIDE_MS);
    }
    LL_APPEND(s->deferred, d);
}

static void start_deferred(struct session *s)
{
    struct deferred_subscribe *d, *list = s->deferred;
    if (!list)
        return;
    leave_undecided(s);
    s->deferred = NULL;
    while ((d = list)) {
        list = d->next;
        if (!s->closing)
            session_subscribe(s, &d->request);
        free(d);
    }
}

uint64_t sessions_decide(struct loop *l, uint64_t now_ms)
{
    while (l->undecided && l->undecided->decide_at_ms <= now_ms) {
        l->undecided->form_assumed = true;
        start_deferred(l->undecided);
    }
    return l->undecided ? l->undecided->decide_at_ms : 0;
}

/* ---- deadlines ---- */

static struct session **wheel_slot(const struct session *s)
{
    return &s->loop->wheel[s->wake_at_ms / 1000 % LOOP_WHEEL];
}

void session_wake_in(struct session *s, uint64_t ms)
{
    if (s->wake_at_ms)
        DL_DELETE2(*wheel_slot(s), s, wake_prev, wake_next);
    s->wake_at_ms = ms ? clock_mono_ms() + ms : 0;
    if (ms)
        DL_APPEND2(*wheel_slot(s), s, wake_prev, wake_next);
}

static void wake_slot(struct session **slot, uint64_t now_ms)
{
    struct session *due = NULL, *s, *next;
    DL_FOREACH_SAFE2(*slot, s, next, wake_next)
    {
        if (s->wake_at_ms > now_ms)
            continue;
        DL_DELETE2(*slot, s, wake_prev, wake_next);
        s->wake_at_ms = 0;
        s->wake_next = due;
        due = s;
    }
    while ((s = due)) {
        due = s->wake_next;
        if (!s->closing)
            s->wire->wake(s, now_ms);
    }
}

/* A slot is looked at when its second is over, so nobody is woken early. */
void sessions_wake(struct loop *l, uint64_t now_ms)
{
    uint64_t second = now_ms / 1000;
    if (second - l->wheel_second > LOOP_WHEEL)
        l->wheel_second = second - LOOP_WHEEL;
    for (; l->wheel_second < second; l->wheel_second++)
        wake_slot(&l->wheel[l->wheel_second % LOOP_WHEEL], now_ms);
}

void session_free(struct session *s)
{
    session_wake_in(s, 0);
    drop_deferred(s);
    while (s->subscription_count)
        session_forget(s, s->subscriptions[s->subscription_count - 1]);
    viewers_end(s);
    drop_outbox(s);
    if (s->wire->free)
        s->wire->free(s);
    HASH_DEL(s->loop->sessions, s);
    free(s->subscriptions);
    free(s->user);
    free(s->claims);
    free(s->query);
    free(s->module_data);
    free(s->name);
    free(s->info);
    free(s);
}

void session_write(struct session *s, struct bytes frames)
{
    if (ws_write(s->conn, frames.data, frames.len) < 0)
        s->closing = true; /* closed() follows */
}

static void enqueue(struct session *s, struct outbox_item *item)
{
    if (s->outbox_last)
        s->outbox_last->next = item;
    else
        s->outbox_first = item;
    s->outbox_last = item;
}

void session_send(struct session *s, struct bytes frame)
{
    if (s->closing)
        return;
    metric_add(M_MESSAGES_OUT, 1);
    if (s->deflated)
        frame = frame_deflated(&s->loop->deflate, frame);
    if (session_can_write(s) && !s->outbox_first) {
        session_write(s, frame);
        return;
    }
    if (s->outbox_bytes + frame.len > (size_t)s->loop->engine->config->limits.outbox_bytes) {
        metric_add(M_LIMIT_OUTBOX, 1);
        session_close(s, CLOSE_SLOW, "slow");
        return;
    }
    struct outbox_item *item = xmalloc(sizeof *item + frame.len);
    *item = (struct outbox_item){.len = frame.len};
    memcpy(item->data, frame.data, frame.len);
    s->outbox_bytes += frame.len;
    enqueue(s, item);
}

void session_drop_blocks(struct session *s, const struct subscription *owner)
{
    struct outbox_item **at = &s->outbox_first, *item;
    s->outbox_last = NULL;
    while ((item = *at)) {
        if (item->owner == owner) {
            *at = item->next;
            frame_block_unref(item->block);
            free(item);
        } else {
            s->outbox_last = item;
            at = &item->next;
        }
    }
}

void session_send_block(struct session *s, struct frame_block *block, const struct subscription *owner)
{
    if (s->closing) {
        frame_block_unref(block);
        return;
    }
    struct outbox_item *item = xmalloc(sizeof *item);
    *item = (struct outbox_item){.block = block, .owner = owner};
    enqueue(s, item);
    session_flush(s);
}

/* Whole frames of a block up to WRITE_MAX, at least one. */
static struct bytes block_piece(struct outbox_item *item, uint32_t *ret_next)
{
    const struct frame_block *b = item->block;
    uint32_t from = item->next_frame ? b->marks[item->next_frame - 1].end : 0;
    uint32_t next = item->next_frame + 1;
    while (next < b->count && b->marks[next].end - from <= WRITE_MAX)
        next++;
    *ret_next = next;
    return (struct bytes){b->bytes + from, b->marks[next - 1].end - from};
}

/* Blocks are shared with sessions that take no compressed frames. What comes late in a long one goes out as it is: one
 * session is not to hold up the others. */
static void write_deflated(struct session *s, const struct outbox_item *item, uint32_t next)
{
    const struct frame_block *b = item->block;
    CLEANUP_BUF out = BUF_INIT;
    for (uint32_t i = item->next_frame; i < next; i++) {
        uint32_t start = i ? b->marks[i - 1].end : 0;
        struct bytes frame = {b->bytes + start, b->marks[i].end - start};
        buf_append_bytes(&out, start < FRAME_DEFLATE_MAX ? frame_deflated(&s->loop->deflate, frame) : frame);
    }
    session_write(s, buf_bytes(&out));
}

static void send_item(struct session *s, struct outbox_item *item)
{
    bool finished = true;
    if (item->block) {
        uint32_t next;
        struct bytes piece = block_piece(item, &next);
        if (s->deflated)
            write_deflated(s, item, next);
        else
            session_write(s, piece);
        metric_add(M_DELIVERIES, next - item->next_frame);
        metric_add(M_SENDS, 1);
        item->next_frame = next;
        finished = next == item->block->count;
    } else {
        session_write(s, (struct bytes){item->data, item->len});
        s->outbox_bytes -= item->len;
    }
    if (!finished)
        return;
    s->outbox_first = item->next;
    if (!s->outbox_first)
        s->outbox_last = NULL;
    frame_block_unref(item->block);
    free(item);
}

/* Policies first: they may send, end subscriptions and close the session, which must not happen in the middle of what is
 * being gathered. False when nothing may be written now. */
static bool settle_subscriptions(struct session *s)
{
    for (uint32_t i = 0; i < s->subscription_count && session_can_send(s);) {
        uint32_t before = s->subscription_count;
        subscription_settle(s->subscriptions[i]);
        i += s->subscription_count == before; /* one that ended: another one moved here */
    }
    return session_can_send(s);
}

/* Gathers what several channels have for this client into one write. */
static void flush_subscriptions(struct session *s)
{
    struct buf *out = &s->loop->scratch;
    while (settle_subscriptions(s)) {
        out->len = 0;
        for (uint32_t i = 0; i < s->subscription_count && out->len < WRITE_MAX; i++)
            subscription_collect(s->subscriptions[i], out, WRITE_MAX);
        if (out->len == 0)
            return;
        session_write(s, buf_bytes(out));
        metric_add(M_SENDS, 1);
    }
}

void session_flush(struct session *s)
{
    while (s->outbox_first && session_can_send(s))
        send_item(s, s->outbox_first);
    if (s->outbox_first || !session_can_send(s))
        return;
    if (s->subscription_count == 1)
        subscription_flush(s->subscriptions[0]);
    else
        flush_subscriptions(s);
    if (s->viewers && session_can_send(s))
        viewers_writable(s->viewers);
}

void session_close(struct session *s, int code, const char *reason)
{
    if (s->closing)
        return;
    drop_outbox(s);
    s->closing = true;
    ws_close(s->conn, code, reason);
}

/* ---- subscriptions ---- */

struct subscription *session_subscription(struct session *s, struct bytes channel)
{
    for (uint32_t i = 0; i < s->subscription_count; i++) {
        const struct loop_channel *c = s->subscriptions[i]->form->channel;
        if (c->name_len == channel.len && memcmp(c->name, channel.data, channel.len) == 0)
            return s->subscriptions[i];
    }
    return NULL;
}

static enum crier_error may_subscribe(struct session *s, const struct subscribe_request *r)
{
    const struct config *config = s->loop->engine->config;
    const struct config_namespace *ns = config_namespace_of(config, r->channel);

    if (!channel_name_valid(config, r->channel))
        return CRIER_ERR_BAD_REQUEST;
    if (!ns)
        return CRIER_ERR_UNKNOWN_CHANNEL;
    if (session_subscription(s, r->channel))
        return CRIER_ERR_ALREADY_SUBSCRIBED;
    if (s->subscription_count + s->cancelled >= (uint64_t)config->limits.subscriptions) {
        metric_add(M_LIMIT_SUBSCRIPTIONS, 1);
        return CRIER_ERR_LIMIT_EXCEEDED;
    }
    return CRIER_OK;
}

static void add_subscription(struct session *s, struct subscription *sub)
{
    if (s->subscription_count == s->subscription_capacity) {
        s->subscription_capacity = s->subscription_capacity ? s->subscription_capacity * 2 : 1;
        s->subscriptions = xrealloc(s->subscriptions, s->subscription_capacity * sizeof(struct subscription *));
    }
    s->subscriptions[s->subscription_count++] = sub;
    metric_add(M_SUBSCRIPTIONS, 1);
}

void session_subscribe(struct session *s, const struct subscribe_request *request)
{
    if (!s->form_known && !s->form_assumed && !request->epoch) {
        defer(s, request);
        return;
    }
    enum crier_error error = may_subscribe(s, request);
    struct loop_channel *c = error == CRIER_OK ? loop_channel_get(s->loop, request->channel, &error) : NULL;
    if (!c) {
        s->wire->subscribe_failed(s, request->channel, error, NULL);
        return;
    }
    struct subscription *sub = xcalloc(1, sizeof *sub);
    sub->session = s;
    sub->form = channel_form_get(c, session_frames(s));
    add_subscription(s, sub);
    subscription_start(sub, request);
}

void session_remove(struct session *s, struct subscription *sub)
{
    for (uint32_t i = 0; i < s->subscription_count; i++) {
        if (s->subscriptions[i] != sub)
            continue;
        s->subscriptions[i] = s->subscriptions[--s->subscription_count];
        metric_add(M_SUBSCRIPTIONS, -1);
        break;
    }
}

void session_forget(struct session *s, struct subscription *sub)
{
    session_remove(s, sub);
    subscription_end(sub);
}

void session_answered(struct loop *l, uint64_t key)
{
    struct session *s = session_find(l, key);
    if (s)
        s->cancelled--;
}

bool session_unsubscribe(struct session *s, struct bytes channel)
{
    struct subscription *sub = session_subscription(s, channel);
    if (!sub)
        return false;
    bool unanswered = sub->state == SUBSCRIPTION_ATTACHING && !sub->quiet;
    session_forget(s, sub);
    if (unanswered) /* whoever waits for the answer to the subscribe gets this one */
        s->wire->subscribe_failed(s, channel, CRIER_ERR_NOT_AVAILABLE, "unsubscribed before the subscription began");
    return true;
}

void session_set_form(struct session *s, enum frame_form form)
{
    s->form_known = true;
    if (s->form != form) {
        s->form = form;
        for (uint32_t i = 0; i < s->subscription_count; i++)
            subscription_change_form(s->subscriptions[i], session_frames(s));
    }
    start_deferred(s);
}
