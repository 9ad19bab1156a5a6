#include "window.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "hub/box_change.h"
#include "loop/engine.h"
#include "session/session.h"
#include "util/metrics.h"

/* A wish for another box. */
struct wish {
    struct geo_box to;
    uint32_t id;
    struct buf reply;
    bool wished;
};

struct window {
    struct geo_box box;
    struct bytes filter; /* raw, for marks */
    uint64_t mark;
    uint64_t serial;  /* names it to answers of the hub */
    bool say_epoch;   /* the next publication tells the client of the window */
    bool asking;      /* the hub is to answer `now` */
    struct wish now, later;
    struct hub_box_change *change; /* the answer: takes effect before frame `at` */
    uint64_t at;
    uint32_t next_item; /* of its block */
};

/* ---- marks ---- */

static uint64_t mix(uint64_t hash, const void *data, size_t len)
{
    for (const unsigned char *p = data, *end = p + len; p < end; p++)
        hash = (hash ^ *p) * UINT64_C(0x100000001b3);
    return hash;
}

uint64_t window_mark(const struct geo_box *box, struct bytes filter)
{
    const int32_t edges[] = {box->south_e6, box->west_e6, box->north_e6, box->east_e6};
    uint64_t hash = mix(mix(UINT64_C(0xcbf29ce484222325), edges, sizeof edges), filter.data, filter.len);
    return hash ? hash : 1;
}

void window_epoch(const char *epoch, uint64_t mark, char ret[WINDOW_EPOCH_SIZE])
{
    if (*epoch)
        snprintf(ret, WINDOW_EPOCH_SIZE, "%.*s~%016" PRIx64, CHANNEL_EPOCH_SIZE - 1, epoch, mark);
    else
        *ret = 0;
}

struct bytes window_epoch_plain(struct bytes epoch, uint64_t *ret_mark)
{
    const char *tilde = epoch.len ? memrchr(epoch.data, '~', epoch.len) : NULL;
    char digits[17] = "", *end = digits;
    *ret_mark = 0;
    if (!tilde || epoch.data + epoch.len - tilde != sizeof digits)
        return epoch;
    memcpy(digits, tilde + 1, sizeof digits - 1);
    uint64_t mark = strtoull(digits, &end, 16);
    if (*end)
        return epoch;
    *ret_mark = mark;
    return (struct bytes){epoch.data, (size_t)(tilde - epoch.data)};
}

/* ---- life ---- */

struct window *window_new(const struct geo_box *box, struct bytes filter)
{
    static _Thread_local uint64_t serial;
    struct window *w = xcalloc(1, sizeof *w);
    *w = (struct window){.box = *box, .mark = window_mark(box, filter), .serial = ++serial, .say_epoch = true};
    if (filter.data)
        w->filter = (struct bytes){bytes_dup(filter), filter.len};
    return w;
}

void window_said(struct window *w)
{
    w->say_epoch = false;
}

const struct geo_box *window_box(const struct window *w)
{
    return w ? &w->box : NULL;
}

static void refuse(struct session *s, struct wish *wish)
{
    struct bytes id = {(const char *)&wish->id, sizeof wish->id};
    if (wish->wished && s && !s->closing)
        s->wire->reply_error(s, id, CRIER_ERR_NOT_AVAILABLE, "the subscription has ended");
    buf_done(&wish->reply);
    *wish = (struct wish){.wished = false};
}

void window_end(struct subscription *s)
{
    struct window *w = s->window;
    if (!w)
        return;
    s->window = NULL;
    refuse(s->session, &w->now);
    refuse(s->session, &w->later);
    if (w->change)
        hub_box_change_free(w->change);
    free((char *)w->filter.data);
    free(w);
}

/* ---- changes ---- */

struct asked {
    uint64_t session, serial;
};

static struct subscription *find_subscription(struct session *s, const struct hub_box_change *b, uint64_t serial)
{
    struct subscription *sub = s && !s->closing ? session_subscription(s, bytes_of(b->channel)) : NULL;
    return sub && sub->window && sub->window->serial == serial ? sub : NULL;
}

static void on_change(struct hub_call *call, void *owner)
{
    struct hub_box_change *b = (struct hub_box_change *)call;
    struct asked *asked = b->arg;
    struct session *s = session_find(owner, asked->session);
    struct subscription *sub = find_subscription(s, b, asked->serial);
    free(asked);
    if (!sub) {
        hub_box_change_free(b);
        return;
    }
    if (!b->found) { /* it is gone with all that it had */
        session_forget(s, sub);
        s->wire->unsubscribed(s, bytes_of(b->channel), 2500, "insufficient state");
        hub_box_change_free(b);
        return;
    }
    sub->window->asking = false;
    sub->window->change = b;
    sub->window->at = sub->form->log.head;
    session_flush(s);
}

static void ask(struct subscription *s)
{
    struct window *w = s->window;
    const struct session *session = s->session;
    struct hub_box_change *b =
        hub_box_change_new(&session->loop->inbox, channel_form_name(s->form), on_change);
    struct asked *asked = xmalloc(sizeof *asked);
    const char *reason;
    *asked = (struct asked){.session = session->key, .serial = w->serial};
    b->arg = asked;
    b->form = frame_form_items(s->form->form);
    b->from = w->box;
    b->to = w->now.to;
    if (s->filter && s->filter->raw.data) /* it was good when the subscription began */
        tag_filter_parse(s->filter->raw, s->filter->encoding, &b->filter, &reason);
    w->asking = true;
    hub_call_post(session->loop->engine->hub, &b->call);
}

void window_change(struct subscription *s, const struct geo_box *to, uint32_t id, struct buf *reply)
{
    struct window *w = s->window;
    bool busy = w->asking || w->change;
    struct wish *wish = busy ? &w->later : &w->now;
    if (wish->wished)
        s->session->wire->reply(s->session, 0, (struct bytes){(const char *)&wish->id, sizeof wish->id}, CRIER_JSON,
                                BYTES_LIT("{\"superseded\":true}"));
    buf_done(&wish->reply);
    *wish = (struct wish){.to = *to, .id = id, .reply = *reply, .wished = true};
    *reply = BUF_INIT;
    if (!busy)
        ask(s);
}

/* ---- delivery ---- */

bool window_waits(const struct subscription *s)
{
    return s->window && s->window->change;
}

/* Most frames are none of its business, and that is seen by their numbers. */
static bool may_concern(const struct frame_meta *m, const struct geo_box *box)
{
    return m && (m->flags & (FRAME_JOIN_LEAVE | FRAME_WAS_UNKNOWN) ||
                 (m->flags & FRAME_HAS_GEO && geo_box_contains(box, m->latitude_e6, m->longitude_e6)) ||
                 (m->flags & FRAME_WAS_PLACED && geo_box_contains(box, m->was_latitude_e6, m->was_longitude_e6)));
}

static enum frame_sight sight_of(const struct subscription *s, uint64_t seq)
{
    const struct frame_log *log = &s->form->log;
    const struct frame_facts facts = frame_log_facts(log, seq);
    if (facts.flags & FRAME_JOIN_LEAVE)
        return s->join_leave ? FRAME_SEEN : FRAME_UNSEEN;
    enum frame_sight sight = frame_sight(&facts, &s->window->box);
    if (sight == FRAME_UNSEEN || !s->filter || filter_wants_frame(s->filter, log, seq))
        return sight;
    return frame_sight_unwanted(&facts, &s->window->box);
}

bool window_wants(const struct subscription *s, uint64_t seq)
{
    return sight_of(s, seq) == FRAME_SEEN;
}

/* As its session takes frames. */
static void seal(const struct subscription *s, struct buf *out, size_t start)
{
    if (s->form->form & FORM_DEFLATED)
        frame_deflate_tail(&s->session->loop->deflate, out, start);
}

static void push_item(const struct subscription *s, struct bytes item, struct buf *out)
{
    struct channels_style style;
    size_t mark, start = out->len;
    frame_form_style(s->form->form, &style);
    channels_begin(out, &style, &mark);
    channels_push_item(out, &style, channel_form_name(s->form), item);
    channels_end(out, &style, mark);
    seal(s, out, start);
}

/* The item with a position of the window in it. */
static void push_placed(const struct subscription *s, struct bytes item, uint64_t offset, const char *epoch,
                        uint64_t mark, struct buf *out)
{
    CLEANUP_BUF placed = BUF_INIT;
    char marked[WINDOW_EPOCH_SIZE];
    struct channels_style style;
    frame_form_style(s->form->form, &style);
    window_epoch(epoch, mark, marked);
    channels_append_placed(&placed, style.encoding, item, offset, bytes_of(marked));
    push_item(s, buf_bytes(&placed), out);
}

static void push_said(struct subscription *s, struct bytes item, struct buf *out)
{
    const struct channel_form *f = s->form;
    bool say = s->window->say_epoch && f->numbered;
    if (say)
        push_placed(s, item, 0, f->channel->epoch, s->window->mark, out);
    else
        push_item(s, item, out);
    s->window->say_epoch &= !say;
}

static void push_frame(struct subscription *s, uint64_t seq, struct buf *out)
{
    struct bytes frame = frame_log_between(&s->form->log, seq, seq + 1);
    struct channels_style style;
    frame_form_style(s->form->form, &style);
    if (s->window->say_epoch) {
        bool deflated = s->form->form & FORM_DEFLATED;
        struct bytes whole = deflated ? frame_inflated(&s->session->loop->deflate, frame) : frame;
        struct bytes item = channels_item_of_frame(&style, whole);
        if (item.data) {
            push_said(s, item, out);
            return;
        }
    }
    buf_append_bytes(out, frame);
}

static void push_gone(struct subscription *s, uint64_t seq, struct buf *out)
{
    const struct loop_channel *c = s->form->channel;
    const struct frame_log *log = &s->form->log;
    const struct frame_facts facts = frame_log_facts(log, seq);
    CLEANUP_BUF item = BUF_INIT;
    struct channels_style style;
    const struct channels_publication removal = {
        .key = facts.key,
        .tags = facts.tags,
        .removed = true,
        .offset = channel_is_unnumbered(c) || !s->form->numbered ? 0 : (uint64_t)(frame_log_offset_before(log, seq + 1) + c->shift),
    };
    frame_form_style(s->form->form, &style);
    channels_append_publication(&item, style.encoding, &removal);
    push_said(s, buf_bytes(&item), out);
}

static bool has_room(const struct buf *out, size_t limit)
{
    return out->len == 0 || out->len < limit;
}

static void collect_frames(struct subscription *s, uint64_t end, struct buf *out, size_t limit)
{
    const struct frame_log *log = &s->form->log;
    uint64_t seq = s->cursor;
    int64_t sent = 0;
    for (; seq < end && has_room(out, limit); seq++) {
        enum frame_sight sight = may_concern(frame_log_meta(log, seq), &s->window->box) ? sight_of(s, seq) : FRAME_UNSEEN;
        if (sight == FRAME_UNSEEN)
            continue;
        sent++;
        if (sight == FRAME_SEEN || frame_log_facts(log, seq).flags & FRAME_REMOVED)
            push_frame(s, seq, out);
        else
            push_gone(s, seq, out);
    }
    s->cursor = seq;
    s->sent = frame_log_offset_before(log, seq);
    metric_add(M_DELIVERIES, sent);
}

/* In the middle of the news the client has neither what lies in the one box nor what lies in the other: its position
 * would be good for nothing. With the last of them it is one of the new window. */
static void push_news(struct subscription *s, struct buf *out, size_t limit)
{
    struct window *w = s->window;
    const struct hub_box_change *b = w->change;
    uint32_t count = b->block ? b->block->count : 0;
    uint64_t mark = window_mark(&w->now.to, w->filter);
    for (; w->next_item < count && has_room(out, limit); w->next_item++) {
        uint32_t i = w->next_item, start = i ? b->block->marks[i - 1].end : 0;
        struct bytes item = {b->block->bytes + start, b->block->marks[i].end - start};
        if (i + 1 == count)
            push_placed(s, item, b->unnumbered ? 0 : (uint64_t)(b->position + b->shift), b->epoch, mark, out);
        else if (i == 0)
            push_placed(s, item, 0, b->epoch, 0, out);
        else
            push_item(s, item, out);
        metric_add(M_DELIVERIES, 1);
    }
}

static void finish_change(struct subscription *s, struct buf *out)
{
    struct window *w = s->window;
    size_t start = out->len;
    buf_append_bytes(out, buf_bytes(&w->now.reply));
    seal(s, out, start);
    buf_done(&w->now.reply);
    w->box = w->now.to;
    w->mark = window_mark(&w->box, w->filter);
    w->say_epoch = !w->change->block;
    w->next_item = 0;
    hub_box_change_free(w->change);
    w->change = NULL;
    w->now = w->later;
    w->later = (struct wish){.wished = false};
    if (w->now.wished)
        ask(s);
}

void window_collect(struct subscription *s, struct buf *out, size_t limit)
{
    const struct window *w = s->window;
    while (has_room(out, limit)) {
        uint64_t end = w->change ? w->at : s->form->log.head;
        if (s->cursor < end) {
            collect_frames(s, end, out, limit);
        } else if (w->change) {
            push_news(s, out, limit);
            if (!w->change->block || w->next_item == w->change->block->count)
                finish_change(s, out);
        } else {
            return;
        }
    }
}
