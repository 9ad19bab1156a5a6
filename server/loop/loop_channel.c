#include "loop_channel.h"

#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "hub/mirror.h"
#include "loop/engine.h"
#include "loop/view.h"
#include "session/session.h"
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
    f->log.bare = f->form < FORM_PAYLOAD_JSON;
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
    if (!f->attached)
        return;
    snprintf(f->channel->epoch, sizeof f->channel->epoch, "%s", epoch);
    f->channel->numbered = false;
    f->position = position;
    f->epoch_seq = f->log.head;
    f->epoch_offset = position;
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

/* ---- attaching ---- */

static void place(struct subscription *s)
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
static void displace(struct subscription *s)
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

static void leave(const struct channel_form *f, const char *session)
{
    hub_leave_post(f->channel->loop->engine->hub, channel_form_name(f), session);
}

static void subscription_free(struct subscription *s)
{
    filter_unref(&s->form->filters, s->filter);
    free(s);
}

/* False when the wire ended it in answer to the news. */
static bool go_live(struct subscription *s, uint64_t cursor, int64_t position, const struct hub_subscribe *result)
{
    /* A restart that could not go on where the client was is news for it: what follows is a new beginning. */
    bool quiet = s->quiet && result->recovered;
    s->state = SUBSCRIPTION_LIVE;
    s->joined |= result->session != NULL;
    int64_t first_lost = s->sent + 1;
    bool skipped = s->skipping && first_lost <= position;
    quiet |= s->skipping;
    s->cursor = cursor;
    s->sent = position;
    s->based = s->deltas && (s->form->channel->ns->keyed || result->block);
    s->quiet = s->skipping = false;
    place(s);
    s->announcing = true;
    if (!quiet)
        s->session->wire->subscribed(s->session, s, result);
    else if (skipped)
        s->session->wire->gap(s->session, channel_form_name(s->form), first_lost, position);
    s->announcing = false;
    bool ended = s->ended;
    if (ended)
        subscription_free(s);
    return !ended;
}

static void fail(struct subscription *s, enum crier_error error, const char *detail)
{
    struct session *session = s->session;
    struct bytes name = channel_form_name(s->form);
    bool quiet = s->quiet;

    if (s->joined)
        leave(s->form, session->id);
    session_remove(session, s);
    subscription_free(s);
    if (quiet)
        session->wire->unsubscribed(session, name, 2500, "insufficient state");
    else
        session->wire->subscribe_failed(session, name, error, detail);
}

/* Blocks of a form that the hub sends anew begin a new log. */
static void take_answer(struct channel_form *f, const struct hub_subscribe *r)
{
    memcpy(f->channel->epoch, r->ret_epoch, sizeof f->channel->epoch);
    f->channel->shift = r->shift;
    f->channel->by_broker = r->by_broker;
    f->channel->numbered = r->numbered;
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
    r->block_form = r->items ? frame_form_items(f->form) : f->form;
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

/* The form that a subscription begins with. */
static enum frame_form form_of(const struct subscription *s)
{
    return s->deltas ? frame_form_before_deltas(s->session->form) : s->session->form;
}

/* Frames that the form could not carry. */
static bool has_refused(const struct frame_block *block)
{
    uint8_t flags = 0;
    for (uint32_t i = 0; block && block->metas && i < block->count; i++)
        flags |= block->metas[i].flags;
    return flags & FRAME_NOT_JSON;
}

static void on_subscribed(struct hub_call *call, void *owner)
{
    struct hub_subscribe *r = (struct hub_subscribe *)call;
    struct subscription *s = r->arg;
    struct channel_form *f = r->peer;
    (void)owner;

    channel_form_answered(f, r);
    if (s->cancelled) {
        if (r->session && r->error == CRIER_OK)
            leave(f, r->session);
        session_answered(f->channel->loop, s->session_key);
        subscription_free(s);
    } else if (r->error != CRIER_OK) {
        fail(s, r->error, r->detail);
    } else {
        struct session *session = s->session;
        if (has_refused(r->block))
            session_close(session, CLOSE_INAPPROPRIATE, "inappropriate protocol");
        bool live = go_live(s, f->log.head, r->position, r);
        if (live && r->block && !r->items && !session->closing) {
            session_send_block(session, r->block, s);
            r->block = NULL;
        }
        if (live && f->form != form_of(s) && !session->closing)
            subscription_change_form(s, session->form); /* the client's first message came meanwhile */
    }
    hub_subscribe_free(r);
}

static void ask_hub(struct subscription *s, const struct subscribe_request *q)
{
    struct channel_form *f = s->form;
    struct loop *l = f->channel->loop;
    struct hub_subscribe *r = hub_subscribe_new(&l->inbox, channel_form_name(f), on_subscribed);
    r->arg = s;
    r->history = q->history;
    r->conflate = q->conflate;
    r->at_head = q->skip;
    r->filter = s->filter ? s->filter->tags : NULL;
    r->items = q->items;
    r->shifted = q->shifted;
    r->any_epoch = q->shifted && q->epoch && !*q->epoch;
    if (q->epoch) {
        r->has_position = true;
        r->offset = q->offset;
        snprintf(r->epoch, sizeof r->epoch, "%s", q->epoch);
    }
    if (namespace_keeps_presence(f->channel->ns) && !s->joined) {
        r->session = xstrdup(s->session->id);
        r->user = xstrdup(s->session->user);
        r->name = xstrdup(s->session->name);
        r->conn_info = xstrdup(s->session->info);
        r->chan_info = xstrdup(q->info);
    }
    s->state = SUBSCRIPTION_ATTACHING;
    channel_form_ask(f, r);
}

/* What the log has from `seq` on, for a wire that puts it into its reply. */
static struct frame_block *items_from(const struct subscription *s, uint64_t seq)
{
    const struct channel_form *f = s->form;
    struct channels_style style;
    struct frame_builder items;
    frame_builder_init(&items, frame_form_items(f->form), NULL);
    for (frame_form_style(f->form, &style); seq < f->log.head; seq++) {
        struct bytes item = channels_item_of_frame(&style, frame_log_between(&f->log, seq, seq + 1));
        if (!item.data || !filter_wants_frame(s->filter, &f->log, seq))
            continue; /* a notice, or not wanted */
        buf_append_bytes(&items.bytes, item);
        frame_builder_mark(&items, frame_log_offset_before(&f->log, seq + 1));
    }
    return frame_builder_finish(&items);
}

/* Presence is the hub's; so are keys that expire, and what was missed where the namespace promises no history. */
static bool can_start_here(const struct subscription *s, const struct subscribe_request *q)
{
    const struct channel_form *f = s->form;
    const struct config_namespace *ns = f->channel->ns;
    if (!f->attached || f->detaching || ns->interval_ms || q->conflate || (namespace_keeps_presence(ns) && !s->joined) || ns->key_ttl_ms)
        return false;
    if (q->shifted && !f->channel->numbered)
        return false;
    return q->epoch || !(q->history || ns->keyed);
}

/* False when the log does not reach the position, or the namespace wants the hub to decide. */
static bool find_position(const struct channel_form *f, const struct subscribe_request *q, int64_t offset, uint64_t *ret_seq)
{
    const struct loop_channel *c = f->channel;
    const char *epoch = q->shifted && !*q->epoch ? c->epoch : q->epoch;
    return channel_form_seek(f, epoch, offset, ret_seq) &&
           (offset == f->position || (c->ns->history != 0 && !c->ns->keyed)) &&
           f->log.head - *ret_seq <= (uint64_t)c->loop->engine->config->limits.recover;
}

/* The frame log itself answers what it reaches: nothing crosses to the hub when 10,000 clients come back at once. */
static bool start_here(struct subscription *s, const struct subscribe_request *q)
{
    struct channel_form *f = s->form;
    const struct loop_channel *c = f->channel;
    struct hub_subscribe result = {.position = f->position, .has_position = q->epoch != NULL, .shift = c->shift,
                                   .numbered = c->numbered, .items = q->items};
    int64_t offset = q->shifted ? q->offset - c->shift : q->offset;
    uint64_t cursor = f->log.head;

    if (!can_start_here(s, q) || (q->epoch && !find_position(f, q, offset, &cursor)))
        return false;
    if (q->epoch) {
        result.recovered = true;
        result.publications = (uint32_t)(f->log.head - cursor);
        metric_add(M_RECOVERIES, 1);
    }
    if (q->items && cursor < f->log.head) {
        result.block = items_from(s, cursor);
        cursor = f->log.head;
        offset = f->position;
    }
    memcpy(result.ret_epoch, c->epoch, sizeof result.ret_epoch);
    struct session *session = s->session;
    if (go_live(s, cursor, q->epoch ? offset : f->position, &result) && cursor < f->log.head && !session->closing)
        session_flush(session);
    frame_block_unref(result.block);
    return true;
}

/* Filters belong to forms. */
static void set_form(struct subscription *s, struct channel_form *f)
{
    struct filter *old = s->filter;
    if (old && s->form != f) {
        s->filter = filter_get(&f->filters, old->raw, old->encoding, old->notices, NULL);
        filter_unref(&s->form->filters, old);
    }
    s->form = f;
    s->choosy = s->filter || (s->deltas && !frame_form_has_deltas(f->form));
}

static void on_attached(struct hub_call *call, void *owner)
{
    struct hub_subscribe *r = (struct hub_subscribe *)call;
    (void)owner;
    channel_form_answered(r->peer, r);
    hub_subscribe_free(r);
}

/* Lets the blocks of a form come, though nobody is subscribed in it. */
static void attach(struct channel_form *f)
{
    struct hub_subscribe *r;
    if ((f->attached && !f->detaching) || f->calls)
        return;
    r = hub_subscribe_new(&f->channel->loop->inbox, channel_form_name(f), on_attached);
    r->at_head = true;
    channel_form_ask(f, r);
}

static struct channel_form *form_with_deltas(const struct subscription *s)
{
    return channel_form_get(s->form->channel, frame_form_of_deltas(s->form->form));
}

/* False when the filter is none. */
static bool apply_wishes(struct subscription *s, const struct subscribe_request *q, const char **ret_reason)
{
    enum frame_form form = s->form->form;
    s->join_leave = q->join_leave;
    if (q->filter.data) {
        s->filter = filter_get(&s->form->filters, q->filter, q->filter_encoding, q->join_leave, ret_reason);
        if (!s->filter)
            return false;
    }
    s->deltas = q->deltas && !s->filter && s->form->channel->ns->delta && frame_form_of_deltas(form) != form;
    set_form(s, channel_form_get(s->form->channel, form_of(s)));
    return true;
}

void subscription_start(struct subscription *s, const struct subscribe_request *request)
{
    const char *reason;
    s->quiet = request->quiet;
    if (!apply_wishes(s, request, &reason)) {
        fail(s, CRIER_ERR_BAD_REQUEST, reason);
        return;
    }
    struct channel_form *later = s->deltas ? form_with_deltas(s) : NULL;
    if (!start_here(s, request))
        ask_hub(s, request);
    if (later)
        attach(later);
}

void subscription_end(struct subscription *s)
{
    if (s->joined)
        leave(s->form, s->session->id);
    session_drop_blocks(s->session, s);
    if (s->state == SUBSCRIPTION_ATTACHING) {
        s->cancelled = true; /* freed when the hub answers */
        s->session_key = s->session->key;
        s->session->cancelled++;
        s->session = NULL;
        return;
    }
    displace(s);
    s->ended = true;
    if (!s->announcing)
        subscription_free(s);
}

void subscription_restart(struct subscription *s, struct channel_form *f, enum restart how)
{
    displace(s);
    /* A client that has not come to the present numbering has no position in it. */
    bool placed = s->cursor > s->form->epoch_seq || s->sent == s->form->epoch_offset;
    char epoch[CHANNEL_EPOCH_SIZE];
    memcpy(epoch, s->form->channel->epoch, sizeof epoch);
    if (!placed)
        *epoch = 0;
    const struct subscribe_request again = {.epoch = how == RESTART_AT_HEAD ? NULL : epoch,
                                            .offset = s->sent,
                                            .conflate = how == RESTART_NEWEST_OF_KEYS,
                                            .skip = how == RESTART_AT_HEAD};
    s->quiet = true;
    s->skipping = how == RESTART_AT_HEAD;
    set_form(s, s->deltas ? channel_form_get(f->channel, frame_form_before_deltas(f->form)) : f);
    ask_hub(s, &again);
}

bool subscription_go_over(struct subscription *s)
{
    const struct channel_form *from = s->form;
    struct channel_form *to = form_with_deltas(s);
    uint64_t serial = from->serial - (from->log.head - s->cursor);
    if (!to->attached || to->detaching || to->serial < serial || to->log.head - to->log.base < to->serial - serial) {
        attach(to);
        return false;
    }
    displace(s);
    set_form(s, to);
    s->cursor = to->log.head - (to->serial - serial);
    place(s);
    return true;
}

void subscription_change_form(struct subscription *s, enum frame_form form)
{
    if (s->state == SUBSCRIPTION_ATTACHING)
        return; /* its answer comes in the old form: the client has not been promised another one yet */
    subscription_restart(s, channel_form_get(s->form->channel, form), RESTART_BEHIND_LAST);
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
    if (f->count || f->calls || f->waiters || f->dirty || f->passing || (f->view && view_in_use(f->view)))
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
        filter_unref(&f->filters, f->publications);
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
