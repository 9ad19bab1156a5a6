/* A thread's inbox: any thread posts messages, the owner's uv loop delivers them in batches.
 *
 * A message belongs to the inbox from post to deliver; `deliver` runs on the owner's thread and decides what becomes of
 * it. Order is kept per sender. The inbox lives in its owner and must be closed before the loop ends. */
#ifndef CRIER_UTIL_INBOX_H
#define CRIER_UTIL_INBOX_H

#include <stdbool.h>
#include <uv.h>

#include "mpsc.h"
#include "wakeup.h"

struct inbox_message {
    struct mpsc_node node; /* first: the queue hands nodes back */
    void (*deliver)(struct inbox_message *m, void *owner);
};

struct inbox {
    struct mpsc queue;
    struct wakeup wake;
    void *owner;
    atomic_bool closed;
};

/* Owner's thread, before anyone posts. 0 or a negative errno. */
int inbox_init(struct inbox *in, uv_loop_t *loop, void *owner);
/* Any thread. */
void inbox_post(struct inbox *in, struct inbox_message *m);
/* Owner's thread: delivers what is there now, without waiting for the wake-up. */
void inbox_drain(struct inbox *in);
/* Owner's thread, when nobody posts any more: delivers the rest. inbox_closed() is true afterwards. */
void inbox_close(struct inbox *in);
static inline bool inbox_closed(struct inbox *in)
{
    return atomic_load_explicit(&in->closed, memory_order_relaxed);
}

#endif
