/* Subscriptions that get what lies in a box, and change it in place: sockets that stall, news in pieces, ends in between. */
static const char loop_config[] = "[server]\nlisten = \"127.0.0.1:0\"\nweb = \"\"\n"
                                  "[limits]\nframe_log_bytes = \"64KiB\"\n"
                                  "[[namespace]]\nname = \"wide\"\nkeyed = true\ngather_ms = 0\n"
                                  "[[namespace]]\nname = \"k\"\nhistory = 1000\nkeyed = true\ngather_ms = 0\n"
                                  "[[namespace]]\nname = \"iv\"\nhistory = 1000\nkeyed = true\ngather_ms = 0\n"
                                  "interval_ms = 100\n"
                                  "[[namespace]]\nname = \"skip\"\nkeyed = true\nbehind = \"skip\"\ngather_ms = 0\n"
                                  "[[namespace]]\nname = \"con\"\nkeyed = true\nbehind = \"conflate\"\ngather_ms = 0\n";

#include "channels_client.h"

/* Degrees in whole numbers are enough here. */
static const struct geo_box home = {0, 0, 9000000, 9000000}, next = {0, 5000000, 9000000, 15000000},
                            away = {0, 50000000, 9000000, 60000000};

struct thing {
    const char *key;
    int n, longitude;
    bool removed;
    const char *tags;
};

static void put(const char *channel, struct thing t)
{
    enum crier_error error;
    char payload[64];
    snprintf(payload, sizeof payload, "{\"n\":%d}", t.n);
    struct channel *c = hub_channel(&world.hub, bytes_of(channel), &error);
    if (c->numbering == NUMBERED_NOT_YET)
        channel_number_here(c);
    const struct publication_parts parts = {
        .offset = c->top + 1,
        .time_ms = 1,
        .key = bytes_of(t.key),
        .tags = bytes_of(t.tags),
        .payload = t.removed ? BYTES_NULL : bytes_of(payload),
        .has_geo = !t.removed,
        .latitude_e6 = 1000000,
        .longitude_e6 = t.longitude * 1000000,
    };
    channel_append(c, publication_new(&parts));
}

static void move(const char *channel, const char *key, int n, int longitude)
{
    put(channel, (struct thing){.key = key, .n = n, .longitude = longitude});
}

static void on_reply(struct session *s, uint32_t type, struct bytes id, enum crier_codec codec, struct bytes payload)
{
    (void)type, (void)codec;
    say(s, "<%u %.*s>", *(const uint32_t *)(const void *)id.data, (int)payload.len, payload.data);
}

static void on_reply_error(struct session *s, struct bytes id, enum crier_error error, const char *message)
{
    (void)message;
    say(s, "<%u error %d>", *(const uint32_t *)(const void *)id.data, error);
}

static const struct wire_ops window_wire = {.subscribed = on_live,
                                            .subscribe_failed = on_failed,
                                            .gap = on_gap,
                                            .unsubscribed = on_ended,
                                            .reply = on_reply,
                                            .reply_error = on_reply_error};

static void open_window(struct client *c, const char *channel, const struct geo_box *box)
{
    client_open(c);
    c->session->wire = &window_wire;
    client_join(c, (struct subscribe_request){.channel = bytes_of(channel), .items = true, .shifted = true, .box = box});
}

static struct subscription *sub_of(const struct client *c, const char *channel)
{
    return session_subscription(c->session, bytes_of(channel));
}

static void ask(const struct client *c, const char *channel, const struct geo_box *to, uint32_t id)
{
    struct buf reply = BUF_INIT;
    buf_printf(&reply, "<%u done>", id);
    window_change(sub_of(c, channel), to, id, &reply);
    buf_done(&reply);
}

static void what_comes_in_and_goes_out_is_told(void **state)
{
    struct client c;
    (void)state;
    move("k:x", "a", 1, 1);
    move("k:x", "b", 2, 20);
    open_window(&c, "k:x", &home);
    assert_hears(&c, "<live k:x 2 0> 1 ");
    move("k:x", "a", 3, 2);
    move("k:x", "b", 4, 21);
    move("k:x", "b", 5, 3);
    move("k:x", "a", 6, 20);
    put("k:x", (struct thing){.key = "a", .removed = true});
    move("k:x", "new", 7, 30);
    put("k:x", (struct thing){.key = "b", .removed = true});
    turns();
    assert_hears(&c, "3 5 x x ");
    assert_int_equal(sub_of(&c, "k:x")->sent, 9);
    client_done(&c);
}

static void the_answer_comes_behind_the_news(void **state)
{
    struct client c;
    (void)state;
    move("k:x", "a", 1, 1);
    move("k:x", "b", 2, 7);
    move("k:x", "c", 3, 12);
    open_window(&c, "k:x", &home);
    client_hear(&c);
    ask(&c, "k:x", &next, 5);
    turns();
    assert_hears(&c, "x 3 <5 done> ");
    move("k:x", "a", 4, 1);
    move("k:x", "c", 5, 13);
    turns();
    assert_hears(&c, "5 ");
    client_done(&c);
}

static void the_news_say_which_window_their_position_is_of(void **state)
{
    struct client c;
    char epoch[WINDOW_EPOCH_SIZE], text[200];
    (void)state;
    move("k:x", "a", 1, 1);
    move("k:x", "b", 2, 2);
    move("k:x", "c", 3, 12);
    open_window(&c, "k:x", &home);
    client_hear(&c);
    ask(&c, "k:x", &next, 5);
    turns();
    window_epoch(find("k:x")->epoch, window_mark(&next, BYTES_NULL), epoch);
    const char *out = text_of(&c.session->conn->out);
    snprintf(text, sizeof text, "{\"key\":\"a\",\"removed\":true,\"epoch\":\"%s~0000000000000000\"}", find("k:x")->epoch);
    assert_non_null(strstr(out, text));
    assert_non_null(strstr(out, "{\"key\":\"b\",\"removed\":true}"));
    snprintf(text, sizeof text, "{\"data\":{\"n\":3},\"key\":\"c\",\"offset\":3,\"epoch\":\"%s\"}", epoch);
    assert_non_null(strstr(out, text));
    client_hear(&c);

    /* without news the first publication under the new box says it, the second does not */
    ask(&c, "k:x", &away, 6);
    turns();
    ask(&c, "k:x", &home, 7);
    turns();
    client_hear(&c);
    ask(&c, "k:x", &(struct geo_box){0, 0, 8000000, 9000000}, 8);
    turns();
    assert_hears(&c, "<8 done> ");
    move("k:x", "a", 4, 1);
    turns();
    assert_non_null(strstr(text_of(&c.session->conn->out), "\"epoch\":"));
    client_hear(&c);
    move("k:x", "a", 5, 20);
    turns();
    assert_null(strstr(text_of(&c.session->conn->out), "\"epoch\":"));
    assert_hears(&c, "x ");
    client_done(&c);
}

static void a_socket_that_stalls_gets_the_old_box_then_the_news_then_the_new_box(void **state)
{
    struct client c;
    (void)state;
    move("k:x", "a", 1, 1);
    move("k:x", "b", 2, 12);
    open_window(&c, "k:x", &home);
    client_hear(&c);
    c.session->conn->blocked = true;
    move("k:x", "a", 3, 2);
    ask(&c, "k:x", &next, 5);
    turns();
    move("k:x", "a", 4, 7);
    move("k:x", "b", 5, 3);
    turns();
    assert_hears(&c, "");
    session_unblock(c.session);
    turns();
    assert_hears(&c, "3 x 2 <5 done> 4 x ");
    client_done(&c);
}

static void beside_other_subscriptions_the_order_is_kept(void **state)
{
    struct client c;
    (void)state;
    move("k:x", "a", 1, 1);
    open_window(&c, "k:x", &home);
    client_join(&c, (struct subscribe_request){.channel = bytes_of("k:y"), .items = true, .shifted = true});
    client_hear(&c);
    c.session->conn->blocked = true;
    move("k:x", "a", 2, 2);
    move("k:y", "a", 3, 2);
    ask(&c, "k:x", &away, 5);
    turns();
    move("k:x", "a", 4, 55);
    turns();
    session_unblock(c.session);
    turns();
    const char *got = client_hear(&c);
    const char *moved = strstr(got, "2 x <5 done> ");
    assert_non_null(moved);
    assert_non_null(strstr(moved, "4 "));
    assert_non_null(strstr(got, "3 "));
    client_done(&c);
}

static void much_news_goes_out_in_pieces_and_whole(void **state)
{
    struct client c;
    char key[16];
    (void)state;
    for (int i = 0; i < 3000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        move("k:x", key, i, 55);
    }
    open_window(&c, "k:x", &home);
    assert_hears(&c, "<live k:x 3000 0> ");
    int writes = c.session->conn->writes;
    ask(&c, "k:x", &away, 5);
    turns();
    assert_true(c.session->conn->writes > writes + 1);
    size_t items = 0;
    for (const char *at = text_of(&c.session->conn->out); (at = strstr(at, "{\"n\":")); at++)
        items++;
    assert_int_equal(items, 3000);
    const struct buf *out = &c.session->conn->out;
    assert_memory_equal(out->data + out->len - 8, "<5 done>", 8);
    client_done(&c);
}

static void wishes_that_are_overtaken_are_answered_as_such(void **state)
{
    struct client c;
    (void)state;
    move("k:x", "a", 1, 12);
    open_window(&c, "k:x", &home);
    client_hear(&c);
    for (uint32_t id = 1; id <= 4; id++)
        ask(&c, "k:x", id % 2 ? &away : &next, id);
    turns();
    assert_hears(&c, "<2 {\"superseded\":true}> <3 {\"superseded\":true}> <1 done> 1 <4 done> ");
    client_done(&c);
}

static void a_change_whose_subscription_ends_is_answered_with_an_error(void **state)
{
    struct client c;
    (void)state;
    move("k:x", "a", 1, 12);
    open_window(&c, "k:x", &home);
    client_hear(&c);
    ask(&c, "k:x", &next, 1);
    ask(&c, "k:x", &away, 2);
    session_unsubscribe(c.session, bytes_of("k:x"));
    turns();
    assert_hears(&c, "<1 error 108> <2 error 108> ");
    /* the answer of the hub to the first subscription is not for the second one */
    client_join(&c, (struct subscribe_request){.channel = bytes_of("k:x"), .items = true, .shifted = true, .box = &home});
    ask(&c, "k:x", &next, 3);
    session_unsubscribe(c.session, bytes_of("k:x"));
    const struct subscribe_request again = {.channel = bytes_of("k:x"), .items = true, .shifted = true, .box = &home};
    session_subscribe(c.session, &again);
    turns();
    move("k:x", "a", 2, 12);
    turns();
    assert_hears(&c, "<live k:x 1 0> <3 error 108> <live k:x 1 0> ");
    client_done(&c);
}

/* Answered or not, a window that goes with its session leaves nothing behind. */
static void a_session_that_goes_takes_its_changes_along(void **state)
{
    struct client asking, stalled;
    (void)state;
    move("k:x", "a", 1, 12);
    open_window(&asking, "k:x", &home);
    open_window(&stalled, "k:x", &home);
    stalled.session->conn->blocked = true;
    ask(&stalled, "k:x", &next, 1);
    ask(&stalled, "k:x", &away, 2);
    turns();
    ask(&asking, "k:x", &next, 1);
    asking.session->closing = stalled.session->closing = true;
    session_end(asking.session);
    session_end(stalled.session);
    turns();
}

static void one_that_does_not_read_begins_anew_whatever_the_policy(void **state)
{
    static const char *const channels[] = {"skip:x", "con:x"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct client c;
        char expected[40];
        move(channels[i], "a", 1, 1);
        open_window(&c, channels[i], &home);
        client_hear(&c);
        c.session->conn->blocked = true;
        ask(&c, channels[i], &next, 9);
        for (int n = 0; n < 2000; n++) {
            move(channels[i], "a", n, 1 + n % 20);
            turns();
        }
        turns();
        session_unblock(c.session);
        turns();
        snprintf(expected, sizeof expected, "<9 error 108> <ended %s 2500> ", channels[i]);
        assert_hears(&c, expected);
        client_done(&c);
    }
}

static void at_intervals_a_key_that_went_through_others_places_leaves_all_the_same(void **state)
{
    struct client c;
    (void)state;
    move("iv:x", "a", 1, 1);
    move("iv:x", "b", 2, 20);
    turns();
    pass_ms(200);
    open_window(&c, "iv:x", &home);
    client_hear(&c);
    move("iv:x", "c", 3, 1);
    turns();
    pass_ms(200);
    client_hear(&c);
    move("iv:x", "a", 4, 20); /* leaves */
    turns();
    move("iv:x", "a", 5, 30);
    move("iv:x", "a", 6, 40);
    move("iv:x", "b", 7, 1); /* comes and goes between two looks */
    move("iv:x", "b", 8, 20);
    pass_ms(200);
    turns();
    assert_hears(&c, "x ");
    client_done(&c);
}

static void tags_that_stop_matching_take_a_key_out(void **state)
{
    static const char filter[] = "{\"key\":\"c\",\"cmp\":\"eq\",\"val\":\"red\"}";
    static const char red[] = "{\"c\":\"red\"}", blue[] = "{\"c\":\"blue\"}";
    struct client c;
    (void)state;
    client_open(&c);
    c.session->wire = &window_wire;
    put("k:x", (struct thing){.key = "a", .n = 1, .longitude = 1, .tags = red});
    put("k:x", (struct thing){.key = "b", .n = 2, .longitude = 1, .tags = blue});
    put("k:x", (struct thing){.key = "far", .n = 3, .longitude = 55, .tags = blue});
    client_join(&c, (struct subscribe_request){.channel = bytes_of("k:x"), .items = true, .shifted = true, .box = &home,
                                               .filter = BYTES_LIT(filter)});
    assert_hears(&c, "<live k:x 3 0> 1 ");
    put("k:x", (struct thing){.key = "b", .n = 4, .longitude = 55, .tags = blue});
    put("k:x", (struct thing){.key = "a", .n = 5, .longitude = 2, .tags = blue});
    put("k:x", (struct thing){.key = "a", .n = 6, .longitude = 3, .tags = blue});
    put("k:x", (struct thing){.key = "a", .n = 7, .longitude = 3, .tags = red});
    turns();
    assert_hears(&c, "x 7 ");
    ask(&c, "k:x", &away, 1);
    turns();
    assert_hears(&c, "x <1 done> ");
    client_done(&c);
}

/* ---- many viewers of many frames ---- */

enum { VIEWERS = 40, VEHICLES = 150, ROUNDS = 8, MOVES = 600 };

struct viewer_model {
    struct client client;
    struct geo_box box;
    int held[VEHICLES]; /* what each was last heard as; 0: not there */
};

static void hear_table(struct viewer_model *v)
{
    const char *at = text_of(&v->client.session->conn->out), *end = at + v->client.session->conn->out.len;
    while (at < end) {
        const char *stop = memchr(at, *at == '<' ? '>' : '\n', (size_t)(end - at));
        struct bytes line = {at, (size_t)(stop - at)}, push, pub, data;
        CLEANUP_BUF key = BUF_INIT;
        bool removed = false;
        int64_t n = 0;
        bool told = *at == '<';
        at = stop + 1;
        if (told)
            continue;
        assert_int_equal(json_get_raw(line, "push", &push), 0);
        assert_int_equal(json_get_raw(push, "pub", &pub), 0);
        assert_int_equal(json_get_string(pub, "key", &key), 0);
        json_get_bool(pub, "removed", &removed);
        if (!removed && json_get_raw(pub, "data", &data) == 0)
            assert_int_equal(json_get_int64(data, "n", &n), 0);
        v->held[atoi(text_of(&key) + 1)] = (int)n;
    }
    v->client.session->conn->out.len = 0;
}

static void many_viewers_of_many_frames_hold_what_lies_in_their_boxes(void **state)
{
    static struct viewer_model viewers[VIEWERS];
    int places[VEHICLES] = {0}, newest[VEHICLES] = {0}, n = 0;
    char key[16];
    (void)state;
    srandom(11);
    move("wide:x", "v0", ++n, 0);
    newest[0] = n;
    for (int i = 0; i < VIEWERS; i++) { /* one row of cells high, so that the index is worth it */
        viewers[i] = (struct viewer_model){.box = {1000000, (int32_t)(random() % 30) * 1000000, 1000001, 0}};
        viewers[i].box.east_e6 = viewers[i].box.west_e6 + (int32_t)(random() % 10) * 1000000;
        open_window(&viewers[i].client, "wide:x", &viewers[i].box);
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int k = 0; k < MOVES; k++) {
            int which = (int)(random() % VEHICLES);
            snprintf(key, sizeof key, "v%d", which);
            places[which] = (int)(random() % 40);
            bool removed = random() % 10 == 0;
            newest[which] = removed ? 0 : ++n;
            put("wide:x", (struct thing){.key = key, .n = n, .longitude = places[which], .removed = removed});
        }
        turns();
        for (int i = 0; i < VIEWERS; i++) {
            struct viewer_model *v = &viewers[i];
            hear_table(v);
            for (int k = 0; k < VEHICLES; k++) {
                bool in = newest[k] && geo_box_contains(&v->box, 1000000, places[k] * 1000000);
                assert_int_equal(v->held[k], in ? newest[k] : 0);
            }
        }
    }
    const struct channel_form *f = sub_of(&viewers[0].client, "wide:x")->form;
    assert_true(f->index.to == f->log.head); /* it was used */
    for (int i = 0; i < VIEWERS; i++)
        client_done(&viewers[i].client);
}

static void marks_come_off_epochs_and_differ_by_what_they_are_of(void **state)
{
    char epoch[WINDOW_EPOCH_SIZE];
    uint64_t mark = window_mark(&home, BYTES_LIT("f")), read;
    (void)state;
    assert_true(mark != window_mark(&next, BYTES_LIT("f")));
    assert_true(mark != window_mark(&home, BYTES_NULL));
    assert_true(mark == window_mark(&home, BYTES_LIT("f")));
    window_epoch("AbC", mark, epoch);
    struct bytes plain = window_epoch_plain(bytes_of(epoch), &read);
    assert_int_equal(plain.len, 3);
    assert_true(read == mark);
    window_epoch("", mark, epoch);
    assert_string_equal(epoch, "");
    static const char *const unmarked[] = {"", "AbC", "AbC~", "AbC~12", "~0123456789abcdeg", "A~0123456789abcdef0"};
    for (size_t i = 0; i < sizeof unmarked / sizeof *unmarked; i++) {
        plain = window_epoch_plain(bytes_of(unmarked[i]), &read);
        assert_int_equal(plain.len, strlen(unmarked[i]));
        assert_true(read == 0);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_comes_in_and_goes_out_is_told),
        TEST(the_answer_comes_behind_the_news),
        TEST(the_news_say_which_window_their_position_is_of),
        TEST(a_socket_that_stalls_gets_the_old_box_then_the_news_then_the_new_box),
        TEST(beside_other_subscriptions_the_order_is_kept),
        TEST(much_news_goes_out_in_pieces_and_whole),
        TEST(wishes_that_are_overtaken_are_answered_as_such),
        TEST(a_change_whose_subscription_ends_is_answered_with_an_error),
        TEST(a_session_that_goes_takes_its_changes_along),
        TEST(one_that_does_not_read_begins_anew_whatever_the_policy),
        TEST(at_intervals_a_key_that_went_through_others_places_leaves_all_the_same),
        TEST(tags_that_stop_matching_take_a_key_out),
        TEST(many_viewers_of_many_frames_hold_what_lies_in_their_boxes),
        cmocka_unit_test(marks_come_off_epochs_and_differ_by_what_they_are_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
