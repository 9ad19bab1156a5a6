#include <errno.h>
#include <stdlib.h>

#include "kafka.h"
#include "util/clock.h"

#define READERS_MAX 3
#define ACTIVE_MAX 64 /* reads under way at once; more wait */
#define TOPIC_FRESH_MS 30000
#define READ_TIMEOUT_MS 10000 /* without a record or an answer */

/* Reads of ranges. A handle can read many partitions at once but each of them only once, so a read that finds its
 * partition taken goes to the next handle, and waits when all of them have it. A read first asks the broker for the
 * ends of the partition (on the lane), then fetches. */

enum read_phase { READ_WAITING, READ_ASKING, READ_FETCHING, READ_STOPPING };

struct read {
    struct bridge *bridge;
    void *cookie;
    char *topic;
    int32_t partition;
    enum read_phase phase;
    int64_t from, to;     /* next wanted, last wanted */
    size_t limit, left;   /* records a call, records in all */
    int64_t oldest, end;  /* -1 unknown */
    int64_t stop;         /* no need to go on from here: min(to + 1, end) */
    bool incomplete;      /* some of what was asked for is gone or was not asked for any more */
    bool impossible;      /* no such name or number can be a partition */
    uint64_t deadline_ms; /* moved on by each record */
    struct reader *reader;
    struct reader_topic *place;
    TAILQ_ENTRY(read) entry; /* in the list of its phase: waiting_reads or active_reads */
};

/* ---- answers ---- */

static void tell(struct read *read, bool last, int error)
{
    struct batch *batch = &read->bridge->batch;
    struct bridge_read_result result = {
        .records = batch->records,
        .count = batch->count,
        .last = last,
        .error = error,
        .oldest_offset = read->oldest,
        .end_offset = read->end,
        .complete = last && !error && !read->incomplete,
    };
    if (batch->count || last)
        read->bridge->host_ops->on_read(read->cookie, &result);
    batch_clear(batch);
}

static void forget(struct read *read)
{
    struct bridge *b = read->bridge;
    if (read->phase == READ_WAITING) {
        TAILQ_REMOVE(&b->waiting_reads, read, entry);
    } else {
        TAILQ_REMOVE(&b->active_reads, read, entry);
        b->active_read_count--;
    }
    free(read->topic);
    free(read);
}

/* ---- stop: the partition is free again when the lane has stopped it ---- */

struct read_stop {
    struct job job;
    struct read *read;
};

static void start_waiting(struct bridge *b);

static void stop_work(struct job *job)
{
    struct read *read = CONTAINER(job, struct read_stop, job)->read;
    rd_kafka_consume_stop(read->place->rkt, read->partition);
}

static void stop_done(struct job *job)
{
    struct read_stop *stop = CONTAINER(job, struct read_stop, job);
    struct bridge *b = stop->read->bridge;
    forget(stop->read);
    free(stop);
    start_waiting(b);
}

/* Gives the last answer. */
static void finish(struct read *read, int error)
{
    tell(read, true, error);
    if (read->phase != READ_FETCHING) {
        forget(read);
        return;
    }
    read->phase = READ_STOPPING;
    struct read_stop *stop = xcalloc(1, sizeof *stop);
    *stop = (struct read_stop){.job = {.work = stop_work, .done = stop_done}, .read = read};
    bridge_submit(read->bridge, &read->bridge->reading, &stop->job);
}

/* ---- fetch ---- */

static struct read *fetching(struct reader *reader, const rd_kafka_message_t *message)
{
    struct read *read;
    TAILQ_FOREACH (read, &reader->bridge->active_reads, entry)
        if (read->phase == READ_FETCHING && read->reader == reader && read->partition == message->partition &&
            read->place->rkt == message->rkt)
            return read;
    return NULL;
}

static void ask(struct read *read);

static void take_record(struct read *read, const rd_kafka_message_t *message)
{
    struct batch *batch = &read->bridge->batch;
    if (message->offset < read->from)
        return;
    if (message->offset > read->to) {
        finish(read, 0);
        return;
    }
    if (batch->count >= read->limit || !batch_add(batch, bytes_of(read->topic), message)) {
        tell(read, false, 0);
        batch_add(batch, bytes_of(read->topic), message);
    }
    read->from = message->offset + 1;
    read->left--;
    if (read->left == 0 && read->from < read->stop)
        read->incomplete = true;
    if (read->left == 0 || read->from >= read->stop)
        finish(read, 0);
}

static void take_error(struct read *read, const rd_kafka_message_t *message)
{
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        if (message->offset > read->end)
            read->end = message->offset;
        finish(read, 0);
    } else if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
        tell(read, false, 0);
        ask(read); /* retention was faster: look again from where the log begins now */
    } else if (topic_error_is_unknown(message->err)) {
        finish(read, -ENOENT);
    } else {
        state_note(read->bridge, LOG_LEVEL_WARN, rd_kafka_err2name(message->err), rd_kafka_message_errstr(message));
    }
}

static void wake_fetch(struct reader *reader, size_t messages, size_t bytes)
{
    if (!flow_is_due(&reader->flow, reader->queue, messages, bytes))
        return;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    struct read *read;
    TAILQ_FOREACH (read, &reader->bridge->active_reads, entry)
        if (read->phase == READ_FETCHING && read->reader == reader)
            rd_kafka_topic_partition_list_add(list, read->topic, read->partition)->offset = INT64_MAX / 2;
    flow_wake(&reader->flow, reader->client, list);
}

static bool reader_drain(struct watch *watch)
{
    struct reader *reader = CONTAINER(watch, struct reader, watch);
    struct bridge *b = reader->bridge;
    struct batch *batch = &b->batch;
    struct read *read = NULL;
    size_t bytes = 0;
    uint64_t deadline = clock_mono_ms() + READ_TIMEOUT_MS;
    ssize_t n = rd_kafka_consume_batch_queue(watch->queue, 0, batch->messages, BATCH_RECORDS);
    for (ssize_t i = 0; i < n; i++) {
        const rd_kafka_message_t *message = batch->messages[i];
        if (!read || read->phase != READ_FETCHING || read->partition != message->partition ||
            read->place->rkt != message->rkt) {
            if (read && batch->count)
                tell(read, false, 0);
            read = fetching(reader, message);
        }
        bytes += message->len;
        if (!read)
            continue; /* what was under way when its read ended */
        read->deadline_ms = deadline;
        if (message->err)
            take_error(read, message);
        else
            take_record(read, message);
    }
    if (read && batch->count)
        tell(read, false, 0);
    for (ssize_t i = 0; i < n; i++)
        rd_kafka_message_destroy(batch->messages[i]);
    if (n > 0 && !b->closing)
        wake_fetch(reader, (size_t)n, bytes);
    return n == BATCH_RECORDS;
}

/* ---- ask for the ends, then start ---- */

static int errno_of(rd_kafka_resp_err_t error)
{
    if (topic_error_is_unknown(error))
        return -ENOENT;
    if (error == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        return -EACCES;
    if (error == RD_KAFKA_RESP_ERR__TIMED_OUT || error == RD_KAFKA_RESP_ERR__TRANSPORT)
        return -ETIMEDOUT;
    return -EIO;
}

static void start(struct read *read, const struct partition_info *info)
{
    read->oldest = info->oldest;
    read->end = info->end;
    if (read->from < info->oldest) {
        read->incomplete = true;
        read->from = info->oldest;
    }
    read->stop = read->to < info->end ? read->to + 1 : info->end;
    if (read->from >= read->stop) {
        finish(read, 0);
        return;
    }
    read->phase = READ_FETCHING;
    if (rd_kafka_consume_start_queue(read->place->rkt, read->partition, read->from, read->reader->queue) != 0)
        finish(read, -EIO);
}

static void on_answer(struct job *job)
{
    struct topic_query *q = CONTAINER(job, struct topic_query, job);
    struct read *read = q->owner;
    struct bridge *b = read->bridge;
    const struct partition_info *info =
        !q->error && read->partition < q->partition_count ? &q->partitions[read->partition] : NULL;
    read->place->partition_count = info && info->known ? q->partition_count : 0;
    if (!q->metadata_known)
        read->place->fresh_until_ms = clock_mono_ms() + TOPIC_FRESH_MS;
    if (b->closing)
        finish(read, -ECANCELED);
    else if (q->error)
        finish(read, errno_of(q->error));
    else if (!info)
        finish(read, -ENOENT);
    else if (!info->known)
        finish(read, -ETIMEDOUT);
    else
        start(read, info);
    topic_query_free(q);
    start_waiting(b);
}

static void ask(struct read *read)
{
    struct topic_query *q =
        topic_query_new(read->bridge, read, read->reader->client->rk, read->place->rkt, on_answer);
    q->only = read->partition;
    if (read->partition < read->place->partition_count && clock_mono_ms() < read->place->fresh_until_ms) {
        q->metadata_known = true;
        q->partition_count = read->place->partition_count;
    }
    read->phase = READ_ASKING;
    bridge_submit(read->bridge, &read->bridge->reading, &q->job);
}

/* ---- which handle ---- */

static struct reader_topic *topic_of(struct reader *reader, const char *name)
{
    for (struct reader_topic *t = reader->topics; t; t = t->next)
        if (strcmp(rd_kafka_topic_name(t->rkt), name) == 0)
            return t;
    struct reader_topic *t = xcalloc(1, sizeof *t);
    t->rkt = rd_kafka_topic_new(reader->client->rk, name, NULL);
    t->next = reader->topics;
    reader->topics = t;
    return t;
}

static bool is_taken(const struct reader *reader, const struct read *wanted)
{
    const struct read *read;
    TAILQ_FOREACH (read, &reader->bridge->active_reads, entry)
        if (read->reader == reader && read->partition == wanted->partition && strcmp(read->topic, wanted->topic) == 0)
            return true;
    return false;
}

static struct reader *reader_new(struct bridge *b)
{
    char error[REASON_SIZE];
    struct client *client = client_open(b, ROLE_READER, NULL, false, NULL, error, sizeof error);
    if (!client) {
        log_error("kafka reader failed", LOG_STR("bridge", b->name), LOG_STR("reason", error));
        return NULL;
    }
    struct reader *reader = xcalloc(1, sizeof *reader);
    reader->bridge = b;
    reader->client = client;
    reader->queue = rd_kafka_queue_new(client->rk);
    flow_init(&reader->flow, client->rk);
    watch_open(&reader->watch, b, reader->queue, reader_drain);
    reader->next = b->readers;
    b->readers = reader;
    return reader;
}

static struct reader *reader_for(struct read *read)
{
    size_t count = 0;
    for (struct reader *reader = read->bridge->readers; reader; reader = reader->next, count++)
        if (!is_taken(reader, read))
            return reader;
    return count < READERS_MAX ? reader_new(read->bridge) : NULL;
}

static bool activate(struct read *read)
{
    struct bridge *b = read->bridge;
    read->reader = read->impossible ? NULL : reader_for(read);
    if (!read->reader)
        return false;
    TAILQ_REMOVE(&b->waiting_reads, read, entry);
    TAILQ_INSERT_HEAD(&b->active_reads, read, entry);
    b->active_read_count++;
    read->place = topic_of(read->reader, read->topic);
    ask(read);
    return true;
}

/* Looks at a few only, so that a thousand reads of one partition cost a thousand steps and not a million. */
static void start_waiting(struct bridge *b)
{
    struct read *read = TAILQ_FIRST(&b->waiting_reads);
    if (!b->answering || b->closing)
        return;
    for (int tries = 0; read && tries < ACTIVE_MAX && b->active_read_count < ACTIVE_MAX; tries++) {
        struct read *next = TAILQ_NEXT(read, entry);
        activate(read);
        read = next;
    }
}

void reader_read(struct bridge *b, const struct bridge_read *r, void *cookie)
{
    struct read *read = xcalloc(1, sizeof *read);
    *read = (struct read){
        .bridge = b,
        .cookie = cookie,
        .topic = xstrdup(r->topic),
        .partition = r->partition,
        .from = r->from_offset > 0 ? r->from_offset : 0,
        .to = r->to_offset,
        .limit = r->limit && r->limit < BATCH_RECORDS ? r->limit : BATCH_RECORDS,
        .left = r->limit_total ? r->limit_total : SIZE_MAX,
        .oldest = -1,
        .end = -1,
        .deadline_ms = clock_mono_ms() + READ_TIMEOUT_MS,
    };
    read->impossible = r->partition < 0 || !topic_name_valid(bytes_of(r->topic));
    TAILQ_INSERT_TAIL(&b->waiting_reads, read, entry);
    start_waiting(b);
}

/* ---- time and end ---- */

/* Reads that are on the lane answer by themselves. */
static void end_some(struct read_list *list, uint64_t now_ms, int error)
{
    struct read *next;
    for (struct read *read = TAILQ_FIRST(list); read; read = next) {
        next = TAILQ_NEXT(read, entry);
        if (read->phase != READ_WAITING && read->phase != READ_FETCHING)
            continue;
        if (read->impossible)
            finish(read, -ENOENT);
        else if (now_ms >= read->deadline_ms)
            finish(read, error);
    }
}

void reader_tick(struct bridge *b, uint64_t now_ms)
{
    end_some(&b->waiting_reads, now_ms, -ETIMEDOUT);
    end_some(&b->active_reads, now_ms, -ETIMEDOUT);
    start_waiting(b);
}

void reader_cancel_all(struct bridge *b)
{
    end_some(&b->waiting_reads, UINT64_MAX, -ECANCELED);
    end_some(&b->active_reads, UINT64_MAX, -ECANCELED);
}

void reader_free(struct reader *reader)
{
    struct reader_topic *topic;
    while ((topic = reader->topics)) {
        reader->topics = topic->next;
        free(topic);
    }
    free(reader);
}
