/* Streamed responses: heads, bodies that end with the connection, peers that do not read or go away, refusals, draining. */
#include "net_harness.h"

#define FLOOD_FRAMES 300
#define FLOOD_BYTES 20000

static atomic_int opened, closed_count, last_code, writable_count, message_count, limited_count, refused_count;
static struct ws_conn *last_conn;
static _Atomic(struct http_request *) waiting;
static atomic_int verdict_status;
static bool close_in_message;

static void on_upgrade(struct http_request *r, struct ws_verdict *v)
{
    assert_true(http_path(r).len > 0);
    assert_ptr_equal(v->user, &waiting);
    v->user = &opened;
    if (verdict_status) {
        v->status = verdict_status;
        v->reason = "not you";
        v->retry_after_s = 7;
    }
}

static void on_message(struct ws_conn *c, bool text, struct bytes message)
{
    CLEANUP_BUF out = BUF_INIT;
    buf_printf(&out, "%s %.*s\n", text ? "text" : "binary", (int)message.len, message.data);
    assert_int_equal(ws_write(c, out.data, out.len), 0);
    message_count++;
    if (close_in_message)
        ws_close(c, 3000, "said");
}

static void on_limited(struct ws_conn *c, bool text, struct bytes message)
{
    (void)c, (void)text, (void)message;
    limited_count++;
}

static void on_writable(struct ws_conn *c)
{
    assert_false(ws_blocked(c));
    writable_count++;
}

static void on_farewell(struct ws_conn *c, int code, const char *reason, struct buf *out)
{
    assert_ptr_equal(ws_user(c), &opened);
    buf_printf(out, "bye %d %s\n", code, reason);
}

static void on_closed(struct ws_conn *c, int code)
{
    assert_ptr_equal(ws_user(c), &opened);
    last_code = code;
    closed_count++;
    if (last_conn == c)
        last_conn = NULL;
}

static const struct ws_ops ops = {
    .upgrade = on_upgrade,
    .message = on_message,
    .limited = on_limited,
    .writable = on_writable,
    .farewell = on_farewell,
    .closed = on_closed,
};

static void begin(struct http_request *r)
{
    const struct http_header headers[] = {{"Cache-Control", BYTES_LIT("no-cache")}, {"X-Accel-Buffering", BYTES_LIT("no")}};
    const struct http_reply head = {200, "text/event-stream", BYTES_LIT("\r\n"), headers, 2};
    struct ws_conn *c = http_stream_start(r, &head, &ops, &waiting);
    if (!c) {
        refused_count++;
        return;
    }
    last_conn = c;
    opened++;
}

static void on_stream(struct http_request *r, void *arg)
{
    (void)arg;
    begin(r);
}

static void on_abort(void *arg)
{
    (void)arg;
    waiting = NULL;
}

static void on_later(struct http_request *r, void *arg)
{
    (void)arg;
    waiting = r;
    http_on_abort(r, on_abort, NULL);
}

static void on_inject(struct http_request *r, void *arg)
{
    const struct http_header bad = {"X-Test", BYTES_LIT("a\r\nSet-Cookie: b")};
    (void)arg;
    assert_null(http_stream_start(r, &(struct http_reply){200, NULL, BYTES_NULL, &bad, 1}, &ops, NULL));
    refused_count++;
}

static void on_get(struct http_request *r, void *arg)
{
    (void)arg;
    http_respond(r, &(struct http_reply){.status = 200, .content_type = "text/plain", .body = BYTES_LIT("got")});
}

static const struct http_route routes[] = {
    {"GET", "/stream", on_stream, NULL, CORS_CREDENTIALS}, {"POST", "/stream", on_stream, NULL, CORS_CREDENTIALS},
    {"GET", "/later", on_later, NULL, CORS_NONE},          {"GET", "/inject", on_inject, NULL, CORS_NONE},
    {"GET", "/get", on_get, NULL, CORS_NONE},
};

static void start(struct server *s)
{
    opened = closed_count = last_code = writable_count = message_count = limited_count = refused_count = 0;
    last_conn = NULL;
    close_in_message = false;
    verdict_status = 0;
    s->options.routes = routes;
    s->options.route_count = sizeof routes / sizeof *routes;
    server_start(s);
}

static void stop(struct server *s)
{
    server_stop(s);
    assert_int_equal(metric_total(M_STREAMS), 0);
    assert_int_equal(opened, closed_count); /* closed() exactly once for each */
}

/* Opens a stream and reads to the end of its head and preamble. */
static int open_stream(struct server *s, const char *request, int receive_buffer, struct response *r)
{
    RESPONSE own = {0};
    int before = opened, fd = dial_with_buffer(s, receive_buffer);
    char preamble[2];
    put_text(fd, request);
    read_response(fd, r ? r : &own, true);
    assert_true(get(fd, preamble, 2));
    assert_memory_equal(preamble, "\r\n", 2);
    eventually(opened > before);
    return fd;
}

static int dial_stream(struct server *s)
{
    return open_stream(s, GET("/stream"), 0, NULL);
}

static void expect(int fd, const char *text)
{
    char got[200];
    assert_true(strlen(text) < sizeof got);
    assert_true(get(fd, got, strlen(text)));
    got[strlen(text)] = 0;
    assert_string_equal(got, text);
}

static void write_text(struct server *s, void *text)
{
    (void)s;
    assert_int_equal(ws_write(last_conn, text, strlen(text)), 0);
}

static void say(struct server *s, const char *text)
{
    server_call(s, write_text, (void *)text);
}

static void close_last(struct server *s, void *arg)
{
    (void)s, (void)arg;
    int before = closed_count;
    ws_close(last_conn, 3503, "enough");
    assert_int_equal(ws_write(last_conn, "x", 1), -EPIPE);
    ws_close(last_conn, 1000, "twice");
    assert_int_equal(closed_count, before); /* never from inside */
}

/* ---- head, body, end ---- */

static void test_a_stream_is_delimited_by_its_connection(void **state)
{
    (void)state;
    struct server s;
    RESPONSE r = {0};
    server_init(&s);
    start(&s);
    static const char *const requests[] = {
        GET("/stream"),
        "GET /stream HTTP/1.0\r\n\r\n",
        "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        "POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    };
    for (int i = 0; i < 5; i++) {
        int fd = open_stream(&s, requests[i], 0, &r);
        assert_int_equal(r.status, 200);
        assert_string_equal(header(&r, "Content-Type"), "text/event-stream");
        assert_string_equal(header(&r, "Cache-Control"), "no-cache");
        assert_string_equal(header(&r, "X-Accel-Buffering"), "no");
        assert_string_equal(header(&r, "Connection"), "close");
        assert_null(header(&r, "Content-Length"));
        assert_null(header(&r, "Transfer-Encoding"));
        assert_int_equal(metric_total(M_SESSIONS), 1);
        assert_int_equal(metric_total(M_STREAMS), 1);
        say(&s, "data: one\n\n");
        expect(fd, "data: one\n\n");
        say(&s, "data: two\n\n");
        expect(fd, "data: two\n\n");
        server_call(&s, close_last, NULL);
        expect(fd, "bye 3503 enough\n");
        assert_true(at_end(fd));
        close(fd);
        eventually(closed_count == i + 1);
        assert_int_equal(last_code, 3503);
    }
    stop(&s);
}

static void start_waiting(struct server *s, void *arg)
{
    (void)s, (void)arg;
    if (waiting)
        begin(waiting);
    waiting = NULL;
}

static void test_a_request_may_become_a_stream_later(void **state)
{
    (void)state;
    struct server s;
    RESPONSE r = {0};
    server_init(&s);
    start(&s);
    int fd = dial(&s);
    put_text(fd, GET("/later") GET("/get")); /* what is pipelined behind is not processed */
    eventually(waiting != NULL);
    server_call(&s, start_waiting, NULL);
    assert_int_equal(opened, 1);
    read_response(fd, &r, true);
    assert_int_equal(r.status, 200);
    say(&s, "first\n");
    expect(fd, "\r\nfirst\n");
    close(fd);
    eventually(closed_count == 1);
    stop(&s);
}

static void test_head_gets_a_head_only(void **state)
{
    (void)state;
    struct server s;
    RESPONSE r = {0};
    server_init(&s);
    start(&s);
    int fd = dial(&s);
    put_text(fd, "HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    read_response(fd, &r, true);
    assert_int_equal(r.status, 200);
    assert_string_equal(header(&r, "Content-Type"), "text/event-stream");
    assert_true(at_end(fd));
    close(fd);
    eventually(refused_count == 1);
    assert_int_equal(opened, 0);
    stop(&s);
}

static void test_what_follows_the_request_is_no_request(void **state)
{
    (void)state;
    struct server s;
    server_init(&s);
    s.config.limits.header_bytes = 1024;
    start(&s);
    int fd = open_stream(&s, GET("/stream") GET("/get"), 0, NULL);
    for (int i = 0; i < 1024; i++)
        put(fd, "x", 1);
    sleep_ms(50);
    say(&s, "still\n");
    expect(fd, "still\n"); /* and no reply to the second request before it */
    int64_t limited = metric_total(M_LIMIT_HEADER);
    put(fd, "x", 1);
    eventually(closed_count == 1);
    assert_int_equal(metric_total(M_LIMIT_HEADER), limited + 1);
    assert_int_equal(last_code, 1006);
    close(fd);
    stop(&s);
}

/* ---- peers ---- */

static void test_a_peer_that_goes_away_is_noticed_at_once(void **state)
{
    (void)state;
    struct server s;
    server_init(&s);
    start(&s);
    for (int how = 0; how < 3; how++) {
        int fd = dial_stream(&s);
        struct linger l = {.l_onoff = how == 1};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
        if (how == 2)
            shutdown(fd, SHUT_WR);
        else
            close(fd);
        eventually(closed_count == how + 1);
        assert_int_equal(last_code, 1006);
        if (how == 2)
            close(fd);
    }
    stop(&s);
}

static void flood(struct server *s, void *arg)
{
    char *payload = malloc(FLOOD_BYTES);
    (void)s, (void)arg;
    memset(payload, 'f', FLOOD_BYTES);
    for (int i = 0; i < FLOOD_FRAMES; i++) {
        snprintf(payload, 12, "%d", i);
        assert_int_equal(ws_write(last_conn, payload, FLOOD_BYTES), 0);
    }
    assert_true(ws_blocked(last_conn));
    free(payload);
}

static void expect_flood(int fd)
{
    char *payload = malloc(FLOOD_BYTES);
    for (int i = 0; i < FLOOD_FRAMES; i++) {
        assert_true(get(fd, payload, FLOOD_BYTES));
        assert_int_equal(atoi(payload), i);
    }
    free(payload);
}

static int dial_slow(struct server *s)
{
    return open_stream(s, GET("/stream"), 4096, NULL);
}

static void start_slow(struct server *s)
{
    server_init(s);
    s->config.server.send_buffer_bytes = 16384;
    start(s);
}

static void test_slow_reader_costs_nothing_and_loses_nothing(void **state)
{
    (void)state;
    struct server s;
    start_slow(&s);
    int fd = dial_slow(&s);
    server_call(&s, flood, NULL);
    put_text(fd, "while blocked"); /* must not wake the loop all the time */
    double cpu = server_cpu_seconds(&s);
    sleep_ms(600);
    assert_true(server_cpu_seconds(&s) - cpu < 0.1);
    assert_int_equal(metric_total(M_CLIENTS_BEHIND), 1);
    expect_flood(fd);
    eventually(writable_count == 1);
    assert_int_equal(metric_total(M_CLIENTS_BEHIND), 0);
    say(&s, "go on\n");
    expect(fd, "go on\n");
    close(fd);
    stop(&s);
}

static void test_blocked_peer_that_goes_away(void **state)
{
    (void)state;
    struct server s;
    start_slow(&s);
    for (int reset = 0; reset < 2; reset++) {
        int fd = dial_slow(&s);
        server_call(&s, flood, NULL);
        struct linger l = {.l_onoff = reset};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
        close(fd);
        eventually(closed_count == reset + 1);
        double cpu = server_cpu_seconds(&s);
        sleep_ms(200);
        assert_true(server_cpu_seconds(&s) - cpu < 0.05);
    }
    stop(&s);
}

static void test_blocked_peer_that_makes_no_progress_is_cut(void **state)
{
    (void)state;
    struct server s;
    server_init(&s);
    s.config.server.send_buffer_bytes = 16384;
    s.config.limits.ping_ms = 400;
    s.config.limits.pong_ms = 400;
    start(&s);
    int fd = dial_slow(&s);
    uint64_t begin_ms = clock_mono_ms();
    server_call(&s, flood, NULL);
    eventually(closed_count == 1);
    assert_true(clock_mono_ms() - begin_ms > 700);
    close(fd);
    stop(&s);
}

static void test_silence_is_no_reason_to_end_a_stream(void **state)
{
    (void)state;
    struct server s;
    server_init(&s);
    s.config.limits.ping_ms = 200;
    s.config.limits.pong_ms = 200;
    s.config.limits.idle_ms = 200;
    s.config.limits.keepalive_ms = 200;
    s.config.limits.handshake_ms = 200;
    start(&s);
    int fd = dial_stream(&s);
    sleep_ms(1500);
    assert_int_equal(closed_count, 0);
    say(&s, "here\n");
    expect(fd, "here\n"); /* and no frame of WebSocket's pings */
    close(fd);
    stop(&s);
}

static void test_close_while_blocked_comes_after_what_was_sent(void **state)
{
    (void)state;
    struct server s;
    start_slow(&s);
    int fd = dial_slow(&s);
    server_call(&s, flood, NULL);
    server_call(&s, close_last, NULL);
    expect_flood(fd);
    expect(fd, "bye 3503 enough\n");
    assert_true(at_end(fd));
    close(fd);
    eventually(closed_count == 1);
    assert_int_equal(last_code, 3503);
    stop(&s);
}

static void test_close_does_not_wait_for_ever(void **state)
{
    (void)state;
    struct server s;
    start_slow(&s);
    int blocked = dial_slow(&s);
    server_call(&s, flood, NULL);
    uint64_t begin_ms = clock_mono_ms();
    server_call(&s, close_last, NULL);
    int idle = dial_stream(&s);
    server_call(&s, close_last, NULL);
    eventually(closed_count >= 1); /* the one that could take everything has 2 s */
    assert_int_equal(closed_count, 1);
    eventually(closed_count == 2);
    assert_true(clock_mono_ms() - begin_ms > 4500);
    close(blocked), close(idle);
    stop(&s);
}

/* ---- messages by other requests ---- */

static void take_message(struct server *s, void *arg)
{
    (void)s, (void)arg;
    ws_take_message(last_conn, true, BYTES_LIT("hello"));
}

static void take_messages(struct server *s, void *arg)
{
    for (int i = 0; i < *(int *)arg && last_conn; i++)
        take_message(s, NULL);
}

static void test_messages_count_as_those_of_a_socket(void **state)
{
    (void)state;
    struct server s;
    int many = 10;
    server_init(&s);
    s.config.limits.rate_messages = 1;
    s.config.limits.rate_burst = 2;
    s.config.limits.rate_strikes = 3;
    start(&s);
    int fd = dial_stream(&s);
    int64_t in = metric_total(M_MESSAGES_IN);
    server_call(&s, take_message, NULL);
    expect(fd, "text hello\n");
    assert_int_equal(metric_total(M_MESSAGES_IN), in + 1);
    server_call(&s, take_messages, &many);
    assert_int_equal(message_count, 2);
    assert_int_equal(limited_count, 2); /* the third closes */
    expect(fd, "text hello\nbye 1008 too many messages\n");
    assert_true(at_end(fd));
    assert_int_equal(closed_count, 1);
    assert_int_equal(last_code, 1008);
    close(fd);
    stop(&s);
}

static void close_by_message(struct server *s, void *arg)
{
    close_in_message = true;
    take_message(s, NULL);
    take_message(s, arg); /* comes too late */
}

static void test_close_inside_of_a_message(void **state)
{
    (void)state;
    struct server s;
    server_init(&s);
    start(&s);
    int fd = dial_stream(&s);
    server_call(&s, close_by_message, NULL);
    assert_int_equal(message_count, 1);
    expect(fd, "text hello\nbye 3000 said\n");
    assert_true(at_end(fd));
    close(fd);
    stop(&s);
}

/* ---- refusals and origins ---- */

static void test_refusals(void **state)
{
    (void)state;
    struct server s;
    RESPONSE r = {0};
    server_init(&s);
    s.config.limits.handshakes_per_second = 1;
    start(&s);
    int64_t refused = metric_total(M_HANDSHAKES_REFUSED);
    ask(&s, "GET /stream HTTP/1.1\r\nHost: a\r\nOrigin: https://evil.example\r\n\r\n", &r);
    assert_int_equal(r.status, 403);
    assert_null(header(&r, "Access-Control-Allow-Origin"));
    ask(&s, GET("/inject"), &r);
    assert_int_equal(r.status, 500);
    assert_null(strstr(r.head.data, "Set-Cookie"));
    int fd = dial_stream(&s);
    ask(&s, GET("/stream"), &r);
    assert_int_equal(r.status, 503);
    assert_string_equal(header(&r, "Retry-After"), "1");
    eventually(refused_count == 3);
    sleep_ms(1100);
    verdict_status = 401;
    ask(&s, GET("/stream"), &r);
    assert_int_equal(r.status, 401);
    assert_string_equal(header(&r, "Retry-After"), "7");
    assert_non_null(strstr(r.body.data, "not you"));
    assert_int_equal(metric_total(M_HANDSHAKES_REFUSED), refused + 3);
    assert_int_equal(opened, 1);
    close(fd);
    stop(&s);
}

static void test_streams_count_as_connections(void **state)
{
    (void)state;
    struct server s;
    RESPONSE r = {0};
    server_init(&s);
    s.config.limits.connections_per_address = 2;
    start(&s);
    int a = dial_stream(&s), b = dial_stream(&s);
    ask(&s, GET("/stream"), &r);
    assert_int_equal(r.status, 429);
    close(a);
    eventually(closed_count == 1);
    int c = dial_stream(&s);
    close(b), close(c);
    stop(&s);
}

static void test_listed_origins_may_use_credentials(void **state)
{
    (void)state;
    struct server s;
    RESPONSE r = {0};
    server_init(&s);
    start(&s);
    int fd = open_stream(&s, "GET /stream HTTP/1.1\r\nHost: a\r\nOrigin: https://good.example\r\n\r\n", 0, &r);
    assert_string_equal(header(&r, "Access-Control-Allow-Origin"), "https://good.example");
    assert_string_equal(header(&r, "Access-Control-Allow-Credentials"), "true");
    close(fd);
    ask(&s,
        "OPTIONS /stream HTTP/1.1\r\nHost: a\r\nOrigin: https://good.example\r\nAccess-Control-Request-Method: POST\r\n"
        "Access-Control-Request-Headers: x-mine\r\n\r\n",
        &r);
    assert_int_equal(r.status, 204);
    assert_string_equal(header(&r, "Access-Control-Allow-Headers"), "x-mine");
    assert_string_equal(header(&r, "Access-Control-Allow-Methods"), "GET, HEAD, POST, OPTIONS");
    assert_string_equal(header(&r, "Access-Control-Allow-Credentials"), "true");
    ask(&s,
        "OPTIONS /stream HTTP/1.1\r\nHost: a\r\nOrigin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n\r\n",
        &r);
    assert_int_equal(r.status, 204);
    assert_null(header(&r, "Access-Control-Allow-Methods"));
    assert_null(header(&r, "Access-Control-Allow-Credentials"));
    stop(&s);
}

/* ---- draining and the end ---- */

static void on_drained(void *arg)
{
    struct server *s = arg;
    s->drained = true;
}

static void drain(struct server *s, void *arg)
{
    (void)arg;
    net_drain(s->net, 1001, "going away", 1000, on_drained, s);
}

static void test_drain_spreads_the_ends(void **state)
{
    (void)state;
    enum { CLIENTS = 100 };
    struct server s;
    RESPONSE r = {0};
    int fds[CLIENTS], early = 0;
    server_init(&s);
    start(&s);
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = dial_stream(&s);
    int late = dial(&s);
    put_text(late, "GET /stream HTTP/1.1\r\n");
    sleep_ms(50);
    uint64_t begin_ms = clock_mono_ms();
    server_call(&s, drain, NULL);
    put_text(late, "Host: a\r\n\r\n");
    read_response(late, &r, false);
    assert_int_equal(r.status, 503);
    close(late);
    eventually((early = readable_count(fds, CLIENTS)) > 0);
    assert_true(early < 75);
    for (int i = 0; i < CLIENTS; i++) {
        expect(fds[i], "bye 1001 going away\n");
        assert_true(at_end(fds[i]));
        close(fds[i]);
    }
    eventually(s.drained);
    assert_true(clock_mono_ms() - begin_ms > 900 && clock_mono_ms() - begin_ms < 15000);
    assert_int_equal(last_code, 1001);
    stop(&s);
}

static void test_free_cuts_everything(void **state)
{
    (void)state;
    struct server s;
    int fds[20];
    start_slow(&s);
    for (int i = 0; i < 20; i++) {
        fds[i] = dial_slow(&s);
        if (i % 2)
            server_call(&s, flood, NULL);
        if (i % 3 == 0)
            server_call(&s, close_last, NULL);
    }
    stop(&s);
    for (int i = 0; i < 20; i++)
        close(fds[i]);
}

static void test_many_streams_come_and_go(void **state)
{
    (void)state;
    struct server s;
    int fds[300];
    server_init(&s);
    start(&s);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 300; i++) {
            fds[i] = dial(&s);
            put_text(fds[i], GET("/stream"));
        }
        eventually(opened == 300 * (round + 1));
        assert_int_equal(metric_total(M_STREAMS), 300);
        for (int i = 0; i < 300; i++)
            close(fds[(i * 7) % 300]);
        eventually(metric_total(M_CONNECTIONS) == 0);
    }
    stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stream_is_delimited_by_its_connection),
        cmocka_unit_test(test_a_request_may_become_a_stream_later),
        cmocka_unit_test(test_head_gets_a_head_only),
        cmocka_unit_test(test_what_follows_the_request_is_no_request),
        cmocka_unit_test(test_a_peer_that_goes_away_is_noticed_at_once),
        cmocka_unit_test(test_slow_reader_costs_nothing_and_loses_nothing),
        cmocka_unit_test(test_blocked_peer_that_goes_away),
        cmocka_unit_test(test_blocked_peer_that_makes_no_progress_is_cut),
        cmocka_unit_test(test_silence_is_no_reason_to_end_a_stream),
        cmocka_unit_test(test_close_while_blocked_comes_after_what_was_sent),
        cmocka_unit_test(test_close_does_not_wait_for_ever),
        cmocka_unit_test(test_messages_count_as_those_of_a_socket),
        cmocka_unit_test(test_close_inside_of_a_message),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_streams_count_as_connections),
        cmocka_unit_test(test_listed_origins_may_use_credentials),
        cmocka_unit_test(test_drain_spreads_the_ends),
        cmocka_unit_test(test_free_cuts_everything),
        cmocka_unit_test(test_many_streams_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
