#include "embedded/driver.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "util/clock.h"

void emb_worker_wake(struct worker *w)
{
    if (atomic_exchange(&w->awake, true))
        return;
    uint64_t one = 1;
    if (write(w->wake_fd, &one, sizeof one) < 0)
        return; /* the counter is full: it is awake */
}

void emb_worker_send(struct worker *w, struct command *c)
{
    mpsc_push(&w->inbox, &c->node);
    emb_worker_wake(w);
}

void emb_worker_mail(struct worker *w, struct mail *m, void (*deliver)(struct bridge *, struct mail *))
{
    m->deliver = deliver;
    bridge_mailbox_send(&w->bridge->mailbox, &m->node);
}

/* ---- state ---- */

struct state_mail {
    struct mail mail;
    enum bridge_state state;
    char reason[256];
};

static void deliver_state(struct bridge *b, struct mail *m)
{
    struct state_mail *s = CONTAINER_OF(m, struct state_mail, mail);
    b->host_ops->on_state(b->host, s->state, *s->reason ? s->reason : NULL);
    free(s);
}

void emb_worker_state(struct worker *w, enum bridge_state state, const char *reason)
{
    if (state == w->state && strcmp(reason, w->reason) == 0)
        return;
    w->state = state;
    snprintf(w->reason, sizeof w->reason, "%s", reason);
    struct state_mail *s = xcalloc(1, sizeof *s);
    s->state = state;
    snprintf(s->reason, sizeof s->reason, "%s", reason);
    emb_worker_mail(w, &s->mail, deliver_state);
}

void emb_worker_report(struct worker *w, int error)
{
    if (error < 0)
        emb_worker_state(w, BRIDGE_DEGRADED, store_reason(w->store));
    else if (!emb_feeds_are_stuck(w))
        emb_worker_state(w, BRIDGE_READY, "");
}

/* ---- opening late ---- */

static bool on_wait(void *arg)
{
    struct worker *w = arg;
    return atomic_load_explicit(&w->give_up, memory_order_relaxed);
}

int emb_worker_open(struct worker *w, int64_t wait_ms, char *error, size_t error_size)
{
    struct store_settings settings = {
        .path = w->settings.path,
        .create = true,
        .busy_timeout_ms = wait_ms,
        .max_bytes = w->settings.max_bytes,
    };
    return store_open(&settings, &w->store, error, error_size);
}

static void begin(struct worker *w)
{
    store_set_wait(w->store, w->settings.busy_timeout_ms, on_wait, w);
    emb_worker_state(w, BRIDGE_READY, "");
}

/* Where the file was locked or the disk full at open(), the thread goes on trying. */
static void open_store(struct worker *w)
{
    char error[256] = "";
    if (emb_worker_open(w, w->settings.busy_timeout_ms, error, sizeof error) < 0)
        emb_worker_state(w, BRIDGE_CONNECTING, error);
    else
        begin(w);
}

/* ---- the loop ---- */

static void run_commands(struct worker *w)
{
    struct mpsc_node *node;
    while (!w->closing && !emb_writer_is_full(w) && (node = mpsc_pop(&w->inbox))) {
        struct command *c = CONTAINER_OF(node, struct command, node);
        if (c->after_publishes)
            emb_writer_flush(w);
        c->run(w, c);
    }
}

static void on_tick(struct worker *w)
{
    bool changed = false;
    int r = store_changed(w->store, &changed);
    if (r == 0 && changed)
        emb_feeds_reload(w);
}

static void on_slow_tick(struct worker *w)
{
    /* Nothing but a write tells whether writing works again. */
    if (w->state == BRIDGE_DEGRADED || store_wal_is_long(w->store))
        emb_worker_report(w, store_probe(w->store));
    emb_feeds_start(w);
    int r = emb_share_tick(w);
    if (r < 0)
        emb_worker_report(w, r);
    emb_cleaner_tick(w);
}

static void run_timers(struct worker *w, uint64_t now_ms)
{
    if (now_ms >= w->tick_at_ms) {
        w->tick_at_ms = now_ms + TICK_MS;
        if (w->store)
            on_tick(w);
    }
    if (now_ms >= w->slow_tick_at_ms) {
        w->slow_tick_at_ms = now_ms + SLOW_TICK_MS;
        if (w->store)
            on_slow_tick(w);
        else
            open_store(w);
    }
}

/* One piece of everything that waits; true when some of it goes on. */
static bool work(struct worker *w)
{
    bool more = emb_writer_is_full(w);
    emb_writer_flush(w);
    run_timers(w, clock_mono_ms());
    if (!w->store)
        return more;
    more |= emb_feeds_step(w);
    more |= emb_readers_step(w);
    more |= emb_cleaner_step(w);
    store_checkpoint(w->store, !more);
    return more;
}

static void sleep_until_woken(struct worker *w)
{
    uint64_t now = clock_mono_ms();
    int timeout_ms = w->tick_at_ms > now ? (int)(w->tick_at_ms - now) : 0;
    struct pollfd fd = {.fd = w->wake_fd, .events = POLLIN};
    uint64_t count;
    if (poll(&fd, 1, timeout_ms) > 0 && read(w->wake_fd, &count, sizeof count) < 0)
        return;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    if (w->store)
        begin(w);
    else
        open_store(w);
    while (!w->closing) {
        /* Before looking: what is sent after the look writes to wake_fd. */
        atomic_store(&w->awake, false);
        run_commands(w);
        if (!work(w) && !w->closing)
            sleep_until_woken(w);
    }
    if (w->store)
        emb_share_leave(w);
    emb_readers_cancel(w);
    store_close(w->store);
    w->store = NULL;
    struct mail *m = xcalloc(1, sizeof *m);
    emb_worker_mail(w, m, emb_bridge_stopped);
    return NULL;
}

int emb_worker_start(struct worker *w)
{
    mpsc_init(&w->inbox);
    w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->wake_fd < 0)
        return -errno;
    w->state = BRIDGE_CONNECTING;
    int r = -pthread_create(&w->thread, NULL, worker_main, w);
    if (r < 0)
        close(w->wake_fd);
    return r;
}
