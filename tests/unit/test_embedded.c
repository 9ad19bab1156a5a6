/* The embedded driver: publishing, subscribing, reading back. */
#include "embedded_host.h"

static void published_records_are_acknowledged_with_their_offsets(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    struct receipt r[3];
    for (int i = 0; i < 3; i++)
        publish(&w, &r[i], "chat", "room", "hello");
    struct bridge_stats stats;
    bridge_embedded_ops.stats(w.bridge, &stats);
    assert_int_equal(stats.pending, 3);
    WAIT_FOR(&w, r[2].done);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(r[i].outcome, BRIDGE_STORED);
        assert_int_equal(r[i].partition, 0);
        assert_int_equal(r[i].offset, i + 1);
    }
    assert_int_equal(w.state, BRIDGE_READY);
    assert_int_equal(w.states, 1);
    bridge_embedded_ops.stats(w.bridge, &stats);
    assert_int_equal(stats.pending, 0);
    world_close(&w);
}

static void a_subscriber_from_latest_sees_what_comes_and_nothing_else(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    publish_many(&w, "chat", 0, 10);
    struct listener l = {0};
    subscribe(&w, &l, "chat", BRIDGE_FROM_LATEST);
    publish_many(&w, "chat", 10, 5000);
    publish_many(&w, "other", 0, 10);
    WAIT_FOR(&w, l.count == 5000);
    assert_int_equal(l.assigned, 1);
    assert_int_equal(l.partitions, 1);
    assert_int_equal(l.oldest, 1);
    assert_int_equal(l.end, 11);
    assert_int_equal(l.caught_up, 1);
    assert_int_equal(l.count_at_caught_up, 0);
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(l.seen[i].offset, 11 + i);
        assert_int_equal(atoi(l.seen[i].payload), 10 + i);
    }
    assert_true(l.largest <= 512);
    listener_done(&l);
    world_close(&w);
}

static void a_subscriber_from_earliest_sees_everything_once_and_in_order(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    publish_many(&w, "chat", 0, 3000);
    struct listener l = {0};
    subscribe(&w, &l, "chat", BRIDGE_FROM_EARLIEST);
    publish_many(&w, "chat", 3000, 3000); /* while it catches up */
    WAIT_FOR(&w, l.count == 6000 && l.caught_up);
    run_for(&w, 50);
    assert_int_equal(l.count, 6000);
    assert_int_equal(l.caught_up, 1);
    assert_true(l.count_at_caught_up >= 3000);
    for (int i = 0; i < 6000; i++) {
        assert_int_equal(l.seen[i].offset, 1 + i);
        assert_int_equal(atoi(l.seen[i].payload), i);
    }
    listener_done(&l);
    world_close(&w);
}

static void a_topic_that_is_subscribed_to_is_made(void **state)
{
    (void)state;
    struct world w;
    struct listener l = {0}, again = {0};
    world_open_with(&w, &(struct open_with){.options = {{"partitions", "3"}}});
    subscribe(&w, &l, "new", BRIDGE_FROM_EARLIEST);
    WAIT_FOR(&w, l.caught_up);
    assert_int_equal(l.assigned, 3);
    assert_int_equal(l.partitions, 3);
    assert_int_equal(strlen(l.epoch), 32);
    world_close(&w);

    world_open(&w); /* the incarnation is the same after a restart */
    subscribe(&w, &again, "new", BRIDGE_FROM_EARLIEST);
    WAIT_FOR(&w, again.caught_up);
    assert_string_equal(again.epoch, l.epoch);
    assert_int_equal(again.assigned, 3);
    world_close(&w);
}

static void a_start_time_is_the_first_record_at_or_after_it(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    struct receipt r[10];
    for (int i = 0; i < 10; i++)
        publish_message(&w, &r[i], &(struct bridge_message){
                                       .topic = BYTES_LIT("t"), .payload = BYTES_LIT("x"), .time_ms = 1000 + i * 10});
    WAIT_FOR(&w, r[9].done);
    struct listener l = {0}, later = {0};
    subscribe_with(&w, &l, (struct bridge_subscription){.topic = "t", .from = BRIDGE_FROM_TIME, .time_ms = 1045});
    subscribe_with(&w, &later, (struct bridge_subscription){.topic = "t", .from = BRIDGE_FROM_TIME, .time_ms = 9999});
    WAIT_FOR(&w, l.caught_up && later.caught_up);
    assert_int_equal(l.count, 5);
    assert_int_equal(l.seen[0].offset, 6);
    assert_int_equal(l.seen[0].time_ms, 1050);
    assert_int_equal(later.count, 0);
    listener_done(&l);
    world_close(&w);
}

static void assert_seen(const struct seen *s, const char *key, const char *payload, const char *headers)
{
    const char *expected[] = {key, payload, headers}, *actual[] = {s->key, s->payload, s->headers};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(expected[i] == NULL, actual[i] == NULL);
        if (expected[i])
            assert_string_equal(actual[i], expected[i]);
    }
}

/* The same from memory and from the file. */
static void keys_headers_and_tombstones_arrive_as_they_were_published(void **state)
{
    (void)state;
    struct world w;
    struct listener live = {0}, old = {0};
    struct receipt r[3];
    const struct bridge_header headers[] = {{BYTES_LIT("traceparent"), BYTES_LIT("00-1")},
                                            {BYTES_LIT("e"), BYTES_LIT("")}};
    world_open(&w);
    subscribe(&w, &live, "t", BRIDGE_FROM_LATEST);
    WAIT_FOR(&w, live.caught_up);
    publish_message(&w, &r[0], &(struct bridge_message){.topic = BYTES_LIT("t"), .key = BYTES_LIT("k"),
                                                        .payload = BYTES_LIT("p"), .headers = headers,
                                                        .header_count = 2, .time_ms = 77});
    publish_message(&w, &r[1], &(struct bridge_message){.topic = BYTES_LIT("t"), .key = BYTES_LIT("k")});
    publish_message(&w, &r[2], &(struct bridge_message){.topic = BYTES_LIT("t"), .key = BYTES_LIT(""),
                                                        .payload = BYTES_LIT("")});
    WAIT_FOR(&w, live.count == 3);
    subscribe(&w, &old, "t", BRIDGE_FROM_EARLIEST);
    WAIT_FOR(&w, old.caught_up);
    struct listener *both[] = {&live, &old};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(both[i]->count, 3);
        assert_seen(&both[i]->seen[0], "k", "p", "traceparent=00-1;e=;");
        assert_seen(&both[i]->seen[1], "k", NULL, "");
        assert_seen(&both[i]->seen[2], "", "", "");
        assert_int_equal(both[i]->seen[0].time_ms, 77);
        assert_true(both[i]->seen[1].time_ms > 1600000000000);
        listener_done(both[i]);
    }
    world_close(&w);
}

static void a_key_decides_the_partition_and_keyless_records_go_round(void **state)
{
    (void)state;
    struct world w;
    struct listener l = {0};
    struct receipt r[40];
    world_open_with(&w, &(struct open_with){.options = {{"partitions", "4"}}});
    subscribe(&w, &l, "t", BRIDGE_FROM_LATEST);
    for (int i = 0; i < 40; i++)
        publish(&w, &r[i], "t", i < 20 ? "foobar" : NULL, "x");
    WAIT_FOR(&w, l.count == 40 && r[39].done);
    int of[4] = {0}, home = emb_partition_of_key(BYTES_LIT("foobar"), 4);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(l.seen[i].partition, r[i].partition);
        assert_int_equal(l.seen[i].offset, r[i].offset);
        if (i < 20)
            assert_int_equal(r[i].partition, home);
        else
            of[r[i].partition]++;
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(of[i], 5);
    listener_done(&l);
    world_close(&w);
}

static void assert_unbroken(const struct listener *l, size_t count)
{
    assert_int_equal(l->count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(l->seen[i].offset, i + 1);
}

static void a_paused_subscription_hears_nothing_and_misses_nothing(void **state)
{
    (void)state;
    struct world w;
    struct listener l = {0};
    world_open(&w);
    publish_many(&w, "t", 0, 20000);
    l.pause_at_once = true;
    subscribe(&w, &l, "t", BRIDGE_FROM_EARLIEST);
    WAIT_FOR(&w, l.calls == 1);
    publish_many(&w, "t", 20000, 1000);
    run_for(&w, 100);
    assert_int_equal(l.calls, 1);
    bridge_embedded_ops.resume(l.sub); /* pauses again after the next chunk */
    WAIT_FOR(&w, l.calls == 2);
    run_for(&w, 100);
    assert_int_equal(l.calls, 2);
    l.pause_at_once = false;
    bridge_embedded_ops.resume(l.sub);
    publish_many(&w, "t", 21000, 1000);
    WAIT_FOR(&w, l.count >= 22000 && l.caught_up);
    run_for(&w, 50);
    assert_unbroken(&l, 22000);
    listener_done(&l);
    world_close(&w);
}

static void pausing_and_resuming_in_a_stream_loses_nothing(void **state)
{
    (void)state;
    struct world w;
    struct listener l = {0};
    world_open(&w);
    subscribe(&w, &l, "t", BRIDGE_FROM_LATEST);
    WAIT_FOR(&w, l.caught_up);
    for (int i = 0; i < 100; i++) {
        if (i % 3 == 0)
            bridge_embedded_ops.pause(l.sub);
        size_t before = l.count;
        publish_many(&w, "t", i * 100, 100);
        if (i % 3 == 0)
            assert_int_equal(l.count, before);
        if (i % 3 != 1)
            bridge_embedded_ops.resume(l.sub);
    }
    WAIT_FOR(&w, l.count >= 10000);
    run_for(&w, 50);
    assert_unbroken(&l, 10000);
    listener_done(&l);
    world_close(&w);
}

/* Else a long way to catch up would keep the hub from everything else. */
static void a_turn_of_the_loop_brings_a_bounded_number_of_old_records(void **state)
{
    (void)state;
    struct world w;
    struct listener l = {.quiet = true, .slow_us = 500}; /* the next chunk is there before this one is taken */
    size_t largest = 0;
    world_open(&w);
    publish_many(&w, "t", 0, 100000);
    subscribe(&w, &l, "t", BRIDGE_FROM_EARLIEST);
    while (l.count < 100000) {
        size_t before = l.count;
        uv_run(&w.loop, UV_RUN_ONCE);
        if (l.count - before > largest)
            largest = l.count - before;
    }
    assert_in_range(largest, 1, 4 * 512);
    struct bridge_stats stats;
    WAIT_FOR(&w, l.caught_up);
    bridge_embedded_ops.stats(w.bridge, &stats);
    assert_int_equal(stats.lag, 0);
    world_close(&w);
}

static void what_another_process_appends_is_seen_in_order(void **state)
{
    (void)state;
    struct world w;
    struct listener l = {0};
    struct receipt r;
    world_open(&w);
    subscribe(&w, &l, "t", BRIDGE_FROM_LATEST);
    publish(&w, &r, "t", NULL, "1");
    WAIT_FOR(&w, l.count == 1);
    append_beside("t", "2");
    WAIT_FOR(&w, l.count == 2);
    append_beside("t", "3"); /* not noticed yet when the next one is published here */
    publish(&w, &r, "t", NULL, "4");
    WAIT_FOR(&w, l.count == 4 && r.done);
    assert_int_equal(r.offset, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(l.seen[i].offset, i + 1);
        assert_int_equal(atoi(l.seen[i].payload), i + 1);
    }
    listener_done(&l);
    world_close(&w);
}

static void offsets_go_on_after_a_restart_and_a_trim_of_everything(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    publish_many(&w, "t", 0, 10);
    world_close(&w);
    trim_beside("t", INT64_MAX);
    world_open(&w);
    struct receipt r;
    struct listener l = {0};
    subscribe(&w, &l, "t", BRIDGE_FROM_EARLIEST);
    publish(&w, &r, "t", NULL, "x");
    WAIT_FOR(&w, l.count == 1 && r.done);
    assert_int_equal(r.offset, 11);
    assert_int_equal(l.oldest, 11);
    assert_int_equal(l.seen[0].offset, 11);
    listener_done(&l);
    world_close(&w);
}

/* ---- reading back ---- */

struct read_case {
    int64_t from, to;
    size_t limit_total;
    size_t count;
    int64_t first, last;
    bool complete;
};

static void read_back_gives_exactly_the_range(void **state)
{
    (void)state;
    static const struct read_case CASES[] = {
        {101, 400, 1000, 300, 101, 400, true},     {101, 400, 300, 300, 101, 400, true},
        {101, 400, 299, 299, 101, 399, false},     {901, INT64_MAX, 1000, 100, 901, 1000, true},
        {1, INT64_MAX, 100000, 950, 51, 1000, true}, {1001, INT64_MAX, 10, 0, 0, 0, true},
        {5000, 6000, 10, 0, 0, 0, true},           {1, 50, 10, 0, 0, 0, true},
        {400, 101, 10, 0, 0, 0, true},             {51, 51, 10, 1, 51, 51, true},
    };
    struct world w;
    world_open(&w);
    publish_many(&w, "t", 1, 1000);
    trim_beside("t", 51);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        const struct read_case *c = &CASES[i];
        struct reading r;
        read_back(&w, &r, (struct bridge_read){.topic = "t", .from_offset = c->from, .to_offset = c->to,
                                               .limit_total = c->limit_total});
        assert_int_equal(r.error, 0);
        assert_int_equal(r.count, c->count);
        assert_int_equal(r.first, c->first);
        assert_int_equal(r.last, c->last);
        assert_int_equal(r.complete, c->complete);
        assert_true(r.ordered && r.largest <= 100);
        assert_int_equal(r.oldest, 51);
        assert_int_equal(r.end, 1001);
        if (r.count)
            assert_int_equal(atoi(r.payload), c->first);
        free(r.payload);
    }
    world_close(&w);
}

static void reading_what_does_not_exist_is_an_error(void **state)
{
    (void)state;
    struct world w;
    struct reading r;
    world_open(&w);
    publish_many(&w, "t", 0, 1);
    read_back(&w, &r, (struct bridge_read){.topic = "nothing", .to_offset = 5, .limit_total = 5});
    assert_int_equal(r.error, -ENOENT);
    assert_false(r.complete);
    read_back(&w, &r, (struct bridge_read){.topic = "t", .partition = 1, .to_offset = 5, .limit_total = 5});
    assert_int_equal(r.error, -ENOENT);
    world_close(&w);
}

static void many_readings_at_once_are_all_answered(void **state)
{
    (void)state;
    enum { READINGS = 500 };
    static struct reading r[READINGS];
    struct world w;
    world_open(&w);
    publish_many(&w, "t", 0, 2000);
    memset(r, 0, sizeof r);
    for (int i = 0; i < READINGS; i++)
        bridge_embedded_ops.read_back(w.bridge, &(struct bridge_read){.topic = "t", .from_offset = i + 1, .limit = 100,
                                                                      .to_offset = 2000, .limit_total = 1500}, &r[i]);
    for (int i = 0; i < READINGS; i++) {
        WAIT_FOR(&w, r[i].done);
        assert_int_equal(r[i].count, 1500);
        assert_int_equal(r[i].first, i + 1);
        free(r[i].payload);
    }
    world_close(&w);
}

/* ---- keeping ---- */

static void retention_and_compaction_run_in_the_background(void **state)
{
    (void)state;
    struct world w;
    struct reading r;
    world_open_with(&w, &(struct open_with){.options = {{"retention_bytes", "10000"},
                                                        {"compact", "[\"other\",\"state*\"]"},
                                                        {"compact_lag", "0"}}});
    publish_many(&w, "plain", 0, 2000);
    struct receipt receipts[300];
    for (int i = 0; i < 300; i++)
        publish(&w, &receipts[i], "state.bus", i % 2 ? "odd" : "even", "x");
    WAIT_FOR(&w, receipts[299].done);
    uint64_t until = clock_mono_ms() + WAIT_MS;
    do {
        read_back(&w, &r, (struct bridge_read){.topic = "plain", .to_offset = INT64_MAX, .limit_total = 5000});
        free(r.payload);
    } while (r.count > 400 && clock_mono_ms() < until);
    assert_true(r.count > 100 && r.count <= 400);
    assert_int_equal(r.last, 2000);
    assert_int_equal(r.oldest, r.first);
    do {
        read_back(&w, &r, (struct bridge_read){.topic = "state.bus", .to_offset = INT64_MAX, .limit_total = 5000});
        free(r.payload);
    } while (r.count > 2 && clock_mono_ms() < until);
    assert_int_equal(r.count, 2);
    assert_int_equal(r.first, 299);
    assert_int_equal(r.oldest, 1); /* nothing that a reader would miss */
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(published_records_are_acknowledged_with_their_offsets),
        TEST(a_subscriber_from_latest_sees_what_comes_and_nothing_else),
        TEST(a_subscriber_from_earliest_sees_everything_once_and_in_order),
        TEST(a_topic_that_is_subscribed_to_is_made),
        TEST(a_start_time_is_the_first_record_at_or_after_it),
        TEST(keys_headers_and_tombstones_arrive_as_they_were_published),
        TEST(a_key_decides_the_partition_and_keyless_records_go_round),
        TEST(a_paused_subscription_hears_nothing_and_misses_nothing),
        TEST(pausing_and_resuming_in_a_stream_loses_nothing),
        TEST(a_turn_of_the_loop_brings_a_bounded_number_of_old_records),
        TEST(what_another_process_appends_is_seen_in_order),
        TEST(offsets_go_on_after_a_restart_and_a_trim_of_everything),
        TEST(read_back_gives_exactly_the_range),
        TEST(reading_what_does_not_exist_is_an_error),
        TEST(many_readings_at_once_are_all_answered),
        TEST(retention_and_compaction_run_in_the_background),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
