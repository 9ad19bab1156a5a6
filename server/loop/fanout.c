#include <utlist.h>

#include "loop/engine.h"
#include "loop/loop.h"
#include "session/session.h"
#include "util/clock.h"

#define PASS_BUDGET_NS 2000000 /* of one turn: sockets, timers and other channels wait no longer than this */
#define CLOCK_EVERY 32         /* subscribers, or channels, between two looks at the clock */

/* Adaptive gathering: the first publication after a quiet moment leaves at once, those that follow within gather_ms leave
 * together. */
static uint64_t due_ms(const struct channel_form *f)
{
    return f->flushed_ms ? f->flushed_ms + (uint64_t)f->channel->ns->gather_ms : 0;
}

static void on_gathered(uv_timer_t *timer)
{
    (void)timer; /* the end of this turn starts the passes */
}

static void begin_pass(struct loop *l, struct channel_form *f, uint64_t now)
{
    f->dirty = false;
    f->passing = true;
    f->pass_at = 0;
    f->pass_head = f->log.head;
    f->flushed_ms = now;
    DL_APPEND(l->passing, f);
}

static void gather_until(struct loop *l, uint64_t due)
{
    if (!l->gather_due_ms || due < l->gather_due_ms)
        l->gather_due_ms = due;
}

/* Those that are due begin; the others are looked at again when the first of them is. */
static void sort_dirty(struct loop *l, struct channel_form *list, uint64_t now)
{
    struct channel_form *f;
    while ((f = list)) {
        DL_DELETE(list, f);
        if (due_ms(f) <= now) {
            begin_pass(l, f, now);
            continue;
        }
        DL_APPEND(l->gathering, f);
        gather_until(l, due_ms(f));
    }
}

static void start_due_passes(struct loop *l, uint64_t now)
{
    struct channel_form *list = l->dirty;
    l->dirty = NULL;
    if (l->gather_due_ms && now >= l->gather_due_ms) {
        DL_CONCAT(list, l->gathering);
        l->gathering = NULL;
        l->gather_due_ms = 0;
    }
    sort_dirty(l, list, now);
    if (!l->gather_due_ms)
        return;
    uv_update_time(&l->uv);
    uv_timer_start(&l->gather, on_gathered, l->gather_due_ms - now, 0);
}

/* `only`: no other channel of the loop has something to send, so that what the session is behind is this. */
static void flush_one(struct subscription *sub, bool only)
{
    struct session *s = sub->session;
    if (!session_can_send(s) || s->outbox_first)
        return;
    if (only || (s->subscription_count == 1 && !s->viewers))
        subscription_flush(sub);
    else
        session_flush(s);
}

struct budget {
    uint64_t deadline_ns;
    unsigned until_look;
};

static bool spent(struct budget *b)
{
    if (--b->until_look > 0)
        return false;
    b->until_look = CLOCK_EVERY;
    return clock_mono_ns() > b->deadline_ns;
}

/* Returns false when the time is up before the pass is through. */
static bool work_on(struct channel_form *f, struct budget *b)
{
    const struct loop *l = f->channel->loop;
    bool only = !l->passing && !l->dirty && !l->gathering;
    while (f->pass_at < f->count) {
        sessions_prefetch(f->subscriptions + f->pass_at, f->count - f->pass_at);
        flush_one(f->subscriptions[f->pass_at++], only);
        if (spent(b))
            return false;
    }
    return true;
}

static void finish_pass(struct loop *l, struct channel_form *f)
{
    f->passing = false;
    if (f->log.head == f->pass_head || f->count == 0)
        return;
    f->dirty = true; /* more came while the pass ran */
    DL_APPEND(l->dirty, f);
}

static void on_more(uv_idle_t *idle)
{
    (void)idle; /* keeps the loop from waiting while passes are unfinished */
}

void loop_flush(struct loop *l)
{
    struct budget budget = {.deadline_ns = clock_mono_ns() + PASS_BUDGET_NS, .until_look = CLOCK_EVERY};
    bool in_time = true;

    l->judge_until_ns = budget.deadline_ns;
    start_due_passes(l, clock_mono_ms());
    while (l->passing && in_time) {
        struct channel_form *f = l->passing;
        DL_DELETE(l->passing, f);
        in_time = work_on(f, &budget);
        if (f->pass_at < f->count)
            DL_APPEND(l->passing, f); /* a channel with many subscribers does not hold up the others */
        else
            finish_pass(l, f);
    }
    if (l->passing || l->dirty)
        uv_idle_start(&l->more, on_more);
    else
        uv_idle_stop(&l->more);
}
