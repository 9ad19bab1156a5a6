#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "kafka.h"
#include "util/clock.h"

#define TICK_MS 250      /* schedules; also drains every queue, in case a wake-up was lost */
#define CLOSE_TICK_MS 10
#define COMMIT_EVERY_MS 1000

void bridge_submit(struct bridge *b, struct lane *lane, struct job *job)
{
    b->jobs++;
    lane_submit(lane, job);
}

static void on_mail(struct bridge_mailbox *mailbox, struct mpsc_node *node)
{
    struct bridge *b = CONTAINER(mailbox, struct bridge, mailbox);
    struct job *job = CONTAINER(node, struct job, node);
    b->jobs--;
    job->done(job);
}

/* ---- open ---- */

static void copy_open(struct bridge *b, const struct bridge_open *open)
{
    b->name = xstrdup(open->name);
    b->servers = xstrdup(open->servers);
    b->node_id = xstrdup(open->node_id);
    b->options = xcalloc(open->option_count, sizeof *b->options);
    for (size_t i = 0; i < open->option_count; i++)
        b->options[i] = (struct bridge_option){xstrdup(open->options[i].name), xstrdup(open->options[i].value)};
    b->open = *open;
    b->open.name = b->name;
    b->open.servers = b->servers;
    b->open.node_id = b->node_id;
    b->open.options = b->options;
    b->loop = open->loop;
    b->host_ops = open->host_ops;
    b->host = open->host;
}

static struct bridge *bridge_new(const struct bridge_open *open)
{
    struct bridge *b = xcalloc(1, sizeof *b);
    TAILQ_INIT(&b->waiting_reads);
    TAILQ_INIT(&b->active_reads);
    copy_open(b, open);
    return b;
}

static void bridge_free(struct bridge *b)
{
    struct client *client;
    struct sub *sub;
    struct reader *reader;
    while ((sub = b->subs)) {
        b->subs = sub->next;
        sub_free(sub);
    }
    while ((reader = b->readers)) {
        b->readers = reader->next;
        reader_free(reader);
    }
    while ((client = b->clients)) {
        b->clients = client->next;
        client_free(client);
    }
    for (size_t i = 0; i < b->open.option_count; i++) {
        free((char *)b->options[i].name);
        free((char *)b->options[i].value);
    }
    free(b->options);
    free(b->batch.headers);
    free(b->cluster_id);
    free(b->name);
    free(b->servers);
    free(b->node_id);
    free(b);
}

static void on_tick(uv_timer_t *timer);

static void start_handles(struct bridge *b)
{
    uv_timer_init(b->loop, &b->timer);
    uv_idle_init(b->loop, &b->later);
    b->timer.data = b->later.data = b;
    b->handles += 2;
    uv_timer_start(&b->timer, on_tick, 0, TICK_MS);
}

static int start_lanes(struct bridge *b)
{
    int r = lane_start(&b->control, &b->mailbox);
    if (r < 0)
        return r;
    r = lane_start(&b->reading, &b->mailbox);
    if (r < 0)
        lane_stop(&b->control);
    return r;
}

static void on_unused_mailbox_closed(struct bridge_mailbox *mailbox)
{
    bridge_free(CONTAINER(mailbox, struct bridge, mailbox));
}

static int start(struct bridge *b, char *error, size_t error_size)
{
    int r = start_lanes(b);
    if (r < 0) {
        snprintf(error, error_size, "cannot start a thread: %s", uv_strerror(r));
        return r;
    }
    b->producer = client_open(b, ROLE_PRODUCER, NULL, false, NULL, error, error_size);
    if (b->producer)
        return 0;
    lane_stop(&b->control);
    lane_stop(&b->reading);
    return -EINVAL;
}

static int kafka_open(const struct bridge_open *open, struct bridge **ret_bridge, char *error, size_t error_size)
{
    int r = options_check(open, error, error_size);
    if (r < 0)
        return r;
    struct bridge *b = bridge_new(open);
    r = bridge_mailbox_init(&b->mailbox, b->loop, on_mail);
    if (r < 0) {
        snprintf(error, error_size, "cannot use the loop: %s", uv_strerror(r));
        bridge_free(b);
        return r;
    }
    r = start(b, error, error_size);
    if (r < 0) {
        bridge_mailbox_close(&b->mailbox, on_unused_mailbox_closed);
        return r;
    }
    start_handles(b); /* the first state is told by the first tick */
    *ret_bridge = b;
    return 0;
}

/* ---- time ---- */

static void drain_all(struct bridge *b)
{
    struct watch *next;
    for (struct watch *watch = b->watches; watch; watch = next) {
        next = watch->next;
        if (!uv_is_active((uv_handle_t *)&watch->idle))
            watch_drain(watch);
    }
}

static void close_advance(struct bridge *b, uint64_t now_ms);

static void on_tick(uv_timer_t *timer)
{
    struct bridge *b = timer->data;
    uint64_t now = clock_mono_ms();
    drain_all(b);
    if (b->closing) {
        close_advance(b, now);
        return;
    }
    state_tick(b, now);
    state_update(b);
    producer_tick(b);
    reader_tick(b, now);
    bool commit = now >= b->commit_at_ms;
    if (commit)
        b->commit_at_ms = now + COMMIT_EVERY_MS;
    for (struct sub *sub = b->subs; sub; sub = sub->next) {
        sub_tick(sub, now);
        sub_check_caught_up(sub);
        if (commit && sub->shared)
            group_commit(sub);
    }
}

/* ---- close: drain, destroy on the lanes, close what is left on the loop ---- */

static void kafka_close(struct bridge *b, uint64_t deadline_ms)
{
    if (b->closing)
        return;
    b->closing = CLOSE_BEGIN;
    atomic_store(&b->stopping, true);
    b->close_deadline_ms = clock_mono_ms() + deadline_ms;
    uv_timer_start(&b->timer, on_tick, 0, CLOSE_TICK_MS);
}

static void close_begin(struct bridge *b)
{
    reader_cancel_all(b);
    for (struct sub *sub = b->subs; sub; sub = sub->next) {
        if (sub->shared && sub->client->rk)
            group_close_begin(sub);
        else
            watch_close(&sub->watch);
    }
    b->closing = CLOSE_DRAINING;
}

static bool groups_left(struct bridge *b)
{
    bool all = true;
    for (struct sub *sub = b->subs; sub; sub = sub->next)
        if (sub->shared && sub->client->rk)
            all = group_close_done(sub) && all;
    return all;
}

static void cut(struct bridge *b)
{
    if (b->cut)
        return;
    b->cut = true;
    for (struct client *client = b->clients; client; client = client->next) {
        if (client->role == ROLE_PRODUCER && client->rk)
            rd_kafka_purge(client->rk,
                           RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
        sockets_cut(&client->sockets);
    }
}

static void close_drain(struct bridge *b, bool in_time)
{
    bool left = groups_left(b);
    if (b->pending > 0 || b->active_read_count > 0 || (!left && in_time))
        return;
    for (struct client *client = b->clients; client; client = client->next)
        client_retire(client);
    b->closing = CLOSE_DESTROYING;
}

static void finish_close(struct bridge *b)
{
    b->host_ops->on_closed(b->host);
    bridge_free(b);
}

void bridge_handle_closed(uv_handle_t *handle)
{
    struct bridge *b = handle->data;
    if (--b->handles == 0 && b->closing == CLOSE_HANDLES)
        finish_close(b);
}

static void on_mailbox_closed(struct bridge_mailbox *mailbox)
{
    struct bridge *b = CONTAINER(mailbox, struct bridge, mailbox);
    b->closing = CLOSE_HANDLES;
    uv_close((uv_handle_t *)&b->later, bridge_handle_closed);
    uv_close((uv_handle_t *)&b->timer, bridge_handle_closed);
}

static void close_threads(struct bridge *b)
{
    if (b->jobs > 0)
        return;
    lane_stop(&b->control);
    lane_stop(&b->reading);
    uv_timer_stop(&b->timer);
    bridge_mailbox_close(&b->mailbox, on_mailbox_closed);
}

static void close_advance(struct bridge *b, uint64_t now_ms)
{
    bool in_time = now_ms < b->close_deadline_ms;
    if (!in_time)
        cut(b);
    if (b->closing == CLOSE_BEGIN)
        close_begin(b);
    else if (b->closing == CLOSE_DRAINING)
        close_drain(b, in_time);
    else if (b->closing == CLOSE_DESTROYING)
        close_threads(b);
}

/* ---- the rest of the contract ---- */

static struct sub *sub_of(struct bridge_source_sub *handle)
{
    return CONTAINER(handle, struct sub, handle);
}

static void kafka_ack(struct bridge_source_sub *handle, struct bytes topic, int32_t partition, int64_t offset)
{
    struct sub *sub = sub_of(handle);
    if (sub->shared && bytes_eq_str(topic, sub->topic) && sub->client->rk && sub->bridge->closing < CLOSE_DRAINING)
        group_ack(sub, partition, offset);
}

static void kafka_pause(struct bridge_source_sub *handle)
{
    struct sub *sub = sub_of(handle);
    if (sub->paused || sub->bridge->closing)
        return;
    sub->paused = true;
    if (sub->shared)
        group_set_paused(sub, true);
    else
        watch_pause(&sub->watch); /* librdkafka fetches until its queue is full, then stops by itself */
}

static void kafka_resume(struct bridge_source_sub *handle)
{
    struct sub *sub = sub_of(handle);
    if (!sub->paused || sub->bridge->closing)
        return;
    sub->paused = false;
    if (sub->shared)
        group_set_paused(sub, false);
    else
        watch_resume(&sub->watch);
}

static void kafka_stats(struct bridge *b, struct bridge_stats *ret)
{
    int64_t lag = 0;
    for (struct sub *sub = b->subs; sub && lag >= 0; sub = sub->next) {
        int64_t one = sub_lag(sub);
        lag = one < 0 ? -1 : lag + one;
    }
    *ret = (struct bridge_stats){.lag = lag, .pending = b->pending};
}

static const struct bridge_ops kafka_ops = {
    .abi = BRIDGE_ABI,
    .name = "kafka",
    .summary = "Apache Kafka, by librdkafka",
    .package = "librdkafka1",
    .caps = BRIDGE_ORDERED | BRIDGE_REPLAYABLE | BRIDGE_ACKED | BRIDGE_KEYED | BRIDGE_PAUSABLE | BRIDGE_HEADERS |
            BRIDGE_POSITIONED | BRIDGE_SHARED | BRIDGE_TOMBSTONES | BRIDGE_FROM_ZERO,
    .option_names = NULL,
    .open = kafka_open,
    .check = options_check,
    .subscribe = sub_open,
    .publish = producer_publish,
    .ack = kafka_ack,
    .pause = kafka_pause,
    .resume = kafka_resume,
    .read_back = reader_read,
    .stats = kafka_stats,
    .close = kafka_close,
};

CRIER_API const struct bridge_ops *crier_bridge_ops(void);

const struct bridge_ops *crier_bridge_ops(void)
{
    return &kafka_ops;
}
