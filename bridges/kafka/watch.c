#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "kafka.h"

static void on_idle(uv_idle_t *idle);

static void take_turn(struct watch *watch)
{
    bool more = watch->drain(watch);
    if (!watch->open)
        return; /* the host closed it from inside the call */
    if (more && !watch->paused)
        uv_idle_start(&watch->idle, on_idle);
    else
        uv_idle_stop(&watch->idle);
}

static void on_idle(uv_idle_t *idle)
{
    take_turn(idle->data);
}

/* The eventfd is cleared before the queue is emptied: what comes in between wakes us again. */
static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    uint64_t count;
    (void)status;
    (void)events;
    if (read(watch->fd, &count, sizeof count) < 0 && errno != EAGAIN)
        return;
    if (!uv_is_active((uv_handle_t *)&watch->idle))
        watch_drain(watch);
}

int watch_open(struct watch *watch, struct bridge *b, rd_kafka_queue_t *queue, bool (*drain)(struct watch *watch))
{
    static const uint64_t one = 1;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    watch->bridge = b;
    watch->queue = queue;
    watch->drain = drain;
    watch->fd = fd;
    int r = uv_poll_init(b->loop, &watch->poll, fd);
    if (r < 0) {
        close(fd);
        return r;
    }
    uv_idle_init(b->loop, &watch->idle);
    watch->poll.data = watch->idle.data = watch;
    b->handles += 2;
    watch->next = b->watches;
    b->watches = watch;
    watch->open = true;
    uv_poll_start(&watch->poll, UV_READABLE, on_ready);
    rd_kafka_queue_io_event_enable(queue, fd, &one, sizeof one);
    uv_idle_start(&watch->idle, on_idle); /* what came before the event was enabled */
    return 0;
}

void watch_drain(struct watch *watch)
{
    if (watch->open && !watch->paused)
        take_turn(watch);
}

void watch_pause(struct watch *watch)
{
    watch->paused = true;
    if (watch->open)
        uv_idle_stop(&watch->idle);
}

void watch_resume(struct watch *watch)
{
    watch->paused = false;
    if (watch->open)
        uv_idle_start(&watch->idle, on_idle);
}

static void forget(struct watch *watch)
{
    struct watch **link = &watch->bridge->watches;
    while (*link != watch)
        link = &(*link)->next;
    *link = watch->next;
}

void watch_close(struct watch *watch)
{
    if (!watch->open)
        return;
    watch->open = false;
    rd_kafka_queue_io_event_enable(watch->queue, -1, NULL, 0);
    forget(watch);
    uv_poll_stop(&watch->poll);
    close(watch->fd);
    /* bridge_handle_closed() finds the bridge in `data`. */
    watch->poll.data = watch->idle.data = watch->bridge;
    uv_close((uv_handle_t *)&watch->poll, bridge_handle_closed);
    uv_close((uv_handle_t *)&watch->idle, bridge_handle_closed);
}
