/* What a window's client has to hear: frames through the box, and the news of a change of the box in their place. */
#include "loop/engine.h"
#include "session/session.h"
#include "util/metrics.h"
#include "window_private.h"

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

/* Sends what it is to hear of the frame. */
static void take(struct subscription *s, uint64_t seq, struct buf *out)
{
    enum frame_sight sight = sight_of(s, seq);
    if (sight == FRAME_UNSEEN)
        return;
    if (sight == FRAME_SEEN || frame_log_facts(&s->form->log, seq).flags & FRAME_REMOVED)
        push_frame(s, seq, out);
    else
        push_gone(s, seq, out);
    metric_add(M_DELIVERIES, 1);
}

#define INDEX_FRAMES 256 /* below these it is not worth it to sort the frames by place */
#define INDEX_VIEWERS 32

/* What it may have to hear of, found by place where many look at many frames. Returns the frame that is next. */
static uint64_t collect_by_place(struct subscription *s, uint64_t end, struct buf *out, size_t limit)
{
    struct channel_form *f = s->form;
    const uint64_t *seqs;
    size_t count = (size_t)-1;
    uint64_t seq = s->cursor;
    if (end - seq >= INDEX_FRAMES && f->count >= INDEX_VIEWERS)
        count = frame_index_look(&f->index, &f->log, &s->window->box, seq, end, &seqs);
    if (count == (size_t)-1) {
        for (; seq < end && has_room(out, limit); seq++)
            if (may_concern(frame_log_meta(&f->log, seq), &s->window->box))
                take(s, seq, out);
        return seq;
    }
    for (size_t i = 0; i < count; i++) {
        if (!has_room(out, limit))
            return seqs[i];
        take(s, seqs[i], out);
    }
    return end;
}

static void collect_frames(struct subscription *s, uint64_t end, struct buf *out, size_t limit)
{
    s->cursor = collect_by_place(s, end, out, limit);
    s->sent = frame_log_offset_before(&s->form->log, s->cursor);
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
        window_ask(s);
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
