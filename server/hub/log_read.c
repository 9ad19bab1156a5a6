#include "log_read.h"

#include <stdlib.h>
#include <utlist.h>

#include "hub/source.h"
#include "util/metrics.h"

#define CHUNK 4096         /* offsets of one read of the broker: other channels share the partition */
#define CHUNKS_MAX 64      /* of one request */
#define BYTES_MAX (8 << 20)
#define READS_MAX 8        /* at a time */
#define WAITING_MAX 1000
#define BATCH 512

struct log_read {
    struct bridge_reader reader; /* first */
    struct log_read *next;       /* waits for its turn */
    struct hub *hub;
    struct channel *channel;
    struct source *source;
    char epoch[CHANNEL_EPOCH_SIZE]; /* of the numbering that it began under */
    struct log_read_request request;
    struct publication **items; /* one more than the limit: then there are further ones */
    size_t count, capacity, bytes;
    size_t chunk_begin;   /* first item of the read under way */
    size_t chunk_dropped; /* backwards: so many from there on are not wanted any more and NULL */
    int64_t reached;      /* forwards: everything up to here was looked at; backwards: everything from here on */
    int64_t from, to;     /* of the read under way */
    int chunks;
};

bool log_is_readable(const struct channel *c)
{
    if (c->numbering != NUMBERED_BY_BROKER || c->hub->closing)
        return false;
    const struct bridge_instance *b = c->origin->source->bridge;
    return b->state == BRIDGE_READY && bridge_instance_can(b, BRIDGE_REPLAYABLE | BRIDGE_POSITIONED);
}

static bool is_full(const struct log_read *r)
{
    return r->count > r->request.limit || r->bytes > BYTES_MAX;
}

static void add(struct log_read *r, struct publication *p)
{
    if (r->count == r->capacity) {
        r->capacity = r->capacity ? r->capacity * 2 : 64;
        r->items = xrealloc(r->items, r->capacity * sizeof *r->items);
    }
    r->items[r->count++] = publication_ref(p);
    r->bytes += publication_size(p);
}

static void drop(struct log_read *r, size_t i)
{
    if (!r->items[i])
        return;
    r->bytes -= publication_size(r->items[i]);
    publication_unref(r->items[i]);
    r->items[i] = NULL;
}

/* Drops what is beyond `count`. */
static void cut(struct log_read *r, size_t count)
{
    while (r->count > count)
        drop(r, --r->count);
}

static void finish(struct log_read *r, enum crier_error error, const char *detail, bool more)
{
    if (r->count > r->request.limit) {
        cut(r, r->request.limit);
        more = true;
    }
    const struct log_read_result result = {
        .error = error, .detail = detail, .items = r->items, .count = r->count, .more = more};
    r->channel->resumes--;
    r->request.on_read(r->channel, r->request.arg, &result);
    cut(r, 0);
    free(r->items);
    free(r);
}

static bool is_same_log(const struct log_read *r)
{
    return strcmp(r->epoch, r->channel->epoch) == 0;
}

static void read_chunk(struct log_read *r)
{
    const struct partition *p = r->channel->origin;
    const struct bridge_instance *b = r->source->bridge;
    if (r->request.reverse) {
        r->to = r->reached - 1;
        r->from = r->to >= CHUNK ? r->to - CHUNK + 1 : 0;
    } else {
        r->from = r->reached + 1;
        int64_t floor = r->channel->history.floor; /* memory goes on from there */
        r->to = r->from + CHUNK - 1 < floor ? r->from + CHUNK - 1 : floor;
    }
    r->chunks++;
    r->chunk_begin = r->count;
    r->chunk_dropped = 0;
    const struct bridge_read read = {.topic = p->topic,
                                     .partition = p->number,
                                     .from_offset = r->from,
                                     .to_offset = r->to,
                                     .limit = BATCH,
                                     .limit_total = CHUNK + 1};
    b->ops->read_back(b->bridge, &read, r);
}

static void start_waiting(struct hub *hub)
{
    while (hub->log_reads && (hub->log_reading < READS_MAX || hub->closing)) {
        struct log_read *r = hub->log_reads;
        LL_DELETE(hub->log_reads, r);
        hub->log_reads_waiting--;
        if (!log_is_readable(r->channel) || !is_same_log(r)) {
            finish(r, CRIER_ERR_BROKER_UNAVAILABLE, "the channel's log cannot be read at the moment", false);
            continue;
        }
        hub->log_reading++;
        read_chunk(r);
    }
}

static void end(struct log_read *r, enum crier_error error, const char *detail, bool more)
{
    struct hub *hub = r->hub;
    hub->log_reading--;
    finish(r, error, detail, more);
    start_waiting(hub);
}

/* Backwards a chunk still comes oldest first: what turns out to be too much is at its beginning. */
static void drop_surplus(struct log_read *r)
{
    while (r->count - r->chunk_dropped > r->chunk_begin + 1 &&
           (r->count - r->chunk_dropped > r->request.limit || r->bytes > BYTES_MAX))
        drop(r, r->chunk_begin + r->chunk_dropped++);
}

static void turn_round(struct log_read *r)
{
    size_t kept = r->count - r->chunk_begin - r->chunk_dropped;
    if (r->chunk_dropped)
        memmove(r->items + r->chunk_begin, r->items + r->chunk_begin + r->chunk_dropped, kept * sizeof *r->items);
    r->count -= r->chunk_dropped;
    for (size_t i = r->chunk_begin, j = r->count; i + 1 < j; i++) {
        struct publication *p = r->items[i];
        r->items[i] = r->items[--j];
        r->items[j] = p;
    }
}

static void add_memory(struct log_read *r)
{
    const struct history *h = &r->channel->history;
    for (size_t i = history_missed(h, r->reached); i < h->count && !is_full(r); i++)
        add(r, history_get(h, i));
}

/* The chunk is whole: is that enough? */
static void go_on(struct log_read *r, int64_t oldest)
{
    if (r->request.reverse) {
        turn_round(r);
        r->reached = r->from;
    } else {
        r->reached = r->to;
    }
    bool begins_here = r->request.reverse && (r->from == 0 || r->from <= oldest);
    bool memory_follows = !r->request.reverse && r->reached >= r->channel->history.floor;
    if (memory_follows)
        add_memory(r);
    bool full = is_full(r) || r->chunk_dropped;
    if (full || begins_here || memory_follows || r->chunks == CHUNKS_MAX)
        end(r, CRIER_OK, NULL, full || (!begins_here && !memory_follows));
    else
        read_chunk(r);
}

static void on_read(struct bridge_reader *reader, const struct bridge_read_result *result)
{
    struct log_read *r = (struct log_read *)reader;
    struct publication *p;
    for (size_t i = 0; i < result->count && (r->request.reverse || !is_full(r)); i++) {
        if (source_map_for(r->source, &result->records[i], r->channel->frame.name, &p) < 0)
            continue;
        add(r, p);
        publication_unref(p);
        if (r->request.reverse)
            drop_surplus(r);
    }
    if (!result->last)
        return;
    /* Forwards nothing may be missing; backwards the log simply begins where it begins. */
    bool trimmed = !r->request.reverse && result->oldest_offset > r->from;
    bool stopped = !result->complete && !(r->request.reverse && result->oldest_offset > r->from);
    if (!is_same_log(r) || trimmed)
        end(r, CRIER_ERR_UNRECOVERABLE_POSITION, NULL, false);
    else if (result->error || stopped || r->hub->closing)
        end(r, CRIER_ERR_BROKER_UNAVAILABLE, "the channel's log could not be read", false);
    else
        go_on(r, result->oldest_offset);
}

/* Newest first: what memory has of it comes before what the log has. */
static void begin(struct log_read *r)
{
    const struct history *h = &r->channel->history;
    r->reached = r->request.from;
    if (!r->request.reverse)
        return;
    size_t i = history_after(h, r->request.from - 1);
    while (i > 0 && !is_full(r))
        add(r, history_get(h, --i));
    if (r->reached > h->floor + 1)
        r->reached = h->floor + 1;
}

bool log_read_start(struct channel *c, const struct log_read_request *request)
{
    struct hub *hub = c->hub;
    if (hub->log_reads_waiting >= WAITING_MAX) {
        metric_add(M_LIMIT_LOG_READS, 1);
        return false;
    }
    struct log_read *r = xcalloc(1, sizeof *r);
    r->reader.on_read = on_read;
    r->hub = hub;
    r->channel = c;
    r->source = c->origin->source;
    r->request = *request;
    memcpy(r->epoch, c->epoch, sizeof r->epoch);
    begin(r);
    c->resumes++;
    LL_APPEND(hub->log_reads, r);
    hub->log_reads_waiting++;
    start_waiting(hub);
    return true;
}

void log_reads_cancel(struct hub *hub)
{
    start_waiting(hub);
}
