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

    metric_add(M_GAPS, 1);
    switch (f->channel->ns->behind) {
    case BEHIND_SKIP:
        s->cursor = f->log.base;
        s->sent = last;
        session->wire->gap(session, channel_form_name(f), first, last);
        return session_can_send(session);
    case BEHIND_CONFLATE:
        subscription_restart(s, f, true);
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
    return s->state == SUBSCRIPTION_LIVE && s->cursor < s->form->log.head;
}

static void advance(struct subscription *s, uint64_t next)
{
    metric_add(M_DELIVERIES, (int64_t)(next - s->cursor));
    s->cursor = next;
    s->sent = frame_log_offset_before(&s->form->log, next);
}

bool subscription_settle(struct subscription *s)
{
    return !behind(s) || s->cursor >= s->form->log.base || apply_policy(s);
}

void subscription_collect(struct subscription *s, struct buf *out, size_t limit)
{
    uint64_t next;
    if (!behind(s) || (out->len && out->len >= limit))
        return;
    struct bytes slice = frame_log_slice(&s->form->log, s->cursor, limit - out->len, &next);
    buf_append_bytes(out, slice);
    advance(s, next);
}

void subscription_flush(struct subscription *s)
{
    struct session *session = s->session;
    while (behind(s) && session_can_send(session)) {
        uint64_t next;
        if (!subscription_settle(s))
            return;
        struct bytes slice = frame_log_slice(&s->form->log, s->cursor, 65536, &next);
        session_write(session, slice);
        if (session->closing)
            return;
        metric_add(M_SENDS, 1);
        advance(s, next);
    }
}
