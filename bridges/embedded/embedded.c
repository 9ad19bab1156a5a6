#include "embedded/driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/clock.h"

enum {
    TIMER_MS = 50,
    OPEN_WAIT_MS = 200, /* open() must not keep the hub waiting for another process's lock */
};

/* ---- hand-over ---- */

static void on_mail(struct bridge_mailbox *mailbox, struct mpsc_node *node)
{
    struct bridge *b = CONTAINER_OF(mailbox, struct bridge, mailbox);
    struct mail *m = CONTAINER_OF(node, struct mail, node);
    m->deliver(b, m);
}

/* Returned in the same turn they would bring new mail while the old is still being delivered, and a long way to catch
 * up would hold the loop. */
void emb_bridge_return(struct bridge *b, struct command *c)
{
    if (b->stopped) {
        c->run(&b->worker, c);
        return;
    }
    c->next = b->returns;
    b->returns = c;
}

static void return_all(struct bridge *b)
{
    while (b->returns) {
        struct command *c = b->returns;
        b->returns = c->next;
        if (b->stopped)
            c->run(&b->worker, c);
        else
            emb_worker_send(&b->worker, c);
    }
}

static void on_turn_end(uv_check_t *check)
{
    return_all(check->data);
}

static void on_timer(uv_timer_t *timer)
{
    struct bridge *b = timer->data;
    uint64_t now = clock_mono_ms();
    emb_publisher_expire(b, now);
    if (b->closing && now >= b->close_deadline_ms) {
        emb_publisher_give_up(b);
        atomic_store(&b->worker.give_up, true);
    }
    if (!b->pending_head && !b->closing)
        uv_timer_stop(timer);
}

void emb_bridge_watch(struct bridge *b)
{
    if (!uv_is_active((uv_handle_t *)&b->timer))
        uv_timer_start(&b->timer, on_timer, TIMER_MS, TIMER_MS);
}

/* ---- open and close ---- */

static void bridge_free(struct bridge *b)
{
    while (b->subs) {
        struct bridge_source_sub *s = b->subs;
        b->subs = s->next;
        emb_source_free(s);
    }
    store_close(b->worker.store);
    emb_settings_done(&b->worker.settings);
    free(b->name);
    free(b);
}

static void on_handle_closed(struct bridge *b)
{
    if (--b->handles > 0)
        return;
    const struct bridge_host_ops *ops = b->host_ops;
    void *host = b->host;
    bool stopped = b->stopped;
    bridge_free(b);
    if (stopped)
        ops->on_closed(host);
}

static void on_uv_closed(uv_handle_t *handle)
{
    on_handle_closed(handle->data);
}

static void on_mailbox_closed(struct bridge_mailbox *mailbox)
{
    on_handle_closed(CONTAINER_OF(mailbox, struct bridge, mailbox));
}

static void close_handles(struct bridge *b)
{
    uv_close((uv_handle_t *)&b->timer, on_uv_closed);
    uv_close((uv_handle_t *)&b->turn_end, on_uv_closed);
    bridge_mailbox_close(&b->mailbox, on_mailbox_closed);
}

static int open_handles(struct bridge *b, uv_loop_t *loop)
{
    int r = bridge_mailbox_init(&b->mailbox, loop, on_mail);
    if (r < 0)
        return r;
    uv_timer_init(loop, &b->timer);
    uv_check_init(loop, &b->turn_end);
    b->timer.data = b->turn_end.data = b;
    b->handles = 3;
    uv_check_start(&b->turn_end, on_turn_end);
    return 0;
}

/* A file that is locked or has no room yet is no reason to stay down: the store thread tries again. */
static int open_store(struct worker *w, char *error, size_t error_size)
{
    int r = emb_worker_open(w, OPEN_WAIT_MS, error, error_size);
    return r == -EBUSY || r == -ENOSPC ? 0 : r;
}

static int embedded_open(const struct bridge_open *open, struct bridge **ret_bridge, char *error, size_t error_size)
{
    struct bridge *b = xcalloc(1, sizeof *b);
    b->host_ops = open->host_ops;
    b->host = open->host;
    b->name = xstrdup(open->name);
    b->publish_queue = open->publish_queue;
    b->publish_timeout_ms = open->publish_timeout_ms;
    b->worker.bridge = b;
    int r = emb_settings_read(open, &b->worker.settings, error, error_size);
    if (r == 0)
        r = open_store(&b->worker, error, error_size);
    if (r < 0) {
        bridge_free(b);
        return r;
    }
    r = open_handles(b, open->loop);
    if (r == 0 && (r = emb_worker_start(&b->worker)) < 0) {
        snprintf(error, error_size, "cannot start a thread: %s", strerror(-r));
        close_handles(b); /* frees the bridge */
        return r;
    }
    if (r < 0) {
        snprintf(error, error_size, "cannot watch the log: %s", uv_strerror(r));
        bridge_free(b);
        return r;
    }
    *ret_bridge = b;
    return 0;
}

static int embedded_check(const struct bridge_open *open, char *error, size_t error_size)
{
    struct settings s;
    int r = emb_settings_read(open, &s, error, error_size);
    if (r == 0)
        emb_settings_done(&s);
    return r;
}

static void run_close(struct worker *w, struct command *c)
{
    w->closing = true;
    free(c);
}

static void embedded_close(struct bridge *b, uint64_t deadline_ms)
{
    b->closing = true;
    b->close_deadline_ms = clock_mono_ms() + deadline_ms;
    emb_bridge_watch(b);
    for (struct bridge_source_sub *s = b->subs; s; s = s->next)
        emb_source_flush(b, &s->flush);
    struct command *c = xcalloc(1, sizeof *c);
    c->run = run_close;
    c->after_publishes = true;
    emb_worker_send(&b->worker, c);
}

void emb_bridge_stopped(struct bridge *b, struct mail *m)
{
    free(m);
    pthread_join(b->worker.thread, NULL);
    b->stopped = true;
    return_all(b);
    struct mpsc_node *node;
    while ((node = mpsc_pop(&b->worker.inbox))) {
        struct command *c = CONTAINER_OF(node, struct command, node);
        c->run(&b->worker, c);
    }
    close(b->worker.wake_fd);
    close_handles(b);
}

/* ---- subscriptions ---- */

static int embedded_subscribe(struct bridge *b, const struct bridge_subscription *s, void *cookie,
                              struct bridge_source_sub **ret_sub)
{
    if (b->closing || (s->shared && !s->group))
        return -EINVAL;
    struct bridge_source_sub *sub = xcalloc(1, sizeof *sub);
    store_uuid(sub->member);
    sub->bridge = b;
    sub->cookie = cookie;
    sub->topic = xstrdup(s->topic);
    sub->group = s->shared ? xstrdup(s->group) : NULL;
    sub->from = s->from;
    sub->time_ms = s->time_ms;
    sub->flush.deliver = emb_source_flush;
    sub->next = b->subs;
    b->subs = sub;
    sub->command.run = emb_feed_add;
    sub->command.after_publishes = true;
    emb_worker_send(&b->worker, &sub->command);
    *ret_sub = sub;
    return 0;
}

static void embedded_ack(struct bridge_source_sub *s, struct bytes topic, int32_t partition, int64_t offset)
{
    (void)topic;
    if (s->group && partition >= 0 && partition < s->partition_count)
        atomic_store_explicit(&s->acked[partition], offset, memory_order_relaxed);
}

static void embedded_pause(struct bridge_source_sub *s)
{
    atomic_store(&s->paused, true);
}

static void embedded_resume(struct bridge_source_sub *s)
{
    atomic_store(&s->paused, false);
    emb_worker_wake(&s->bridge->worker);
    if (s->held_head && !s->flush_sent && !s->bridge->closing) {
        s->flush_sent = true;
        bridge_mailbox_send(&s->bridge->mailbox, &s->flush.node);
    }
}

/* ---- the rest ---- */

static void embedded_read_back(struct bridge *b, const struct bridge_read *r, void *cookie)
{
    struct read_job *job = xcalloc(1, sizeof *job);
    job->cookie = cookie;
    job->topic = xstrdup(r->topic);
    job->partition = r->partition;
    job->next = r->from_offset;
    job->to = r->to_offset;
    job->limit = r->limit > 0 && r->limit < BATCH_RECORDS ? r->limit : BATCH_RECORDS;
    job->left = r->limit_total > 0 ? r->limit_total : SIZE_MAX;
    job->command.run = emb_reader_add;
    emb_worker_send(&b->worker, &job->command);
}

static void embedded_stats(struct bridge *b, struct bridge_stats *ret)
{
    ret->lag = atomic_load_explicit(&b->worker.lag, memory_order_relaxed);
    ret->pending = b->pending;
}

const struct bridge_ops bridge_embedded_ops = {
    .abi = BRIDGE_ABI,
    .name = "embedded",
    .summary = "durable topic log in one SQLite file; needs no broker",
    .package = "libsqlite3-0",
    .caps = BRIDGE_ORDERED | BRIDGE_REPLAYABLE | BRIDGE_ACKED | BRIDGE_KEYED | BRIDGE_PAUSABLE | BRIDGE_HEADERS |
            BRIDGE_POSITIONED | BRIDGE_SHARED | BRIDGE_TOMBSTONES,
    .option_names = emb_settings_names,
    .open = embedded_open,
    .check = embedded_check,
    .subscribe = embedded_subscribe,
    .publish = emb_publisher_publish,
    .ack = embedded_ack,
    .pause = embedded_pause,
    .resume = embedded_resume,
    .read_back = embedded_read_back,
    .stats = embedded_stats,
    .close = embedded_close,
};
