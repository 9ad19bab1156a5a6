/* HTTP over a real socket: requests cut and joined in every way, limits, deadlines, refusals, CORS. */
#include "net_harness.h"

static struct http_request *waiting;
static atomic_int aborted, waiting_count;

static void on_get(struct http_request *r, void *arg)
{
    (void)arg;
    http_respond(r, &(struct http_reply){.status = 200, .content_type = "text/plain", .body = http_path(r)});
}

static void on_post(struct http_request *r, void *arg)
{
    (void)arg;
    http_respond(r, &(struct http_reply){.status = 200, .content_type = "text/plain", .body = http_body(r)});
}

static void on_rest(struct http_request *r, void *arg)
{
    CLEANUP_BUF out = BUF_INIT;
    (void)arg;
    buf_append_bytes(&out, http_path_rest(r));
    buf_append_str(&out, "|");
    if (http_query_get(r, "q", &out) == 0)
        buf_append_str(&out, "|");
    buf_append_bytes(&out, http_remote_address(r));
    http_respond(r, &(struct http_reply){.status = 200, .content_type = "text/plain", .body = buf_bytes(&out)});
}

static void on_inject(struct http_request *r, void *arg)
{
    const struct http_header bad = {"X-Test", BYTES_LIT("a\r\nSet-Cookie: b")};
    (void)arg;
    http_respond(r, &(struct http_reply){.status = 200, .headers = &bad, .header_count = 1});
}

static void on_aborted(void *arg)
{
    (void)arg;
    waiting = NULL;
    aborted++;
}

static void on_later(struct http_request *r, void *arg)
{
    (void)arg;
    waiting = r;
    waiting_count++;
    http_on_abort(r, on_aborted, NULL);
}

static void on_busy(struct http_request *r, void *arg)
{
    (void)arg;
    http_respond_error(r, 124, NULL);
}

static const struct http_route routes[] = {
    {"GET", "/get", on_get, NULL, false},   {"POST", "/post", on_post, NULL, true}, {"GET", "/post", on_get, NULL, true},
    {"GET", "/rest/*", on_rest, NULL, false}, {"GET", "/inject", on_inject, NULL, false},
    {"GET", "/later", on_later, NULL, false}, {"GET", "/busy", on_busy, NULL, false},
};

static void start(struct server *s)
{
    s->options.routes = routes;
    s->options.route_count = sizeof routes / sizeof *routes;
    server_start(s);
}

static void answer_waiting(struct server *s, void *arg)
{
    (void)s;
    (void)arg;
    if (waiting)
        http_respond(waiting, &(struct http_reply){.status = 200, .content_type = "text/plain", .body = BYTES_LIT("late")});
    waiting = NULL;
}

static void test_answers_in_one_connection(void **state)
{
    (void)state;
    struct server s;
    RESPONSE r = {0};
    server_init(&s);
    start(&s);
    int fd = dial(&s);
    for (int i = 0; i < 3; i++) {
        put_text(fd, GET("/get"));
        read_response(fd, &r, false);
        assert_int_equal(r.status, 200);
        assert_string_equal(r.body.data, "/get");
        assert_non_null(header(&r, "Date"));
        assert_null(header(&r, "Connection"));
    }
    put_text(fd, "HEAD /get HTTP/1.1\r\nHost: a\r\n\r\n");
    read_response(fd, &r, true);
    assert_string_equal(header(&r, "Content-Length"), "4");
    put_text(fd, "GET /rest/a%20b/c?x=1&q=two+words HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    read_response(fd, &r, false);
    assert_string_equal(r.body.data, "a b/c|two words|127.0.0.1");
    assert_string_equal(header(&r, "Connection"), "close");
    assert_true(at_end(fd));
    close(fd);
    server_stop(&s);
}

static void test_requests_in_single_bytes_and_joined(void **state)
{
    (void)state;
    static const char wire[] = GET("/get") "POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
        "POST /post HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n04;x\r\ndefg\r\n0\r\nT: 1\r\n\r\n" GET("/rest/end");
    static const char *const bodies[] = {"/get", "hello", "abcdefg", "end|127.0.0.1"};
    struct server s;
    RESPONSE r = {0};
    server_init(&s);
    start(&s);
    for (int way = 0; way < 2; way++) {
        int fd = dial(&s);
        for (size_t i = 0; way == 1 && i < sizeof wire - 1; i++) {
            put(fd, wire + i, 1);
            if (i % 7 == 0)
                usleep(300);
        }
        if (way == 0)
            put(fd, wire, sizeof wire - 1);
        for (size_t i = 0; i < 4; i++) {
            read_response(fd, &r, false);
            assert_int_equal(r.status, 200);
            assert_string_equal(r.body.data, bodies[i]);
        }
        close(fd);
    }
    server_stop(&s);
}

static void test_large_bodies_and_continue(void **state)
{
    (void)state;
    struct server s;
    RESPONSE r = {0};
    char body[100000];
    memset(body, 'b', sizeof body);
    server_init(&s);
    start(&s);
    int fd = dial(&s);
    put_text(fd, "POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n");
    read_response(fd, &r, true);
    assert_int_equal(r.status, 100);
    put(fd, body, sizeof body);
    read_response(fd, &r, false);
    assert_int_equal(r.body.len, sizeof body);
    assert_memory_equal(r.body.data, body, sizeof body);
    put_text(fd, "POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\nExpect: 100-continue\r\n\r\n");
    read_response(fd, &r, false);
    assert_int_equal(r.status, 413);
    assert_true(at_end(fd));
    close(fd);
    fd = dial(&s);
    put_text(fd, "POST /post HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n186a1\r\n");
    put(fd, body, sizeof body);
    put_text(fd, "x\r\n");
    read_response(fd, &r, false);
    assert_int_equal(r.status, 413);
    close(fd);
    server_stop(&s);
}

static const struct {
    const char *request;
    int status;
    bool ends; /* the connection is closed after it */
} refusals[] = {
    {GET("/nowhere"), 404, false},
    {"DELETE /post HTTP/1.1\r\nHost: a\r\n\r\n", 405, false},
    {GET("/../etc/passwd"), 400, false},
    {GET("/%2e%2e/x"), 400, false},
    {GET("/%00"), 400, false},
    {GET("/a%5c..%5cb"), 400, false},
    {GET("/busy"), 503, false},
    {GET("/inject"), 500, false},
    {"GET /get HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, true},
    {"GET /get HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400, true},
    {"GET /get HTTP/1.1\r\n\r\n", 400, true},
    {"GET /get HTTP/1.1\nHost: a\n\n", 400, true},
    {"\x16\x03\x01 TLS", 400, true},
    {"GET /get HTTP/2.0\r\nHost: a\r\n\r\n", 505, true},
    {"POST /post HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, true},
    {"POST /post HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400, true},
    {"POST /post HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, true},
    {"POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n", 413, true},
    {"GET /get HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n", 417, true},
};

static void test_refusals_are_json(void **state)
{
    (void)state;
    struct server s;
    server_init(&s);
    start(&s);
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        RESPONSE r = {0};
        int fd = dial(&s);
        put_text(fd, refusals[i].request);
        read_response(fd, &r, false);
        if (r.status != refusals[i].status)
            fail_msg("%s: %d, expected %d", refusals[i].request, r.status, refusals[i].status);
        assert_string_equal(header(&r, "Content-Type"), "application/json");
        assert_true(strncmp(r.body.data, "{\"error\":{\"code\":", 17) == 0);
        assert_null(strstr(r.head.data, "Set-Cookie"));
        if (refusals[i].ends) {
            assert_true(at_end(fd));
        } else {
            put_text(fd, GET("/get"));
            read_response(fd, &r, false);
            assert_int_equal(r.status, 200);
        }
        close(fd);
    }
    server_stop(&s);
}

static void test_head_over_the_limit(void **state)
{
    (void)state;
    struct server s;
    RESPONSE r = {0};
    CLEANUP_BUF b = BUF_INIT;
    server_init(&s);
    start(&s);
    buf_append_str(&b, "GET /get HTTP/1.1\r\nHost: a\r\nX: ");
    while (b.len < 9 * 1024)
        buf_append_str(&b, "xxxxxxxxxx");
    int fd = dial(&s);
    put(fd, b.data, b.len); /* its end never comes */
    read_response(fd, &r, false);
    assert_int_equal(r.status, 431);
    assert_true(at_end(fd));
    close(fd);
    server_stop(&s);
}

static void test_methods_and_cross_origin(void **state)
{
    (void)state;
    struct server s;
    RESPONSE r = {0};
    server_init(&s);
    start(&s);
    ask(&s, "PUT /post HTTP/1.1\r\nHost: a\r\n\r\n", &r);
    assert_string_equal(header(&r, "Allow"), "POST, GET, HEAD, OPTIONS");
    ask(&s, "OPTIONS /post HTTP/1.1\r\nHost: a\r\nOrigin: https://good.example\r\nAccess-Control-Request-Method: POST\r\n\r\n", &r);
    assert_int_equal(r.status, 204);
    assert_string_equal(header(&r, "Access-Control-Allow-Origin"), "https://good.example");
    assert_string_equal(header(&r, "Access-Control-Allow-Methods"), "POST, GET, HEAD, OPTIONS");
    assert_string_equal(header(&r, "Vary"), "Origin");
    static const char *const strangers[] = {"https://good.example.evil.test", "http://good.example", "https://evil-good.example",
                                            "null", "https://good.example:444", "https://GOOD.example"};
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
        char request[300];
        snprintf(request, sizeof request,
                 "OPTIONS /post HTTP/1.1\r\nHost: a\r\nOrigin: %s\r\nAccess-Control-Request-Method: POST\r\n\r\n", strangers[i]);
        ask(&s, request, &r);
        assert_null(strstr(r.head.data, "Access-Control"));
        assert_string_equal(header(&r, "Vary"), "Origin");
    }
    ask(&s, "GET /post HTTP/1.1\r\nHost: a\r\nOrigin: https://good.example\r\n\r\n", &r);
    assert_string_equal(header(&r, "Access-Control-Allow-Origin"), "https://good.example");
    ask(&s, "GET /get HTTP/1.1\r\nHost: a\r\nOrigin: https://good.example\r\n\r\n", &r);
    assert_null(strstr(r.head.data, "Access-Control"));
    ask(&s, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", &r);
    assert_int_equal(r.status, 204);
    server_stop(&s);
}

static void test_late_answers_keep_the_order(void **state)
{
    (void)state;
    struct server s;
    RESPONSE r = {0};
    server_init(&s);
    start(&s);
    waiting_count = 0;
    int fd = dial(&s);
    put_text(fd, GET("/later") GET("/get") GET("/later") GET("/get"));
    for (int i = 0; i < 2; i++) {
        eventually(waiting_count == i + 1);
        server_call(&s, answer_waiting, NULL);
        read_response(fd, &r, false);
        assert_string_equal(r.body.data, "late");
        read_response(fd, &r, false);
        assert_string_equal(r.body.data, "/get");
    }
    close(fd);
    server_stop(&s);
}

/* What is piled up behind an unanswered request is bounded: the sender is stopped by its own full socket. */
static void test_flood_behind_a_late_answer_is_held_back(void **state)
{
    (void)state;
    struct server s;
    char junk[4096];
    size_t sent = 0;
    server_init(&s);
    start(&s);
    waiting_count = 0;
    memset(junk, 'x', sizeof junk);
    int fd = dial(&s);
    put_text(fd, GET("/later"));
    eventually(waiting_count == 1);
    int64_t before = metric_total(M_BYTES_IN);
    for (int idle = 0; idle < 50;) {
        ssize_t n = send(fd, junk, sizeof junk, MSG_DONTWAIT | MSG_NOSIGNAL);
        idle = n > 0 ? 0 : idle + 1;
        sent += n > 0 ? (size_t)n : 0;
        if (n <= 0)
            sleep_ms(2);
        assert_true(sent < 64 << 20);
    }
    assert_true(metric_total(M_BYTES_IN) - before < 256 << 10);
    double cpu = server_cpu_seconds(&s);
    sleep_ms(300);
    assert_true(server_cpu_seconds(&s) - cpu < 0.1);
    close(fd);
    server_stop(&s);
}

static void test_handler_hears_of_an_abort(void **state)
{
    (void)state;
    struct server s;
    server_init(&s);
    start(&s);
    waiting_count = aborted = 0;
    int fd = dial(&s);
    put_text(fd, GET("/later"));
    eventually(waiting_count == 1);
    close(fd);
    eventually(aborted == 1);
    fd = dial(&s);
    put_text(fd, GET("/later"));
    eventually(waiting_count == 2);
    struct linger reset = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
    eventually(aborted == 2);
    int last = dial(&s);
    put_text(last, GET("/later"));
    eventually(waiting_count == 3);
    server_stop(&s); /* the end of the net is an abort, too */
    assert_int_equal(aborted, 3);
    close(last);
}

static void test_deadlines(void **state)
{
    (void)state;
    struct server s;
    RESPONSE r = {0};
    server_init(&s);
    s.config.limits.handshake_ms = 600;
    s.config.limits.keepalive_ms = 900;
    start(&s);
    int64_t cut = metric_total(M_LIMIT_HANDSHAKE), idle_closed = metric_total(M_IDLE_CLOSED);
    int silent = dial(&s), slow = dial(&s), idle = dial(&s), body = dial(&s);
    uint64_t begin = clock_mono_ms();
    put_text(slow, "GET /get HT");
    put_text(idle, GET("/get"));
    put_text(body, "POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nx");
    read_response(idle, &r, false);
    assert_int_equal(r.status, 200);
    read_response(slow, &r, false);
    assert_int_equal(r.status, 408);
    assert_true(clock_mono_ms() - begin >= 590 && clock_mono_ms() - begin < 9000);
    read_response(body, &r, false);
    assert_int_equal(r.status, 408);
    assert_true(at_end(silent));
    assert_true(at_end(idle));
    assert_true(clock_mono_ms() - begin >= 890 && clock_mono_ms() - begin < 9000);
    assert_int_equal(metric_total(M_LIMIT_HANDSHAKE) - cut, 3);
    assert_int_equal(metric_total(M_IDLE_CLOSED) - idle_closed, 1);
    close(silent), close(slow), close(idle), close(body);
    server_stop(&s);
}

/* A head that drips in for ever is cut at the deadline that began when the connection did. */
static void test_drip_does_not_move_the_deadline(void **state)
{
    (void)state;
    struct server s;
    server_init(&s);
    s.config.limits.handshake_ms = 500;
    start(&s);
    int fd = dial(&s);
    uint64_t begin = clock_mono_ms();
    struct pollfd p = {.fd = fd, .events = POLLIN};
    put_text(fd, "GET / HTTP/1.1\r\nX: ");
    while (poll(&p, 1, 50) == 0 && clock_mono_ms() - begin < 9000)
        put_text(fd, "x");
    assert_int_equal(poll(&p, 1, 0), 1);
    close(fd);
    server_stop(&s);
}

static void test_connection_limits(void **state)
{
    (void)state;
    struct server s;
    RESPONSE r = {0};
    int fds[5];
    server_init(&s);
    s.config.limits.connections = 8;
    s.config.limits.connections_per_address = 5;
    start(&s);
    for (int i = 0; i < 5; i++) {
        fds[i] = dial(&s);
        put_text(fds[i], GET("/get"));
        read_response(fds[i], &r, false);
        assert_int_equal(r.status, 200);
    }
    int over = dial(&s);
    put_text(over, GET("/get"));
    read_response(over, &r, false);
    assert_int_equal(r.status, 429);
    assert_non_null(header(&r, "Retry-After"));
    assert_true(at_end(over));
    close(over);
    close(fds[0]);
    eventually((ask(&s, GET("/get"), &r), r.status == 200));
    for (int i = 1; i < 5; i++)
        close(fds[i]);
    server_stop(&s);

    server_init(&s);
    s.config.limits.connections = 2;
    start(&s);
    for (int i = 0; i < 2; i++) {
        fds[i] = dial(&s);
        put_text(fds[i], GET("/get"));
        read_response(fds[i], &r, false);
    }
    ask(&s, GET("/get"), &r);
    assert_int_equal(r.status, 503);
    assert_non_null(header(&r, "Retry-After"));
    close(fds[0]), close(fds[1]);
    eventually((ask(&s, GET("/get"), &r), r.status == 200));
    server_stop(&s);
}

/* A client that asks and never reads gets no more answers than its socket holds, and costs no CPU. */
static void test_client_that_does_not_read(void **state)
{
    (void)state;
    struct server s;
    RESPONSE r = {0};
    CLEANUP_BUF requests = BUF_INIT;
    server_init(&s);
    s.config.server.send_buffer_bytes = 16384;
    start(&s);
    for (int i = 0; i < 20000; i++)
        buf_append_str(&requests, GET("/get"));
    int fd = dial_with_buffer(&s, 4096);
    size_t sent = 0;
    for (int idle = 0; idle < 100 && sent < requests.len;) {
        ssize_t n = send(fd, requests.data + sent, requests.len - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        idle = n > 0 ? 0 : idle + 1;
        sent += n > 0 ? (size_t)n : 0;
        if (n <= 0)
            sleep_ms(2);
    }
    eventually(metric_total(M_CLIENTS_BEHIND) == 1);
    double cpu = server_cpu_seconds(&s);
    sleep_ms(500);
    assert_true(server_cpu_seconds(&s) - cpu < 0.1);
    size_t whole = sent / strlen(GET("/get"));
    for (size_t i = 0; i < whole; i++) {
        read_response(fd, &r, false);
        assert_int_equal(r.status, 200);
    }
    close(fd);
    server_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_in_one_connection),
        cmocka_unit_test(test_requests_in_single_bytes_and_joined),
        cmocka_unit_test(test_large_bodies_and_continue),
        cmocka_unit_test(test_refusals_are_json),
        cmocka_unit_test(test_head_over_the_limit),
        cmocka_unit_test(test_methods_and_cross_origin),
        cmocka_unit_test(test_late_answers_keep_the_order),
        cmocka_unit_test(test_flood_behind_a_late_answer_is_held_back),
        cmocka_unit_test(test_handler_hears_of_an_abort),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_drip_does_not_move_the_deadline),
        cmocka_unit_test(test_connection_limits),
        cmocka_unit_test(test_client_that_does_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
