#include "embedded/driver.h"

#include <stdlib.h>

void emb_event_free(struct event *e)
{
    emb_record_set_done(&e->set);
    if (e->batch)
        emb_batch_unref(e->batch);
    free(e);
}

static void hand_over(struct bridge *b, const struct event *e)
{
    const struct bridge_host_ops *ops = b->host_ops;
    const struct bridge_source_sub *s = e->sub;
    struct bytes topic = bytes_of(s->topic);
    switch (e->kind) {
    case EVENT_ASSIGNED:
        ops->on_assigned(s->cookie, topic, e->partition, s->partition_count, bytes_of(s->uuid), e->oldest, e->end);
        break;
    case EVENT_REVOKED:
        ops->on_revoked(s->cookie, topic, e->partition);
        break;
    case EVENT_RECORDS:
        ops->on_records(s->cookie, e->set.records, e->set.count);
        break;
    case EVENT_CAUGHT_UP:
        ops->on_caught_up(s->cookie);
        break;
    }
}

/* After close() events are dropped: what was not acknowledged is not lost. */
static void finish(struct bridge *b, struct event *e)
{
    if (!b->closing)
        hand_over(b, e);
    if (e->credit) {
        emb_record_set_done(&e->set);
        emb_bridge_return(b, &e->command);
    } else {
        emb_event_free(e);
    }
}

static void hold(struct bridge_source_sub *s, struct event *e)
{
    e->next = NULL;
    if (s->held_tail)
        s->held_tail->next = e;
    else
        s->held_head = e;
    s->held_tail = e;
}

static bool is_paused(const struct bridge_source_sub *s)
{
    return atomic_load_explicit(&s->paused, memory_order_relaxed);
}

void emb_source_deliver(struct bridge *b, struct mail *m)
{
    struct event *e = CONTAINER_OF(m, struct event, mail);
    struct bridge_source_sub *s = e->sub;
    if (!b->closing && (s->held_head || (is_paused(s) && e->kind == EVENT_RECORDS)))
        hold(s, e);
    else
        finish(b, e);
}

void emb_source_flush(struct bridge *b, struct mail *m)
{
    struct bridge_source_sub *s = CONTAINER_OF(m, struct bridge_source_sub, flush);
    s->flush_sent = false;
    while (s->held_head && (b->closing || !is_paused(s))) {
        struct event *e = s->held_head;
        s->held_head = e->next;
        if (!s->held_head)
            s->held_tail = NULL;
        finish(b, e);
    }
}

void emb_source_free(struct bridge_source_sub *s)
{
    free(s->topic);
    free(s->group);
    free(s->partitions);
    free(s->acked);
    free(s);
}
