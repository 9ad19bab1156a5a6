/* Publishing: outcomes, message ids, bounds. */
#include "hub_harness.h"

static const char config[] = "[server]\nlisten = \"127.0.0.1:0\"\nweb = \"\"\n"
                             "[limits]\npending_publishes = 4\n"
                             "[[bridge]]\nname = \"b\"\ndriver = \"fake\"\nservers = \"x\"\n"
                             "[[namespace]]\nname = \"chat\"\nhistory = 10\n"
                             "[[namespace]]\nname = \"here\"\nhistory = 10\n"
                             "[[namespace]]\nname = \"bus\"\nhistory = 10\nkeyed = true\n"
                             "[[namespace]]\nname = \"feed\"\nhistory = 10\n"
                             "[[source]]\nbridge = \"b\"\ntopic = \"chat\"\nchannel = \"chat:{key}\"\nfrom = \"earliest\"\n"
                             "[[source]]\nbridge = \"b\"\ntopic = \"feed\"\nchannel = \"feed:{key}\"\n"
                             "[[sink]]\nchannel = \"chat:*\"\nbridge = \"b\"\ntopic = \"chat\"\nkey = \"{channel.1}\"\n";

static struct bridge *broker;
static struct bridge_source_sub *sub;

static int setup(void **state)
{
    (void)state;
    broker = world_open_on_log(config);
    sub = &broker->subs[0];
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_close();
    return 0;
}

static void a_publish_is_answered_with_the_brokers_position(void **state)
{
    struct outcome o;
    char epoch[CHANNEL_EPOCH_SIZE];
    (void)state;
    publish(&o, "chat:lobby", NULL, "{\"a\":1}", NULL);
    assert_false(o.done);
    assert_string_equal(broker->publishes[0].topic, "chat");
    assert_string_equal(broker->publishes[0].key, "lobby");
    assert_string_equal(broker->publishes[0].payload, "{\"a\":1}");
    fake_stored(broker, 0, 0, 7);
    turn();
    epoch_of_partition(BYTES_LIT("log"), BYTES_LIT("chat"), 0, epoch);
    assert_int_equal(o.error, CRIER_OK);
    assert_int_equal(o.offset, 7);
    assert_string_equal(o.epoch, epoch);
}

static void each_outcome_has_its_error(void **state)
{
    static const struct {
        enum bridge_outcome outcome;
        enum crier_error error;
    } cases[] = {{BRIDGE_RETRYABLE, CRIER_ERR_BROKER_UNAVAILABLE},
                 {BRIDGE_REFUSED, CRIER_ERR_BROKER_REFUSED},
                 {BRIDGE_UNKNOWN, CRIER_ERR_UNKNOWN_OUTCOME}};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct outcome o;
        publish(&o, "chat:lobby", NULL, "1", NULL);
        fake_not_stored(broker, i, cases[i].outcome);
        turn();
        assert_int_equal(o.error, cases[i].error);
        assert_string_equal(o.detail, "the test says so");
    }
}

static void a_repeated_id_gets_the_first_result(void **state)
{
    struct outcome first, second, third;
    (void)state;
    publish(&first, "chat:lobby", NULL, "1", "id-1");
    publish(&second, "chat:lobby", NULL, "1", "id-1"); /* while it is under way */
    assert_int_equal(broker->publish_count, 1);
    assert_string_equal(broker->publishes[0].headers, "crier-id=id-1;");
    fake_stored(broker, 0, 0, 3);
    turn();
    publish(&third, "chat:lobby", NULL, "1", "id-1"); /* afterwards */
    assert_int_equal(broker->publish_count, 1);
    assert_int_equal(first.offset, 3);
    assert_int_equal(second.offset, 3);
    assert_int_equal(third.offset, 3);
    assert_true(first.done && second.done && third.done);
}

static void an_id_counts_in_its_own_channel_only(void **state)
{
    struct outcome a, b;
    (void)state;
    publish(&a, "chat:lobby", NULL, "1", "id-1");
    publish(&b, "chat:other", NULL, "1", "id-1");
    assert_int_equal(broker->publish_count, 2);
    fake_stored(broker, 0, 0, 0);
    fake_stored(broker, 1, 0, 1);
    turn();
}

static void an_id_that_failed_may_be_tried_again(void **state)
{
    struct outcome first, second, again;
    (void)state;
    publish(&first, "chat:lobby", NULL, "1", "id-1");
    publish(&second, "chat:lobby", NULL, "1", "id-1");
    fake_not_stored(broker, 0, BRIDGE_RETRYABLE);
    turn();
    assert_int_equal(first.error, CRIER_ERR_BROKER_UNAVAILABLE);
    assert_int_equal(second.error, CRIER_ERR_BROKER_UNAVAILABLE);
    publish(&again, "chat:lobby", NULL, "1", "id-1");
    fake_stored(broker, 1, 0, 9);
    turn();
    assert_int_equal(again.offset, 9);
}

static void an_id_found_in_the_log_is_not_published_again(void **state)
{
    struct outcome o;
    (void)state;
    fake_give_with_header(sub, 0, 11, "lobby", "1", "crier-id", "id-1");
    publish(&o, "chat:lobby", NULL, "1", "id-1");
    assert_int_equal(broker->publish_count, 0);
    assert_int_equal(o.error, CRIER_OK);
    assert_int_equal(o.offset, 11);
}

/* The record came back by the source, the acknowledgement did not: it is stored, and a retry must not store it twice. */
static void a_record_seen_in_the_log_is_stored_although_its_acknowledgement_is_late(void **state)
{
    struct outcome first, again;
    (void)state;
    publish(&first, "chat:lobby", NULL, "1", "id-1");
    fake_give_with_header(sub, 0, 4, "lobby", "1", "crier-id", "id-1");
    fake_not_stored(broker, 0, BRIDGE_UNKNOWN);
    turn();
    assert_int_equal(first.error, CRIER_OK);
    assert_int_equal(first.offset, 4);
    publish(&again, "chat:lobby", NULL, "1", "id-1");
    assert_int_equal(broker->publish_count, 1);
    assert_int_equal(again.offset, 4);
}

static void a_publish_with_an_id_waits_until_the_log_was_read(void **state)
{
    struct outcome with, without;
    (void)state;
    world.hub.sources[0].caught_up = false;
    publish(&with, "chat:lobby", NULL, "1", "id-1");
    publish(&without, "chat:lobby", NULL, "2", NULL);
    assert_int_equal(broker->publish_count, 1);
    assert_string_equal(broker->publishes[0].payload, "2");
    fake_give_with_header(sub, 0, 5, "lobby", "1", "crier-id", "id-1"); /* of before the restart */
    fake_caught_up(sub);
    turn();
    assert_int_equal(broker->publish_count, 1);
    assert_int_equal(with.offset, 5);
    fake_stored(broker, 0, 0, 6);
    turn();
}

static void ids_are_forgotten_after_their_time_even_while_an_older_one_is_under_way(void **state)
{
    struct outcome under_way, o;
    (void)state;
    publish(&under_way, "chat:lobby", NULL, "1", "slow");
    fake_give_with_header(sub, 0, 0, "lobby", "1", "crier-id", "quick");
    pass_ms(10 * 60 * 1000);
    publish_table_sweep(world.hub.publishes, test_mono_ms);
    publish(&o, "chat:lobby", NULL, "1", "quick");
    assert_int_equal(broker->publish_count, 2);
    fake_stored(broker, 0, 0, 1);
    fake_stored(broker, 1, 0, 2);
    turn();
    assert_int_equal(under_way.error, CRIER_OK);
}

static void an_id_that_is_too_long_is_refused_and_one_in_a_record_ignored(void **state)
{
    char id[400];
    struct outcome o;
    (void)state;
    memset(id, 'x', sizeof id - 1);
    id[sizeof id - 1] = 0;
    publish(&o, "chat:lobby", NULL, "1", id);
    assert_int_equal(o.error, CRIER_ERR_BAD_REQUEST);
    fake_give_with_header(sub, 0, 0, "lobby", "1", "crier-id", id);
    assert_int_equal(find("chat:lobby")->top, 0);
}

static void more_pending_publishes_than_allowed_are_refused_as_busy(void **state)
{
    struct outcome o[5];
    (void)state;
    int64_t before = metric_total(M_PUBLISHES_PENDING);
    for (int i = 0; i < 5; i++)
        publish(&o[i], "chat:lobby", NULL, "1", NULL);
    assert_int_equal(broker->publish_count, 4);
    assert_int_equal(o[4].error, CRIER_ERR_BUSY);
    assert_int_equal(metric_total(M_PUBLISHES_PENDING), before + 4);
    fake_stored(broker, 0, 0, 0);
    turn();
    publish(&o[4], "chat:lobby", NULL, "1", NULL);
    assert_int_equal(broker->publish_count, 5);
    for (size_t i = 1; i < 5; i++)
        fake_stored(broker, i, 0, (int64_t)i);
    turn();
    assert_int_equal(metric_total(M_PUBLISHES_PENDING), before);
}

static void those_who_wait_for_the_same_id_count_as_pending(void **state)
{
    struct outcome o[6];
    (void)state;
    for (int i = 0; i < 6; i++)
        publish(&o[i], "chat:lobby", NULL, "1", "the same");
    assert_int_equal(broker->publish_count, 1);
    assert_int_equal(o[4].error, CRIER_ERR_BUSY);
    assert_int_equal(o[5].error, CRIER_ERR_BUSY);
    fake_stored(broker, 0, 0, 0);
    turn();
    assert_int_equal(o[3].error, CRIER_OK);
}

static void a_channel_of_its_own_is_answered_at_once_and_in_order(void **state)
{
    struct listener l = {0};
    struct answer a;
    struct outcome o;
    (void)state;
    subscribe(&a, &l, .channel = "here:x");
    assert_int_equal(a.position, 0);
    publish(&o, "here:x", NULL, "1", "id");
    publish(&o, "here:x", NULL, "1", "id");
    publish(&o, "here:x", NULL, "2", NULL);
    assert_int_equal(o.offset, 2);
    assert_string_equal(o.epoch, a.epoch);
    assert_offsets(&l, "1 2 ");
    answer_done(&a);
    listener_done(&l);
}

static void null_deletes_a_key_of_a_keyed_channel(void **state)
{
    struct outcome o;
    struct answer a;
    (void)state;
    publish(&o, "bus:1", "x", "{\"n\":1}", NULL);
    publish(&o, "bus:1", "y", "{\"n\":2}", NULL);
    publish(&o, "bus:1", "x", "null", NULL);
    subscribe(&a, NULL, .channel = "bus:1");
    assert_string_equal(a.offsets.data, "2 ");
    answer_done(&a);
}

static void refusals_say_why(void **state)
{
    static const struct {
        const char *channel;
        enum crier_error error;
    } cases[] = {{"feed:x", CRIER_ERR_NOT_AVAILABLE},
                 {"nowhere:x", CRIER_ERR_UNKNOWN_CHANNEL},
                 {"chat:a b", CRIER_ERR_BAD_REQUEST},
                 {"", CRIER_ERR_BAD_REQUEST}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct outcome o;
        publish(&o, cases[i].channel, NULL, "1", NULL);
        assert_true(o.done);
        assert_int_equal(o.error, cases[i].error);
    }
}

static void the_end_answers_what_is_under_way_and_what_waits(void **state)
{
    struct outcome sent, repeated, waiting, late;
    (void)state;
    publish(&sent, "chat:lobby", NULL, "1", "id-1");
    publish(&repeated, "chat:lobby", NULL, "1", "id-1");
    world.hub.sources[0].caught_up = false;
    publish(&waiting, "chat:lobby", NULL, "1", "id-2");
    hub_close(&world.hub, 0, on_hub_closed);
    turn();
    publish(&late, "chat:lobby", NULL, "1", NULL);
    assert_int_equal(sent.error, CRIER_ERR_UNKNOWN_OUTCOME);
    assert_int_equal(repeated.error, CRIER_ERR_UNKNOWN_OUTCOME);
    assert_int_equal(waiting.error, CRIER_ERR_SHUTTING_DOWN);
    assert_int_equal(late.error, CRIER_ERR_SHUTTING_DOWN);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_publish_is_answered_with_the_brokers_position),
        TEST(each_outcome_has_its_error),
        TEST(a_repeated_id_gets_the_first_result),
        TEST(an_id_counts_in_its_own_channel_only),
        TEST(an_id_that_failed_may_be_tried_again),
        TEST(an_id_found_in_the_log_is_not_published_again),
        TEST(a_record_seen_in_the_log_is_stored_although_its_acknowledgement_is_late),
        TEST(a_publish_with_an_id_waits_until_the_log_was_read),
        TEST(ids_are_forgotten_after_their_time_even_while_an_older_one_is_under_way),
        TEST(an_id_that_is_too_long_is_refused_and_one_in_a_record_ignored),
        TEST(more_pending_publishes_than_allowed_are_refused_as_busy),
        TEST(those_who_wait_for_the_same_id_count_as_pending),
        TEST(a_channel_of_its_own_is_answered_at_once_and_in_order),
        TEST(null_deletes_a_key_of_a_keyed_channel),
        TEST(refusals_say_why),
        TEST(the_end_answers_what_is_under_way_and_what_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
