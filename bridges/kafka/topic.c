#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "kafka.h"

/* Good: "chat", "a.b-c_d". Bad: "", ".", "..", "a/b", "^chat" (librdkafka would take it as a pattern). */
bool topic_name_valid(struct bytes name)
{
    if (name.len == 0 || name.len > TOPIC_NAME_LIMIT || bytes_eq_str(name, ".") || bytes_eq_str(name, ".."))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.data[i];
        if (!isalnum(c) && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

bool topic_error_is_unknown(rd_kafka_resp_err_t error)
{
    return error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
           error == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
}

/* Asking for the topic by name also makes librdkafka know its leaders: without that, starting costs half a second. */
static rd_kafka_resp_err_t ask_metadata(struct topic_query *q)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t error = rd_kafka_metadata(q->rk, 0, q->rkt, &metadata, METADATA_TIMEOUT_MS);
    if (error)
        return error;
    if (metadata->topic_cnt != 1)
        error = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    else if (metadata->topics[0].err)
        error = metadata->topics[0].err;
    else
        q->partition_count = metadata->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(metadata);
    if (!error && q->partition_count == 0)
        error = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
    return error;
}

static rd_kafka_resp_err_t ask_ends(struct topic_query *q, int32_t id)
{
    struct partition_info *info = &q->partitions[id];
    rd_kafka_resp_err_t error = rd_kafka_query_watermark_offsets(q->rk, q->topic, id, &info->oldest, &info->end,
                                                                 OFFSETS_TIMEOUT_MS);
    info->known = !error;
    return error;
}

/* After the ends: an offset that is not there for a time means "what comes after that end". */
static rd_kafka_resp_err_t ask_times(struct topic_query *q)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(q->partition_count);
    for (int32_t id = 0; id < q->partition_count; id++)
        if (q->partitions[id].known)
            rd_kafka_topic_partition_list_add(list, q->topic, id)->offset = q->time_ms;
    rd_kafka_resp_err_t error =
        list->cnt ? rd_kafka_offsets_for_times(q->rk, list, OFFSETS_TIMEOUT_MS) : RD_KAFKA_RESP_ERR_NO_ERROR;
    for (int i = 0; i < list->cnt; i++) {
        struct partition_info *info = &q->partitions[list->elems[i].partition];
        info->at = list->elems[i].offset >= 0 ? list->elems[i].offset : info->end;
        info->known = !error && !list->elems[i].err;
    }
    rd_kafka_topic_partition_list_destroy(list);
    return error;
}

static bool is_stopping(const struct topic_query *q)
{
    return atomic_load(&q->bridge->stopping);
}

static rd_kafka_resp_err_t ask_all(struct topic_query *q)
{
    rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
    q->cluster_id = rd_kafka_clusterid(q->rk, 100);
    q->partitions = xcalloc((size_t)q->partition_count, sizeof *q->partitions);
    for (int32_t id = 0; id < q->partition_count; id++)
        q->partitions[id] = (struct partition_info){.oldest = -1, .end = -1, .at = -1};
    for (int32_t id = 0; id < q->partition_count && error != RD_KAFKA_RESP_ERR__TIMED_OUT && !is_stopping(q); id++)
        if (q->only < 0 || q->only == id)
            error = ask_ends(q, id);
    return q->want_time && !is_stopping(q) ? ask_times(q) : error;
}

static void work(struct job *job)
{
    struct topic_query *q = CONTAINER(job, struct topic_query, job);
    if (!q->metadata_known && !is_stopping(q))
        q->error = ask_metadata(q);
    rd_kafka_resp_err_t error = q->error || is_stopping(q) ? RD_KAFKA_RESP_ERR_NO_ERROR : ask_all(q);
    if (error == RD_KAFKA_RESP_ERR__TIMED_OUT)
        q->error = error;
    if (is_stopping(q))
        q->error = RD_KAFKA_RESP_ERR__DESTROY;
}

struct topic_query *topic_query_new(struct bridge *b, void *owner, rd_kafka_t *rk, rd_kafka_topic_t *rkt,
                                    void (*done)(struct job *job))
{
    struct topic_query *q = xcalloc(1, sizeof *q);
    q->job.work = work;
    q->job.done = done;
    q->bridge = b;
    q->owner = owner;
    q->rk = rk;
    q->rkt = rkt;
    q->only = -1;
    strncpy(q->topic, rd_kafka_topic_name(rkt), TOPIC_NAME_LIMIT);
    return q;
}

void topic_query_free(struct topic_query *q)
{
    if (q->cluster_id)
        rd_kafka_mem_free(q->rk, q->cluster_id);
    free(q->partitions);
    free(q);
}
