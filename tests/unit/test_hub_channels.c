/* What channels do beyond handing on: keys, expiry, intervals, memory, presence, metrics that stay true. */
#include "hub_harness.h"

static const char config[] = "[server]\nlisten = \"127.0.0.1:0\"\nweb = \"\"\n"
                             "[limits]\nhistory_bytes = \"64KiB\"\n"
                             "[[namespace]]\nname = \"bus\"\nhistory = 10\nkeyed = true\n"
                             "[[namespace]]\nname = \"ttl\"\nhistory = 10\nkeyed = true\nkey_ttl = \"10s\"\n"
                             "[[namespace]]\nname = \"tick\"\nhistory = 10\nkeyed = true\ninterval_ms = 1000\n"
                             "[[namespace]]\nname = \"big\"\nhistory = 100000\n"
                             "[[namespace]]\nname = \"keys\"\nhistory = 1\nkeyed = true\n"
                             "[[namespace]]\nname = \"who\"\nhistory = 10\npresence = true\njoin_leave = true\n";

static struct listener live;

static int setup(void **state)
{
    (void)state;
    world_open(config);
    live = (struct listener){0};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_close();
    listener_done(&live);
    return 0;
}

static void put(const char *channel, const char *key, const char *payload)
{
    struct outcome o;
    publish(&o, channel, key, payload, NULL);
    assert_int_equal(o.error, CRIER_OK);
}

static void a_keyed_channel_gives_the_newest_of_each_key_and_then_the_stream(void **state)
{
    struct answer a;
    (void)state;
    put("bus:1", "x", "1");
    put("bus:1", "y", "2");
    put("bus:1", "x", "3");
    put("bus:1", "z", "4");
    put("bus:1", "z", "null");
    subscribe(&a, &live, .channel = "bus:1");
    assert_string_equal(a.offsets.data, "2 3 ");
    assert_int_equal(a.position, 5);
    put("bus:1", "y", "null");
    assert_offsets(&live, "6 ");
    assert_non_null(strstr(text_of(&live.text), "\"removed\":true"));
    answer_done(&a);
}

static void conflation_tells_changes_and_removals_once(void **state)
{
    struct answer a;
    struct outcome first;
    (void)state;
    publish(&first, "bus:1", "x", "1", NULL);
    put("bus:1", "y", "2");
    put("bus:1", "x", "3");
    put("bus:1", "y", "null");
    put("bus:1", "x", "5");
    subscribe(&a, &live, .channel = "bus:1", .epoch = first.epoch, .offset = 2, .conflate = true);
    assert_true(a.recovered);
    assert_string_equal(a.offsets.data, "4 5 ");
    answer_done(&a);
}

static void a_key_that_is_not_renewed_disappears_for_subscribers(void **state)
{
    struct answer a;
    (void)state;
    subscribe(&a, &live, .channel = "ttl:1");
    put("ttl:1", "x", "1");
    pass_ms(6000);
    put("ttl:1", "y", "2");
    pass_ms(6000);
    channel_sweep(find("ttl:1"), test_mono_ms, test_wall_ms);
    turn();
    assert_offsets(&live, "1 2 3 ");
    assert_int_equal(find("ttl:1")->keyed.count, 1);
    answer_done(&a);
}

static void a_resume_from_before_a_key_expired_tells_the_removal(void **state)
{
    struct answer a;
    struct outcome o;
    (void)state;
    publish(&o, "ttl:1", "x", "1", NULL);
    put("ttl:1", "y", "2");
    pass_ms(11000);
    channel_sweep(find("ttl:1"), test_mono_ms, test_wall_ms);
    subscribe(&a, &live, .channel = "ttl:1", .epoch = o.epoch, .offset = 2);
    assert_true(a.recovered);
    assert_string_equal(a.offsets.data, "3 4 ");
    assert_non_null(strstr(a.text.data, "\"key\":\"x\",\"removed\":true"));
    answer_done(&a);
}

static void an_interval_delivers_the_newest_of_each_key_and_a_new_subscriber_does_not_break_it(void **state)
{
    struct answer a, b;
    (void)state;
    subscribe(&a, &live, .channel = "tick:1");
    put("tick:1", "x", "1");
    assert_offsets(&live, "1 ");
    put("tick:1", "x", "2");
    put("tick:1", "y", "3");
    put("tick:1", "x", "4");
    assert_offsets(&live, "1 ");
    subscribe(&b, &live, .channel = "tick:1"); /* what it gets must not come again: it leaves with all up to now */
    assert_offsets(&live, "1 3 4 ");
    put("tick:1", "x", "5");
    assert_offsets(&live, "1 3 4 ");
    pass_ms(1000);
    turn();
    assert_offsets(&live, "1 3 4 5 ");
    answer_done(&a);
    answer_done(&b);
}

static void a_channel_that_grows_past_the_memory_bound_forgets_its_oldest(void **state)
{
    char payload[600];
    (void)state;
    memset(payload, '1', sizeof payload - 1);
    payload[sizeof payload - 1] = 0;
    put("big:small", NULL, "1");
    for (int i = 0; i < 1000; i++)
        put("big:large", NULL, payload);
    assert_in_range(metric_total(M_HISTORY_BYTES) - world.history_bytes, 1, 2 * 65536);
    assert_int_equal(find("big:small")->history.count, 1);
    assert_true(find("big:large")->history.floor > 800);
}

static void keys_without_end_are_bounded_and_subscribers_hear_of_those_that_go(void **state)
{
    char payload[600], key[16];
    struct answer a;
    (void)state;
    memset(payload, '1', sizeof payload - 1);
    payload[sizeof payload - 1] = 0;
    subscribe(&a, &live, .channel = "keys:1");
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "%d", i);
        put("keys:1", key, payload);
    }
    assert_in_range(metric_total(M_HISTORY_BYTES) - world.history_bytes, 1, 2 * 65536);
    assert_in_range(find("keys:1")->keyed.count, 10, 300);
    assert_non_null(strstr(text_of(&live.text), "\"key\":\"0\",\"removed\":true"));
    answer_done(&a);
}

static void the_memory_metric_survives_removal_of_history_and_renumbering(void **state)
{
    (void)state;
    put("bus:1", "x", "1");
    channel_drop_history(find("bus:1"), 0);
    channel_number_here(find("bus:1"));
    put("big:1", NULL, "1");
    channel_number_here(find("big:1"));
    assert_int_equal(find("big:1")->history.count, 0);
    /* world_close() compares the metric with the one before */
}

static void presence_and_its_notices_keep_their_place_among_publications(void **state)
{
    struct listener text = {0};
    struct answer a, b;
    (void)state;
    subscribe(&a, &text, .channel = "who:x", .session = "s1", .form = FORM_TYPED_OBJECT);
    put("who:x", NULL, "1");
    subscribe(&b, &text, .channel = "who:x", .session = "s2", .form = FORM_TYPED_OBJECT);
    put("who:x", NULL, "2");
    hub_leave_post(&world.hub, BYTES_LIT("who:x"), "s1");
    turn();
    assert_int_equal(find("who:x")->presence.count, 1);
    assert_offsets(&text, "1 1 2 2 ");
    hub_leave_post(&world.hub, BYTES_LIT("who:x"), "s1"); /* once is enough */
    hub_leave_post(&world.hub, BYTES_LIT("who:x"), "s2");
    turn();
    assert_int_equal(find("who:x")->presence.count, 0);
    assert_offsets(&text, "1 1 2 2 2 ");
    answer_done(&a);
    answer_done(&b);
    listener_done(&text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_keyed_channel_gives_the_newest_of_each_key_and_then_the_stream),
        TEST(conflation_tells_changes_and_removals_once),
        TEST(a_key_that_is_not_renewed_disappears_for_subscribers),
        TEST(a_resume_from_before_a_key_expired_tells_the_removal),
        TEST(an_interval_delivers_the_newest_of_each_key_and_a_new_subscriber_does_not_break_it),
        TEST(a_channel_that_grows_past_the_memory_bound_forgets_its_oldest),
        TEST(keys_without_end_are_bounded_and_subscribers_hear_of_those_that_go),
        TEST(the_memory_metric_survives_removal_of_history_and_renumbering),
        TEST(presence_and_its_notices_keep_their_place_among_publications),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
