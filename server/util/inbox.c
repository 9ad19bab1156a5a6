#include "inbox.h"

#define BATCH 4096 /* messages of one turn: sockets and timers must not starve while others post without end */

static void on_wake(struct wakeup *wake)
{
    struct inbox *in = wake->owner;
    for (int i = 0; i < BATCH; i++) {
        struct mpsc_node *node = mpsc_pop(&in->queue);
        if (!node)
            return;
        struct inbox_message *m = (struct inbox_message *)node;
        m->deliver(m, in->owner);
        if (inbox_closed(in))
            return;
    }
    wakeup_ring(wake);
}

int inbox_init(struct inbox *in, uv_loop_t *loop, void *owner)
{
    mpsc_init(&in->queue);
    in->owner = owner;
    atomic_init(&in->closed, false);
    return wakeup_init(&in->wake, loop, on_wake, in);
}

void inbox_post(struct inbox *in, struct inbox_message *m)
{
    mpsc_push(&in->queue, &m->node);
    wakeup_ring(&in->wake);
}

void inbox_drain(struct inbox *in)
{
    struct mpsc_node *node;
    while ((node = mpsc_pop(&in->queue))) {
        struct inbox_message *m = (struct inbox_message *)node;
        m->deliver(m, in->owner);
    }
}

void inbox_close(struct inbox *in)
{
    inbox_drain(in);
    atomic_store_explicit(&in->closed, true, memory_order_relaxed);
    wakeup_close(&in->wake, NULL);
}
