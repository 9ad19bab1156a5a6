#include "wakeup.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct wakeup *w = poll->data;
    uint64_t rings;
    (void)status, (void)events;
    while (read(w->fd, &rings, sizeof rings) < 0 && errno == EINTR)
        ;
    /* Not before the read: whoever rings in between is seen by this call, whoever rings later makes the next one. */
    atomic_exchange_explicit(&w->rung, false, memory_order_acq_rel);
    w->on_wake(w);
}

int wakeup_init(struct wakeup *w, uv_loop_t *loop, void (*on_wake)(struct wakeup *w), void *owner)
{
    w->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (w->fd < 0)
        return -errno;
    int r = uv_poll_init(loop, &w->poll, w->fd);
    if (r < 0) {
        close(w->fd);
        return r;
    }
    w->poll.data = w;
    w->owner = owner;
    w->on_wake = on_wake;
    w->on_closed = NULL;
    atomic_init(&w->rung, false);
    return uv_poll_start(&w->poll, UV_READABLE, on_readable);
}

void wakeup_ring(struct wakeup *w)
{
    const uint64_t one = 1;
    if (atomic_exchange_explicit(&w->rung, true, memory_order_acq_rel))
        return;
    while (write(w->fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct wakeup *w = handle->data;
    if (w->on_closed)
        w->on_closed(w);
}

void wakeup_close(struct wakeup *w, void (*on_closed)(struct wakeup *w))
{
    w->on_closed = on_closed;
    atomic_store_explicit(&w->rung, true, memory_order_release);
    uv_close((uv_handle_t *)&w->poll, on_poll_closed);
    close(w->fd);
}
