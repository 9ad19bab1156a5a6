/* Resumes: from memory, from the broker by position, and the honest "not recovered". */
#include "hub_harness.h"

static const char config[] = "[server]\nlisten = \"127.0.0.1:0\"\nweb = \"\"\n"
                             "[limits]\nrecover = 6\n"
                             "[[bridge]]\nname = \"b\"\ndriver = \"fake\"\nservers = \"x\"\n"
                             "[[namespace]]\nname = \"chat\"\nhistory = 3\n"
                             "[[namespace]]\nname = \"long\"\nhistory = 100\n"
                             "[[source]]\nbridge = \"b\"\ntopic = \"chat\"\nchannel = \"chat:{key}\"\nfrom = \"earliest\"\n";

static struct bridge *broker;
static struct bridge_source_sub *sub;
static struct listener live;
static char epoch[CHANNEL_EPOCH_SIZE];

static int setup(void **state)
{
    (void)state;
    world_open(config);
    live = (struct listener){0};
    broker = fake_bridge("b");
    sub = &broker->subs[0];
    fake_ready(broker);
    fake_assign(sub, 0, 1, "log", 0, 0);
    fake_caught_up(sub);
    epoch_of_partition(BYTES_LIT("log"), BYTES_LIT("chat"), 0, epoch);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_close();
    listener_done(&live);
    return 0;
}

static void give(int64_t first, int64_t last)
{
    for (int64_t offset = first; offset <= last; offset++)
        fake_give(sub, 0, offset, "lobby", "1");
    turn();
}

/* Answers read `i` with the channel's records [first, last]. */
static void read_records(size_t i, int64_t first, int64_t last)
{
    struct bridge_record records[32];
    size_t n = 0;
    for (int64_t offset = first; offset <= last; offset++)
        records[n++] = fake_record(sub, 0, offset, "lobby", "1");
    fake_read_part(broker, i, records, n);
}

#define resume_from(a, at) subscribe(a, &live, .channel = "chat:lobby", .epoch = epoch, .offset = (at), .history = 2)

static void memory_gives_exactly_what_was_missed(void **state)
{
    struct answer a;
    (void)state;
    give(0, 4); /* memory has 2 3 4 */
    resume_from(&a, 1);
    assert_true(a.recovered);
    assert_string_equal(a.offsets.data, "2 3 4 ");
    assert_int_equal(a.position, 4);
    assert_int_equal(broker->read_count, 0);
    answer_done(&a);
}

static void nothing_missed_is_recovered_with_nothing(void **state)
{
    struct answer a;
    (void)state;
    give(0, 4);
    resume_from(&a, 4);
    assert_true(a.recovered);
    assert_int_equal(a.count, 0);
    answer_done(&a);
}

static void what_memory_lost_is_read_back_in_batches(void **state)
{
    struct answer a;
    (void)state;
    give(0, 5); /* memory has 3 4 5 */
    resume_from(&a, 0);
    assert_false(a.done);
    assert_int_equal(broker->reads[0].read.from_offset, 1);
    assert_int_equal(broker->reads[0].read.to_offset, 5);
    read_records(0, 1, 2);
    read_records(0, 3, 5);
    fake_read_end(broker, 0, 0, 6, true, 0);
    turn();
    assert_true(a.recovered);
    assert_string_equal(a.offsets.data, "1 2 3 4 5 ");
    answer_done(&a);
}

static void records_of_other_channels_are_left_out(void **state)
{
    struct answer a;
    (void)state;
    give(0, 5);
    resume_from(&a, 0);
    const struct bridge_record records[] = {fake_record(sub, 0, 1, "lobby", "1"), fake_record(sub, 0, 2, "other", "1")};
    fake_read_part(broker, 0, records, 2);
    read_records(0, 3, 5);
    fake_read_end(broker, 0, 0, 6, true, 0);
    turn();
    assert_true(a.recovered);
    assert_string_equal(a.offsets.data, "1 3 4 5 ");
    answer_done(&a);
}

static void what_comes_while_the_broker_is_read_follows_once(void **state)
{
    struct answer other, a;
    (void)state;
    subscribe(&other, &live, .channel = "chat:lobby");
    give(0, 5);
    resume_from(&a, 1);
    read_records(0, 2, 5);
    give(6, 7); /* memory has 5 6 7 */
    fake_read_end(broker, 0, 0, 6, true, 0);
    turn();
    assert_true(a.recovered);
    assert_string_equal(a.offsets.data, "2 3 4 5 6 7 ");
    assert_int_equal(a.position, 7);
    give(8, 8);
    assert_offsets(&live, "0 1 2 3 4 5 6 7 8 "); /* the block of the answer is not in the stream */
    answer_done(&other);
    answer_done(&a);
}

/* The read went to the end as of its beginning; what memory dropped since then has to be read, too. */
static void memory_that_moves_on_past_the_read_is_read_back_as_well(void **state)
{
    struct answer a;
    (void)state;
    give(0, 4);
    resume_from(&a, 0); /* reads 1 to 4 */
    read_records(0, 1, 4);
    give(5, 8); /* memory has 6 7 8: 5 is only in the log */
    world.config->limits.recover = 100;
    fake_read_end(broker, 0, 0, 9, true, 0);
    turn();
    assert_false(a.done);
    assert_int_equal(broker->read_count, 2);
    assert_int_equal(broker->reads[1].read.from_offset, 5);
    read_records(1, 5, 8);
    fake_read_end(broker, 1, 0, 9, true, 0);
    turn();
    assert_true(a.recovered);
    assert_string_equal(a.offsets.data, "1 2 3 4 5 6 7 8 ");
    answer_done(&a);
}

static void what_retention_took_is_not_recovered(void **state)
{
    struct answer a;
    (void)state;
    give(0, 5);
    resume_from(&a, 0);
    read_records(0, 3, 5);
    fake_read_end(broker, 0, 3, 6, true, 0);
    turn();
    assert_false(a.recovered);
    assert_string_equal(a.offsets.data, "4 5 "); /* the newest, as asked */
    answer_done(&a);
}

static void what_retention_takes_between_two_reads_is_not_recovered(void **state)
{
    struct answer a;
    (void)state;
    world.config->limits.recover = 100;
    give(0, 4);
    resume_from(&a, 0);
    read_records(0, 1, 4);
    give(5, 12);
    fake_read_end(broker, 0, 0, 5, true, 0);
    assert_int_equal(broker->read_count, 2);
    read_records(1, 8, 12);
    fake_read_end(broker, 1, 8, 13, true, 0); /* 5 to 7 are gone */
    turn();
    assert_true(a.done);
    assert_false(a.recovered);
    answer_done(&a);
}

static void more_than_the_limit_comes_in_pages(void **state)
{
    struct answer a;
    (void)state;
    give(0, 9);
    resume_from(&a, 0); /* nine are missing, six go at a time */
    read_records(0, 1, 9);
    fake_read_end(broker, 0, 0, 10, true, 0);
    turn();
    assert_true(a.recovered && a.more);
    assert_string_equal(a.offsets.data, "1 2 3 4 5 6 ");
    assert_int_equal(a.until, 6);
    assert_int_equal(a.position, 9);
    answer_done(&a);
    give(10, 11);
    resume_from(&a, 6); /* memory has 9 10 11 */
    read_records(1, 7, 11);
    fake_read_end(broker, 1, 0, 12, true, 0);
    turn();
    assert_true(a.recovered);
    assert_false(a.more);
    assert_string_equal(a.offsets.data, "7 8 9 10 11 ");
    answer_done(&a);
}

/* The last one of a page is the newest that there is. */
static void a_page_with_nothing_behind_it_is_the_last(void **state)
{
    struct answer a;
    (void)state;
    give(0, 6);
    resume_from(&a, 0);
    read_records(0, 1, 6);
    fake_read_end(broker, 0, 0, 7, true, 0);
    turn();
    assert_true(a.recovered);
    assert_false(a.more);
    assert_string_equal(a.offsets.data, "1 2 3 4 5 6 ");
    answer_done(&a);
}

static void a_page_is_bounded_in_bytes(void **state)
{
    struct answer a;
    (void)state;
    world.config->limits.recover_bytes = 1;
    give(0, 5);
    resume_from(&a, 0);
    read_records(0, 1, 5);
    fake_read_end(broker, 0, 0, 6, true, 0);
    turn();
    assert_true(a.recovered && a.more);
    assert_string_equal(a.offsets.data, "1 ");
    answer_done(&a);
}

/* Other channels share the partition: a read that ends at its own limit goes on with a longer one. */
static void records_of_others_do_not_end_a_page(void **state)
{
    enum { OTHERS = 256 };
    struct answer a;
    (void)state;
    give(0, 0);
    for (int64_t offset = 1; offset <= OTHERS; offset++)
        fake_give(sub, 0, offset, "other", "1");
    give(OTHERS + 1, OTHERS + 5); /* memory has the last three */
    resume_from(&a, 0);
    assert_int_equal(broker->reads[0].read.limit_total, OTHERS);
    for (int64_t offset = 1; offset <= OTHERS; offset++) {
        const struct bridge_record record = fake_record(sub, 0, offset, "other", "1");
        fake_read_part(broker, 0, &record, 1);
    }
    fake_read_end(broker, 0, 0, OTHERS + 6, false, 0);
    assert_false(a.done);
    assert_int_equal(broker->reads[1].read.from_offset, OTHERS + 1);
    assert_int_equal(broker->reads[1].read.limit_total, 2 * OTHERS);
    read_records(1, OTHERS + 1, OTHERS + 5);
    fake_read_end(broker, 1, 0, OTHERS + 6, true, 0);
    turn();
    assert_true(a.recovered);
    assert_string_equal(a.offsets.data, "257 258 259 260 261 ");
    answer_done(&a);
}

static void what_memory_has_comes_in_pages_too(void **state)
{
    struct answer a, same;
    struct outcome o;
    (void)state;
    for (int i = 0; i < 8; i++)
        publish(&o, "long:x", NULL, "1", NULL);
    subscribe(&a, &live, .channel = "long:x", .epoch = o.epoch, .offset = 1);
    assert_true(a.recovered && a.more);
    assert_string_equal(a.offsets.data, "2 3 4 5 6 7 ");
    assert_int_equal(a.until, 7);
    subscribe(&same, &live, .channel = "long:x", .epoch = o.epoch, .offset = 1);
    assert_true(same.recovered && same.more);
    assert_string_equal(same.offsets.data, a.offsets.data);
    assert_int_equal(same.until, 7);
    answer_done(&same);
    answer_done(&a);
    subscribe(&a, &live, .channel = "long:x", .epoch = o.epoch, .offset = 2);
    assert_true(a.recovered);
    assert_false(a.more);
    assert_int_equal(a.count, 6);
    answer_done(&a);
}

static void a_reader_that_fails_or_stops_early_is_not_recovered(void **state)
{
    struct answer a;
    (void)state;
    give(0, 5);
    resume_from(&a, 0);
    fake_read_end(broker, 0, -1, -1, false, -EIO);
    turn();
    assert_true(a.done);
    assert_int_equal(a.error, CRIER_OK);
    assert_false(a.recovered);
    answer_done(&a);
    resume_from(&a, 0);
    read_records(1, 1, 2);
    fake_read_end(broker, 1, 0, 6, false, 0); /* limit_total */
    turn();
    assert_false(a.recovered);
    answer_done(&a);
}

static void a_topic_made_anew_while_it_is_read_is_not_recovered(void **state)
{
    struct answer a;
    (void)state;
    give(0, 5);
    resume_from(&a, 0);
    read_records(0, 1, 2);
    fake_assign(sub, 0, 1, "another log", 0, 0);
    read_records(0, 3, 5);
    fake_read_end(broker, 0, 0, 6, true, 0);
    turn();
    assert_true(a.done);
    assert_false(a.recovered);
    assert_string_not_equal(a.epoch, epoch);
    answer_done(&a);
}

static void a_channel_that_is_being_read_is_not_forgotten(void **state)
{
    struct answer a;
    (void)state;
    world.config->namespaces[0].history_ttl_ms = 1000;
    give(0, 5);
    resume_from(&a, 0);
    pass_ms(600000);
    for (int i = 0; i < 2; i++)
        assert_false(channel_sweep(find("chat:lobby"), test_mono_ms, test_wall_ms + 600000));
    assert_int_equal(find("chat:lobby")->history.count, 0);
    read_records(0, 1, 5);
    fake_read_end(broker, 0, 0, 6, true, 0);
    turn();
    assert_true(a.recovered);
    assert_string_equal(a.offsets.data, "1 2 3 4 5 ");
    answer_done(&a);
}

static void a_channel_that_was_forgotten_does_not_claim_to_reach_back(void **state)
{
    struct answer a;
    (void)state;
    give(0, 5);
    world.config->namespaces[0].history_ttl_ms = 1000;
    test_wall_ms += 600000;
    assert_false(channel_sweep(find("chat:lobby"), test_mono_ms, test_wall_ms));
    pass_ms(120000);
    /* The hub's own sweep, at a time that is its turn. */
    test_mono_ms -= test_mono_ms % 2000;
    world.hub.sweep.timer_cb(&world.hub.sweep);
    assert_null(find("chat:lobby"));
    resume_from(&a, 2);
    assert_int_equal(broker->read_count, 1);
    read_records(0, 3, 5);
    fake_read_end(broker, 0, 0, 6, true, 0);
    turn();
    assert_true(a.recovered);
    assert_string_equal(a.offsets.data, "3 4 5 ");
    answer_done(&a);
}

static void a_position_of_the_future_or_of_another_log_is_not_recovered(void **state)
{
    struct answer a;
    (void)state;
    give(0, 2);
    resume_from(&a, 3);
    assert_false(a.recovered);
    answer_done(&a);
    subscribe(&a, &live, .channel = "chat:lobby", .epoch = "someone-else", .offset = 1);
    assert_false(a.recovered);
    assert_string_equal(a.epoch, epoch);
    answer_done(&a);
}

static void a_herd_that_missed_the_same_reads_the_log_once(void **state)
{
    enum { HERD = 20 };
    struct answer a[HERD], other;
    (void)state;
    give(0, 5);
    for (int i = 0; i < HERD; i++)
        resume_from(&a[i], 0);
    resume_from(&other, 1);
    assert_int_equal(broker->read_count, 2);
    read_records(0, 1, 5);
    fake_read_end(broker, 0, 0, 6, true, 0);
    turn();
    for (int i = 0; i < HERD; i++) {
        assert_true(a[i].recovered);
        assert_string_equal(a[i].offsets.data, "1 2 3 4 5 ");
        answer_done(&a[i]);
    }
    assert_false(other.done);
    fake_read_end(broker, 1, 0, 6, false, 0);
    turn();
    assert_false(other.recovered);
    answer_done(&other);
}

static void a_herd_from_many_places_reads_the_log_a_few_at_a_time(void **state)
{
    enum { HERD = 20, AT_ONCE = 16 };
    struct answer a[HERD];
    (void)state;
    give(0, HERD + 4); /* memory begins behind all of them */
    for (int i = 0; i < HERD; i++)
        resume_from(&a[i], i);
    assert_int_equal(broker->read_count, AT_ONCE);
    for (size_t i = 0; i < HERD; i++) {
        read_records(i, HERD + 1, HERD + 4); /* those before went to other channels */
        fake_read_end(broker, i, 0, HERD + 5, true, 0);
        turn();
    }
    for (int i = 0; i < HERD; i++) {
        assert_true(a[i].recovered);
        assert_int_equal(a[i].count, 4);
        answer_done(&a[i]);
    }
}

static void the_end_answers_those_who_are_reading_or_wait_to_read(void **state)
{
    enum { HERD = 18 };
    struct answer a[HERD];
    (void)state;
    give(0, HERD + 4);
    for (int i = 0; i < HERD; i++)
        resume_from(&a[i], i);
    hub_close(&world.hub, 0, on_hub_closed);
    turn();
    for (int i = 0; i < HERD; i++) {
        assert_true(a[i].done);
        assert_false(a[i].recovered);
        answer_done(&a[i]);
    }
}

static void a_subscriber_waits_for_the_source_to_catch_up(void **state)
{
    struct answer a, b;
    (void)state;
    world_close();
    setup(NULL);
    sub->bridge->host_ops->on_revoked(sub->cookie, BYTES_LIT("chat"), 0);
    world.hub.sources[0].caught_up = false;
    subscribe(&a, &live, .channel = "chat:lobby", .history = 10);
    subscribe(&b, &live, .channel = "chat:lobby", .epoch = epoch, .offset = 0);
    assert_false(a.done);
    give(0, 1);
    fake_caught_up(sub);
    turn();
    assert_string_equal(a.offsets.data, "0 1 ");
    assert_true(b.recovered);
    assert_string_equal(b.offsets.data, "1 ");
    answer_done(&a);
    answer_done(&b);
}

static void a_source_that_stays_behind_gives_no_verdict_on_a_resume(void **state)
{
    struct answer a, b;
    (void)state;
    world.hub.sources[0].caught_up = false;
    subscribe(&a, &live, .channel = "chat:lobby");
    subscribe(&b, &live, .channel = "chat:lobby", .epoch = epoch, .offset = 0);
    pass_ms(HUB_WAIT_MS + 1);
    hub_retry_waiting(&world.hub);
    turn();
    assert_int_equal(a.error, CRIER_OK);
    assert_int_equal(b.error, CRIER_ERR_BROKER_UNAVAILABLE);
    answer_done(&a);
    answer_done(&b);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(memory_gives_exactly_what_was_missed),
        TEST(nothing_missed_is_recovered_with_nothing),
        TEST(what_memory_lost_is_read_back_in_batches),
        TEST(records_of_other_channels_are_left_out),
        TEST(what_comes_while_the_broker_is_read_follows_once),
        TEST(memory_that_moves_on_past_the_read_is_read_back_as_well),
        TEST(what_retention_took_is_not_recovered),
        TEST(what_retention_takes_between_two_reads_is_not_recovered),
        TEST(more_than_the_limit_comes_in_pages),
        TEST(a_page_with_nothing_behind_it_is_the_last),
        TEST(a_page_is_bounded_in_bytes),
        TEST(records_of_others_do_not_end_a_page),
        TEST(what_memory_has_comes_in_pages_too),
        TEST(a_reader_that_fails_or_stops_early_is_not_recovered),
        TEST(a_topic_made_anew_while_it_is_read_is_not_recovered),
        TEST(a_channel_that_is_being_read_is_not_forgotten),
        TEST(a_channel_that_was_forgotten_does_not_claim_to_reach_back),
        TEST(a_position_of_the_future_or_of_another_log_is_not_recovered),
        TEST(a_herd_that_missed_the_same_reads_the_log_once),
        TEST(a_herd_from_many_places_reads_the_log_a_few_at_a_time),
        TEST(the_end_answers_those_who_are_reading_or_wait_to_read),
        TEST(a_subscriber_waits_for_the_source_to_catch_up),
        TEST(a_source_that_stays_behind_gives_no_verdict_on_a_resume),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
