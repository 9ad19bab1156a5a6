/* Maps that mirror who is subscribed, and what ephemeral maps and entries without data look like on the channels wire. */
#include "hub/mirror.h"
#include "hub_harness.h"

static const char config[] =
    "[server]\nlisten = \"127.0.0.1:0\"\nweb = \"\"\n"
    "[limits]\nchannels = 20\n"
    "[[namespace]]\nname = \"chat\"\nhistory = 10\npresence_clients = \"clients:\"\npresence_users = \"users:\"\n"
    "[[namespace]]\nname = \"clients\"\nkeyed = true\nmap = \"ephemeral\"\nkey_ttl = \"30s\"\n"
    "[[namespace]]\nname = \"users\"\nkeyed = true\nkey_ttl = \"30s\"\n";

static struct listener live, clients, users;

static int setup(void **state)
{
    (void)state;
    world_open(config);
    live = clients = users = (struct listener){0};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_close();
    listener_done(&live);
    listener_done(&clients);
    listener_done(&users);
    return 0;
}

static void join(const char *session, const char *user, const char *conn_info)
{
    struct answer a;
    struct hub_subscribe *s = subscribe_post(&(struct wish){.channel = "chat:a", .listener = &live, .session = session}, &a);
    free(s->user);
    s->user = xstrdup(user);
    s->conn_info = xstrdup(conn_info);
    turn();
    assert_int_equal(a.error, CRIER_OK);
    answer_done(&a);
}

static void leave(const char *session)
{
    hub_leave_post(&world.hub, BYTES_LIT("chat:a"), session);
    turn();
}

static void watch(enum frame_form form)
{
    struct answer a;
    subscribe(&a, &clients, .channel = "clients:chat:a", .form = form);
    answer_done(&a);
    subscribe(&a, &users, .channel = "users:chat:a", .form = form);
    answer_done(&a);
}

/* The bytes of the frames without their WebSocket headers (all are shorter than 126 bytes). */
static void assert_frames(struct listener *l, const char *expected)
{
    CLEANUP_BUF text = BUF_INIT;
    for (size_t i = 0; i < l->text.len; i += 2 + (size_t)(unsigned char)l->text.data[i + 1])
        buf_append(&text, l->text.data + i + 2, (unsigned char)l->text.data[i + 1]);
    assert_string_equal(text_of(&text), expected);
    l->text.len = 0;
}

static void who_is_subscribed_is_in_the_maps_beside(void **state)
{
    (void)state;
    watch(FORM_CHANNELS_UNI);
    join("s1", "anna", "{\"n\":1}");
    assert_frames(&clients, "{\"channel\":\"clients:chat:a\",\"pub\":{\"info\":{\"user\":\"anna\",\"client\":\"s1\","
                            "\"conn_info\":{\"n\":1}},\"key\":\"s1\"}}");
    CLEANUP_BUF user = BUF_INIT;
    buf_printf(&user, "{\"channel\":\"users:chat:a\",\"pub\":{\"offset\":1,\"key\":\"anna\",\"epoch\":\"%s\"}}",
               find("users:chat:a")->epoch);
    assert_frames(&users, text_of(&user));
    join("s2", "anna", NULL);
    join("s3", "", NULL);
    assert_int_equal(find("clients:chat:a")->keyed.count, 3);
    assert_int_equal(find("users:chat:a")->keyed.count, 1);
    clients.text.len = users.text.len = 0;
    leave("s1");
    assert_frames(&clients, "{\"channel\":\"clients:chat:a\",\"pub\":{\"key\":\"s1\",\"removed\":true}}");
    leave("s1");
    assert_frames(&clients, "");
    leave("s2");
    leave("s3");
    assert_int_equal(find("clients:chat:a")->keyed.count, 0);
    assert_int_equal(find("users:chat:a")->keyed.count, 1); /* until its time is over */
}

static void sweep(void)
{
    channel_sweep(find("clients:chat:a"), test_mono_ms, test_wall_ms);
    channel_sweep(find("users:chat:a"), test_mono_ms, test_wall_ms);
    turn();
}

static void those_who_stay_do_not_expire_and_nobody_hears_of_it(void **state)
{
    (void)state;
    watch(FORM_POLL);
    join("s1", "anna", NULL);
    join("s2", "bert", NULL);
    for (int i = 0; i < 10; i++) {
        pass_ms(MIRROR_RENEW_MS);
        if (i == 5)
            leave("s2");
        mirrors_renew(&world.hub);
        sweep();
    }
    assert_int_equal(find("clients:chat:a")->keyed.count, 1);
    assert_non_null(keyed_find(&find("users:chat:a")->keyed, BYTES_LIT("anna")));
    assert_null(keyed_find(&find("users:chat:a")->keyed, BYTES_LIT("bert")));
    assert_offsets(&clients, "1 2 3 ");
    assert_offsets(&users, "1 2 3 "); /* anna, bert, and the end of bert */
}

static void a_key_that_was_lost_comes_back(void **state)
{
    (void)state;
    join("s1", "anna", NULL);
    pass_ms(31000);
    sweep();
    assert_int_equal(find("clients:chat:a")->keyed.count, 0);
    mirrors_renew(&world.hub);
    assert_int_equal(find("clients:chat:a")->keyed.count, 1);
    assert_int_equal(find("users:chat:a")->keyed.count, 1);
}

static void too_many_channels_cost_the_mirror_not_the_subscription(void **state)
{
    struct outcome o;
    char name[24];
    (void)state;
    for (int i = 0; i < 19; i++) {
        snprintf(name, sizeof name, "chat:%d", i);
        publish(&o, name, NULL, "1", NULL);
    }
    join("s1", "anna", NULL);
    assert_null(find("clients:chat:a"));
    assert_non_null(presence_find(&find("chat:a")->presence, "s1"));
    leave("s1");
    assert_int_equal(find("chat:a")->presence.count, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(who_is_subscribed_is_in_the_maps_beside),
        TEST(those_who_stay_do_not_expire_and_nobody_hears_of_it),
        TEST(a_key_that_was_lost_comes_back),
        TEST(too_many_channels_cost_the_mirror_not_the_subscription),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
