/* Subscriptions with deltas: what is in full, what is not, and what happens to those that lose frames. */
static const char loop_config[] =
    "[server]\nlisten = \"127.0.0.1:0\"\nweb = \"\"\n"
    "[limits]\nframe_log_bytes = \"4KiB\"\n"
    "[[namespace]]\nname = \"d\"\nhistory = 1000\nbehind = \"skip\"\ndelta = true\ngather_ms = 0\n"
    "[[namespace]]\nname = \"re\"\nhistory = 1000\nbehind = \"resync\"\ndelta = true\ngather_ms = 0\n"
    "[[namespace]]\nname = \"k\"\nhistory = 1000\nbehind = \"conflate\"\nkeyed = true\ndelta = true\ngather_ms = 0\n"
    "[[namespace]]\nname = \"ks\"\nhistory = 1000\nkeyed = true\nmap = \"off\"\ndelta = true\ngather_ms = 0\n"
    "[[namespace]]\nname = \"iv\"\nhistory = 10\nkeyed = true\ndelta = true\ninterval_ms = 100\ngather_ms = 0\n"
    "[[namespace]]\nname = \"ask\"\nhistory = 10\ndelta = true\ndelta_publish = false\ngather_ms = 0\n"
    "[[namespace]]\nname = \"who\"\nhistory = 10\ndelta = true\npresence = true\njoin_leave = true\ngather_ms = 0\n"
    "[[namespace]]\nname = \"no\"\nhistory = 10\ngather_ms = 0\n";

#include "channels_client.h"

static struct subscription *sub_of(const struct client *c, const char *channel)
{
    return session_subscription(c->session, bytes_of(channel));
}

#define with_deltas(name) ((struct subscribe_request){.channel = bytes_of(name), .deltas = true})

static void one_in_full_then_deltas(void **state)
{
    struct client c, plain, late;
    (void)state;
    client_open(&c);
    client_open(&plain);
    client_open(&late);
    client_join(&c, with_deltas("d:x"));
    client_join(&plain, (struct subscribe_request){.channel = bytes_of("d:x")});
    assert_hears(&c, "<live d:x 0 0> ");
    client_hear(&plain);
    tell(.channel = "d:x", .n = 1);
    tell(.channel = "d:x", .n = 2);
    assert_hears(&c, "1 ~2 ");
    client_join(&late, with_deltas("d:x"));
    client_hear(&late);
    tell(.channel = "d:x", .n = 3);
    tell(.channel = "d:x", .n = 4);
    assert_hears(&c, "~3 ~4 ");
    assert_hears(&late, "3 ~4 ");
    assert_hears(&plain, "1 2 3 4 ");
    assert_int_equal(sub_of(&c, "d:x")->sent, 4);
    client_done(&c);
    client_done(&plain);
    client_done(&late);
}

static void a_burst_has_one_in_full_too(void **state)
{
    struct client c;
    (void)state;
    client_open(&c);
    client_join(&c, with_deltas("d:x"));
    client_hear(&c);
    for (int i = 1; i <= 5; i++)
        post((struct post){.channel = "d:x", .n = i});
    int writes = c.session->conn->writes;
    turns();
    assert_hears(&c, "1 ~2 ~3 ~4 ~5 ");
    assert_int_equal(c.session->conn->writes, writes + 1);
    client_done(&c);
}

static void protobuf_goes_over_from_the_plain_form(void **state)
{
    struct client c;
    (void)state;
    client_open(&c);
    c.session->form = FORM_CHANNELS_LINES_PROTOBUF;
    client_join(&c, with_deltas("d:x"));
    assert_int_equal(sub_of(&c, "d:x")->form->form, FORM_CHANNELS_LINES_PROTOBUF);
    c.session->conn->out.len = 0;
    tell(.channel = "d:x", .n = 1);
    assert_true(c.session->conn->out.len > 100);
    c.session->conn->out.len = 0;
    tell(.channel = "d:x", .n = 2);
    assert_int_equal(sub_of(&c, "d:x")->form->form, FORM_CHANNELS_LINES_PROTOBUF_DELTA);
    assert_in_range(c.session->conn->out.len, 20, 70);
    client_done(&c);
}

static void where_the_namespace_has_none_or_there_is_a_filter_all_are_in_full(void **state)
{
    struct client c;
    (void)state;
    client_open(&c);
    client_join(&c, with_deltas("no:x"));
    client_join(&c, (struct subscribe_request){.channel = bytes_of("d:x"), .deltas = true,
                                               .filter = BYTES_LIT("{\"key\":\"c\",\"cmp\":\"nex\"}")});
    assert_false(sub_of(&c, "no:x")->deltas);
    assert_false(sub_of(&c, "d:x")->deltas);
    client_hear(&c);
    tell(.channel = "no:x", .n = 1);
    tell(.channel = "no:x", .n = 2);
    tell(.channel = "d:x", .n = 3);
    tell(.channel = "d:x", .n = 4);
    assert_hears(&c, "1 2 3 4 ");
    client_done(&c);
}

static void without_delta_publish_only_those_that_ask_become_deltas(void **state)
{
    struct client c;
    (void)state;
    client_open(&c);
    client_join(&c, with_deltas("ask:x"));
    client_hear(&c);
    tell(.channel = "ask:x", .n = 1, .delta = true);
    tell(.channel = "ask:x", .n = 2);
    tell(.channel = "ask:x", .n = 3, .delta = true);
    tell(.channel = "ask:x", .n = 4, .delta = true, .unnumbered = true);
    tell(.channel = "ask:x", .n = 5, .delta = true);
    tell(.channel = "ask:x", .n = 6, .delta = true);
    assert_hears(&c, "1 2 ~3 4 5 ~6 ");
    client_done(&c);
}

static void in_a_keyed_channel_each_key_has_its_own(void **state)
{
    struct client c;
    (void)state;
    tell(.channel = "k:x", .key = "a", .n = 1);
    client_open(&c);
    client_join(&c, with_deltas("k:x"));
    assert_hears(&c, "<live k:x 1 0> 1 ");
    tell(.channel = "k:x", .key = "b", .n = 2);
    tell(.channel = "k:x", .key = "a", .n = 3);
    tell(.channel = "k:x", .key = "b", .n = 4);
    tell(.channel = "k:x", .key = "a", .n = 5);
    tell(.channel = "k:x", .key = "a", .removed = true);
    tell(.channel = "k:x", .key = "a", .n = 6);
    assert_hears(&c, "2 ~3 ~4 ~5 x 6 ");
    client_done(&c);
}

static void in_a_keyed_channel_of_streams_there_is_one_chain(void **state)
{
    struct client c;
    (void)state;
    client_open(&c);
    client_join(&c, (struct subscribe_request){.channel = bytes_of("ks:x"), .deltas = true, .items = true});
    client_hear(&c);
    c.single_base = true;
    tell(.channel = "ks:x", .key = "a", .n = 1);
    tell(.channel = "ks:x", .key = "b", .n = 2);
    tell(.channel = "ks:x", .key = "a", .n = 3);
    tell(.channel = "ks:x", .key = "b", .removed = true);
    tell(.channel = "ks:x", .key = "b", .n = 4);
    assert_hears(&c, "1 ~2 ~3 x 4 ");
    client_done(&c);
}

static void a_slow_channel_s_deltas_are_against_what_went_out(void **state)
{
    struct client c;
    (void)state;
    client_open(&c);
    client_join(&c, with_deltas("iv:x"));
    client_hear(&c);
    tell(.channel = "iv:x", .key = "a", .n = 1);
    assert_hears(&c, "1 ");
    post((struct post){.channel = "iv:x", .key = "a", .n = 2});
    post((struct post){.channel = "iv:x", .key = "b", .n = 3});
    tell(.channel = "iv:x", .key = "a", .n = 4);
    assert_hears(&c, "");
    pass_ms(100);
    turns();
    assert_hears(&c, "3 ~4 "); /* against 1: nobody got 2 */
    tell(.channel = "iv:x", .key = "b", .n = 5);
    pass_ms(100);
    turns();
    assert_hears(&c, "~5 ");
    client_done(&c);
}

static void who_loses_frames_begins_again_in_full(void **state)
{
    struct client c, other;
    (void)state;
    client_open(&c);
    client_open(&other);
    client_join(&c, with_deltas("d:x"));
    client_join(&other, with_deltas("d:x"));
    tell(.channel = "d:x", .n = 1);
    tell(.channel = "d:x", .n = 2);
    assert_hears(&c, "<live d:x 0 0> 1 ~2 ");
    client_hear(&other);
    c.session->conn->blocked = true;
    for (int i = 3; i < 203; i++) {
        tell(.channel = "d:x", .n = i);
        other.session->conn->out.len = 0;
        if (i == 150)
            c.session->conn->out.len = 0;
    }
    session_unblock(c.session);
    turns();
    assert_hears(&c, "<gap d:x 3-202> ");
    tell(.channel = "d:x", .n = 203);
    tell(.channel = "d:x", .n = 204);
    assert_hears(&c, "203 ~204 ");
    client_done(&c);
    client_done(&other);
}

static void who_loses_frames_of_keys_gets_their_newest_in_full(void **state)
{
    struct client c;
    (void)state;
    client_open(&c);
    client_join(&c, with_deltas("k:x"));
    client_hear(&c);
    tell(.channel = "k:x", .key = "a", .n = 1);
    tell(.channel = "k:x", .key = "b", .n = 2);
    assert_hears(&c, "1 2 ");
    c.session->conn->blocked = true;
    for (int i = 3; i < 203; i++)
        tell(.channel = "k:x", .key = "a", .n = i);
    session_unblock(c.session);
    turns();
    assert_hears(&c, "202 ");
    tell(.channel = "k:x", .key = "b", .n = 203);
    tell(.channel = "k:x", .key = "a", .n = 204);
    assert_hears(&c, "~203 ~204 ");
    client_done(&c);
}

static void with_resync_the_subscription_ends(void **state)
{
    struct client c;
    (void)state;
    client_open(&c);
    client_join(&c, with_deltas("re:x"));
    tell(.channel = "re:x", .n = 1);
    tell(.channel = "re:x", .n = 2);
    assert_hears(&c, "<live re:x 0 0> 1 ~2 ");
    c.session->conn->blocked = true;
    for (int i = 3; i < 203; i++)
        tell(.channel = "re:x", .n = i);
    session_unblock(c.session);
    turns();
    assert_hears(&c, "<ended re:x 2500> ");
    client_done(&c);
}

static void joins_come_once_also_where_the_form_changes(void **state)
{
    struct client c, guest;
    (void)state;
    client_open(&c);
    client_open(&guest);
    client_join(&c, (struct subscribe_request){.channel = bytes_of("who:x"), .deltas = true, .join_leave = true});
    client_hear(&c);
    post((struct post){.channel = "who:x", .n = 1});
    client_join(&guest, with_deltas("who:x"));
    tell(.channel = "who:x", .n = 2);
    session_unsubscribe(guest.session, bytes_of("who:x"));
    turns();
    tell(.channel = "who:x", .n = 3);
    assert_hears(&c, "1 +user ~2 -user ~3 ");
    assert_hears(&guest, "<live who:x 1 0> 2 ");
    client_done(&c);
    client_done(&guest);
}

static void after_a_reply_with_publications_deltas_come_at_once(void **state)
{
    struct client c;
    (void)state;
    client_open(&c);
    client_join(&c, with_deltas("d:x"));
    tell(.channel = "d:x", .n = 1);
    tell(.channel = "d:x", .n = 2);
    assert_hears(&c, "<live d:x 0 0> 1 ~2 ");
    struct client back;
    client_open(&back);
    pass_ms(60000);
    client_join(&back, (struct subscribe_request){.channel = bytes_of("d:x"), .deltas = true,
                                                  .epoch = find("d:x")->epoch, .offset = 1});
    assert_hears(&back, "<live d:x 2 1> 2 ");
    tell(.channel = "d:x", .n = 3);
    assert_hears(&back, "~3 ");
    client_done(&c);
    client_done(&back);
}

static void recovered_lists_are_deltas_from_the_second_on(void **state)
{
    struct client c;
    (void)state;
    for (int i = 1; i <= 3; i++)
        tell(.channel = "d:x", .n = i);
    client_open(&c);
    client_join(&c, (struct subscribe_request){.channel = bytes_of("d:x"), .deltas = true, .items = true,
                                               .epoch = find("d:x")->epoch, .offset = 0});
    assert_hears(&c, "<live d:x 3 1> 1 ~2 ~3 ");
    tell(.channel = "d:x", .n = 4);
    tell(.channel = "d:x", .n = 5);
    assert_hears(&c, "~4 ~5 ");

    /* the log answers: strings in full, and deltas at once */
    struct client back;
    client_open(&back);
    struct client full;
    client_open(&full);
    client_join(&full, with_deltas("d:x"));
    client_hear(&full);
    tell(.channel = "d:x", .n = 6);
    client_join(&back, (struct subscribe_request){.channel = bytes_of("d:x"), .deltas = true, .items = true,
                                                  .epoch = find("d:x")->epoch, .offset = 5});
    assert_hears(&back, "<live d:x 6 1> 6 ");
    tell(.channel = "d:x", .n = 7);
    assert_hears(&back, "~7 ");
    client_done(&c);
    client_done(&back);
    client_done(&full);
}

static void items_that_were_not_recovered_are_no_base(void **state)
{
    struct client c;
    (void)state;
    tell(.channel = "k:x", .key = "a", .n = 1);
    client_open(&c);
    client_join(&c, (struct subscribe_request){.channel = bytes_of("k:x"), .deltas = true, .items = true});
    client_hear(&c);
    tell(.channel = "k:x", .key = "a", .n = 2);
    tell(.channel = "k:x", .key = "a", .n = 3);
    tell(.channel = "k:x", .key = "b", .n = 4);
    assert_hears(&c, "2 3 4 ");
    client_done(&c);
}

static void the_form_with_deltas_waits_for_those_who_will_come(void **state)
{
    struct client c;
    (void)state;
    client_open(&c);
    client_join(&c, with_deltas("d:x"));
    client_hear(&c);
    for (int i = 0; i < 30; i++) {
        pass_ms(1000);
        loop_channels_sweep(loop, clock_mono_ms());
        turns();
    }
    tell(.channel = "d:x", .n = 1);
    tell(.channel = "d:x", .n = 2);
    assert_hears(&c, "1 ~2 ");
    session_unsubscribe(c.session, bytes_of("d:x"));
    for (int i = 0; i < 30; i++) {
        pass_ms(1000);
        loop_channels_sweep(loop, clock_mono_ms());
        turns();
    }
    assert_null(loop->channels);
    client_done(&c);
}

static void nobody_s_deltas_are_not_made(void **state)
{
    struct client c;
    (void)state;
    client_open(&c);
    client_join(&c, with_deltas("d:x"));
    tell(.channel = "d:x", .n = 1);
    assert_non_null(find("d:x")->deltas);
    session_unsubscribe(c.session, bytes_of("d:x"));
    pass_ms(11000);
    loop_channels_sweep(loop, clock_mono_ms());
    turns();
    client_open(&c);
    client_join(&c, (struct subscribe_request){.channel = bytes_of("d:x")});
    tell(.channel = "d:x", .n = 2);
    assert_null(find("d:x")->deltas);
    client_done(&c);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(one_in_full_then_deltas),
        TEST(a_burst_has_one_in_full_too),
        TEST(protobuf_goes_over_from_the_plain_form),
        TEST(where_the_namespace_has_none_or_there_is_a_filter_all_are_in_full),
        TEST(without_delta_publish_only_those_that_ask_become_deltas),
        TEST(in_a_keyed_channel_each_key_has_its_own),
        TEST(in_a_keyed_channel_of_streams_there_is_one_chain),
        TEST(a_slow_channel_s_deltas_are_against_what_went_out),
        TEST(who_loses_frames_begins_again_in_full),
        TEST(who_loses_frames_of_keys_gets_their_newest_in_full),
        TEST(with_resync_the_subscription_ends),
        TEST(joins_come_once_also_where_the_form_changes),
        TEST(after_a_reply_with_publications_deltas_come_at_once),
        TEST(recovered_lists_are_deltas_from_the_second_on),
        TEST(items_that_were_not_recovered_are_no_base),
        TEST(the_form_with_deltas_waits_for_those_who_will_come),
        TEST(nobody_s_deltas_are_not_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
