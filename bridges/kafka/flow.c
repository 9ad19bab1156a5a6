#include <stdlib.h>

#include "kafka.h"

struct wake {
    struct job job;
    struct flow *flow;
    rd_kafka_t *rk;
    rd_kafka_topic_partition_list_t *list;
};

static uint64_t limit_of(rd_kafka_t *rk, const char *name)
{
    char value[32] = "";
    size_t size = sizeof value;
    if (rd_kafka_conf_get(rd_kafka_conf(rk), name, value, &size) != RD_KAFKA_CONF_OK)
        return 0;
    return strtoull(value, NULL, 10);
}

void flow_init(struct flow *flow, rd_kafka_t *rk)
{
    *flow = (struct flow){
        .messages_limit = limit_of(rk, "queued.min.messages"),
        .bytes_limit = limit_of(rk, "queued.max.messages.kbytes") * 1024,
    };
}

bool flow_is_due(struct flow *flow, rd_kafka_queue_t *queue, size_t messages, size_t bytes)
{
    flow->messages += messages;
    flow->bytes += bytes;
    if (flow->messages < flow->messages_limit / 2 && flow->bytes < flow->bytes_limit / 2)
        return false; /* it cannot have been full since */
    int length = (int)rd_kafka_queue_length(queue);
    if (length > flow->peak)
        flow->peak = length;
    return !flow->waking && length < flow->peak / 2;
}

static void work(struct job *job)
{
    struct wake *wake = CONTAINER(job, struct wake, job);
    rd_kafka_offsets_for_times(wake->rk, wake->list, OFFSETS_TIMEOUT_MS);
}

static void done(struct job *job)
{
    struct wake *wake = CONTAINER(job, struct wake, job);
    wake->flow->waking = false;
    rd_kafka_topic_partition_list_destroy(wake->list);
    free(wake);
}

void flow_wake(struct flow *flow, struct client *client, rd_kafka_topic_partition_list_t *take)
{
    struct wake *wake = xcalloc(1, sizeof *wake);
    *wake = (struct wake){.job = {.work = work, .done = done}, .flow = flow, .rk = client->rk, .list = take};
    flow->messages = flow->bytes = 0;
    flow->peak = 0;
    flow->waking = true;
    bridge_submit(client->bridge, client_lane(client), &wake->job);
}
