#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "kafka.h"

/* What is destroyed on the lane, in this order, before the handle itself. */
struct retirement {
    struct job job;
    rd_kafka_t *rk;
    struct {
        rd_kafka_topic_t *rkt;
        int32_t fetching; /* partitions 0 to this are stopped first */
    } *topics;
    size_t topic_count;
    rd_kafka_queue_t **queues;
    size_t queue_count;
};

void client_handle_event(struct client *client, rd_kafka_event_t *event)
{
    switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_ERROR:
        state_error(client, event);
        break;
    case RD_KAFKA_EVENT_LOG:
        state_log(client->bridge, event);
        break;
    case RD_KAFKA_EVENT_OFFSET_COMMIT:
        if (client->group)
            group_commit_done(client->group, event);
        break;
    default:
        break;
    }
}

static bool drain_events(struct watch *watch)
{
    struct client *client = CONTAINER(watch, struct client, main_watch);
    for (int i = 0; i < 64; i++) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(client->main_queue, 0);
        if (!event)
            return false;
        client_handle_event(client, event);
        rd_kafka_event_destroy(event);
    }
    return true;
}

/* Called from inside the drain of the group's queue: the records before it have not been handed over yet. */
static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t *list, void *opaque)
{
    struct sub *sub = ((struct client *)opaque)->group;
    struct rebalance *r = xcalloc(1, sizeof *r);
    r->assign = error == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    r->lost = rd_kafka_assignment_lost(rk);
    r->list = rd_kafka_topic_partition_list_copy(list);
    *sub->rebalances_tail = r;
    sub->rebalances_tail = &r->next;
}

static rd_kafka_t *create(struct client *client, rd_kafka_conf_t *conf, char *error, size_t error_size)
{
    char detail[256] = "";
    rd_kafka_conf_set_opaque(conf, client);
    sockets_init(&client->sockets, conf);
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG |
                                       RD_KAFKA_EVENT_OFFSET_COMMIT);
    if (client->role == ROLE_GROUP)
        rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    rd_kafka_type_t type = client->role == ROLE_PRODUCER ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER;
    rd_kafka_t *rk = rd_kafka_new(type, conf, detail, sizeof detail);
    if (!rk) {
        rd_kafka_conf_destroy(conf);
        snprintf(error, error_size, "options: %s", detail);
    }
    return rk;
}

void client_free(struct client *client)
{
    sockets_done(&client->sockets);
    free(client);
}

struct client *client_open(struct bridge *b, enum role role, const char *group, bool earliest, const char *topic,
                           char *error, size_t error_size)
{
    rd_kafka_conf_t *conf = options_conf(&b->open, role, group, earliest, topic, error, error_size);
    if (!conf)
        return NULL;
    struct client *client = xcalloc(1, sizeof *client);
    client->bridge = b;
    client->role = role;
    client->rk = create(client, conf, error, error_size);
    if (!client->rk) {
        client_free(client);
        return NULL;
    }
    client->main_queue = rd_kafka_queue_get_main(client->rk);
    rd_kafka_set_log_queue(client->rk, client->main_queue);
    client->next = b->clients;
    b->clients = client;
    int r = watch_open(&client->main_watch, b, client->main_queue,
                       role == ROLE_PRODUCER ? producer_drain : drain_events);
    if (r == 0)
        return client;
    snprintf(error, error_size, "cannot watch the client's queue: %s", uv_strerror(r));
    client_retire(client);
    return NULL;
}

static void add_topic(struct retirement *r, rd_kafka_topic_t *rkt, int32_t fetching)
{
    r->topics = xrealloc(r->topics, (r->topic_count + 1) * sizeof *r->topics);
    r->topics[r->topic_count].rkt = rkt;
    r->topics[r->topic_count++].fetching = fetching;
}

static void add_queue(struct retirement *r, rd_kafka_queue_t *queue)
{
    if (!queue)
        return;
    r->queues = xrealloc(r->queues, (r->queue_count + 1) * sizeof(rd_kafka_queue_t *));
    r->queues[r->queue_count++] = queue;
}

static void collect_subs(struct retirement *r, struct client *client)
{
    for (struct sub *sub = client->bridge->subs; sub; sub = sub->next) {
        if (sub->client != client)
            continue;
        watch_close(&sub->watch);
        if (sub->rkt)
            add_topic(r, sub->rkt, sub->shared ? 0 : sub->partition_count);
        add_queue(r, sub->queue);
        add_queue(r, sub->close_queue);
    }
}

static void collect_readers(struct retirement *r, struct client *client)
{
    for (struct reader *reader = client->bridge->readers; reader; reader = reader->next) {
        if (reader->client != client)
            continue;
        watch_close(&reader->watch);
        for (struct reader_topic *topic = reader->topics; topic; topic = topic->next)
            add_topic(r, topic->rkt, 0);
        add_queue(r, reader->queue);
    }
}

static void work(struct job *job)
{
    struct retirement *r = CONTAINER(job, struct retirement, job);
    for (size_t i = 0; i < r->topic_count; i++) {
        for (int32_t id = 0; id < r->topics[i].fetching; id++)
            rd_kafka_consume_stop(r->topics[i].rkt, id);
        rd_kafka_topic_destroy(r->topics[i].rkt);
    }
    for (size_t i = 0; i < r->queue_count; i++)
        rd_kafka_queue_destroy(r->queues[i]);
    rd_kafka_destroy_flags(r->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

static void done(struct job *job)
{
    struct retirement *r = CONTAINER(job, struct retirement, job);
    free(r->topics);
    free(r->queues);
    free(r);
}

void client_retire(struct client *client)
{
    if (!client->rk)
        return;
    struct retirement *r = xcalloc(1, sizeof *r);
    r->job = (struct job){.work = work, .done = done};
    r->rk = client->rk;
    collect_subs(r, client);
    collect_readers(r, client);
    watch_close(&client->main_watch);
    if (client->reports)
        rd_kafka_event_destroy(client->reports);
    client->reports = NULL;
    add_queue(r, client->main_queue);
    client->main_queue = NULL;
    client->rk = NULL;
    bridge_submit(client->bridge, client_lane(client), &r->job);
}
