/* A broker that does only what the test says: records what the hub asks for and answers when told.
 *
 * Registered as driver "fake". One instance a configured bridge, found by name; it lives until fake_bridge_closed(). */
#ifndef CRIER_TESTS_FAKE_BRIDGE_H
#define CRIER_TESTS_FAKE_BRIDGE_H

#include <stdlib.h>

#include "bridges/bridge.h"
#include "bridges/registry.h"

#define FAKE_CAPS                                                                                                      \
    (BRIDGE_ORDERED | BRIDGE_REPLAYABLE | BRIDGE_ACKED | BRIDGE_KEYED | BRIDGE_PAUSABLE | BRIDGE_HEADERS |              \
     BRIDGE_POSITIONED | BRIDGE_SHARED | BRIDGE_WILDCARDS | BRIDGE_TOMBSTONES | BRIDGE_FROM_ZERO)

struct bridge_source_sub {
    struct bridge *bridge;
    char *topic;
    void *cookie;
    enum bridge_start from;
    bool shared;
    int paused;              /* calls of pause minus calls of resume */
    int acks;
    int64_t acked;           /* last one; -1 none */
    int32_t acked_partition;
};

struct fake_publish {
    void *cookie;
    char *topic, *key, *payload, *headers; /* "name=value;"; key and payload NULL: absent */
    bool answered;
};

struct fake_read {
    void *cookie;
    struct bridge_read read;
    bool answered;
};

struct bridge {
    char *name;
    const struct bridge_host_ops *host_ops;
    void *host;
    struct bridge_source_sub subs[8];
    size_t sub_count;
    struct fake_publish publishes[64];
    size_t publish_count;
    struct fake_read reads[32];
    size_t read_count;
    bool closing;
};

static struct bridge *fakes[4];
static bool fake_closes_at_once = true;

static inline struct bridge *fake_bridge(const char *name)
{
    for (size_t i = 0; i < 4; i++)
        if (fakes[i] && strcmp(fakes[i]->name, name) == 0)
            return fakes[i];
    return NULL;
}

static inline char *fake_copy(struct bytes b)
{
    return b.data ? bytes_dup(b) : NULL;
}

static inline int fake_open(const struct bridge_open *open, struct bridge **ret_bridge, char *error, size_t error_size)
{
    struct bridge *b = xcalloc(1, sizeof *b);
    size_t i = 0;
    (void)error, (void)error_size;
    while (fakes[i])
        i++;
    fakes[i] = *ret_bridge = b;
    b->name = xstrdup(open->name);
    b->host_ops = open->host_ops;
    b->host = open->host;
    return 0;
}

static inline int fake_subscribe(struct bridge *b, const struct bridge_subscription *s, void *cookie,
                          struct bridge_source_sub **ret_sub)
{
    struct bridge_source_sub *sub = &b->subs[b->sub_count++];
    *sub = (struct bridge_source_sub){.bridge = b, .topic = xstrdup(s->topic), .cookie = cookie, .from = s->from,
                                      .shared = s->shared, .acked = -1, .acked_partition = -1};
    *ret_sub = sub;
    return 0;
}

static inline void fake_publish(struct bridge *b, const struct bridge_message *m, void *cookie)
{
    struct fake_publish *p = &b->publishes[b->publish_count++];
    CLEANUP_BUF headers = BUF_INIT;
    for (size_t i = 0; i < m->header_count; i++)
        buf_printf(&headers, "%.*s=%.*s;", (int)m->headers[i].name.len, m->headers[i].name.data,
                   (int)m->headers[i].value.len, m->headers[i].value.data);
    buf_append(&headers, "", 1);
    *p = (struct fake_publish){.cookie = cookie, .topic = fake_copy(m->topic), .key = fake_copy(m->key),
                               .payload = fake_copy(m->payload), .headers = buf_take(&headers)};
}

static inline void fake_ack(struct bridge_source_sub *s, struct bytes topic, int32_t partition, int64_t offset)
{
    (void)topic;
    s->acks++;
    s->acked = offset;
    s->acked_partition = partition;
}

static inline void fake_pause(struct bridge_source_sub *s)
{
    s->paused++;
}

static inline void fake_resume(struct bridge_source_sub *s)
{
    s->paused--;
}

static inline void fake_read_back(struct bridge *b, const struct bridge_read *r, void *cookie)
{
    b->reads[b->read_count++] = (struct fake_read){.cookie = cookie, .read = *r};
}

static inline void fake_stats(struct bridge *b, struct bridge_stats *ret)
{
    *ret = (struct bridge_stats){.lag = 0, .pending = b->publish_count};
}

/* Frees it. */
static inline void fake_bridge_closed(struct bridge *b)
{
    const struct bridge_host_ops *host_ops = b->host_ops;
    void *host = b->host;
    for (size_t i = 0; i < 4; i++)
        if (fakes[i] == b)
            fakes[i] = NULL;
    for (size_t i = 0; i < b->sub_count; i++)
        free(b->subs[i].topic);
    for (size_t i = 0; i < b->publish_count; i++) {
        free(b->publishes[i].topic);
        free(b->publishes[i].key);
        free(b->publishes[i].payload);
        free(b->publishes[i].headers);
    }
    free(b->name);
    free(b);
    host_ops->on_closed(host);
}

static inline void fake_stored(struct bridge *b, size_t i, int32_t partition, int64_t offset)
{
    const struct bridge_receipt r = {.outcome = BRIDGE_STORED, .partition = partition, .offset = offset};
    b->publishes[i].answered = true;
    b->host_ops->on_published(b->publishes[i].cookie, &r);
}

static inline void fake_not_stored(struct bridge *b, size_t i, enum bridge_outcome outcome)
{
    const struct bridge_receipt r = {.outcome = outcome, .partition = -1, .offset = -1, .reason = "the test says so"};
    b->publishes[i].answered = true;
    b->host_ops->on_published(b->publishes[i].cookie, &r);
}

/* What the contract demands of every driver: each publish and each read is answered before on_closed(). */
static inline void fake_close(struct bridge *b, uint64_t deadline_ms)
{
    (void)deadline_ms;
    b->closing = true;
    for (size_t i = 0; i < b->publish_count; i++)
        if (!b->publishes[i].answered)
            fake_not_stored(b, i, BRIDGE_UNKNOWN);
    for (size_t i = 0; i < b->read_count; i++) {
        const struct bridge_read_result r = {.last = true, .error = -ECANCELED, .oldest_offset = -1, .end_offset = -1};
        if (!b->reads[i].answered)
            b->host_ops->on_read(b->reads[i].cookie, &r);
    }
    if (fake_closes_at_once)
        fake_bridge_closed(b);
}

static struct bridge_ops fake_ops = {
    .abi = BRIDGE_ABI,
    .name = "fake",
    .summary = "a test double",
    .package = "none",
    .caps = FAKE_CAPS,
    .open = fake_open,
    .subscribe = fake_subscribe,
    .publish = fake_publish,
    .ack = fake_ack,
    .pause = fake_pause,
    .resume = fake_resume,
    .read_back = fake_read_back,
    .stats = fake_stats,
    .close = fake_close,
};

/* ---- what the broker does ---- */

static inline void fake_ready(struct bridge *b)
{
    b->host_ops->on_state(b->host, BRIDGE_READY, NULL);
}

static inline void fake_assign(struct bridge_source_sub *s, int32_t partition, int32_t partitions, const char *seed,
                        int64_t oldest, int64_t end)
{
    s->bridge->host_ops->on_assigned(s->cookie, bytes_of(s->topic), partition, partitions, bytes_of(seed), oldest, end);
}

static inline void fake_caught_up(struct bridge_source_sub *s)
{
    s->bridge->host_ops->on_caught_up(s->cookie);
}

/* A record of the subscription's topic; `payload` NULL: tombstone, `id` NULL: no header. */
static inline struct bridge_record fake_record(const struct bridge_source_sub *s, int32_t partition, int64_t offset,
                                        const char *key, const char *payload)
{
    return (struct bridge_record){.topic = bytes_of(s->topic), .partition = partition, .offset = offset,
                                  .time_ms = 1700000000000, .key = key ? bytes_of(key) : BYTES_NULL,
                                  .payload = payload ? bytes_of(payload) : BYTES_NULL};
}

static inline void fake_give(struct bridge_source_sub *s, int32_t partition, int64_t offset, const char *key, const char *payload)
{
    const struct bridge_record r = fake_record(s, partition, offset, key, payload);
    s->bridge->host_ops->on_records(s->cookie, &r, 1);
}

static inline void fake_give_with_header(struct bridge_source_sub *s, int32_t partition, int64_t offset, const char *key,
                                  const char *payload, const char *name, const char *value)
{
    const struct bridge_header header = {bytes_of(name), bytes_of(value)};
    struct bridge_record r = fake_record(s, partition, offset, key, payload);
    r.headers = &header;
    r.header_count = 1;
    s->bridge->host_ops->on_records(s->cookie, &r, 1);
}

static inline void fake_read_part(struct bridge *b, size_t i, const struct bridge_record *records, size_t count)
{
    const struct bridge_read_result r = {.records = records, .count = count, .oldest_offset = -1, .end_offset = -1};
    b->host_ops->on_read(b->reads[i].cookie, &r);
}

static inline void fake_read_end(struct bridge *b, size_t i, int64_t oldest, int64_t end, bool complete, int error)
{
    const struct bridge_read_result r = {
        .last = true, .error = error, .oldest_offset = oldest, .end_offset = end, .complete = complete};
    b->reads[i].answered = true;
    b->host_ops->on_read(b->reads[i].cookie, &r);
}

#endif
