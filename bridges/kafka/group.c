#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "kafka.h"

#define COMMIT_RECORDS 5000

/* A group member: a handle of its own. Changes of the assignment arrive inside the drain of its queue and are put in
 * force after the records before them were handed over; positions are looked up on the lane first. */

int group_open(struct sub *sub, char *error, size_t error_size)
{
    sub->client = client_open(sub->bridge, ROLE_GROUP, sub->group, sub->from == BRIDGE_FROM_EARLIEST, sub->topic, error,
                              error_size);
    if (!sub->client)
        return -EINVAL;
    sub->client->group = sub;
    flow_init(&sub->flow, sub->client->rk);
    sub->rkt = rd_kafka_topic_new(sub->client->rk, sub->topic, NULL);
    sub->queue = rd_kafka_queue_get_consumer(sub->client->rk);
    int r = watch_open(&sub->watch, sub->bridge, sub->queue, sub_drain);
    if (r == 0)
        return 0;
    snprintf(error, error_size, "cannot watch the queue: %s", uv_strerror(r));
    rd_kafka_queue_destroy(sub->queue);
    rd_kafka_topic_destroy(sub->rkt);
    client_retire(sub->client);
    return r;
}

void group_found(struct sub *sub)
{
    if (sub->subscribed)
        return;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, sub->topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t error = rd_kafka_subscribe(sub->client->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    sub->subscribed = !error;
    if (error)
        sub_set_problem(sub, "group \"%s\": %s", sub->group, rd_kafka_err2str(error));
}

/* ---- assigned ---- */

struct assignment {
    struct job job;
    struct sub *sub;
    rd_kafka_t *rk;
    rd_kafka_topic_partition_list_t *list;
    struct partition_info *infos; /* by index in `list` */
    bool want_time;
    int64_t time_ms;
    int32_t initial_count;
};

static void find_times(struct assignment *a)
{
    rd_kafka_topic_partition_list_t *times = rd_kafka_topic_partition_list_copy(a->list);
    for (int i = 0; i < times->cnt; i++)
        times->elems[i].offset = a->time_ms;
    bool found = !rd_kafka_offsets_for_times(a->rk, times, OFFSETS_TIMEOUT_MS);
    for (int i = 0; i < times->cnt && found; i++)
        if (a->list->elems[i].offset < 0 && !times->elems[i].err)
            a->list->elems[i].offset = times->elems[i].offset >= 0 ? times->elems[i].offset : a->infos[i].end;
    rd_kafka_topic_partition_list_destroy(times);
}

/* What the group has not committed starts where the subscription says; librdkafka's own policy is the fallback. */
static void find_starts(struct assignment *a)
{
    if (rd_kafka_committed(a->rk, a->list, OFFSETS_TIMEOUT_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    if (a->want_time)
        find_times(a);
    for (int i = 0; i < a->list->cnt; i++) {
        rd_kafka_topic_partition_t *p = &a->list->elems[i];
        if (p->offset < 0 && p->partition >= a->initial_count)
            p->offset = RD_KAFKA_OFFSET_BEGINNING;
    }
}

static void assignment_work(struct job *job)
{
    struct assignment *a = CONTAINER(job, struct assignment, job);
    rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
    for (int i = 0; i < a->list->cnt; i++) {
        struct partition_info *info = &a->infos[i];
        *info = (struct partition_info){.oldest = -1, .end = -1};
        if (error != RD_KAFKA_RESP_ERR__TIMED_OUT)
            error = rd_kafka_query_watermark_offsets(a->rk, a->list->elems[i].topic, a->list->elems[i].partition,
                                                     &info->oldest, &info->end, OFFSETS_TIMEOUT_MS);
        info->known = !error;
    }
    find_starts(a);
}

static void begin_partition(struct sub *sub, int32_t id, int64_t offset, const struct partition_info *info)
{
    sub_grow(sub, id + 1);
    struct partition *p = &sub->partitions[id];
    bool latest = offset < 0 && offset != RD_KAFKA_OFFSET_BEGINNING && sub->from != BRIDGE_FROM_EARLIEST;
    *p = (struct partition){.started = true, .acked = -1, .committed = -1, .end = info->end, .goal = info->end};
    if (offset >= 0)
        p->next = offset;
    else if (latest && info->end > 0)
        p->next = info->end;
    else if (info->oldest > 0)
        p->next = info->oldest;
    p->behind = !sub->caught_up && p->next < p->goal;
    sub_announce(sub, id, info->oldest, info->end);
}

static void put_in_force(struct sub *sub, const rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_error_t *error = rd_kafka_incremental_assign(sub->client->rk, list);
    if (error) {
        state_note(sub->bridge, LOG_LEVEL_ERROR, "ASSIGN", rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
    }
    sub->had_assignment = true;
    if (sub->paused)
        group_set_paused(sub, true);
}

static void assignment_done(struct job *job)
{
    struct assignment *a = CONTAINER(job, struct assignment, job);
    struct sub *sub = a->sub;
    sub->assigning = false;
    for (int i = 0; i < a->list->cnt; i++)
        if (!sub->bridge->closing)
            begin_partition(sub, a->list->elems[i].partition, a->list->elems[i].offset, &a->infos[i]);
    if (sub->client->rk) /* NULL: close() did not wait for us */
        put_in_force(sub, a->list);
    rd_kafka_topic_partition_list_destroy(a->list);
    free(a->infos);
    free(a);
    group_process(sub);
    sub_check_caught_up(sub);
}

static void take_assigned(struct sub *sub, struct rebalance *r)
{
    if (sub->bridge->closing || r->list->cnt == 0) {
        put_in_force(sub, r->list);
        rd_kafka_topic_partition_list_destroy(r->list);
        return;
    }
    struct assignment *a = xcalloc(1, sizeof *a);
    *a = (struct assignment){
        .job = {.work = assignment_work, .done = assignment_done},
        .sub = sub,
        .rk = sub->client->rk,
        .list = r->list,
        .infos = xcalloc((size_t)r->list->cnt, sizeof *a->infos),
        .want_time = sub->from == BRIDGE_FROM_TIME,
        .time_ms = sub->time_ms,
        .initial_count = sub->initial_count,
    };
    sub->assigning = true;
    bridge_submit(sub->bridge, &sub->bridge->control, &a->job);
}

/* ---- revoked ---- */

static void take_revoked(struct sub *sub, struct rebalance *r)
{
    for (int i = 0; i < r->list->cnt; i++) {
        struct partition *p = sub_partition(sub, r->list->elems[i].partition);
        if (p && p->started && !sub->bridge->closing)
            sub->bridge->host_ops->on_revoked(sub->cookie, bytes_of(sub->topic), r->list->elems[i].partition);
    }
    if (!r->lost)
        group_commit(sub); /* with what the host acknowledged in on_revoked(); the request leaves before we rejoin */
    for (int i = 0; i < r->list->cnt; i++) {
        struct partition *p = sub_partition(sub, r->list->elems[i].partition);
        if (p)
            *p = (struct partition){.end = -1, .acked = -1, .committed = -1};
    }
    rd_kafka_error_t *error = rd_kafka_incremental_unassign(sub->client->rk, r->list);
    if (error) {
        state_note(sub->bridge, LOG_LEVEL_WARN, "UNASSIGN", rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
    }
    rd_kafka_topic_partition_list_destroy(r->list);
}

void group_process(struct sub *sub)
{
    struct rebalance *r;
    while (sub->client->rk && !sub->assigning && (r = sub->rebalances)) {
        sub->rebalances = r->next;
        if (!sub->rebalances)
            sub->rebalances_tail = &sub->rebalances;
        if (r->assign)
            take_assigned(sub, r);
        else
            take_revoked(sub, r);
        free(r);
    }
}

/* ---- commits ---- */

void group_ack(struct sub *sub, int32_t id, int64_t offset)
{
    struct partition *p = sub_partition(sub, id);
    if (!p || !p->started || offset <= p->acked || offset >= p->next)
        return;
    sub->acked_since_commit += p->acked < 0 ? 1 : (uint64_t)(offset - p->acked);
    p->acked = offset;
    if (sub->acked_since_commit >= COMMIT_RECORDS)
        group_commit(sub);
}

void group_commit(struct sub *sub)
{
    sub->acked_since_commit = 0;
    if (sub->fatal)
        return;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(sub->partition_count);
    for (int32_t id = 0; id < sub->partition_count; id++) {
        struct partition *p = &sub->partitions[id];
        if (!p->started || p->acked <= p->committed)
            continue;
        rd_kafka_topic_partition_list_add(list, sub->topic, id)->offset = p->acked + 1;
        p->committed = p->acked;
    }
    if (list->cnt)
        rd_kafka_commit_queue(sub->client->rk, list, sub->client->main_queue, NULL, NULL);
    rd_kafka_topic_partition_list_destroy(list);
}

/* A commit that failed is sent again with the next one. */
void group_commit_done(struct sub *sub, rd_kafka_event_t *event)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(event);
    rd_kafka_resp_err_t all = rd_kafka_event_error(event), seen = all;
    for (int i = 0; list && i < list->cnt; i++) {
        rd_kafka_resp_err_t error = all ? all : list->elems[i].err;
        struct partition *p = sub_partition(sub, list->elems[i].partition);
        if (!error)
            continue;
        seen = error;
        if (p && p->started)
            p->committed = -1;
    }
    if (seen && seen != RD_KAFKA_RESP_ERR__NO_OFFSET)
        state_note(sub->bridge, LOG_LEVEL_WARN, "COMMIT", rd_kafka_err2str(seen));
}

/* ---- pause ---- */

/* The member has to go on polling, or the group throws it out: librdkafka stops fetching, not we draining. */
void group_set_paused(struct sub *sub, bool paused)
{
    rd_kafka_topic_partition_list_t *list = NULL;
    sub->paused = paused;
    if (rd_kafka_assignment(sub->client->rk, &list) || !list)
        return;
    if (list->cnt && paused)
        rd_kafka_pause_partitions(sub->client->rk, list);
    else if (list->cnt)
        rd_kafka_resume_partitions(sub->client->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
}

/* ---- leaving ---- */

void group_close_begin(struct sub *sub)
{
    group_commit(sub);
    watch_close(&sub->watch);
    sub->close_queue = rd_kafka_queue_new(sub->client->rk);
    rd_kafka_error_t *error = rd_kafka_consumer_close_queue(sub->client->rk, sub->close_queue);
    if (error)
        rd_kafka_error_destroy(error);
}

bool group_close_done(struct sub *sub)
{
    rd_kafka_message_t *message;
    while (rd_kafka_consume_batch_queue(sub->close_queue, 0, &message, 1) == 1)
        rd_kafka_message_destroy(message);
    group_process(sub);
    return rd_kafka_consumer_closed(sub->client->rk);
}
