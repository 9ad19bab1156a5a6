/* What subscriptions are behind goes to their sessions, and what happens to those that fell off the frame log. */
#include "loop/engine.h"
#include "session/session.h"
#include "util/metrics.h"

/* The cursor fell off the log. Returns true when it stands on the log again. */
static bool apply_policy(struct subscription *s)
{
    struct channel_form *f = s->form;
    struct session *session = s->session;
    bool renumbered = s->cursor < f->epoch_seq && f->log.base >= f->epoch_seq;
    int64_t first = (renumbered ? f->epoch_offset : s->sent) + 1, last = f->log.base_offset;

    enum behind_policy policy = f->channel->ns->behind;
    if ((policy == BEHIND_SKIP && s->positioned) || (policy != BEHIND_CLOSE && s->window))
        policy = BEHIND_RESYNC;
    metric_add(M_GAPS, 1);
    switch (policy) {
    case BEHIND_SKIP:
        if (s->deltas) { /* it has not got what the frames from here on are deltas against */
            subscription_restart(s, f, RESTART_AT_HEAD);
            return false;
        }
        s->cursor = f->log.base;
        s->sent = last;
        session->wire->gap(session, channel_form_name(f), first, last);
        return session_can_send(session);
    case BEHIND_CONFLATE:
        subscription_restart(s, f, RESTART_NEWEST_OF_KEYS);
        return false;
    case BEHIND_RESYNC: {
        struct bytes name = channel_form_name(f);
        session_forget(session, s);
        session->wire->unsubscribed(session, name, 2500, "insufficient state");
        return false;
    }
    case BEHIND_CLOSE:
        session_close(session, CLOSE_SLOW, "slow");
        return false;
    }
    return false;
}

static bool behind(const struct subscription *s)
{
    return s->state == SUBSCRIPTION_LIVE && (s->cursor < s->form->log.head || (s->choosy && window_waits(s)));
}

static void move_to(struct subscription *s, uint64_t next)
{
    s->cursor = next;
    s->sent = frame_log_offset_before(&s->form->log, next);
}

static void advance(struct subscription *s, uint64_t next)
{
    metric_add(M_DELIVERIES, (int64_t)(next - s->cursor));
    move_to(s, next);
}

/* Everything from the cursor on is for it, as it is. */
static bool plain(const struct subscription *s)
{
    return !s->choosy && s->cursor >= s->form->plain_from;
}

static struct filter *filter_of(const struct subscription *s)
{
    return s->filter || s->join_leave ? s->filter : s->form->publications;
}

static bool wants(const struct subscription *s, uint64_t seq)
{
    return s->window ? window_wants(s, seq) : filter_wants_frame(s->filter, &s->form->log, seq);
}

/* A frame that its form could not carry ends the session of whoever wants it. */
static bool meets_refused(const struct subscription *s)
{
    const struct channel_form *f = s->form;
    for (uint64_t seq = s->cursor; seq < f->refused_to && seq < f->log.head; seq++)
        if ((frame_log_facts(&f->log, seq).flags & FRAME_NOT_JSON) && wants(s, seq))
            return true;
    return false;
}

/* The session has taken its page. */
static void turn_page(struct subscription *s)
{
    subscription_restart(s, s->form, RESTART_BEHIND_LAST);
}

bool subscription_settle(struct subscription *s)
{
    if (s->state == SUBSCRIPTION_PAGING)
        turn_page(s);
    if (!behind(s))
        return true;
    if (s->cursor < s->form->log.base && !apply_policy(s))
        return false;
    if (plain(s) || !meets_refused(s))
        return true;
    session_close(s->session, CLOSE_INAPPROPRIATE, "inappropriate protocol");
    return false;
}

/* ---- some frames only ---- */

/* Frames that it wants and that lie together, behind those that it does not; empty when it wants none. */
static struct bytes wanted_run(struct subscription *s, size_t limit, uint64_t *ret_next)
{
    const struct frame_log *log = &s->form->log;
    struct filter *filter = filter_of(s);
    uint64_t first = s->cursor, end = log->head;
    if (filter)
        filter_next_run(filter, log, s->cursor, s->session->loop->judge_until_ns, &first, &end);
    if (first > s->cursor)
        move_to(s, first);
    *ret_next = end;
    if (first == end)
        return (struct bytes){"", 0};
    struct bytes run = frame_log_slice(log, first, limit, ret_next);
    if (s->deltas && !s->based && !delta_by_key(s->form->channel->ns))
        end = first + 1; /* a full one, then deltas */
    if (*ret_next <= end)
        return run;
    *ret_next = end;
    return frame_log_between(log, first, end);
}

/* Where deltas are against the newest of each key, one frame does not do. */
static bool is_base(const struct subscription *s)
{
    return s->deltas && !delta_by_key(s->form->channel->ns) &&
           !(frame_log_facts(&s->form->log, s->cursor).flags & FRAME_JOIN_LEAVE);
}

static void collect_wanted(struct subscription *s, struct buf *out, size_t limit)
{
    if (s->window) {
        window_collect(s, out, limit);
        return;
    }
    while (behind(s) && (out->len == 0 || out->len < limit)) {
        uint64_t next;
        if (s->choosy && s->based && subscription_go_over(s))
            continue;
        struct bytes run = wanted_run(s, limit - out->len, &next);
        if (run.len == 0 && next < s->form->log.head) {
            channel_form_revisit(s->form); /* the rest is judged in the next turn */
            return;
        }
        buf_append_bytes(out, run);
        if (next > s->cursor)
            s->based |= is_base(s);
        advance(s, next);
    }
}

void subscription_collect(struct subscription *s, struct buf *out, size_t limit)
{
    uint64_t next;
    if (!behind(s) || (out->len && out->len >= limit))
        return;
    if (!plain(s)) {
        collect_wanted(s, out, limit);
        return;
    }
    struct bytes slice = frame_log_slice(&s->form->log, s->cursor, limit - out->len, &next);
    buf_append_bytes(out, slice);
    advance(s, next);
}

/* Runs of frames are short: gathered, they are one write. */
static struct bytes gather_wanted(struct subscription *s, size_t limit)
{
    struct buf *scratch = &s->session->loop->scratch;
    scratch->len = 0;
    collect_wanted(s, scratch, limit);
    return buf_bytes(scratch);
}

#define WRITE_MAX 65536

/* False when nothing more can be sent now. */
static bool flush_wanted(struct subscription *s)
{
    if (!subscription_settle(s))
        return false;
    struct bytes frames = gather_wanted(s, WRITE_MAX);
    if (frames.len == 0)
        return false;
    session_write(s->session, frames);
    metric_add(M_SENDS, 1);
    return !s->session->closing;
}

void subscription_flush(struct subscription *s)
{
    struct session *session = s->session;
    if (s->state == SUBSCRIPTION_PAGING)
        turn_page(s);
    while (behind(s) && session_can_send(session)) {
        uint64_t next;
        if (!plain(s) || s->cursor < s->form->log.base) {
            if (!flush_wanted(s))
                return;
            continue;
        }
        struct bytes slice = frame_log_slice(&s->form->log, s->cursor, WRITE_MAX, &next);
        session_write(session, slice);
        if (session->closing)
            return;
        metric_add(M_SENDS, 1);
        advance(s, next);
    }
}
