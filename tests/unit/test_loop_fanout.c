/* Cursors, passes and policies of a loop without a network: the connections are the test's. */
#include "hub_harness.h"

#include "loop/engine.h"
#include "session/session.h"

static const char config[] = "[server]\nlisten = \"127.0.0.1:0\"\nweb = \"\"\n"
                             "[limits]\nframe_log_bytes = \"4KiB\"\nsubscriptions = 3\n"
                             "[[bridge]]\nname = \"b\"\ndriver = \"fake\"\nservers = \"x\"\n"
                             "[[namespace]]\nname = \"chat\"\nhistory = 1000\nbehind = \"skip\"\ngather_ms = 5\n"
                             "[[namespace]]\nname = \"re\"\nhistory = 1000\nbehind = \"resync\"\ngather_ms = 5\n"
                             "[[namespace]]\nname = \"who\"\nhistory = 10\npresence = true\n"
                             "[[namespace]]\nname = \"slow\"\nhistory = 10\n"
                             "[[source]]\nbridge = \"b\"\ntopic = \"slow\"\nchannel = \"slow:{key}\"\n";

/* ---- connections in place of server/net's ---- */

struct ws_conn {
    struct session *session;
    struct buf out;
    bool blocked;
    int writes;
    int closed; /* code */
};

bool ws_blocked(const struct ws_conn *c)
{
    return c->blocked;
}

int ws_write(struct ws_conn *c, const void *frames, size_t len)
{
    assert_false(c->blocked);
    buf_append(&c->out, frames, len);
    c->writes++;
    return 0;
}

void ws_close(struct ws_conn *c, int code, const char *reason)
{
    (void)reason;
    c->closed = code;
}

void loop_decide_in(struct loop *l, uint64_t ms)
{
    (void)l, (void)ms;
}

void loop_post(struct loop *l, struct inbox_message *m)
{
    inbox_post(&l->inbox, m);
}

/* ---- a wire that writes what it is told as text ---- */

__attribute__((format(printf, 2, 3))) static void say(struct session *s, const char *format, ...)
{
    char text[200];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    session_send(s, bytes_of(text));
}

static void on_live(struct session *s, struct subscription *sub, const struct hub_subscribe *result)
{
    say(s, "<live %s %lld %d>", sub->form->channel->name, (long long)result->position, result->recovered);
}

static void on_failed(struct session *s, struct bytes channel, enum crier_error error, const char *detail)
{
    (void)detail;
    say(s, "<failed %.*s %d>", (int)channel.len, channel.data, error);
}

static void on_gap(struct session *s, struct bytes channel, int64_t first, int64_t last)
{
    say(s, "<gap %.*s %lld-%lld>", (int)channel.len, channel.data, (long long)first, (long long)last);
}

static void on_ended(struct session *s, struct bytes channel, int code, const char *reason)
{
    (void)reason;
    say(s, "<ended %.*s %d>", (int)channel.len, channel.data, code);
}

static const struct wire_ops wire = {
    .subscribed = on_live, .subscribe_failed = on_failed, .gap = on_gap, .unsubscribed = on_ended};

/* ---- the world: one loop beside the hub, on its thread ---- */

static struct engine *engine;
static struct loop *loop;

static void on_timer(uv_timer_t *timer)
{
    (void)timer;
}

static int setup(void **state)
{
    (void)state;
    world_open(config);
    engine = xcalloc(1, sizeof *engine);
    loop = xcalloc(1, sizeof *loop);
    engine->config = world.config;
    engine->hub = &world.hub;
    loop->engine = engine;
    loop->port = (struct hub_loop){.inbox = &loop->inbox, .on_block = channel_form_on_block,
                                   .on_epoch = channel_form_on_epoch, .clients = channel_form_clients};
    loop->index = hub_add_loop(&world.hub, &loop->port);
    uv_loop_init(&loop->uv);
    inbox_init(&loop->inbox, &loop->uv, loop);
    uv_timer_init(&loop->uv, &loop->gather);
    uv_idle_init(&loop->uv, &loop->more);
    uv_timer_start(&loop->gather, on_timer, 0, 0);
    return 0;
}

/* Some turns of both sides, with everything delivered; no time passes. */
static void turns(void)
{
    for (int i = 0; i < 6; i++) {
        turn();
        uv_run(&loop->uv, UV_RUN_NOWAIT);
        if (loop->dirty || loop->gathering || loop->passing)
            loop_flush(loop);
    }
}

static struct session *session_open(void)
{
    struct session *s = session_new(loop, &wire, "user", NULL);
    s->conn = xcalloc(1, sizeof *s->conn);
    s->conn->session = s;
    s->form = FORM_TYPED_OBJECT;
    s->form_known = true;
    return s;
}

static void session_end(struct session *s)
{
    struct ws_conn *c = s->conn;
    session_free(s);
    buf_done(&c->out);
    free(c);
}

static void session_unblock(struct session *s)
{
    s->conn->blocked = false;
    session_flush(s);
}

static int teardown(void **state)
{
    (void)state;
    while (loop->sessions)
        session_end(loop->sessions);
    turns();
    hub_close(&world.hub, 0, on_hub_closed);
    turns();
    inbox_close(&loop->inbox);
    uv_close((uv_handle_t *)&loop->gather, NULL);
    uv_close((uv_handle_t *)&loop->more, NULL);
    uv_run(&loop->uv, UV_RUN_NOWAIT);
    world_close();
    loop_channels_done(loop);
    assert_int_equal(uv_loop_close(&loop->uv), 0);
    buf_done(&loop->scratch);
    free(loop);
    free(engine);
    return 0;
}

static void join(struct session *s, const char *channel, int64_t history)
{
    const struct subscribe_request q = {.channel = bytes_of(channel), .history = history};
    session_subscribe(s, &q);
    turns();
}

/* What the session was sent since the last look, without what makes frames frames: "1 2 <gap ..>". */
static const char *heard(struct session *s)
{
    static char text[8192];
    const char *at = text_of(&s->conn->out), *end = at + s->conn->out.len;
    size_t n = 0;
    text[0] = 0;
    for (; at < end && n < sizeof text - 100; at++) {
        const char *mark = "\"payload\":";
        if (*at == '<') {
            while (*at != '>')
                text[n++] = *at++;
            n += (size_t)sprintf(text + n, "> ");
        } else if (strncmp(at, mark, strlen(mark)) == 0) {
            n += (size_t)sprintf(text + n, "%ld ", strtol(at + strlen(mark), NULL, 10));
        }
    }
    text[n] = 0;
    s->conn->out.len = 0;
    return text;
}

static void say_in(const char *channel, int number)
{
    struct outcome o;
    char payload[16];
    snprintf(payload, sizeof payload, "%d", number);
    publish(&o, channel, NULL, payload, NULL);
    assert_int_equal(o.error, CRIER_OK);
}

/* More than a frame log holds. */
static void flood(const char *channel, int first)
{
    struct outcome o;
    char payload[900];
    for (int i = 0; i < 8; i++) {
        int n = snprintf(payload, sizeof payload, "%d", first + i);
        memset(payload + n, ' ', sizeof payload - 1 - (size_t)n);
        payload[sizeof payload - 1] = 0;
        publish(&o, channel, NULL, payload, NULL);
    }
}

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
    s->conn->blocked = other->conn->blocked = false;
    say_in("re:y", 50);
    turns();
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
