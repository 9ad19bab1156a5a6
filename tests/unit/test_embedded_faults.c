/* The embedded driver when things go wrong: SIGKILL, a full or locked file, no answer in time, a damaged file. */
#include "embedded_host.h"

/* ---- SIGKILL ---- */

enum { KILL_WINDOW = 64 };

struct sender {
    struct world *w;
    int pipe;
    int sent;
    struct slot {
        struct sender *sender;
        int number;
    } slots[KILL_WINDOW];
};

static void send_next(struct slot *slot)
{
    char payload[16];
    slot->number = slot->sender->sent++;
    snprintf(payload, sizeof payload, "%d", slot->number);
    bridge_embedded_ops.publish(slot->sender->w->bridge,
                                &(struct bridge_message){.topic = BYTES_LIT("t"), .payload = bytes_of(payload)}, slot);
}

/* Tells the parent what was acknowledged, in one write a piece, and publishes the next. */
static void on_sender_published(void *cookie, const struct bridge_receipt *r)
{
    struct slot *slot = cookie;
    int64_t acknowledged[2] = {slot->number, r->offset};
    if (r->outcome != BRIDGE_STORED || write(slot->sender->pipe, acknowledged, sizeof acknowledged) < 0)
        _exit(1);
    send_next(slot);
}

static void run_sender(int pipe)
{
    static struct bridge_host_ops ops;
    static struct sender s;
    struct world w;
    char error[300];
    ops = HOST_OPS;
    ops.on_published = on_sender_published;
    world_init(&w);
    struct bridge_open open = {.name = "log", .servers = path, .node_id = "child", .publish_timeout_ms = 60000,
                               .publish_queue = 1000, .loop = &w.loop, .host_ops = &ops, .host = &w};
    if (bridge_embedded_ops.open(&open, &w.bridge, error, sizeof error) < 0)
        _exit(2);
    s.w = &w;
    s.pipe = pipe;
    for (int i = 0; i < KILL_WINDOW; i++) {
        s.slots[i].sender = &s;
        send_next(&s.slots[i]);
    }
    uv_run(&w.loop, UV_RUN_DEFAULT);
    _exit(3);
}

struct stored {
    int64_t *offset_of; /* by number; 0: not there */
    int capacity;
    int64_t last;
};

static bool on_stored(void *arg, const struct store_record *r)
{
    struct stored *s = arg;
    char text[16];
    snprintf(text, sizeof text, "%.*s", (int)r->payload.len, r->payload.data);
    int number = atoi(text);
    assert_true(number < s->capacity);
    assert_int_equal(s->offset_of[number], 0); /* once */
    assert_int_equal(r->offset, s->last + 1);
    s->offset_of[number] = r->offset;
    s->last = r->offset;
    return true;
}

static size_t kill_in_the_stream(int64_t (*acknowledged)[2], size_t capacity, useconds_t after_us)
{
    int fds[2], status;
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(fds[0]);
        run_sender(fds[1]);
    }
    close(fds[1]);
    size_t count = 0;
    while (count < 200 && read(fds[0], acknowledged[count], sizeof acknowledged[0]) == sizeof acknowledged[0])
        count++;
    usleep(after_us);
    kill(child, SIGKILL);
    while (count < capacity && read(fds[0], acknowledged[count], sizeof acknowledged[0]) == sizeof acknowledged[0])
        count++;
    close(fds[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status)); /* it did not end by itself */
    return count;
}

static void after_sigkill_every_acknowledged_record_is_there_once(void **state)
{
    (void)state;
    enum { MOST = 200000 };
    static int64_t acknowledged[MOST][2];
    for (useconds_t round = 0; round < 3; round++) {
        size_t count = kill_in_the_stream(acknowledged, MOST, round * 20011);
        assert_true(count >= 200 && count < MOST);
        struct store *s = open_beside();
        struct store_topic *t;
        assert_int_equal(store_topic_find(s, BYTES_LIT("t"), &t), 0);
        struct stored stored = {.offset_of = xcalloc(MOST, sizeof(int64_t)), .capacity = MOST};
        assert_int_equal(store_read(s, &t->partitions[0], 0, INT64_MAX, MOST, on_stored, &stored), 0);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(stored.offset_of[acknowledged[i][0]], acknowledged[i][1]);
        free(stored.offset_of);
        store_close(s);
        assert_int_equal(unlink(path), 0);
    }
}

/* ---- no room ---- */

static void publish_until_full(struct world *w, struct receipt *r)
{
    static char payload[4001];
    memset(payload, 'p', 4000);
    for (int i = 0; i < 1000; i++) {
        publish(w, r, "t", NULL, payload);
        WAIT_FOR(w, r->done);
        if (r->outcome != BRIDGE_STORED)
            return;
    }
    fail();
}

static void a_full_file_refuses_publishes_and_recovers_by_itself(void **state)
{
    (void)state;
    struct world w;
    struct receipt r;
    struct listener l = {.quiet = true};
    world_open_with(&w, &(struct open_with){.options = {{"max_bytes", "512KiB"}}});
    subscribe(&w, &l, "t", BRIDGE_FROM_LATEST);
    publish_until_full(&w, &r);
    assert_int_equal(r.outcome, BRIDGE_RETRYABLE);
    assert_non_null(strstr(r.reason, "full"));
    assert_int_equal(w.state, BRIDGE_DEGRADED);
    assert_non_null(strstr(w.reason, "full"));
    size_t stored = l.count;
    assert_true(stored > 50);
    struct reading reading; /* it still reads */
    read_back(&w, &reading, (struct bridge_read){.topic = "t", .from_offset = 1, .to_offset = 5, .limit_total = 5});
    assert_int_equal(reading.count, 5);
    free(reading.payload);

    trim_beside("t", (int64_t)stored / 2);
    WAIT_FOR(&w, w.state == BRIDGE_READY); /* without anybody publishing */
    publish(&w, &r, "t", NULL, "again");
    WAIT_FOR(&w, r.done && l.count == stored + 1);
    assert_int_equal(r.outcome, BRIDGE_STORED);
    assert_int_equal(r.offset, stored + 1);
    world_close(&w);
}

/* ---- another process has the lock ---- */

static void a_locked_file_is_a_temporary_failure(void **state)
{
    (void)state;
    struct world w;
    struct receipt r;
    world_open_with(&w, &(struct open_with){.options = {{"busy_timeout", "50ms"}}});
    publish_many(&w, "t", 0, 1);
    struct store *other = open_beside();
    assert_int_equal(store_begin(other), 0);
    publish(&w, &r, "t", NULL, "x");
    WAIT_FOR(&w, r.done);
    assert_int_equal(r.outcome, BRIDGE_RETRYABLE);
    assert_non_null(strstr(r.reason, "another process"));
    WAIT_FOR(&w, w.state == BRIDGE_DEGRADED);
    store_close(other);
    WAIT_FOR(&w, w.state == BRIDGE_READY);
    publish(&w, &r, "t", NULL, "x");
    WAIT_FOR(&w, r.done);
    assert_int_equal(r.outcome, BRIDGE_STORED);
    assert_int_equal(r.offset, 2);
    world_close(&w);
}

static void a_publish_is_answered_in_time_and_never_twice(void **state)
{
    (void)state;
    struct world w;
    struct receipt first, later;
    world_open_with(&w, &(struct open_with){.publish_timeout_ms = 1000});
    publish_many(&w, "t", 0, 1);
    struct store *other = open_beside();
    assert_int_equal(store_begin(other), 0);
    uint64_t start = clock_mono_ms();
    publish(&w, &first, "t", NULL, "first");
    run_for(&w, 200); /* the store thread has it and waits for the lock */
    publish(&w, &later, "t", NULL, "later");
    WAIT_FOR(&w, first.done && later.done);
    assert_in_range(clock_mono_ms() - start, 1000, 9000); /* 10 s is what others have */
    assert_int_equal(first.outcome, BRIDGE_UNKNOWN); /* it may still be stored */
    assert_int_equal(later.outcome, BRIDGE_RETRYABLE); /* it surely will not be */
    store_close(other);
    struct listener l = {0};
    subscribe(&w, &l, "t", BRIDGE_FROM_EARLIEST);
    WAIT_FOR(&w, l.caught_up);
    assert_int_equal(l.count, 2);
    assert_string_equal(l.seen[1].payload, "first");
    listener_done(&l);
    world_close(&w);
}

static void a_file_that_is_locked_at_the_start_is_opened_later(void **state)
{
    (void)state;
    struct world w;
    struct receipt r;
    struct listener l = {0};
    store_close(open_beside());
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT", NULL, NULL, NULL),
                     SQLITE_OK);
    world_open_with(&w, &(struct open_with){.options = {{"busy_timeout", "50ms"}}});
    subscribe(&w, &l, "t", BRIDGE_FROM_EARLIEST);
    publish(&w, &r, "t", NULL, "x");
    WAIT_FOR(&w, r.done);
    assert_int_equal(r.outcome, BRIDGE_RETRYABLE);
    assert_int_equal(w.state, BRIDGE_CONNECTING);
    assert_non_null(strstr(w.reason, "another process"));
    sqlite3_close(db);
    WAIT_FOR(&w, w.state == BRIDGE_READY && l.caught_up);
    publish(&w, &r, "t", NULL, "y");
    WAIT_FOR(&w, l.count == 1);
    listener_done(&l);
    world_close(&w);
}

/* ---- limits and wrong input ---- */

static void a_full_queue_answers_at_once(void **state)
{
    (void)state;
    struct world w;
    struct receipt r[20];
    world_open_with(&w, &(struct open_with){.publish_queue = 10});
    for (int i = 0; i < 20; i++)
        publish(&w, &r[i], "t", NULL, "x");
    WAIT_FOR(&w, r[9].done && r[19].done);
    for (int i = 0; i < 20; i++)
        assert_int_equal(r[i].outcome, i < 10 ? BRIDGE_STORED : BRIDGE_RETRYABLE);
    publish(&w, &r[0], "t", NULL, "x");
    WAIT_FOR(&w, r[0].done);
    assert_int_equal(r[0].outcome, BRIDGE_STORED);
    assert_int_equal(r[0].offset, 11);
    world_close(&w);
}

static void what_cannot_be_stored_is_refused_alone(void **state)
{
    (void)state;
    struct world w;
    struct receipt r[4];
    char *large = xcalloc(1, STORE_RECORD_MAX + 1);
    world_open(&w);
    publish(&w, &r[0], "t", NULL, "a");
    publish(&w, &r[1], "", NULL, "no topic");
    publish_message(&w, &r[2],
                    &(struct bridge_message){.topic = BYTES_LIT("t"), .payload = {large, STORE_RECORD_MAX + 1}});
    publish(&w, &r[3], "t", NULL, "b");
    free(large);
    WAIT_FOR(&w, r[0].done && r[1].done && r[2].done && r[3].done);
    assert_int_equal(r[0].outcome, BRIDGE_STORED);
    assert_int_equal(r[1].outcome, BRIDGE_REFUSED);
    assert_int_equal(r[2].outcome, BRIDGE_REFUSED);
    assert_non_null(strstr(r[2].reason, "too large"));
    assert_int_equal(r[3].outcome, BRIDGE_STORED);
    assert_int_equal(r[3].offset, 2);
    assert_int_equal(w.state, BRIDGE_READY);
    world_close(&w);
}

static void wrong_options_and_files_fail_at_open_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        struct bridge_option option;
        const char *reason;
    } CASES[] = {
        {{"partition", "1"}, "unknown option partition"},
        {{"partitions", "0"}, "allowed: 1 to 1024"},
        {{"partitions", "many"}, "allowed: 1 to 1024"},
        {{"retention_age", "7 days"}, "retention_age = 7 days"},
        {{"retention_bytes", "-1"}, "retention_bytes"},
        {{"max_bytes", "100"}, "at least"},
    };
    struct world w;
    char error[300];
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        error[0] = 0;
        assert_int_equal(try_open(&w, &(struct open_with){.options = {CASES[i].option}}, error, sizeof error), -EINVAL);
        assert_non_null(strstr(error, CASES[i].reason));
        world_end(&w);
    }
    snprintf(path, sizeof path, "%s/log.db", folder);
    FILE *f = fopen(path, "w");
    fputs("This is a text, not a database. It goes on for longer than a header of a database would.\n", f);
    fclose(f);
    assert_int_equal(try_open(&w, &(struct open_with){0}, error, sizeof error), -EBADMSG);
    assert_non_null(strstr(error, path));
    assert_non_null(strstr(error, "not a log of crier"));
    world_end(&w);
}

/* ---- closing ---- */

static void closing_stores_and_answers_what_is_pending(void **state)
{
    (void)state;
    enum { PENDING = 20000 };
    static struct receipt r[PENDING];
    struct world w;
    world_open(&w);
    for (int i = 0; i < PENDING; i++)
        publish(&w, &r[i], "t", NULL, "x");
    bridge_embedded_ops.close(w.bridge, 10000);
    struct receipt late = {0};
    bridge_embedded_ops.publish(w.bridge, &(struct bridge_message){.topic = BYTES_LIT("t"), .payload = BYTES_LIT("y")},
                                &late);
    WAIT_FOR(&w, w.closed);
    for (int i = 0; i < PENDING; i++) {
        assert_true(r[i].done);
        assert_int_equal(r[i].outcome, BRIDGE_STORED);
    }
    assert_true(late.done);
    assert_int_equal(late.outcome, BRIDGE_RETRYABLE);
    world_end(&w);
}

static void closing_does_not_wait_beyond_its_deadline(void **state)
{
    (void)state;
    struct world w;
    struct receipt r[3];
    struct reading reading = {0};
    world_open(&w);
    publish_many(&w, "t", 0, 1);
    struct store *other = open_beside();
    assert_int_equal(store_begin(other), 0);
    for (int i = 0; i < 3; i++)
        publish(&w, &r[i], "t", NULL, "x");
    run_for(&w, 200);
    bridge_embedded_ops.read_back(w.bridge, &(struct bridge_read){.topic = "t", .to_offset = 9, .limit = 5}, &reading);
    uint64_t start = clock_mono_ms();
    bridge_embedded_ops.close(w.bridge, 200);
    WAIT_FOR(&w, w.closed);
    assert_in_range(clock_mono_ms() - start, 200, 9000);
    for (int i = 0; i < 3; i++) {
        assert_true(r[i].done);
        assert_int_equal(r[i].outcome, BRIDGE_UNKNOWN);
    }
    assert_true(reading.done);
    free(reading.payload);
    store_close(other);
    world_end(&w);
}

static void closing_in_the_middle_of_catching_up_frees_everything(void **state)
{
    (void)state;
    struct world w;
    struct listener l = {.quiet = true}, paused = {.quiet = true, .pause_at_once = true};
    world_open(&w);
    publish_many(&w, "t", 0, 20000);
    subscribe(&w, &l, "t", BRIDGE_FROM_EARLIEST);
    subscribe(&w, &paused, "t", BRIDGE_FROM_EARLIEST);
    WAIT_FOR(&w, paused.calls == 1);
    bridge_embedded_ops.close(w.bridge, 1000);
    size_t calls = l.calls, paused_calls = paused.calls;
    WAIT_FOR(&w, w.closed);
    assert_int_equal(l.calls, calls); /* nothing comes after close() */
    assert_int_equal(paused.calls, paused_calls);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(after_sigkill_every_acknowledged_record_is_there_once),
        TEST(a_full_file_refuses_publishes_and_recovers_by_itself),
        TEST(a_locked_file_is_a_temporary_failure),
        TEST(a_publish_is_answered_in_time_and_never_twice),
        TEST(a_file_that_is_locked_at_the_start_is_opened_later),
        TEST(a_full_queue_answers_at_once),
        TEST(what_cannot_be_stored_is_refused_alone),
        TEST(wrong_options_and_files_fail_at_open_with_a_reason),
        TEST(closing_stores_and_answers_what_is_pending),
        TEST(closing_does_not_wait_beyond_its_deadline),
        TEST(closing_in_the_middle_of_catching_up_frees_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
