/* Which channel a record goes to, and under which offset. */
#include "hub_harness.h"

static const char config[] = "[server]\nlisten = \"127.0.0.1:0\"\nweb = \"\"\n"
                             "[[bridge]]\nname = \"b\"\ndriver = \"fake\"\nservers = \"x\"\n"
                             "[[namespace]]\nname = \"chat\"\nhistory = 4\n"
                             "[[source]]\nbridge = \"b\"\ntopic = \"chat\"\nchannel = \"chat:{key}\"\nfrom = \"earliest\"\n"
                             "[[source]]\nbridge = \"b\"\ntopic = \"all\"\nchannel = \"chat:all\"\nfrom = \"2026-01-01T00:00:00Z\"\n"
                             "tags = { line = \"{payload.line}\" }\n";

static struct bridge *broker;
static struct bridge_source_sub *keyed_sub, *merged_sub;

static int setup(void **state)
{
    (void)state;
    world_open(config);
    broker = fake_bridge("b");
    keyed_sub = &broker->subs[0];
    merged_sub = &broker->subs[1];
    fake_ready(broker);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_close();
    return 0;
}

static void start_at(struct bridge_source_sub *s, int64_t oldest, int64_t end)
{
    fake_assign(s, 0, 1, "log", oldest, end);
    fake_caught_up(s);
}

static void a_record_goes_to_the_channel_of_its_key_under_the_brokers_offset(void **state)
{
    struct listener l = {0};
    struct answer a;
    (void)state;
    start_at(keyed_sub, 0, 0);
    subscribe(&a, &l, .channel = "chat:lobby");
    fake_give(keyed_sub, 0, 41, "lobby", "{\"n\":1}");
    fake_give(keyed_sub, 0, 42, "other", "{\"n\":2}");
    fake_give(keyed_sub, 0, 43, "lobby", "{\"n\":3}");
    turn();
    assert_offsets(&l, "41 43 ");
    assert_non_null(strstr(text_of(&l.text), "\"key\":\"lobby\""));
    assert_int_equal(channel_position(find("chat:lobby")), 43);
    assert_int_equal(channel_position(find("chat:other")), 43); /* the partition's progress */
    answer_done(&a);
    listener_done(&l);
}

static void tags_come_from_the_payload_and_the_trace_from_its_header(void **state)
{
    struct listener l = {0};
    struct answer a;
    (void)state;
    start_at(merged_sub, 0, 0);
    subscribe(&a, &l, .channel = "chat:all");
    fake_give_with_header(merged_sub, 0, 0, "k", "{\"line\":\"M4\"}", "traceparent",
                          "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    turn();
    assert_non_null(strstr(text_of(&l.text),
                           "\"tags\":{\"line\":\"M4\",\"traceparent\":"
                           "\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"}"));
    answer_done(&a);
    listener_done(&l);
}

static void the_second_partition_of_a_channel_makes_the_node_number_it(void **state)
{
    struct listener l = {0};
    struct answer a, b;
    (void)state;
    fake_assign(keyed_sub, 0, 2, "log", 0, 0);
    fake_assign(keyed_sub, 1, 2, "log", 0, 0);
    fake_caught_up(keyed_sub);
    fake_give(keyed_sub, 0, 7, "lobby", "1");
    subscribe(&a, &l, .channel = "chat:lobby");
    assert_int_equal(a.position, 7);
    fake_give(keyed_sub, 1, 3, "lobby", "2");
    fake_give(keyed_sub, 0, 8, "lobby", "3");
    turn();
    assert_offsets(&l, "1 2 ");
    assert_int_equal(l.epochs, 1);
    assert_string_not_equal(l.epoch, a.epoch);
    /* What was a position is none any more. */
    subscribe(&b, &l, .channel = "chat:lobby", .epoch = a.epoch, .offset = 7, .history = 10);
    assert_false(b.recovered);
    assert_string_equal(b.offsets.data, "1 2 ");
    answer_done(&a);
    answer_done(&b);
    listener_done(&l);
}

static void one_channel_for_all_partitions_is_numbered_here_from_the_start(void **state)
{
    struct listener l = {0};
    struct answer a;
    (void)state;
    fake_assign(merged_sub, 0, 2, "log", 0, 0);
    fake_assign(merged_sub, 1, 2, "log", 0, 0);
    fake_caught_up(merged_sub);
    subscribe(&a, &l, .channel = "chat:all");
    fake_give(merged_sub, 1, 100, "k", "1");
    fake_give(merged_sub, 0, 50, "k", "2");
    turn();
    assert_offsets(&l, "1 2 ");
    assert_int_equal(l.epochs, 0); /* it never had another epoch */
    answer_done(&a);
    listener_done(&l);
}

static void a_broker_without_positions_is_numbered_here_and_offers_nothing_twice(void **state)
{
    struct listener l = {0};
    struct answer a, b;
    (void)state;
    fake_ops.caps = BRIDGE_ORDERED | BRIDGE_ACKED;
    fake_caught_up(keyed_sub);
    subscribe(&a, &l, .channel = "chat:lobby");
    fake_give(keyed_sub, 0, -1, "lobby", "1");
    fake_give(keyed_sub, 0, -1, "lobby", "2");
    turn();
    assert_offsets(&l, "1 2 ");
    subscribe(&b, &l, .channel = "chat:lobby", .epoch = a.epoch, .offset = 0);
    assert_true(b.recovered);
    assert_string_equal(b.offsets.data, "1 2 ");
    answer_done(&a);
    answer_done(&b);
    listener_done(&l);
}

static void a_record_offered_again_is_not_published_again(void **state)
{
    struct listener l = {0};
    struct answer a;
    (void)state;
    start_at(keyed_sub, 0, 0);
    subscribe(&a, &l, .channel = "chat:lobby");
    fake_give(keyed_sub, 0, 0, "lobby", "1");
    fake_give(keyed_sub, 0, 1, "lobby", "2");
    fake_assign(keyed_sub, 0, 1, "log", 0, 2); /* reconnected */
    fake_give(keyed_sub, 0, 1, "lobby", "2");
    fake_give(keyed_sub, 0, 2, "lobby", "3");
    turn();
    assert_offsets(&l, "0 1 2 ");
    assert_int_equal(keyed_sub->acked, 2);
    answer_done(&a);
    listener_done(&l);
}

static void a_topic_made_anew_starts_the_channel_over_under_another_epoch(void **state)
{
    struct listener l = {0};
    struct answer a, b;
    (void)state;
    start_at(keyed_sub, 0, 0);
    fake_give(keyed_sub, 0, 0, "lobby", "1");
    fake_give(keyed_sub, 0, 1, "lobby", "2");
    subscribe(&a, &l, .channel = "chat:lobby");
    fake_assign(keyed_sub, 0, 1, "another log", 0, 0);
    turn();
    assert_int_equal(l.epochs, 1);
    fake_give(keyed_sub, 0, 0, "lobby", "3");
    turn();
    assert_int_equal(l.blocks, 1);
    assert_string_not_equal(find("chat:lobby")->epoch, a.epoch);
    subscribe(&b, &l, .channel = "chat:lobby", .epoch = a.epoch, .offset = 0);
    assert_true(b.done);
    assert_false(b.recovered);
    answer_done(&a);
    answer_done(&b);
    listener_done(&l);
}

static void a_partition_that_starts_by_time_without_a_record_begins_at_its_end(void **state)
{
    struct listener l = {0};
    struct answer a, b;
    (void)state;
    fake_assign(merged_sub, 0, 1, "log", 10, 50);
    fake_caught_up(merged_sub);
    subscribe(&a, &l, .channel = "chat:all");
    assert_int_equal(a.position, 49);
    fake_give(merged_sub, 0, 50, "k", "1");
    turn();
    subscribe(&b, &l, .channel = "chat:all", .epoch = a.epoch, .offset = 49);
    assert_true(b.recovered);
    assert_string_equal(b.offsets.data, "50 ");
    answer_done(&a);
    answer_done(&b);
    listener_done(&l);
}

static void an_empty_log_from_its_first_record_on_is_resumed_from_minus_one(void **state)
{
    struct listener l = {0};
    struct answer a, b;
    (void)state;
    start_at(keyed_sub, 0, 0);
    subscribe(&a, &l, .channel = "chat:lobby");
    assert_int_equal(a.position, -1);
    fake_give(keyed_sub, 0, 0, "lobby", "1");
    turn();
    subscribe(&b, &l, .channel = "chat:lobby", .epoch = a.epoch, .offset = -1);
    assert_true(b.recovered);
    assert_string_equal(b.offsets.data, "0 ");
    answer_done(&a);
    answer_done(&b);
    listener_done(&l);
}

static void a_client_cannot_tie_a_channel_to_a_partition_that_does_not_feed_it(void **state)
{
    struct listener l = {0};
    struct answer a, b;
    char other[CHANNEL_EPOCH_SIZE];
    (void)state;
    fake_assign(keyed_sub, 0, 2, "log", 0, 0);
    fake_assign(keyed_sub, 1, 2, "log", 0, 0);
    fake_caught_up(keyed_sub);
    epoch_of_partition(BYTES_LIT("log"), BYTES_LIT("chat"), 1, other);
    subscribe(&a, &l, .channel = "chat:lobby", .epoch = other, .offset = -1);
    fake_give(keyed_sub, 0, 5, "lobby", "1");
    fake_give(keyed_sub, 0, 6, "lobby", "2");
    turn();
    assert_offsets(&l, "5 6 ");
    assert_int_equal(find("chat:lobby")->numbering, NUMBERED_BY_BROKER);
    subscribe(&b, &l, .channel = "chat:lobby", .epoch = find("chat:lobby")->epoch, .offset = 5);
    assert_true(b.recovered);
    assert_string_equal(b.offsets.data, "6 ");
    answer_done(&a);
    answer_done(&b);
    listener_done(&l);
}

static void a_position_in_a_channel_whose_partition_is_unknown_does_not_outlive_it(void **state)
{
    struct listener l = {0};
    struct answer a, b;
    (void)state;
    fake_assign(keyed_sub, 0, 2, "log", 0, 0);
    fake_assign(keyed_sub, 1, 2, "log", 0, 0);
    fake_caught_up(keyed_sub);
    subscribe(&a, &l, .channel = "chat:lobby");
    assert_string_not_equal(a.epoch, "");
    /* Of this incarnation it is one, of another it is not. */
    subscribe(&b, &l, .channel = "chat:lobby", .epoch = a.epoch, .offset = a.position);
    assert_true(b.recovered);
    answer_done(&b);
    subscribe(&b, &l, .channel = "chat:other", .epoch = "", .offset = 0);
    assert_false(b.recovered);
    answer_done(&a);
    answer_done(&b);
    listener_done(&l);
}

static void what_another_member_of_the_group_had_is_a_hole_in_memory(void **state)
{
    static const char shared[] = "[server]\nlisten = \"127.0.0.1:0\"\nweb = \"\"\n"
                                 "[[bridge]]\nname = \"b\"\ndriver = \"fake\"\nservers = \"x\"\n"
                                 "[[namespace]]\nname = \"chat\"\nhistory = 10\n"
                                 "[[source]]\nbridge = \"b\"\ntopic = \"chat\"\nchannel = \"chat:{key}\"\n"
                                 "mode = \"shared\"\ngroup = \"g\"\n";
    struct listener l = {0};
    struct answer a, b;
    (void)state;
    world_close();
    world_open(shared);
    broker = fake_bridge("b");
    fake_ops.caps &= ~(unsigned)BRIDGE_REPLAYABLE;
    struct bridge_source_sub *s = &broker->subs[0];
    fake_ready(broker);
    start_at(s, 0, 0);
    fake_give(s, 0, 0, "lobby", "1");
    subscribe(&a, &l, .channel = "chat:lobby");
    broker->host_ops->on_revoked(s->cookie, BYTES_LIT("chat"), 0);
    fake_assign(s, 0, 1, "log", 0, 5);
    fake_give(s, 0, 5, "lobby", "6");
    turn();
    subscribe(&b, &l, .channel = "chat:lobby", .epoch = a.epoch, .offset = 0);
    assert_false(b.recovered);
    answer_done(&b);
    subscribe(&b, &l, .channel = "chat:lobby", .epoch = a.epoch, .offset = 4);
    assert_true(b.recovered);
    assert_string_equal(b.offsets.data, "5 ");
    answer_done(&a);
    answer_done(&b);
    listener_done(&l);
}

static void a_channel_refused_for_want_of_room_does_not_claim_its_records_later(void **state)
{
    static const char small[] = "[server]\nlisten = \"127.0.0.1:0\"\nweb = \"\"\n"
                                "[limits]\nchannels = 1\n"
                                "[[bridge]]\nname = \"b\"\ndriver = \"fake\"\nservers = \"x\"\n"
                                "[[namespace]]\nname = \"chat\"\nhistory = 10\n"
                                "[[source]]\nbridge = \"b\"\ntopic = \"chat\"\nchannel = \"chat:{key}\"\n"
                                "from = \"earliest\"\n";
    struct listener l = {0};
    struct answer a;
    char epoch[CHANNEL_EPOCH_SIZE];
    (void)state;
    world_close();
    world_open(small);
    broker = fake_bridge("b");
    fake_ops.caps &= ~(unsigned)BRIDGE_REPLAYABLE;
    struct bridge_source_sub *s = &broker->subs[0];
    fake_ready(broker);
    start_at(s, 0, 0);
    fake_give(s, 0, 0, "first", "1");
    fake_give(s, 0, 1, "second", "2"); /* no room */
    world.config->limits.channels = 2;
    epoch_of_partition(BYTES_LIT("log"), BYTES_LIT("chat"), 0, epoch);
    subscribe(&a, &l, .channel = "chat:second", .epoch = epoch, .offset = 0);
    assert_false(a.recovered);
    answer_done(&a);
    listener_done(&l);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_record_goes_to_the_channel_of_its_key_under_the_brokers_offset),
        TEST(tags_come_from_the_payload_and_the_trace_from_its_header),
        TEST(the_second_partition_of_a_channel_makes_the_node_number_it),
        TEST(one_channel_for_all_partitions_is_numbered_here_from_the_start),
        TEST(a_broker_without_positions_is_numbered_here_and_offers_nothing_twice),
        TEST(a_record_offered_again_is_not_published_again),
        TEST(a_topic_made_anew_starts_the_channel_over_under_another_epoch),
        TEST(a_partition_that_starts_by_time_without_a_record_begins_at_its_end),
        TEST(an_empty_log_from_its_first_record_on_is_resumed_from_minus_one),
        TEST(a_client_cannot_tie_a_channel_to_a_partition_that_does_not_feed_it),
        TEST(a_position_in_a_channel_whose_partition_is_unknown_does_not_outlive_it),
        TEST(what_another_member_of_the_group_had_is_a_hole_in_memory),
        TEST(a_channel_refused_for_want_of_room_does_not_claim_its_records_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
