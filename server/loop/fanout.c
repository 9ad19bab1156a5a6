#include "app/app.h"
#include "loop/loop.h"
#include "session/session.h"
#include "util/clock.h"

#define PASS_BUDGET_NS 2000000 /* of one turn: sockets, timers and other channels wait no longer than this */
#define CLOCK_EVERY 32         /* subscribers between two looks at the clock */

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

static void start_due_passes(struct loop *l, uint64_t now)
{
    struct channel_form *f = l->dirty, *next;
    uint64_t next_due = 0;

    l->dirty = NULL;
    for (; f; f = next) {
        next = f->next;
        if (due_ms(f) > now) {
            f->next = l->dirty;
            l->dirty = f;
            if (!next_due || due_ms(f) < next_due)
                next_due = due_ms(f);
            continue;
        }
        f->dirty = false;
        f->passing = true;
        f->pass_at = 0;
        f->pass_head = f->log.head;
        f->flushed_ms = now;
        f->next = l->passing;
        l->passing = f;
    }
    if (next_due) {
        uv_update_time(&l->uv);
        uv_timer_start(&l->gather, on_gathered, next_due - now, 0);
    }
}

static void flush_one(struct session *s)
{
    if (session_can_send(s) && !s->outbox_first)
        session_flush(s);
}

/* Returns false when the time is up before the pass is through. */
static bool work_on(struct channel_form *f, uint64_t deadline_ns)
{
    unsigned until_look = CLOCK_EVERY;
    while (f->pass_at < f->count) {
        struct subscription *s = f->subscriptions[f->pass_at++];
        flush_one(s->session);
        if (--until_look == 0) {
            until_look = CLOCK_EVERY;
            if (clock_mono_ns() > deadline_ns)
                return false;
        }
    }
    return true;
}

static void finish_pass(struct loop *l, struct channel_form *f)
{
    f->passing = false;
    if (f->log.head == f->pass_head || f->count == 0)
        return;
    f->dirty = true; /* more came while the pass ran */
    f->next = l->dirty;
    l->dirty = f;
}

static void on_more(uv_idle_t *idle)
{
    (void)idle; /* keeps the loop from waiting while passes are unfinished */
}

void loop_flush(struct loop *l)
{
    uint64_t began_ns = clock_mono_ns();
    if (l->dirty)
        start_due_passes(l, began_ns / 1000000u);

    struct channel_form *last = NULL;
    while (l->passing) {
        struct channel_form *f = l->passing;
        if (!work_on(f, began_ns + PASS_BUDGET_NS)) {
            /* To the end of the list: a channel with many subscribers does not hold up the others. */
            if (f->next) {
                l->passing = f->next;
                f->next = NULL;
                for (last = l->passing; last->next; last = last->next)
                    ;
                last->next = f;
            }
            break;
        }
        l->passing = f->next;
        f->next = NULL;
        finish_pass(l, f);
    }
    if (l->passing || (l->dirty && !uv_is_active((uv_handle_t *)&l->gather)))
        uv_idle_start(&l->more, on_more);
    else
        uv_idle_stop(&l->more);
}
