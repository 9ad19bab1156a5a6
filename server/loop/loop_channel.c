#include "loop_channel.h"

#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "loop/engine.h"
#include "loop/view.h"
#include "util/clock.h"
#include "util/metrics.h"

#define LINGER_MS 10000 /* a form without subscribers stays attached: reconnects come in seconds */

struct loop_channel *loop_channel_get(struct loop *l, struct bytes name, enum crier_error *ret_error)
{
    struct loop_channel *c;
    HASH_FIND(hh, l->channels, name.data, name.len, c);
    if (c)
        return c;
    const struct config_namespace *ns = config_namespace_of(l->engine->config, name);
    if (!channel_name_valid(l->engine->config, name) || !ns) {
        *ret_error = ns ? CRIER_ERR_BAD_REQUEST : CRIER_ERR_UNKNOWN_CHANNEL;
        return NULL;
    }
    c = xcalloc(1, sizeof *c);
    c->loop = l;
    c->name = bytes_dup(name);
    c->name_len = name.len;
    c->ns = ns;
    HASH_ADD_KEYPTR(hh, l->channels, c->name, c->name_len, c);
    return c;
}

struct channel_form *channel_form_find(const struct loop_channel *c, enum frame_form form)
{
    struct channel_form *f = c->forms;
    while (f && f->form != form)
        f = f->sibling;
    return f;
}

/* Nobody filters the forms before those of payloads. */
static void init_log(struct channel_form *f)
{
    frame_log_init(&f->log, (size_t)f->channel->loop->engine->config->limits.frame_log_bytes, -1);
    f->log.bare = frame_form_plain(f->form) < FORM_PAYLOAD_JSON;
}

struct channel_form *channel_form_get(struct loop_channel *c, enum frame_form form)
{
    struct channel_form *f = channel_form_find(c, form);
    if (f)
        return f;
    f = xcalloc(1, sizeof *f);
    f->channel = c;
    f->form = form;
    f->idle_since_ms = clock_mono_ms();
    init_log(f);
    LL_PREPEND2(c->forms, f, sibling);
    return f;
}

size_t channel_form_clients(void *peer)
{
    struct channel_form *f = peer;
    return atomic_load_explicit(&f->clients, memory_order_relaxed);
}

/* ---- blocks from the hub ---- */

static void mark_dirty(struct channel_form *f)
{
    struct loop *l = f->channel->loop;
    if (f->dirty)
        return;
    f->dirty = true;
    DL_APPEND(l->dirty, f);
}

void channel_form_revisit(struct channel_form *f)
{
    if (f->passing)
        f->pass_head = UINT64_MAX; /* no end of the log: another pass follows */
    else
        mark_dirty(f);
}

void channel_form_wait(struct channel_form *f, struct poll_waiter *w)
{
    w->form = f;
    DL_APPEND(f->waiters, w);
}

void channel_form_stop_waiting(struct poll_waiter *w)
{
    if (w->form)
        DL_DELETE(w->form->waiters, w);
    w->form = NULL;
}

static void run_waiters(struct channel_form *f)
{
    while (f->waiters) {
        struct poll_waiter *w = f->waiters;
        channel_form_stop_waiting(w);
        w->fn(w, f);
    }
}

void loop_channels_end_waiting(struct loop *l)
{
    for (struct loop_channel *c = l->channels; c; c = c->hh.next)
        for (struct channel_form *f = c->forms; f; f = f->sibling)
            run_waiters(f);
}

/* Where frames are that are not for everyone. */
static void note_flags(struct channel_form *f, const struct frame_block *block)
{
    for (uint32_t i = 0; i < block->count; i++) {
        uint64_t next = f->log.head - block->count + i + 1;
        if (block->metas[i].flags & FRAME_NOT_JSON)
            f->refused_to = f->plain_from = next;
        if (!(block->metas[i].flags & FRAME_JOIN_LEAVE))
            continue;
        f->plain_from = next;
        if (!f->publications)
            f->publications = filter_get(&f->filters, BYTES_NULL, CHANNELS_JSON, false, NULL);
    }
}

void channel_form_on_block(void *peer, struct frame_block *block)
{
    struct channel_form *f = peer;
    if (f->view) {
        f->position = block->marks[block->count - 1].offset;
        view_on_block(f->view, block);
        return;
    }
    if (f->attached) {
        frame_log_append(&f->log, block);
        if (block->metas && !f->log.bare)
            note_flags(f, block);
        f->serial += block->count;
        f->position = block->marks[block->count - 1].offset;
        if (f->count && !f->passing)
            mark_dirty(f);
        run_waiters(f);
    }
    frame_block_unref(block);
}

void channel_form_on_epoch(void *peer, const char *epoch, int64_t position)
{
    struct channel_form *f = peer;
    struct channels_style style;
    if (!f->attached)
        return;
    snprintf(f->channel->epoch, sizeof f->channel->epoch, "%s", epoch);
    f->position = position;
    f->epoch_seq = f->log.head;
    f->epoch_offset = position;
    for (size_t i = 0; i < f->count; i++)
        f->subscriptions[i]->renumbered = f->subscriptions[i]->state == SUBSCRIPTION_PAGING;
    /* Clients of the channels wire hear of an epoch in the answer to a subscribe only. */
    if (f->numbered && frame_form_style(f->form, &style))
        subscriptions_resync(f);
    f->numbered = false;
}

bool channel_form_seek(const struct channel_form *f, const char *epoch, int64_t offset, uint64_t *ret_seq)
{
    const struct frame_log *log = &f->log;
    bool reaches_back = log->base >= f->epoch_seq;
    uint64_t from = reaches_back ? log->base : f->epoch_seq;
    int64_t from_offset = reaches_back ? log->base_offset : f->epoch_offset;

    if (!f->attached || f->detaching || strcmp(epoch, f->channel->epoch) != 0 || offset < from_offset ||
        offset > f->position)
        return false;
    *ret_seq = frame_log_seek(log, from, offset);
    return true;
}

/* ---- subscribers ---- */

void channel_form_place(struct subscription *s)
{
    struct channel_form *f = s->form;
    if (f->count == f->capacity) {
        f->capacity = f->capacity ? f->capacity * 2 : 4;
        f->subscriptions = xrealloc(f->subscriptions, f->capacity * sizeof(struct subscription *));
    }
    s->index = f->count;
    f->subscriptions[f->count++] = s;
    atomic_store_explicit(&f->clients, f->count, memory_order_relaxed);
}

static void put(struct channel_form *f, size_t index, struct subscription *s)
{
    f->subscriptions[index] = s;
    s->index = index;
}

/* The last one fills the place. While a pass runs, the places below `pass_at` are those it has been to: the last one of
 * these fills the place then, and the last one of all, which the pass has not seen, comes to where the pass goes next. */
void channel_form_displace(struct subscription *s)
{
    struct channel_form *f = s->form;
    size_t hole = s->index;
    if (f->passing && hole < f->pass_at) {
        put(f, hole, f->subscriptions[--f->pass_at]);
        hole = f->pass_at;
    }
    put(f, hole, f->subscriptions[--f->count]);
    atomic_store_explicit(&f->clients, f->count, memory_order_relaxed);
    if (f->count == 0)
        f->idle_since_ms = clock_mono_ms();
}

/* ---- attaching ---- */

/* Blocks of a form that the hub sends anew begin a new log. */
static void take_answer(struct channel_form *f, const struct hub_subscribe *r)
{
    memcpy(f->channel->epoch, r->ret_epoch, sizeof f->channel->epoch);
    f->channel->shift = r->shift;
    f->channel->by_broker = r->by_broker;
    f->numbered = r->numbered;
    if (r->fresh || !f->attached) {
        frame_log_reset(&f->log, r->position);
        f->serial = r->serial;
        f->epoch_seq = f->log.head;
        f->epoch_offset = r->position;
    }
    f->attached = true;
    f->detaching = false;
    f->position = r->position;
}

void channel_form_ask(struct channel_form *f, struct hub_subscribe *r)
{
    struct loop *l = f->channel->loop;
    r->form = f->form;
    r->block_form = !r->items ? frame_form_plain(f->form) : frame_form_items(r->deltas ? frame_form_of_deltas(f->form) : f->form);
    r->loop = l->index;
    r->peer = f;
    f->calls++;
    hub_call_post(l->engine->hub, &r->call);
}

void channel_form_answered(struct channel_form *f, const struct hub_subscribe *r)
{
    f->calls--;
    f->idle_since_ms = clock_mono_ms();
    if (r->error == CRIER_OK)
        take_answer(f, r);
}

static void on_attached(struct hub_call *call, void *owner)
{
    struct hub_subscribe *r = (struct hub_subscribe *)call;
    (void)owner;
    channel_form_answered(r->peer, r);
    hub_subscribe_free(r);
}

void channel_form_attach(struct channel_form *f)
{
    struct hub_subscribe *r;
    if ((f->attached && !f->detaching) || f->calls)
        return;
    r = hub_subscribe_new(&f->channel->loop->inbox, channel_form_name(f), on_attached);
    r->at_head = true;
    channel_form_ask(f, r);
}

/* ---- letting go ---- */

static void on_detached(struct hub_call *call, void *owner)
{
    struct hub_detach *d = (struct hub_detach *)call;
    struct channel_form *f = d->arg;
    (void)owner;
    f->calls--;
    if (f->detaching) {
        f->attached = f->detaching = false;
        frame_log_done(&f->log);
        init_log(f);
        f->plain_from = f->refused_to = 0;
        for (struct filter *filter = f->filters; filter; filter = filter->next)
            filter_forget(filter);
        frame_index_forget(&f->index);
        if (f->view)
            view_detached(f->view, false);
    }
    hub_detach_free(d);
}

static void detach(struct channel_form *f)
{
    struct loop *l = f->channel->loop;
    struct hub_detach *d = hub_detach_new(&l->inbox, channel_form_name(f), on_detached);
    d->form = f->form;
    d->loop = l->index;
    d->arg = f;
    f->detaching = true;
    f->calls++;
    hub_call_post(l->engine->hub, &d->call);
}

static bool sweep_form(struct channel_form *f, uint64_t now_ms)
{
    frame_block_unref(f->missed);
    f->missed = NULL;
    if (f->count || f->expected || f->calls || f->waiters || f->dirty || f->passing ||
        (f->view && view_in_use(f->view)))
        return false;
    if (!f->attached)
        return true;
    if (now_ms - f->idle_since_ms > LINGER_MS)
        detach(f);
    return false;
}

static void loop_channel_free(struct loop_channel *c)
{
    HASH_DEL(c->loop->channels, c);
    while (c->forms) {
        struct channel_form *f = c->forms;
        c->forms = f->sibling;
        if (f->view)
            view_detached(f->view, true);
        frame_log_done(&f->log);
        frame_index_done(&f->index);
        filter_unref(&f->filters, f->publications);
        frame_block_unref(f->missed);
        free(f->subscriptions);
        free(f);
    }
    free(c->name);
    free(c);
}

void loop_channels_sweep(struct loop *l, uint64_t now_ms)
{
    struct loop_channel *c, *next;
    HASH_ITER(hh, l->channels, c, next)
    {
        bool unused = true;
        for (struct channel_form *f = c->forms; f; f = f->sibling)
            unused &= sweep_form(f, now_ms);
        if (unused)
            loop_channel_free(c);
    }
}

void loop_channels_done(struct loop *l)
{
    struct loop_channel *c, *next;
    HASH_ITER(hh, l->channels, c, next)
        loop_channel_free(c);
}
