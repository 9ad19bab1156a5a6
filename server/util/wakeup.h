/* Wakes a thread that waits in its uv loop, from any other thread.
 *
 * Not uv_async: there the woken thread spins until the waking one, which it may have pushed off their common core, is through
 * with its call (997 turns of a pause, then a yield). Rings until the owner looks are one; what was done before a ring is seen by
 * the owner's call. It lives in its owner, and after wakeup_close() until `on_closed`. */
#ifndef CRIER_UTIL_WAKEUP_H
#define CRIER_UTIL_WAKEUP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <uv.h>

struct wakeup {
    uv_poll_t poll;
    int fd;
    void *owner;
    atomic_bool rung;
    void (*on_wake)(struct wakeup *w);
    void (*on_closed)(struct wakeup *w);
};

/* Owner's thread, before anyone rings. 0 or a negative errno; then there is nothing to close. */
int wakeup_init(struct wakeup *w, uv_loop_t *loop, void (*on_wake)(struct wakeup *w), void *owner);
/* Any thread. */
void wakeup_ring(struct wakeup *w);
/* Owner's thread, when nobody rings any more; a later ring is lost. `on_closed` may be NULL and comes from the loop. */
void wakeup_close(struct wakeup *w, void (*on_closed)(struct wakeup *w));

#endif
