#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "kafka.h"
#include "util/clock.h"

#define ASK_SETTLED_MS 30000 /* how soon new partitions are found */
#define ASK_MISSING_MS 250
#define ASK_FAILED_MS 1000
#define GONE_AFTER_MS 3000 /* brokers that restart may deny a topic for a moment */

/* ---- life ---- */

static struct sub *sub_new(struct bridge *b, const struct bridge_subscription *s, void *cookie)
{
    struct sub *sub = xcalloc(1, sizeof *sub);
    sub->bridge = b;
    sub->cookie = cookie;
    sub->topic = xstrdup(s->topic);
    sub->group = s->shared ? xstrdup(s->group) : NULL;
    sub->shared = s->shared;
    sub->from = s->from;
    sub->time_ms = s->time_ms;
    sub->rebalances_tail = &sub->rebalances;
    return sub;
}

void sub_free(struct sub *sub)
{
    struct rebalance *r;
    while ((r = sub->rebalances)) {
        sub->rebalances = r->next;
        rd_kafka_topic_partition_list_destroy(r->list);
        free(r);
    }
    free(sub->partitions);
    free(sub->seed);
    free(sub->topic);
    free(sub->group);
    free(sub);
}

int sub_open(struct bridge *b, const struct bridge_subscription *s, void *cookie, struct bridge_source_sub **ret_sub)
{
    char error[REASON_SIZE] = "";
    if (!s->topic || !topic_name_valid(bytes_of(s->topic)) || (s->shared && (!s->group || !s->group[0])))
        return -EINVAL;
    if (b->closing)
        return -ESHUTDOWN;
    struct sub *sub = sub_new(b, s, cookie);
    int r = sub->shared ? group_open(sub, error, sizeof error) : fanout_open(sub, error, sizeof error);
    if (r < 0) {
        log_error("kafka subscription failed", LOG_STR("bridge", b->name), LOG_STR("topic", s->topic),
                  LOG_STR("reason", error));
        sub_free(sub);
        return r;
    }
    sub->next = b->subs;
    b->subs = sub;
    sub_tick(sub, clock_mono_ms());
    *ret_sub = &sub->handle;
    return 0;
}

struct partition *sub_partition(struct sub *sub, int32_t id)
{
    return id >= 0 && id < sub->partition_count ? &sub->partitions[id] : NULL;
}

void sub_grow(struct sub *sub, int32_t count)
{
    if (count <= sub->partition_count)
        return;
    sub->partitions = xrealloc(sub->partitions, (size_t)count * sizeof *sub->partitions);
    for (int32_t id = sub->partition_count; id < count; id++)
        sub->partitions[id] = (struct partition){.end = -1, .acked = -1, .committed = -1};
    sub->partition_count = count;
}

/* ---- what the topic is ---- */

void sub_set_problem(struct sub *sub, const char *fmt, ...)
{
    va_list args;
    if (sub->fatal)
        return;
    va_start(args, fmt);
    vsnprintf(sub->problem, sizeof sub->problem, fmt, args);
    va_end(args);
    state_update(sub->bridge);
}

void sub_set_fatal(struct sub *sub, const char *text)
{
    snprintf(sub->problem, sizeof sub->problem, "topic \"%s\": %s", sub->topic, text);
    sub->fatal = true;
    state_update(sub->bridge);
}

void sub_ask_now(struct sub *sub)
{
    sub->ask_at_ms = 0;
}

static void ask_again(struct sub *sub, uint64_t after_ms)
{
    uint64_t at = clock_mono_ms() + after_ms;
    if (sub->ask_at_ms) /* 0: somebody found a reason to ask at once */
        sub->ask_at_ms = at;
}

static void topic_missing(struct sub *sub)
{
    uint64_t now = clock_mono_ms();
    if (!sub->missing)
        sub->missing_since_ms = now;
    sub->missing = true;
    if (!sub->discovered)
        sub->initial_count = 0;
    ask_again(sub, ASK_MISSING_MS);
    sub_set_problem(sub, "topic \"%s\" does not exist", sub->topic);
    if (now - sub->missing_since_ms < GONE_AFTER_MS)
        return;
    if (!sub->shared)
        fanout_lost(sub);
    sub_check_caught_up(sub);
}

static void topic_found(struct sub *sub, const struct topic_query *q)
{
    struct bridge *b = sub->bridge;
    if (!sub->discovered && !sub->missing)
        sub->initial_count = q->partition_count;
    sub->discovered = true;
    sub->missing = false;
    if (!sub->seed) {
        CLEANUP_BUF seed = BUF_INIT;
        buf_printf(&seed, "%s:%s", q->cluster_id ? q->cluster_id : b->cluster_id ? b->cluster_id : "", sub->topic);
        sub->seed = bytes_dup(buf_bytes(&seed));
    }
    ask_again(sub, ASK_SETTLED_MS);
    sub_set_problem(sub, "%s", "");
    if (sub->shared) {
        sub_grow(sub, q->partition_count);
        group_found(sub);
    } else {
        fanout_found(sub, q);
    }
    sub_check_caught_up(sub);
}

static void on_answer(struct job *job)
{
    struct topic_query *q = CONTAINER(job, struct topic_query, job);
    struct sub *sub = q->owner;
    struct bridge *b = sub->bridge;
    sub->asking = false;
    if (b->closing) {
        topic_query_free(q);
        return;
    }
    if (!q->error) {
        topic_found(sub, q);
    } else if (topic_error_is_unknown(q->error)) {
        topic_missing(sub);
    } else {
        ask_again(sub, ASK_FAILED_MS);
        if (q->error == RD_KAFKA_RESP_ERR__TIMED_OUT || q->error == RD_KAFKA_RESP_ERR__TRANSPORT)
            state_suspect(b);
        else
            sub_set_problem(sub, "topic \"%s\": %s", sub->topic, rd_kafka_err2str(q->error));
    }
    topic_query_free(q);
}

void sub_tick(struct sub *sub, uint64_t now_ms)
{
    struct bridge *b = sub->bridge;
    if (!b->answering || sub->asking || now_ms < sub->ask_at_ms)
        return;
    struct topic_query *q = topic_query_new(b, sub, sub->client->rk, sub->rkt, on_answer);
    q->want_time = !sub->shared && sub->from == BRIDGE_FROM_TIME;
    q->time_ms = sub->time_ms;
    for (int32_t id = 0; id < sub->partition_count; id++)
        sub->partitions[id].next_asked = sub->partitions[id].next;
    sub->asking = true;
    sub->ask_at_ms = UINT64_MAX;
    bridge_submit(b, &b->control, &q->job);
}

/* ---- positions ---- */

void sub_announce(struct sub *sub, int32_t id, int64_t oldest, int64_t end)
{
    sub->bridge->host_ops->on_assigned(sub->cookie, bytes_of(sub->topic), id, sub->partition_count,
                                       bytes_of(sub->seed), oldest, end);
}

void sub_reached(struct sub *sub, int32_t id, int64_t position)
{
    struct partition *p = sub_partition(sub, id);
    if (!p || !p->started)
        return;
    if (position > p->next)
        p->next = position;
    p->behind = false;
}

void sub_check_caught_up(struct sub *sub)
{
    if (sub->caught_up || sub->bridge->closing)
        return;
    bool gone = sub->missing && clock_mono_ms() - sub->missing_since_ms >= GONE_AFTER_MS;
    if (!gone && (!sub->discovered || (sub->shared && !sub->had_assignment)))
        return;
    for (int32_t id = 0; id < sub->partition_count; id++) {
        struct partition *p = &sub->partitions[id];
        p->behind = p->behind && p->next < p->goal;
        if (p->behind || (!sub->shared && !p->started && id < sub->initial_count))
            return;
    }
    sub->caught_up = true;
    sub->bridge->host_ops->on_caught_up(sub->cookie);
}

int64_t sub_lag(struct sub *sub)
{
    int64_t lag = 0;
    if (!sub->discovered || !sub->client->rk)
        return -1;
    for (int32_t id = 0; id < sub->partition_count; id++) {
        struct partition *p = &sub->partitions[id];
        int64_t low, high;
        if (!p->started)
            continue;
        if (rd_kafka_get_watermark_offsets(sub->client->rk, sub->topic, id, &low, &high) == 0 && high > p->end)
            p->end = high;
        if (p->end > p->next)
            lag += p->end - p->next;
    }
    return lag;
}

/* ---- records ---- */

static void hand_over(struct sub *sub)
{
    struct batch *batch = &sub->bridge->batch;
    if (batch->count && !sub->bridge->closing)
        sub->bridge->host_ops->on_records(sub->cookie, batch->records, batch->count);
    batch_clear(batch);
}

static void take_record(struct sub *sub, const rd_kafka_message_t *message)
{
    struct partition *p = sub_partition(sub, message->partition);
    if (!p || !p->started)
        return;
    if (message->offset < p->next) {
        if (!sub->shared)
            return;
        p->acked = p->committed = -1; /* the group's position was reset: the log was cut or made anew */
    }
    struct bytes topic = bytes_of(sub->topic);
    if (!batch_add(&sub->bridge->batch, topic, message)) {
        hand_over(sub);
        batch_add(&sub->bridge->batch, topic, message);
    }
    p->next = message->offset + 1;
}

static void take_error(struct sub *sub, const rd_kafka_message_t *message)
{
    struct partition *p = sub_partition(sub, message->partition);
    switch (message->err) {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        sub_reached(sub, message->partition, message->offset);
        break;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
        if (p)
            p->restart = true;
        sub_ask_now(sub);
        break;
    case RD_KAFKA_RESP_ERR__FATAL:
        sub_set_fatal(sub, rd_kafka_message_errstr(message));
        break;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
        sub_set_problem(sub, "topic \"%s\": %s", sub->topic, rd_kafka_err2str(message->err));
        break;
    default:
        if (topic_error_is_unknown(message->err))
            sub_ask_now(sub);
        else
            state_note(sub->bridge, LOG_LEVEL_WARN, rd_kafka_err2name(message->err), rd_kafka_message_errstr(message));
        break;
    }
}

static void wake_fetch(struct sub *sub, size_t messages, size_t bytes)
{
    if (sub->bridge->closing || !flow_is_due(&sub->flow, sub->queue, messages, bytes))
        return;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(sub->partition_count);
    for (int32_t id = 0; id < sub->partition_count; id++)
        if (sub->partitions[id].started)
            rd_kafka_topic_partition_list_add(list, sub->topic, id)->offset = INT64_MAX / 2;
    flow_wake(&sub->flow, sub->client, list);
}

bool sub_drain(struct watch *watch)
{
    struct sub *sub = CONTAINER(watch, struct sub, watch);
    struct batch *batch = &sub->bridge->batch;
    ssize_t n = rd_kafka_consume_batch_queue(watch->queue, 0, batch->messages, BATCH_RECORDS);
    size_t bytes = 0;
    for (ssize_t i = 0; i < n; i++) {
        if (batch->messages[i]->err) {
            hand_over(sub);
            take_error(sub, batch->messages[i]);
        } else {
            bytes += batch->messages[i]->len;
            take_record(sub, batch->messages[i]);
        }
    }
    hand_over(sub);
    for (ssize_t i = 0; i < n; i++)
        rd_kafka_message_destroy(batch->messages[i]);
    if (sub->shared)
        group_process(sub);
    if (n > 0) {
        sub_check_caught_up(sub);
        wake_fetch(sub, (size_t)n, bytes);
    }
    return n == BATCH_RECORDS;
}
