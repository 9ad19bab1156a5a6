/* Subscriptions that do not get everything: tags filters, joins and leaves, payloads that are no JSON. */
static const char loop_config[] = "[server]\nlisten = \"127.0.0.1:0\"\nweb = \"\"\n"
                                  "[limits]\nframe_log_bytes = \"4KiB\"\n"
                                  "[[namespace]]\nname = \"t\"\nhistory = 1000\nbehind = \"skip\"\ngather_ms = 0\n"
                                  "[[namespace]]\nname = \"re\"\nhistory = 5\nbehind = \"resync\"\ngather_ms = 0\n"
                                  "[[namespace]]\nname = \"k\"\nhistory = 5\nkeyed = true\nbehind = \"conflate\"\n"
                                  "gather_ms = 0\n"
                                  "[[namespace]]\nname = \"big\"\ninterval_ms = 100\ngather_ms = 0\n"
                                  "[[namespace]]\nname = \"end\"\nbehind = \"close\"\ngather_ms = 0\n"
                                  "[[namespace]]\nname = \"iv\"\nkeyed = true\ninterval_ms = 100\ngather_ms = 0\n"
                                  "[[namespace]]\nname = \"who\"\nhistory = 10\npresence = true\njoin_leave = true\n"
                                  "gather_ms = 0\n";

#include "channels_client.h"

#define RED "{\"key\":\"c\",\"cmp\":\"eq\",\"val\":\"red\"}"
#define red_filter .filter = BYTES_LIT(RED), .filter_encoding = CHANNELS_JSON
#define is_red .tags = "{\"c\":\"red\"}"
#define is_blue .tags = "{\"c\":\"blue\"}"

static struct subscription *sub_of(const struct client *c, const char *channel)
{
    return session_subscription(c->session, bytes_of(channel));
}

static void a_filter_lets_through_what_it_wants_and_moves_on_over_the_rest(void **state)
{
    struct client all, red;
    (void)state;
    client_open(&all);
    client_open(&red);
    client_join(&all, (struct subscribe_request){.channel = bytes_of("t:x")});
    client_join(&red, (struct subscribe_request){.channel = bytes_of("t:x"), red_filter});
    client_hear(&all);
    client_hear(&red);
    tell(.channel = "t:x", .n = 1, is_red);
    tell(.channel = "t:x", .n = 2, is_blue);
    tell(.channel = "t:x", .n = 3);
    assert_hears(&all, "1 2 3 ");
    assert_hears(&red, "1 ");
    assert_int_equal(sub_of(&red, "t:x")->sent, 3);
    tell(.channel = "t:x", .n = 4, is_red);
    assert_hears(&red, "4 ");
    assert_int_equal(sub_of(&red, "t:x")->sent, 4);
    client_done(&all);
    client_done(&red);
}

static void runs_of_wanted_frames_are_one_write(void **state)
{
    struct client red;
    (void)state;
    client_open(&red);
    client_join(&red, (struct subscribe_request){.channel = bytes_of("t:x"), red_filter});
    client_hear(&red);
    for (int i = 0; i < 9; i++) {
        if (i % 3 == 1)
            post((struct post){.channel = "t:x", .n = i, is_blue});
        else
            post((struct post){.channel = "t:x", .n = i, is_red});
    }
    int writes = red.session->conn->writes;
    turns();
    assert_hears(&red, "0 2 3 5 6 8 ");
    assert_int_equal(red.session->conn->writes, writes + 1);
    client_done(&red);
}

static void a_session_of_several_channels_filters_each_by_its_own(void **state)
{
    struct client c;
    (void)state;
    client_open(&c);
    client_join(&c, (struct subscribe_request){.channel = bytes_of("t:x"), red_filter});
    client_join(&c, (struct subscribe_request){.channel = bytes_of("t:y")});
    client_hear(&c);
    post((struct post){.channel = "t:x", .n = 1, is_blue});
    post((struct post){.channel = "t:y", .n = 2, is_blue});
    post((struct post){.channel = "t:x", .n = 3, is_red});
    turns();
    assert_hears(&c, "3 2 ");
    client_done(&c);
}

static void equal_filters_are_one_and_go_with_the_last_subscription(void **state)
{
    static const char same[] = "{ \"val\":\"red\", \"cmp\":\"eq\", \"key\":\"c\" }";
    struct client a, b, other;
    (void)state;
    client_open(&a);
    client_open(&b);
    client_open(&other);
    client_join(&a, (struct subscribe_request){.channel = bytes_of("t:x"), red_filter});
    client_join(&b, (struct subscribe_request){.channel = bytes_of("t:x"), .filter = BYTES_LIT(same)});
    client_join(&other, (struct subscribe_request){.channel = bytes_of("t:x"),
                                                   .filter = BYTES_LIT("{\"key\":\"c\",\"cmp\":\"ex\"}")});
    const struct channel_form *f = sub_of(&a, "t:x")->form;
    assert_ptr_equal(sub_of(&a, "t:x")->filter, sub_of(&b, "t:x")->filter);
    assert_ptr_not_equal(sub_of(&a, "t:x")->filter, sub_of(&other, "t:x")->filter);
    session_unsubscribe(a.session, bytes_of("t:x"));
    tell(.channel = "t:x", .n = 1, is_red);
    client_hear(&b);
    session_unsubscribe(b.session, bytes_of("t:x"));
    assert_ptr_equal(f->filters, sub_of(&other, "t:x")->filter);
    assert_null(f->filters->next);
    session_unsubscribe(other.session, bytes_of("t:x"));
    assert_null(f->filters);
    client_done(&b);
}

static void what_is_no_filter_is_refused(void **state)
{
    struct client c;
    (void)state;
    client_open(&c);
    client_join(&c, (struct subscribe_request){.channel = bytes_of("t:x"), .filter = BYTES_LIT("{\"key\":\"c\"}")});
    assert_hears(&c, "<failed t:x 107> ");
    assert_int_equal(c.session->subscription_count, 0);
    client_done(&c);
}

static void a_late_filter_judges_what_is_in_the_log_already(void **state)
{
    struct client first, late;
    (void)state;
    client_open(&first);
    client_open(&late);
    client_join(&first, (struct subscribe_request){.channel = bytes_of("t:x")});
    for (int i = 1; i <= 6; i++) {
        if (i % 2)
            tell(.channel = "t:x", .n = i, is_red);
        else
            tell(.channel = "t:x", .n = i, is_blue);
    }
    const char *epoch = find("t:x")->epoch;
    client_join(&late, (struct subscribe_request){.channel = bytes_of("t:x"), red_filter, .epoch = epoch, .offset = 2});
    assert_hears(&late, "<live t:x 6 1> 3 5 ");
    assert_int_equal(sub_of(&late, "t:x")->sent, 6);
    struct client later;
    client_open(&later);
    client_join(&later, (struct subscribe_request){
                            .channel = bytes_of("t:x"), red_filter, .epoch = epoch, .offset = 0});
    assert_hears(&later, "<live t:x 6 1> 1 3 5 ");
    client_done(&first);
    client_done(&late);
    client_done(&later);
}

static void the_hub_filters_what_it_answers_with(void **state)
{
    struct client c, keyed;
    (void)state;
    for (int i = 1; i <= 4; i++) {
        if (i % 2)
            tell(.channel = "t:x", .n = i, is_red);
        else
            tell(.channel = "t:x", .n = i, is_blue);
    }
    client_open(&c);
    client_join(&c, (struct subscribe_request){
                        .channel = bytes_of("t:x"), red_filter, .epoch = find("t:x")->epoch, .offset = 1});
    assert_hears(&c, "<live t:x 4 1> 3 ");
    session_unsubscribe(c.session, bytes_of("t:x"));
    tell(.channel = "k:x", .key = "a", .n = 7, is_red);
    tell(.channel = "k:x", .key = "b", .n = 8, is_blue);
    client_open(&keyed);
    client_join(&keyed, (struct subscribe_request){.channel = bytes_of("k:x"), red_filter});
    assert_hears(&keyed, "<live k:x 2 0> 7 ");
    tell(.channel = "k:x", .key = "a", .removed = true, is_red);
    tell(.channel = "k:x", .key = "b", .removed = true, is_blue);
    assert_hears(&keyed, "x ");
    client_done(&c);
    client_done(&keyed);
}

/* More than a frame log of 4 KiB holds. */
static void flood_filtered(const char *channel, int first, const char *key)
{
    for (int i = 0; i < 60; i++)
        post((struct post){.channel = channel, .key = key, .n = first + i,
                           .tags = i % 2 ? "{\"c\":\"red\"}" : "{\"c\":\"blue\"}"});
}

static void one_that_does_not_read_is_handled_as_without_a_filter(void **state)
{
    struct client skips, ends, conflates, closes;
    (void)state;
    client_open(&closes);
    client_join(&closes, (struct subscribe_request){.channel = bytes_of("end:x"), red_filter});
    closes.session->conn->blocked = true;
    client_open(&skips);
    client_open(&ends);
    client_open(&conflates);
    client_join(&skips, (struct subscribe_request){.channel = bytes_of("t:x"), red_filter});
    client_join(&ends, (struct subscribe_request){.channel = bytes_of("re:x"), red_filter});
    client_join(&conflates, (struct subscribe_request){.channel = bytes_of("k:x"), red_filter});
    client_hear(&skips);
    client_hear(&ends);
    client_hear(&conflates);
    skips.session->conn->blocked = ends.session->conn->blocked = conflates.session->conn->blocked = true;
    flood_filtered("t:x", 0, NULL);
    flood_filtered("re:x", 0, NULL);
    flood_filtered("k:x", 0, "a");
    flood_filtered("end:x", 0, NULL);
    turns();
    session_unblock(closes.session);
    assert_int_equal(closes.session->conn->closed, 3008);
    session_unblock(skips.session);
    session_unblock(ends.session);
    session_unblock(conflates.session);
    turns();
    const char *gap = client_hear(&skips);
    assert_memory_equal(gap, "<gap t:x 1-", 11);
    assert_non_null(strstr(gap, "57 59 "));
    assert_null(strstr(gap, "58 "));
    assert_int_equal(sub_of(&skips, "t:x")->sent, 60);
    assert_hears(&ends, "<ended re:x 2500> ");
    assert_hears(&conflates, "<live k:x 60 0> 59 "); /* the whole table: its position is older than the history */
    client_done(&skips);
    client_done(&ends);
    client_done(&conflates);
}

static void an_interval_holds_for_every_form_and_filter(void **state)
{
    struct session *s[FORM_CHANNELS_LINES_STRING + 1] = {NULL};
    struct client red;
    (void)state;
    client_open(&red);
    client_join(&red, (struct subscribe_request){.channel = bytes_of("iv:x"), red_filter});
    for (int form = FORM_CHANNELS_JSON; form <= FORM_CHANNELS_LINES_STRING; form++) {
        const struct subscribe_request q = {.channel = bytes_of("iv:x")};
        s[form] = session_open();
        s[form]->form = (enum frame_form)form;
        session_subscribe(s[form], &q);
    }
    turns();
    client_hear(&red);
    tell(.channel = "iv:x", .key = "a", .n = 101, is_red);
    tell(.channel = "iv:x", .key = "a", .n = 202, is_red);
    tell(.channel = "iv:x", .key = "b", .n = 303, is_blue);
    tell(.channel = "iv:x", .key = "a", .n = 404, is_red);
    pass_ms(100);
    turns();
    assert_hears(&red, "101 404 ");
    for (int form = FORM_CHANNELS_JSON; form <= FORM_CHANNELS_LINES_STRING; form++) {
        const char *got = text_of(&s[form]->conn->out);
        got = memchr(got, '>', s[form]->conn->out.len); /* behind "<live ..>" */
        size_t len = s[form]->conn->out.len - (size_t)(got - s[form]->conn->out.data);
        assert_non_null(memmem(got, len, "101", 3));
        assert_null(memmem(got, len, "202", 3));
        assert_non_null(memmem(got, len, "303", 3));
        assert_non_null(memmem(got, len, "404", 3));
    }
    client_done(&red);
}

static void joins_reach_those_who_ask_with_their_place_among_publications(void **state)
{
    struct client asks, does_not, guest, filters;
    (void)state;
    client_open(&asks);
    client_open(&does_not);
    client_open(&guest);
    client_open(&filters);
    client_join(&asks, (struct subscribe_request){.channel = bytes_of("who:x"), .join_leave = true});
    client_join(&does_not, (struct subscribe_request){.channel = bytes_of("who:x")});
    client_join(&filters, (struct subscribe_request){.channel = bytes_of("who:x"), .join_leave = true, red_filter});
    client_hear(&asks);
    client_hear(&does_not);
    client_hear(&filters);
    post((struct post){.channel = "who:x", .n = 1, is_red});
    client_join(&guest, (struct subscribe_request){.channel = bytes_of("who:x")});
    tell(.channel = "who:x", .n = 2, is_blue);
    session_unsubscribe(guest.session, bytes_of("who:x"));
    turns();
    tell(.channel = "who:x", .n = 3, is_red);
    assert_hears(&asks, "1 +user 2 -user 3 ");
    assert_hears(&does_not, "1 2 3 ");
    assert_hears(&filters, "1 +user -user 3 ");
    assert_hears(&guest, "<live who:x 1 0> 2 ");
    assert_int_equal(sub_of(&does_not, "who:x")->sent, 3);
    client_done(&asks);
    client_done(&does_not);
    client_done(&guest);
    client_done(&filters);
}

static void a_payload_that_is_no_json_closes_those_who_would_get_it_as_json(void **state)
{
    struct client json, binary, filters, early;
    (void)state;
    client_open(&json);
    client_open(&filters);
    client_open(&binary);
    client_open(&early);
    binary.session->form = FORM_CHANNELS_LINES_PROTOBUF;
    client_join(&json, (struct subscribe_request){.channel = bytes_of("t:x")});
    client_join(&filters, (struct subscribe_request){.channel = bytes_of("t:x"), red_filter});
    client_join(&binary, (struct subscribe_request){.channel = bytes_of("t:x")});
    binary.session->conn->out.len = 0;
    client_hear(&json);
    tell(.channel = "t:x", .n = 1, is_red);
    tell(.channel = "t:x", .raw = "{no", is_blue);
    assert_int_equal(json.session->conn->closed, 3506);
    assert_int_equal(filters.session->conn->closed, 0);
    assert_int_equal(binary.session->conn->closed, 0);
    assert_non_null(strstr(text_of(&binary.session->conn->out), "{no"));
    assert_hears(&json, "1 ");
    assert_hears(&filters, "<live t:x 0 0> 1 ");
    tell(.channel = "t:x", .n = 2, is_red);
    assert_hears(&filters, "2 ");

    /* who comes later is not concerned, who comes back over it is */
    client_join(&early, (struct subscribe_request){.channel = bytes_of("t:x")});
    tell(.channel = "t:x", .n = 3, is_red);
    assert_hears(&early, "<live t:x 3 0> 3 ");
    struct client back;
    client_open(&back);
    client_join(&back, (struct subscribe_request){
                           .channel = bytes_of("t:x"), .epoch = find("t:x")->epoch, .offset = 1});
    assert_int_equal(back.session->conn->closed, 3506);
    client_done(&json);
    client_done(&filters);
    client_done(&early);
    client_done(&back);
}

static void what_the_hub_has_that_is_no_json_closes_too(void **state)
{
    struct client c;
    (void)state;
    tell(.channel = "t:x", .n = 1);
    tell(.channel = "t:x", .raw = "{no");
    client_open(&c);
    client_join(&c, (struct subscribe_request){.channel = bytes_of("t:x"), .epoch = find("t:x")->epoch, .offset = 0});
    assert_int_equal(c.session->conn->closed, 3506);
    client_done(&c);
}

/* As if judging a few frames took as long as a turn may. */
static void frames_that_take_long_to_judge_are_judged_over_several_turns(void **state)
{
    enum { FRAMES = 1000 };
    struct client c;
    (void)state;
    client_open(&c);
    client_join(&c, (struct subscribe_request){.channel = bytes_of("big:x"), red_filter});
    client_hear(&c);
    tell(.channel = "big:x", .n = -1); /* what follows within the interval is one block, which the log keeps whole */
    for (int i = 0; i < FRAMES; i++) {
        if (i % 400)
            post((struct post){.channel = "big:x", .n = i, is_blue});
        else
            post((struct post){.channel = "big:x", .n = i, is_red});
    }
    pass_ms(200);
    turn();
    uv_run(&loop->uv, UV_RUN_NOWAIT);
    const struct channel_form *f = sub_of(&c, "big:x")->form;
    assert_int_equal(f->log.head - f->log.base, FRAMES);
    clock_step_ms = 1;
    int flushes = 0;
    while (f->filters->to < f->log.head && flushes < FRAMES) {
        assert_true(loop->dirty || loop->passing); /* it comes again by itself */
        loop_flush(loop);
        flushes++;
    }
    clock_step_ms = 0;
    assert_in_range(flushes, 10, 100);
    turns();
    assert_hears(&c, "0 400 800 ");
    assert_int_equal(sub_of(&c, "big:x")->sent, FRAMES + 1);
    client_done(&c);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_filter_lets_through_what_it_wants_and_moves_on_over_the_rest),
        TEST(runs_of_wanted_frames_are_one_write),
        TEST(a_session_of_several_channels_filters_each_by_its_own),
        TEST(equal_filters_are_one_and_go_with_the_last_subscription),
        TEST(what_is_no_filter_is_refused),
        TEST(a_late_filter_judges_what_is_in_the_log_already),
        TEST(the_hub_filters_what_it_answers_with),
        TEST(one_that_does_not_read_is_handled_as_without_a_filter),
        TEST(an_interval_holds_for_every_form_and_filter),
        TEST(joins_reach_those_who_ask_with_their_place_among_publications),
        TEST(a_payload_that_is_no_json_closes_those_who_would_get_it_as_json),
        TEST(what_the_hub_has_that_is_no_json_closes_too),
        TEST(frames_that_take_long_to_judge_are_judged_over_several_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
