/* Cursors, passes and policies of a loop without a network: the connections are the test's. */
static const char loop_config[] = "[server]\nlisten = \"127.0.0.1:0\"\nweb = \"\"\n"
                                  "[limits]\nframe_log_bytes = \"4KiB\"\nsubscriptions = 3\n"
                                  "[[bridge]]\nname = \"b\"\ndriver = \"fake\"\nservers = \"x\"\n"
                                  "[[namespace]]\nname = \"chat\"\nhistory = 1000\nbehind = \"skip\"\ngather_ms = 5\n"
                                  "[[namespace]]\nname = \"re\"\nhistory = 1000\nbehind = \"resync\"\ngather_ms = 5\n"
                                  "[[namespace]]\nname = \"who\"\nhistory = 10\npresence = true\n"
                                  "[[namespace]]\nname = \"slow\"\nhistory = 10\n"
                                  "[[source]]\nbridge = \"b\"\ntopic = \"slow\"\nchannel = \"slow:{key}\"\n";

#include "loop_harness.h"

static void the_first_after_a_quiet_moment_leaves_at_once_and_the_next_together(void **state)
{
    struct session *s = session_open();
    (void)state;
    join(s, "chat:x", 0);
    heard(s);
    say_in("chat:x", 1);
    turns();
    assert_string_equal(heard(s), "1 ");
    say_in("chat:x", 2);
    turns();
    say_in("chat:x", 3);
    turns();
    assert_string_equal(heard(s), "");
    pass_ms(5);
    int writes = s->conn->writes;
    turns();
    assert_string_equal(heard(s), "2 3 ");
    assert_int_equal(s->conn->writes, writes + 1);
    pass_ms(5);
    say_in("chat:x", 4);
    turns();
    assert_string_equal(heard(s), "4 ");
}

static void a_channel_that_gathers_does_not_hold_up_another(void **state)
{
    struct session *s = session_open();
    (void)state;
    join(s, "chat:x", 0);
    join(s, "chat:y", 0);
    say_in("chat:x", 1);
    turns();
    heard(s);
    say_in("chat:x", 2);
    turns();
    say_in("chat:y", 3);
    turns();
    assert_non_null(strstr(heard(s), "3 "));
}

static void one_that_does_not_read_gets_a_gap_and_the_others_everything(void **state)
{
    struct session *slow = session_open(), *quick = session_open();
    (void)state;
    join(slow, "chat:x", 0);
    join(quick, "chat:x", 0);
    heard(slow), heard(quick);
    slow->conn->blocked = true;
    for (int i = 0; i < 3; i++) {
        flood("chat:x", 1 + 8 * i);
        pass_ms(5);
        turns();
        if (i == 0)
            assert_string_equal(heard(quick), "<gap chat:x 1-4> 5 6 7 8 ");
    }
    session_unblock(slow);
    assert_string_equal(heard(slow), "<gap chat:x 1-20> 21 22 23 24 ");
}

/* The frames of one channel are being gathered when another one's policy ends its subscription. */
static void a_policy_of_one_channel_does_not_cost_frames_of_another(void **state)
{
    struct session *s = session_open(), *other = session_open();
    (void)state;
    join(s, "chat:x", 0);
    join(s, "re:y", 0);
    join(other, "re:y", 0);
    join(other, "chat:x", 0);
    heard(s), heard(other);
    s->conn->blocked = other->conn->blocked = true;
    flood("re:y", 1);
    turns();
    say_in("chat:x", 100);
    turns();
    pass_ms(5);
    session_unblock(s);
    session_unblock(other);
    assert_string_equal(heard(s), "<ended re:y 2500> 100 ");
    assert_string_equal(heard(other), "<ended re:y 2500> 100 ");
}

/* Each end of a subscription moves another one in the list that the pass walks through. */
static void a_pass_that_ends_all_subscriptions_reaches_everyone_and_does_not_recurse(void **state)
{
    enum { MANY = 20000 };
    struct session **all = xcalloc(MANY, sizeof(struct session *));
    (void)state;
    for (int i = 0; i < MANY; i++) {
        all[i] = session_open();
        const struct subscribe_request q = {.channel = BYTES_LIT("re:x")};
        session_subscribe(all[i], &q);
    }
    turns();
    for (int i = 0; i < MANY; i++)
        heard(all[i]);
    flood("re:x", 1);
    flood("re:x", 9);
    pass_ms(5);
    turns();
    while (loop->passing)
        turns();
    for (int i = 0; i < MANY; i++)
        assert_string_equal(heard(all[i]), "<ended re:x 2500> ");
    free(all);
}

static void a_pass_over_many_channels_stops_when_its_time_is_up(void **state)
{
    enum { MANY = 200 };
    struct session *s[MANY];
    char name[32];
    (void)state;
    for (int i = 0; i < MANY; i++) {
        s[i] = session_open();
        snprintf(name, sizeof name, "chat:%d", i);
        join(s[i], name, 0);
        heard(s[i]);
    }
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "chat:%d", i);
        say_in(name, i);
    }
    uv_run(&loop->uv, UV_RUN_NOWAIT);
    clock_step_ms = 1; /* each look at the clock costs a millisecond */
    loop_flush(loop);
    assert_non_null(loop->passing);
    clock_step_ms = 0;
    turns();
    for (int i = 0; i < MANY; i++)
        assert_string_not_equal(heard(s[i]), "");
}

static void a_subscription_given_up_before_its_answer_is_answered_and_leaves_no_presence(void **state)
{
    struct session *s = session_open();
    const struct subscribe_request q = {.channel = BYTES_LIT("who:x")};
    (void)state;
    session_subscribe(s, &q); /* the hub has not run yet */
    session_unsubscribe(s, BYTES_LIT("who:x"));
    assert_string_equal(heard(s), "<failed who:x 108> ");
    turns();
    assert_int_equal(find("who:x")->presence.count, 0);
    assert_int_equal(s->cancelled, 0);
    assert_string_equal(heard(s), "");
}

static void presence_ends_with_the_session_also_when_the_hub_was_waiting(void **state)
{
    struct session *s = session_open();
    const struct subscribe_request q = {.channel = BYTES_LIT("slow:x")};
    (void)state;
    ((struct config_namespace *)config_namespace_of(world.config, BYTES_LIT("slow:x")))->presence = true;
    session_subscribe(s, &q);
    turns();
    session_end(s);
    turns();
    fake_ready(fake_bridge("b"));
    fake_caught_up(&fake_bridge("b")->subs[0]);
    turns();
    assert_int_equal(find("slow:x")->presence.count, 0);
}

static void subscriptions_given_up_count_until_the_hub_has_answered(void **state)
{
    struct session *s = session_open();
    const struct subscribe_request q = {.channel = BYTES_LIT("slow:x")};
    (void)state;
    for (int i = 0; i < 5; i++) {
        session_subscribe(s, &q);
        session_unsubscribe(s, BYTES_LIT("slow:x"));
    }
    assert_int_equal(s->cancelled, 3);
    assert_non_null(strstr(heard(s), "<failed slow:x 106>"));
    turns();
}

static void what_is_unsent_of_a_subscription_goes_with_it(void **state)
{
    struct session *s = session_open();
    (void)state;
    flood("chat:x", 1);
    s->conn->blocked = true;
    for (int i = 0; i < 10; i++) {
        join(s, "chat:x", 100);
        session_unsubscribe(s, BYTES_LIT("chat:x"));
    }
    session_unblock(s);
    assert_null(strstr(heard(s), "> 1 2 "));
    join(s, "chat:x", 2);
    assert_string_equal(heard(s), "<live chat:x 8 0> 7 8 ");
}

static void a_change_of_form_goes_on_where_the_client_is(void **state)
{
    struct session *s = session_open();
    (void)state;
    s->form = FORM_TYPED_STRING;
    join(s, "chat:x", 0);
    say_in("chat:x", 1);
    turns();
    heard(s);
    s->conn->blocked = true;
    say_in("chat:x", 2);
    turns();
    session_set_form(s, FORM_TYPED_OBJECT);
    turns();
    say_in("chat:x", 3);
    pass_ms(5);
    turns();
    session_unblock(s);
    assert_string_equal(heard(s), "2 3 ");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_first_after_a_quiet_moment_leaves_at_once_and_the_next_together),
        TEST(a_channel_that_gathers_does_not_hold_up_another),
        TEST(one_that_does_not_read_gets_a_gap_and_the_others_everything),
        TEST(a_policy_of_one_channel_does_not_cost_frames_of_another),
        TEST(a_pass_that_ends_all_subscriptions_reaches_everyone_and_does_not_recurse),
        TEST(a_pass_over_many_channels_stops_when_its_time_is_up),
        TEST(a_subscription_given_up_before_its_answer_is_answered_and_leaves_no_presence),
        TEST(presence_ends_with_the_session_also_when_the_hub_was_waiting),
        TEST(subscriptions_given_up_count_until_the_hub_has_answered),
        TEST(what_is_unsent_of_a_subscription_goes_with_it),
        TEST(a_change_of_form_goes_on_where_the_client_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
