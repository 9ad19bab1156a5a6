#include "session.h"

#include <stdlib.h>
#include <utlist.h>

#include "loop/engine.h"
#include "loop/view.h"
#include "util/clock.h"
#include "util/metrics.h"

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
    session_drop_outbox(s);
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

void session_close(struct session *s, int code, const char *reason)
{
    if (s->closing)
        return;
    session_drop_outbox(s);
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
