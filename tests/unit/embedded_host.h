/* What the tests of the embedded driver share: a real loop and file, and a host that only notes what it is told.
 *
 * A world owns its loop and bridge until world_close(); a listener what it has seen until listener_done(). Several
 * worlds may be open on one file: they are as strange to each other as processes. */
#ifndef CRIER_TESTS_EMBEDDED_HOST_H
#define CRIER_TESTS_EMBEDDED_HOST_H

#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "bridge.h"
#include "embedded/partition.h"
#include "embedded/store.h"
#include "util/clock.h"

enum { WAIT_MS = 20000 };

/* ---- the host ---- */

struct seen {
    int32_t partition;
    int64_t offset, time_ms;
    char *key, *payload; /* NULL: absent */
    char *headers;       /* "name=value;" */
};

struct listener {
    struct bridge_source_sub *sub;
    struct seen *seen;
    size_t count, capacity;
    size_t calls, largest;
    int assigned, revoked, caught_up;
    bool owned[16];
    size_t count_at_caught_up;
    char epoch[64];
    int32_t partitions;
    int64_t oldest, end;
    bool quiet; /* count only */
    bool pause_at_once;
    useconds_t slow_us; /* takes so long for a call */
};

struct receipt {
    bool done;
    enum bridge_outcome outcome;
    int32_t partition;
    int64_t offset;
    char reason[200];
};

struct reading {
    bool done;
    int error;
    size_t count, calls, largest;
    int64_t first, last, oldest, end;
    bool complete, ordered;
    char *payload; /* of the first record */
    struct bytes headers;
};

struct world {
    uv_loop_t loop;
    uv_timer_t guard;
    struct bridge *bridge;
    enum bridge_state state;
    int states;
    char reason[300];
    bool closed;
};

static char folder[64];
static char path[96];

static char *copy(struct bytes b)
{
    return b.data ? bytes_dup(b) : NULL;
}

static inline void on_state(void *host, enum bridge_state state, const char *reason)
{
    struct world *w = host;
    w->state = state;
    w->states++;
    snprintf(w->reason, sizeof w->reason, "%s", reason ? reason : "");
}

static inline void on_assigned(void *cookie, struct bytes topic, int32_t partition, int32_t partitions,
                               struct bytes epoch, int64_t oldest, int64_t end)
{
    struct listener *l = cookie;
    assert_true(topic.len > 0);
    l->assigned++;
    l->owned[partition] = true;
    l->partitions = partitions;
    snprintf(l->epoch, sizeof l->epoch, "%.*s", (int)epoch.len, epoch.data);
    l->oldest = oldest;
    l->end = end;
}

static inline void on_revoked(void *cookie, struct bytes topic, int32_t partition)
{
    (void)topic;
    struct listener *l = cookie;
    assert_true(l->owned[partition]);
    l->owned[partition] = false;
    l->revoked++;
}

static inline void note(struct listener *l, const struct bridge_record *r)
{
    if (l->count == l->capacity) {
        l->capacity = l->capacity ? l->capacity * 2 : 64;
        l->seen = xrealloc(l->seen, l->capacity * sizeof *l->seen);
    }
    CLEANUP_BUF headers = BUF_INIT;
    for (size_t i = 0; i < r->header_count; i++)
        buf_printf(&headers, "%.*s=%.*s;", (int)r->headers[i].name.len, r->headers[i].name.data,
                   (int)r->headers[i].value.len, r->headers[i].value.data);
    l->seen[l->count] = (struct seen){r->partition,     r->offset,          r->time_ms,
                                      copy(r->key), copy(r->payload), copy(buf_bytes(&headers))};
}

static inline void on_records(void *cookie, const struct bridge_record *records, size_t count)
{
    struct listener *l = cookie;
    assert_true(count > 0);
    l->calls++;
    if (count > l->largest)
        l->largest = count;
    for (size_t i = 0; i < count; i++) {
        assert_true(l->owned[records[i].partition]); /* assigned before the first record, not revoked */
        if (!l->quiet)
            note(l, &records[i]);
        l->count++;
    }
    if (l->slow_us)
        usleep(l->slow_us);
    if (l->pause_at_once)
        bridge_embedded_ops.pause(l->sub);
}

static inline void on_caught_up(void *cookie)
{
    struct listener *l = cookie;
    l->caught_up++;
    l->count_at_caught_up = l->count;
}

static inline void on_published(void *cookie, const struct bridge_receipt *r)
{
    struct receipt *receipt = cookie;
    assert_false(receipt->done);
    *receipt = (struct receipt){.done = true, .outcome = r->outcome, .partition = r->partition, .offset = r->offset};
    snprintf(receipt->reason, sizeof receipt->reason, "%s", r->reason ? r->reason : "");
}

static inline void on_read(void *cookie, const struct bridge_read_result *r)
{
    struct reading *reading = cookie;
    assert_false(reading->done);
    if (reading->calls++ == 0)
        reading->ordered = true;
    if (r->count > reading->largest)
        reading->largest = r->count;
    for (size_t i = 0; i < r->count; i++) {
        if (reading->count++ == 0) {
            reading->first = r->records[i].offset;
            reading->payload = copy(r->records[i].payload);
        } else {
            reading->ordered &= r->records[i].offset > reading->last;
        }
        reading->last = r->records[i].offset;
    }
    reading->done = r->last;
    reading->error = r->error;
    reading->complete = r->complete;
    reading->oldest = r->oldest_offset;
    reading->end = r->end_offset;
}

static inline void on_closed(void *host)
{
    struct world *w = host;
    w->closed = true;
}

static const struct bridge_host_ops HOST_OPS = {
    .on_state = on_state,
    .on_assigned = on_assigned,
    .on_revoked = on_revoked,
    .on_records = on_records,
    .on_caught_up = on_caught_up,
    .on_published = on_published,
    .on_read = on_read,
    .on_closed = on_closed,
};

/* ---- running ---- */

static inline void on_guard(uv_timer_t *t)
{
    (void)t; /* only lets uv_run() return */
}

#define WAIT_FOR(w, condition)                                                                                         \
    do {                                                                                                               \
        uint64_t until_ = clock_mono_ms() + WAIT_MS;                                                                   \
        while (!(condition) && clock_mono_ms() < until_)                                                               \
            uv_run(&(w)->loop, UV_RUN_ONCE);                                                                           \
        assert_true(condition);                                                                                        \
    } while (0)

static inline void run_for(struct world *w, uint64_t ms)
{
    uint64_t until = clock_mono_ms() + ms;
    while (clock_mono_ms() < until)
        uv_run(&w->loop, UV_RUN_ONCE);
}

struct open_with {
    struct bridge_option options[8]; /* ended by one without a name */
    size_t publish_queue;
    uint64_t publish_timeout_ms;
};

static inline void world_init(struct world *w)
{
    memset(w, 0, sizeof *w);
    w->state = BRIDGE_CONNECTING;
    uv_loop_init(&w->loop);
    uv_timer_init(&w->loop, &w->guard);
    uv_timer_start(&w->guard, on_guard, 2, 2);
}

static inline int try_open(struct world *w, const struct open_with *with, char *error, size_t error_size)
{
    world_init(w);
    size_t option_count = 0;
    while (with->options[option_count].name)
        option_count++;
    struct bridge_open open = {
        .name = "log",
        .servers = path,
        .node_id = "test",
        .options = with->options,
        .option_count = option_count,
        .publish_timeout_ms = with->publish_timeout_ms ? with->publish_timeout_ms : 10000,
        .publish_queue = with->publish_queue ? with->publish_queue : 1 << 20,
        .loop = &w->loop,
        .host_ops = &HOST_OPS,
        .host = w,
    };
    return bridge_embedded_ops.open(&open, &w->bridge, error, error_size);
}

static inline void world_open_with(struct world *w, const struct open_with *with)
{
    char error[300] = "";
    int r = try_open(w, with, error, sizeof error);
    if (r < 0)
        print_error("open: %s\n", error);
    assert_int_equal(r, 0);
}

static inline void world_open(struct world *w)
{
    world_open_with(w, &(struct open_with){0});
}

static inline void world_end(struct world *w)
{
    uv_close((uv_handle_t *)&w->guard, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
}

static inline void world_close(struct world *w)
{
    bridge_embedded_ops.close(w->bridge, 10000);
    WAIT_FOR(w, w->closed);
    world_end(w);
}

static inline void listener_done(struct listener *l)
{
    for (size_t i = 0; !l->quiet && i < l->count; i++) {
        free(l->seen[i].key);
        free(l->seen[i].payload);
        free(l->seen[i].headers);
    }
    free(l->seen);
    *l = (struct listener){0};
}

static inline void subscribe_with(struct world *w, struct listener *l, struct bridge_subscription s)
{
    s.shared = s.group != NULL;
    assert_int_equal(bridge_embedded_ops.subscribe(w->bridge, &s, l, &l->sub), 0);
}

static inline void subscribe(struct world *w, struct listener *l, const char *topic, enum bridge_start from)
{
    subscribe_with(w, l, (struct bridge_subscription){.topic = topic, .from = from});
}

static inline void publish_message(struct world *w, struct receipt *r, const struct bridge_message *m)
{
    *r = (struct receipt){0};
    bridge_embedded_ops.publish(w->bridge, m, r);
    assert_false(r->done); /* never from inside the call */
}

static inline void publish(struct world *w, struct receipt *r, const char *topic, const char *key, const char *payload)
{
    publish_message(w, r, &(struct bridge_message){
                              .topic = bytes_of(topic), .key = bytes_of(key), .payload = bytes_of(payload)});
}

/* Payloads "FROM" to "FROM + n - 1", all acknowledged. */
static inline void publish_many(struct world *w, const char *topic, int from, int n)
{
    struct receipt *receipts = xcalloc((size_t)n, sizeof *receipts);
    for (int i = 0; i < n; i++) {
        char payload[16];
        snprintf(payload, sizeof payload, "%d", from + i);
        publish(w, &receipts[i], topic, NULL, payload);
    }
    WAIT_FOR(w, receipts[n - 1].done);
    for (int i = 0; i < n; i++)
        assert_true(receipts[i].done && receipts[i].outcome == BRIDGE_STORED);
    free(receipts);
}

static inline void read_back(struct world *w, struct reading *r, struct bridge_read read)
{
    *r = (struct reading){0};
    if (read.limit == 0)
        read.limit = 100;
    bridge_embedded_ops.read_back(w->bridge, &read, r);
    WAIT_FOR(w, r->done);
}

/* ---- fixture ---- */

static inline int remove_entry(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(name);
}

static inline int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/crier-embedded-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/data/log.db", folder);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    return nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* A second connection, as another process has one. */
static inline struct store *open_beside(void)
{
    struct store *s;
    char error[300] = "";
    struct store_settings settings = {.path = path, .create = true, .busy_timeout_ms = 5000};
    assert_int_equal(store_open(&settings, &s, error, sizeof error), 0);
    return s;
}

/* As `crier log append` does it in a process of its own. */
static inline void append_beside(const char *topic, const char *payload)
{
    struct store *s = open_beside();
    struct store_topic *t;
    int64_t offset;
    struct store_policy policy = {.partitions = 1};
    struct store_record r = {.time_ms = clock_wall_ms(), .payload = bytes_of(payload)};
    assert_int_equal(store_topic_ensure(s, bytes_of(topic), &policy, &t), 0);
    assert_int_equal(store_begin(s), 0);
    assert_int_equal(store_append(s, &t->partitions[0], &r, &offset), 0);
    assert_int_equal(store_commit(s), 0);
    store_close(s);
}

static inline void trim_beside(const char *topic, int64_t before)
{
    struct store *s = open_beside();
    struct store_topic *t;
    int64_t removed;
    bool more = true;
    assert_int_equal(store_topic_find(s, bytes_of(topic), &t), 0);
    while (more)
        assert_int_equal(store_trim(s, &t->partitions[0], before, 4096, &removed, &more), 0);
    store_close(s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
