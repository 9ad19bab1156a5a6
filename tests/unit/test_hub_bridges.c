/* Dead letters, relays and back-pressure, and how they end. */
#include "hub_harness.h"

static const char config[] = "[server]\nlisten = \"127.0.0.1:0\"\nweb = \"\"\n"
                             "[[bridge]]\nname = \"a\"\ndriver = \"fake\"\nservers = \"x\"\n"
                             "[[bridge]]\nname = \"b\"\ndriver = \"fake\"\nservers = \"x\"\n"
                             "[[namespace]]\nname = \"chat\"\nhistory = 10\n"
                             "[[source]]\nbridge = \"a\"\ntopic = \"chat\"\nchannel = \"chat:{payload.room}\"\n"
                             "mode = \"shared\"\ngroup = \"g\"\ndead_letter = \"bad\"\n"
                             "[[relay]]\nfrom_bridge = \"a\"\nfrom_topic = \"in\"\nto_bridge = \"b\"\n"
                             "to_topic = \"out-{payload.room}\"\nmode = \"shared\"\ngroup = \"g\"\n"
                             "[[relay]]\nfrom_bridge = \"a\"\nfrom_topic = \"in\"\nto_bridge = \"b\"\n"
                             "to_topic = \"out-{payload.room}\"\nkey = \"{payload.room}\"\nmode = \"shared\"\ngroup = \"g\"\n"
                             "dead_letter = \"bad-relay\"\nwindow_bytes = \"4KiB\"\n";

static struct bridge *a, *b;
static struct bridge_source_sub *source, *relay, *careful; /* the second relay: with dead letters and a small window */

static int setup(void **state)
{
    (void)state;
    world_open(config);
    a = fake_bridge("a");
    b = fake_bridge("b");
    source = &a->subs[0];
    relay = &a->subs[1];
    careful = &a->subs[2];
    fake_ready(a);
    fake_ready(b);
    fake_assign(source, 0, 1, "log", 0, 0);
    fake_caught_up(source);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_close();
    return 0;
}

static void run_for_ms(unsigned ms)
{
    uint64_t end = uv_hrtime() + ms * UINT64_C(1000000);
    while (uv_hrtime() < end)
        uv_run(&world.uv, UV_RUN_NOWAIT);
}

static const char good[] = "{\"room\":\"x\"}";
static const char bad[] = "{}";

static void a_bad_record_goes_to_the_dead_letter_topic_with_the_reason(void **state)
{
    (void)state;
    fake_give_with_header(source, 0, 5, "k", bad, "mine", "1");
    assert_int_equal(a->publish_count, 1);
    assert_string_equal(a->publishes[0].topic, "bad");
    assert_string_equal(a->publishes[0].key, "k");
    assert_string_equal(a->publishes[0].payload, bad);
    assert_string_equal(a->publishes[0].headers,
                        "dlq.reason=the record lacks a field of the channel template;dlq.source.topic=chat;"
                        "dlq.source.partition=0;dlq.source.offset=5;mine=1;");
    fake_stored(a, 0, 0, 0);
}

static void a_bad_record_is_acknowledged_when_its_dead_letter_is_stored(void **state)
{
    (void)state;
    fake_give(source, 0, 0, NULL, good);
    assert_int_equal(source->acked, 0);
    fake_give(source, 0, 1, NULL, bad);
    fake_give(source, 0, 2, NULL, good); /* the partition goes on, its acknowledgement waits */
    assert_int_equal(source->acked, 0);
    assert_int_equal(find("chat:x")->top, 2);
    fake_stored(a, 0, 0, 0);
    assert_int_equal(source->acked, 2);
}

static void a_dead_letter_is_tried_again(void **state)
{
    (void)state;
    fake_give(source, 0, 0, NULL, bad);
    fake_not_stored(a, 0, BRIDGE_RETRYABLE);
    assert_int_equal(a->publish_count, 1);
    run_for_ms(1100);
    assert_int_equal(a->publish_count, 2);
    assert_int_equal(source->acked, -1);
    fake_stored(a, 1, 0, 0);
    assert_int_equal(source->acked, 0);
}

static void a_dead_letter_that_is_refused_is_counted_and_given_up(void **state)
{
    (void)state;
    int64_t before = metric_total(M_DEAD_LETTERS_LOST);
    fake_give(source, 0, 0, NULL, bad);
    fake_not_stored(a, 0, BRIDGE_REFUSED);
    assert_int_equal(metric_total(M_DEAD_LETTERS_LOST), before + 1);
    assert_int_equal(source->acked, 0);
}

static void the_end_acknowledges_no_record_whose_dead_letter_is_not_stored(void **state)
{
    (void)state;
    fake_closes_at_once = false;
    fake_give(source, 0, 0, NULL, bad);  /* under way */
    fake_give(source, 0, 1, NULL, bad);
    fake_not_stored(a, 1, BRIDGE_RETRYABLE); /* waits for another try */
    hub_close(&world.hub, 0, on_hub_closed);
    fake_give(source, 0, 2, NULL, bad); /* still comes while the bridge closes */
    run_for_ms(1100);
    assert_int_equal(a->publish_count, 2);
    assert_int_equal(source->acked, -1);
    fake_bridge_closed(a);
    turn();
    fake_bridge_closed(b);
}

static void a_relay_acknowledges_the_prefix_that_is_stored(void **state)
{
    (void)state;
    for (int64_t i = 0; i < 4; i++)
        fake_give(relay, 0, i, "k", good);
    assert_int_equal(b->publish_count, 4);
    assert_string_equal(b->publishes[0].topic, "out-x");
    fake_stored(b, 0, 0, 0);
    assert_int_equal(relay->acked, 0);
    fake_not_stored(b, 1, BRIDGE_UNKNOWN);
    fake_stored(b, 2, 0, 1);
    fake_stored(b, 3, 0, 2);
    assert_int_equal(relay->acked, 0);
    run_for_ms(600);
    assert_int_equal(b->publish_count, 5); /* only the one that failed goes again */
    fake_stored(b, 4, 0, 3);
    assert_int_equal(relay->acked, 3);
}

static void a_record_that_cannot_be_relayed_is_acknowledged_in_its_turn(void **state)
{
    (void)state;
    fake_give(relay, 0, 0, "k", good);
    fake_give(relay, 0, 1, "k", bad);
    assert_int_equal(relay->acked, -1);
    fake_stored(b, 0, 0, 0);
    assert_int_equal(relay->acked, 1); /* also when it is the last one */
    fake_give(relay, 0, 2, "k", good);
    fake_not_stored(b, 1, BRIDGE_REFUSED);
    assert_int_equal(relay->acked, 2);
}

static void a_record_that_lacks_a_field_is_done_when_its_dead_letter_is_stored(void **state)
{
    (void)state;
    fake_give(careful, 0, 0, "k", bad);
    fake_give(careful, 0, 1, "k", good);
    assert_string_equal(a->publishes[0].topic, "bad-relay");
    assert_string_equal(a->publishes[0].key, "k");
    assert_string_equal(a->publishes[0].payload, bad);
    assert_string_equal(a->publishes[0].headers,
                        "dlq.reason=the record lacks a field of the templates;dlq.source.topic=in;dlq.source.partition=0;"
                        "dlq.source.offset=0;");
    fake_stored(b, 0, 0, 0);
    assert_int_equal(careful->acked, -1);
    fake_stored(a, 0, 0, 0);
    assert_int_equal(careful->acked, 1);
}

static void a_record_that_is_refused_downstream_goes_to_the_dead_letters(void **state)
{
    (void)state;
    fake_give(careful, 0, 0, "k", good);
    fake_not_stored(b, 0, BRIDGE_REFUSED);
    assert_int_equal(a->publish_count, 1);
    assert_string_equal(a->publishes[0].topic, "bad-relay");
    assert_string_equal(a->publishes[0].payload, good);
    assert_non_null(strstr(a->publishes[0].headers, "dlq.reason=bridge b refused it: "));
    assert_int_equal(careful->acked, -1);
    fake_not_stored(a, 0, BRIDGE_RETRYABLE);
    run_for_ms(1100);
    fake_stored(a, 1, 0, 0);
    assert_int_equal(careful->acked, 0);
}

static void upstream_waits_while_too_many_bytes_are_under_way(void **state)
{
    (void)state;
    int given = 0;
    while (!careful->paused && given < 40)
        fake_give(careful, 0, given++, "k", good);
    assert_in_range(given, 2, 39);
    for (int i = 0; i < given; i++) {
        assert_int_equal(careful->paused, i * 2 < given);
        fake_stored(b, (size_t)i, 0, i);
    }
    assert_int_equal(careful->paused, 0);
    assert_int_equal(careful->acked, given - 1);
}

static void a_relay_survives_the_end_of_either_bridge_first(void **state)
{
    (void)state;
    fake_closes_at_once = false;
    fake_give(relay, 0, 0, "k", good);
    fake_give(relay, 0, 1, "k", good);
    fake_not_stored(b, 0, BRIDGE_RETRYABLE); /* its retry is due while the bridges close */
    hub_close(&world.hub, 0, on_hub_closed);
    fake_bridge_closed(b);
    fake_give(relay, 0, 2, "k", good);
    run_for_ms(600);
    assert_int_equal(relay->acked, -1);
    fake_bridge_closed(a);
}

static void loops_that_are_behind_pause_the_sources_until_they_catch_up(void **state)
{
    (void)state;
    atomic_store(&world.port.backlog_bytes, 65 << 20);
    world.hub.sweep.timer_cb(&world.hub.sweep);
    assert_int_equal(source->paused, 1);
    atomic_store(&world.port.backlog_bytes, 30 << 20); /* between the marks: no flapping */
    world.hub.sweep.timer_cb(&world.hub.sweep);
    assert_int_equal(source->paused, 1);
    atomic_store(&world.port.backlog_bytes, 1 << 20);
    world.hub.sweep.timer_cb(&world.hub.sweep);
    assert_int_equal(source->paused, 0);
}

static void readiness_names_what_is_missing(void **state)
{
    CLEANUP_BUF reasons = BUF_INIT;
    (void)state;
    assert_true(hub_ready(&world.hub, &reasons));
    b->host_ops->on_state(b->host, BRIDGE_CONNECTING, "no \"route\"");
    world.hub.sources[0].caught_up = false;
    assert_false(hub_ready(&world.hub, &reasons));
    assert_string_equal(text_of(&reasons), "\"bridge b is connecting: no \\\"route\\\"\",\"source a/chat has not caught up\"");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_bad_record_goes_to_the_dead_letter_topic_with_the_reason),
        TEST(a_bad_record_is_acknowledged_when_its_dead_letter_is_stored),
        TEST(a_dead_letter_is_tried_again),
        TEST(a_dead_letter_that_is_refused_is_counted_and_given_up),
        TEST(the_end_acknowledges_no_record_whose_dead_letter_is_not_stored),
        TEST(a_relay_acknowledges_the_prefix_that_is_stored),
        TEST(a_record_that_cannot_be_relayed_is_acknowledged_in_its_turn),
        TEST(a_record_that_lacks_a_field_is_done_when_its_dead_letter_is_stored),
        TEST(a_record_that_is_refused_downstream_goes_to_the_dead_letters),
        TEST(upstream_waits_while_too_many_bytes_are_under_way),
        TEST(a_relay_survives_the_end_of_either_bridge_first),
        TEST(loops_that_are_behind_pause_the_sources_until_they_catch_up),
        TEST(readiness_names_what_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
