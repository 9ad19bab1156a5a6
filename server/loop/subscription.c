/* Subscriptions: where they begin, how they go on in another form or behind lost frames, and their end. */
#include <stdio.h>
#include <stdlib.h>

#include "loop/engine.h"
#include "session/session.h"
#include "util/metrics.h"

static void leave(const struct channel_form *f, const char *session)
{
    hub_leave_post(f->channel->loop->engine->hub, channel_form_name(f), session);
}

/* What its next deltas are against. Items of what could not be recovered do not reach the client. */
static bool has_bases(const struct subscription *s, const struct hub_subscribe *result)
{
    return (result->recovered || !result->items) && (delta_by_key(s->form->channel->ns) || result->block);
}

static struct channel_form *form_with_deltas(const struct subscription *s)
{
    return channel_form_get(s->form->channel, frame_form_of_deltas(s->form->form));
}

/* The form with deltas stays attached while somebody is going to come over. */
static void expect(const struct subscription *s, int n)
{
    if (s->deltas && !frame_form_has_deltas(s->form->form))
        form_with_deltas(s)->expected += (size_t)n;
}

static void subscription_free(struct subscription *s)
{
    expect(s, -1);
    filter_unref(&s->form->filters, s->filter);
    window_end(s);
    free(s);
}

/* False when the wire ended it in answer to the news. */
static bool go_live(struct subscription *s, uint64_t cursor, int64_t position, const struct hub_subscribe *result)
{
    /* A restart that could not go on where the client was is news for it: what follows is a new beginning. */
    bool quiet = s->quiet && result->recovered;
    s->state = result->more ? SUBSCRIPTION_PAGING : SUBSCRIPTION_LIVE;
    s->renumbered = false;
    s->joined |= result->session != NULL;
    int64_t first_lost = s->sent + 1;
    bool skipped = s->skipping && first_lost <= position;
    quiet |= s->skipping;
    s->cursor = cursor;
    s->sent = position;
    s->based = s->deltas && has_bases(s, result);
    s->quiet = s->skipping = false;
    channel_form_place(s);
    s->announcing = true;
    if (s->window && result->numbered)
        window_said(s->window);
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

/* The form that a subscription begins with. */
static enum frame_form form_of(const struct subscription *s)
{
    enum frame_form form = session_frames(s->session);
    return s->deltas ? frame_form_before_deltas(form) : form;
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
        bool live = go_live(s, f->log.head, r->more ? r->until : r->position, r);
        if (live && r->block && !r->items && !session->closing) {
            session_send_block(session, r->block, s);
            r->block = NULL;
        }
        if (live && s->state == SUBSCRIPTION_PAGING && !session->closing)
            session_flush(session); /* nothing of the page may be left to send */
        if (live && f->form != form_of(s) && !session->closing)
            subscription_change_form(s, session_frames(session)); /* the client's first message came meanwhile */
    }
    hub_subscribe_free(r);
}

static bool is_listed(const struct config_namespace *ns, const struct subscribe_request *q)
{
    return auth_overridden(q->presence, ns->presence || *ns->presence_clients || *ns->presence_users);
}

static bool is_announced(const struct config_namespace *ns, const struct subscribe_request *q)
{
    return auth_overridden(q->joins, ns->join_leave);
}

/* The hub is to hear who subscribes. */
static bool joins_presence(const struct subscription *s, const struct subscribe_request *q)
{
    const struct config_namespace *ns = s->form->channel->ns;
    return !s->joined && (is_listed(ns, q) || is_announced(ns, q));
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
    r->box = window_box(s->window);
    r->items = q->items;
    r->strict = q->strict;
    r->deltas = s->deltas;
    r->shifted = q->shifted;
    r->any_epoch = q->shifted && q->epoch && !*q->epoch;
    if (q->epoch) {
        r->has_position = true;
        r->offset = q->offset;
        snprintf(r->epoch, sizeof r->epoch, "%s", q->epoch);
    }
    if (joins_presence(s, q)) {
        r->hidden = !is_listed(f->channel->ns, q);
        r->silent = !is_announced(f->channel->ns, q);
        r->session = xstrdup(s->session->id);
        r->user = xstrdup(s->session->user);
        r->name = xstrdup(s->session->name);
        r->conn_info = xstrdup(s->session->info);
        r->chan_info = xstrdup(q->info);
    }
    s->state = SUBSCRIPTION_ATTACHING;
    channel_form_ask(f, r);
}

/* What the log has from `seq` on, for a wire that puts it into its reply; up to the frame `*ret_next`. */
static struct frame_block *make_items(const struct subscription *s, uint64_t seq, uint64_t *ret_next)
{
    const struct channel_form *f = s->form;
    struct channels_style style;
    struct frame_builder items;
    frame_builder_init(&items, frame_form_items(f->form), NULL);
    for (frame_form_style(f->form, &style); seq < f->log.head && items.bytes.len < REPLY_ITEMS_BYTES; seq++) {
        struct bytes frame = frame_log_between(&f->log, seq, seq + 1);
        if (f->form & FORM_DEFLATED)
            frame = frame_inflated(&f->channel->loop->deflate, frame);
        struct bytes item = channels_item_of_frame(&style, frame);
        if (!item.data || !filter_wants_frame(s->filter, &f->log, seq))
            continue; /* a notice, or not wanted */
        buf_append_bytes(&items.bytes, item);
        frame_builder_mark(&items, frame_log_offset_before(&f->log, seq + 1));
    }
    *ret_next = seq;
    return frame_builder_finish(&items);
}

/* A herd that comes back has missed the same. */
static struct frame_block *items_from(const struct subscription *s, uint64_t seq, uint64_t *ret_next)
{
    struct channel_form *f = s->form;
    if (s->choosy)
        return make_items(s, seq, ret_next);
    if (!f->missed || f->missed_from != seq || f->missed_head != f->log.head) {
        frame_block_unref(f->missed);
        f->missed = make_items(s, seq, &f->missed_to);
        f->missed_from = seq;
        f->missed_head = f->log.head;
    }
    *ret_next = f->missed_to;
    return f->missed ? frame_block_ref(f->missed) : NULL;
}

/* Presence is the hub's; so are keys that expire, and what was missed where the namespace promises no history. */
static bool can_start_here(const struct subscription *s, const struct subscribe_request *q)
{
    const struct channel_form *f = s->form;
    const struct config_namespace *ns = f->channel->ns;
    if (!f->attached || f->detaching || ns->interval_ms || q->conflate || ns->key_ttl_ms ||
        joins_presence(s, q))
        return false;
    if (q->shifted && !f->numbered)
        return false;
    if (q->epoch && q->items && ns->recovery == RECOVERY_CACHE)
        return false;
    return q->epoch || !(q->history || ns->keyed);
}

/* The namespace promises as many publications as its history has, or all that the broker keeps: what the log happens to
 * have beyond that would be recovered now and not later. */
static bool is_kept(const struct channel_form *f, uint64_t seq)
{
    const struct loop_channel *c = f->channel;
    return c->by_broker || f->log.head - seq <= (uint64_t)c->ns->history;
}

/* False when the log does not reach the position, or the namespace wants the hub to decide. */
static bool find_position(const struct channel_form *f, const struct subscribe_request *q, int64_t offset,
                          uint64_t *ret_seq)
{
    const struct loop_channel *c = f->channel;
    const char *epoch = q->shifted && !*q->epoch ? c->epoch : q->epoch;
    return channel_form_seek(f, epoch, offset, ret_seq) && *ret_seq >= f->refused_to &&
           (offset == f->position || (c->ns->history != 0 && !c->ns->keyed && is_kept(f, *ret_seq)));
}

/* The frame log itself answers what it reaches: nothing crosses to the hub when 10,000 clients come back at once. */
static bool start_here(struct subscription *s, const struct subscribe_request *q)
{
    struct channel_form *f = s->form;
    const struct loop_channel *c = f->channel;
    struct hub_subscribe result = {.position = f->position, .has_position = q->epoch != NULL, .shift = c->shift,
                                   .numbered = f->numbered, .items = q->items};
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
        result.block = items_from(s, cursor, &cursor);
        offset = frame_log_offset_before(&f->log, cursor);
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
    expect(s, -1);
    s->form = f;
    expect(s, 1);
    s->choosy = s->filter || s->window || (s->deltas && !frame_form_has_deltas(f->form));
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
    if (q->box)
        s->window = window_new(q->box, q->filter);
    bool deltas = q->deltas && !s->filter && !s->window && s->form->channel->ns->delta && frame_form_of_deltas(form) != form;
    if (deltas)
        s->form = channel_form_get(s->form->channel, frame_form_before_deltas(form));
    s->deltas = deltas;
    s->choosy = s->filter || s->window || deltas;
    expect(s, 1);
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
        channel_form_attach(later);
}

void subscriptions_resync(struct channel_form *f)
{
    while (f->count) {
        struct subscription *s = f->subscriptions[f->count - 1];
        struct session *session = s->session;
        session_forget(session, s);
        session->wire->unsubscribed(session, channel_form_name(f), 2500, "insufficient state");
    }
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
    channel_form_displace(s);
    s->ended = true;
    if (!s->announcing)
        subscription_free(s);
}

void subscription_restart(struct subscription *s, struct channel_form *f, enum restart how)
{
    channel_form_displace(s);
    /* A client that has not come to the present numbering has no position in it. */
    bool placed = s->state == SUBSCRIPTION_PAGING ? !s->renumbered
                                                  : s->cursor > s->form->epoch_seq || s->sent == s->form->epoch_offset;
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
        channel_form_attach(to);
        return false;
    }
    channel_form_displace(s);
    set_form(s, to);
    s->cursor = to->log.head - (to->serial - serial);
    channel_form_place(s);
    return true;
}

void subscription_change_form(struct subscription *s, enum frame_form form)
{
    if (s->state == SUBSCRIPTION_ATTACHING)
        return; /* its answer comes in the old form: the client has not been promised another one yet */
    subscription_restart(s, channel_form_get(s->form->channel, form), RESTART_BEHIND_LAST);
}
