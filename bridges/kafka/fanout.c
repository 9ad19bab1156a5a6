#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "kafka.h"

/* Fan-out reads without a group: partitions are started one by one on a queue of the subscription's own (librdkafka's
 * "simple" consumer), so no group state and no right on groups is needed. One handle serves all subscriptions of a
 * bridge, except that it can read a topic only once: a second source on a topic gets a further handle. */

static bool client_reads(const struct client *client, const char *topic)
{
    for (const struct sub *sub = client->bridge->subs; sub; sub = sub->next)
        if (sub->client == client && strcmp(sub->topic, topic) == 0)
            return true;
    return false;
}

static struct client *client_for(struct sub *sub, char *error, size_t error_size)
{
    for (struct client *client = sub->bridge->clients; client; client = client->next)
        if (client->role == ROLE_FANOUT && client->rk && !client_reads(client, sub->topic))
            return client;
    return client_open(sub->bridge, ROLE_FANOUT, NULL, false, NULL, error, error_size);
}

int fanout_open(struct sub *sub, char *error, size_t error_size)
{
    sub->client = client_for(sub, error, error_size);
    if (!sub->client)
        return -EINVAL;
    flow_init(&sub->flow, sub->client->rk);
    sub->rkt = rd_kafka_topic_new(sub->client->rk, sub->topic, NULL);
    sub->queue = rd_kafka_queue_new(sub->client->rk);
    int r = watch_open(&sub->watch, sub->bridge, sub->queue, sub_drain);
    if (r == 0)
        return 0;
    snprintf(error, error_size, "cannot watch the queue: %s", uv_strerror(r));
    rd_kafka_queue_destroy(sub->queue);
    rd_kafka_topic_destroy(sub->rkt);
    return r;
}

static void start_at(struct sub *sub, int32_t id, int64_t offset, const struct partition_info *info)
{
    struct partition *p = &sub->partitions[id];
    p->started = true;
    p->restart = p->end_is_lower = false;
    p->next = offset;
    p->end = p->goal = info->end;
    p->behind = !sub->caught_up && offset < info->end;
    sub_announce(sub, id, info->oldest, info->end);
    if (rd_kafka_consume_start_queue(sub->rkt, id, offset, sub->queue) == 0)
        return;
    p->started = false;
    sub_set_problem(sub, "topic \"%s\" partition %d: %s", sub->topic, (int)id, rd_kafka_err2str(rd_kafka_last_error()));
}

/* What appeared after the subscription is read from its beginning: nothing written before we noticed is lost. */
static int64_t first_offset(const struct sub *sub, int32_t id, const struct partition_info *info)
{
    if (sub->from == BRIDGE_FROM_TIME)
        return info->at;
    if (sub->from == BRIDGE_FROM_EARLIEST || id >= sub->initial_count)
        return info->oldest;
    return info->end;
}

/* Our position is not in the log any more: either retention has overtaken us or the topic was made anew. */
static void find_place(struct sub *sub, int32_t id, const struct partition_info *info)
{
    struct partition *p = &sub->partitions[id];
    int64_t lost_from = p->next;
    bool overtaken = p->next < info->oldest;
    int64_t offset = overtaken || p->next > info->end ? info->oldest : p->next;
    log_warn(overtaken ? "kafka records lost to retention" : "kafka topic made anew or cut",
             LOG_STR("bridge", sub->bridge->name), LOG_STR("topic", sub->topic), LOG_INT("partition", id),
             LOG_INT("position", lost_from), LOG_INT("oldest", info->oldest), LOG_INT("end", info->end));
    start_at(sub, id, offset, info);
}

/* An end below our position is believed when it is seen twice: a new leader may lag for a moment. */
static void look_after(struct sub *sub, int32_t id, const struct partition_info *info)
{
    struct partition *p = &sub->partitions[id];
    bool lower = info->end < p->next_asked;
    if (p->restart || (lower && p->end_is_lower)) {
        find_place(sub, id, info);
        return;
    }
    p->end_is_lower = lower;
    p->end = info->end;
    if (lower)
        sub_ask_now(sub);
}

void fanout_found(struct sub *sub, const struct topic_query *query)
{
    sub_grow(sub, query->partition_count);
    for (int32_t id = 0; id < query->partition_count; id++) {
        const struct partition_info *info = &query->partitions[id];
        if (!info->known)
            sub_ask_now(sub);
        else if (sub->partitions[id].started)
            look_after(sub, id, info);
        else
            start_at(sub, id, first_offset(sub, id, info), info);
    }
}

/* ---- the topic was deleted ---- */

struct stop {
    struct job job;
    rd_kafka_topic_t *rkt;
    int32_t count;
};

static void stop_work(struct job *job)
{
    struct stop *stop = CONTAINER(job, struct stop, job);
    for (int32_t id = 0; id < stop->count; id++)
        rd_kafka_consume_stop(stop->rkt, id);
}

static void stop_done(struct job *job)
{
    free(CONTAINER(job, struct stop, job));
}

void fanout_lost(struct sub *sub)
{
    struct bridge *b = sub->bridge;
    if (sub->partition_count == 0)
        return;
    for (int32_t id = 0; id < sub->partition_count; id++)
        if (sub->partitions[id].started)
            b->host_ops->on_revoked(sub->cookie, bytes_of(sub->topic), id);
    /* The topic is asked for on the same lane: what starts later starts after this. */
    struct stop *stop = xcalloc(1, sizeof *stop);
    *stop = (struct stop){
        .job = {.work = stop_work, .done = stop_done},
        .rkt = sub->rkt,
        .count = sub->partition_count,
    };
    sub->partition_count = 0;
    sub->initial_count = 0;
    bridge_submit(b, &b->control, &stop->job);
}
