#include "dispatch.h"

#include <stdlib.h>

#include "loop/engine.h"
#include "session/session.h"

/* An order, shared by the loops; its texts are its own. */
struct order {
    atomic_uint refs;
    struct dispatch d;
    struct buf memory;
};

struct dispatch_message {
    struct inbox_message message; /* first */
    struct order *order;
};

/* ---- the copy ---- */

/* Room for all texts is reserved before the first is kept, so that views stay. */
static struct bytes keep(struct order *o, struct bytes b)
{
    size_t start = o->memory.len;
    if (!b.data)
        return BYTES_NULL;
    buf_append_bytes(&o->memory, b);
    buf_append(&o->memory, "", 1);
    return (struct bytes){o->memory.data + start, b.len};
}

static void keep_text(struct order *o, const char **text)
{
    if (*text)
        *text = keep(o, bytes_of(*text)).data;
}

static struct order *order_new(const struct dispatch *d)
{
    struct order *o = xcalloc(1, sizeof *o);
    o->d = *d;
    const char **texts[] = {&o->d.user, &o->d.client, &o->d.session, &o->d.reason, &o->d.epoch};
    struct bytes *views[] = {&o->d.spared, &o->d.payload, &o->d.subscription.channel, &o->d.subscription.info,
                             &o->d.subscription.data};
    size_t size = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        size += bytes_of(*texts[i]).len + 1;
    for (size_t i = 0; i < sizeof views / sizeof *views; i++)
        size += views[i]->len + 1;
    buf_reserve(&o->memory, size);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        keep_text(o, texts[i]);
    for (size_t i = 0; i < sizeof views / sizeof *views; i++)
        *views[i] = keep(o, *views[i]);
    atomic_init(&o->refs, 1);
    return o;
}

static void order_unref(struct order *o)
{
    if (atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) != 1)
        return;
    buf_done(&o->memory);
    free(o);
}

/* ---- on the loop ---- */

static void subscribe(struct session *s, const struct dispatch *d)
{
    const struct subscribe_request q = {.channel = d->subscription.channel, .epoch = d->epoch, .offset = d->offset};
    if (s->wire->server_subscribe)
        s->wire->server_subscribe(s, d);
    else
        session_subscribe(s, &q);
}

static void unsubscribe(struct session *s, const struct dispatch *d)
{
    if (session_unsubscribe(s, d->subscription.channel))
        s->wire->unsubscribed(s, d->subscription.channel, d->code, d->reason);
}

static void apply(struct session *s, const struct dispatch *d)
{
    if (!s->conn || s->closing)
        return;
    switch (d->action) {
    case DISPATCH_SEND:
        s->wire->send(s, d->type, CRIER_JSON, d->payload);
        break;
    case DISPATCH_CLOSE:
        session_close(s, d->code, d->reason);
        break;
    case DISPATCH_SUBSCRIBE:
        subscribe(s, d);
        break;
    case DISPATCH_UNSUBSCRIBE:
        unsubscribe(s, d);
        break;
    case DISPATCH_REFRESH:
        if (s->wire->refresh)
            s->wire->refresh(s, d->expire_at_s, d->subscription.info);
        break;
    }
}

static bool is_spared(const struct session *s, struct bytes spared)
{
    for (size_t at = 0; at < spared.len; at += strlen(spared.data + at) + 1)
        if (strcmp(spared.data + at, s->id) == 0)
            return true;
    return false;
}

static bool is_named(const char *wanted, const char *name)
{
    return !wanted || !*wanted || (name && strcmp(wanted, name) == 0);
}

static bool is_meant(const struct session *s, const struct dispatch *d)
{
    if (d->target == DISPATCH_ALL)
        return true;
    const char *secret = s->wire->secret ? s->wire->secret(s) : NULL;
    return strcmp(s->user, d->user) == 0 && is_named(d->client, s->id) && is_named(d->session, secret) &&
           !is_spared(s, d->spared);
}

static void deliver(struct inbox_message *message, void *owner)
{
    struct dispatch_message *m = (struct dispatch_message *)message;
    const struct dispatch *d = &m->order->d;
    struct loop *l = owner;
    struct session *s, *next;

    if (d->target == DISPATCH_SESSION) {
        s = session_find(l, d->key);
        if (s)
            apply(s, d);
    } else {
        HASH_ITER (hh, l->sessions, s, next)
            if (is_meant(s, d))
                apply(s, d);
    }
    order_unref(m->order);
    free(m);
}

void dispatch_post(struct engine *engine, const struct dispatch *d)
{
    struct order *o = order_new(d);
    for (size_t i = 0; i < engine->loop_count; i++) {
        if (d->target == DISPATCH_SESSION && i != d->key >> 56)
            continue;
        struct dispatch_message *m = xcalloc(1, sizeof *m);
        m->message.deliver = deliver;
        m->order = o;
        atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
        loop_post(&engine->loops[i], &m->message);
    }
    order_unref(o);
}
