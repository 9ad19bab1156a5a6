/* The WebSocket handshake over a real socket: what is taken, what is refused and how. */
#include "net_ws_harness.h"

static void test_handshake(void **state)
{
    (void)state;
    struct server s;
    RESPONSE r = {0};
    server_init(&s);
    start(&s);
    int fd = dial(&s);
    put_text(fd, WS_REQUEST("/ws", "Connection: keep-alive\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"));
    read_response(fd, &r, true);
    assert_int_equal(r.status, 101);
    assert_string_equal(header(&r, "Sec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_null(header(&r, "Sec-WebSocket-Protocol"));
    assert_null(header(&r, "Sec-WebSocket-Extensions")); /* this endpoint does not offer it */
    assert_null(header(&r, "Content-Length"));
    close(fd);
    stop(&s);
}

static void expect_extension(struct server *s, const char *path, const char *offer, const char *expected)
{
    char request[400];
    RESPONSE r = {0};
    int fd = dial(s);
    snprintf(request, sizeof request, WS_REQUEST("%s", "Sec-WebSocket-Extensions: permessage-deflate%s\r\n"), path, offer);
    put_text(fd, request);
    read_response(fd, &r, true);
    assert_int_equal(r.status, 101);
    const char *got = header(&r, "Sec-WebSocket-Extensions");
    assert_string_equal(got ? got : "none", expected);
    close(fd);
}

#define TAKEN "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

/* What many clients share is compressed with the largest window, so who wants a smaller one gets plain frames. */
static void test_compression_where_it_is_configured(void **state)
{
    (void)state;
    for (int on = 0; on <= 1; on++) {
        struct server s;
        server_init(&s);
        s.config.server.compression = on;
        start(&s);
        expect_extension(&s, "/ws", "", "none");
        expect_extension(&s, "/deflate", "; server_max_window_bits=10", TAKEN "; server_max_window_bits=10");
        expect_extension(&s, "/configured", "", on ? TAKEN : "none");
        expect_extension(&s, "/configured", "; client_max_window_bits", on ? TAKEN : "none");
        expect_extension(&s, "/configured", "; server_max_window_bits=10", "none");
        stop(&s);
    }
}

#define REQUEST(line, host, upgrade, connection, version, key)                                                         \
    line "\r\n" host upgrade connection version key "\r\n"
#define LINE "GET /ws HTTP/1.1"
#define HOST "Host: localhost\r\n"
#define UPGRADE "Upgrade: websocket\r\n"
#define CONNECTION "Connection: Upgrade\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static const struct {
    const char *request;
    int status;
} handshakes[] = {
    {REQUEST(LINE, HOST, UPGRADE, CONNECTION, VERSION, KEY), 101},
    {REQUEST(LINE, HOST, "Upgrade: h2c, WebSocket\r\n", "Connection: keep-alive, upgrade\r\n", VERSION, KEY), 101},
    {REQUEST(LINE, HOST, UPGRADE, CONNECTION, VERSION, KEY "Origin: https://good.example\r\n"), 101},
    {REQUEST(LINE, HOST, UPGRADE, CONNECTION, VERSION, KEY "Origin: http://localhost\r\n"), 101},
    {REQUEST(LINE, "Host: h:81\r\n", UPGRADE, CONNECTION, VERSION, KEY "Origin: http://H:81\r\n"), 101},
    {REQUEST(LINE, HOST, UPGRADE, CONNECTION, "Sec-WebSocket-Version: 8\r\n", KEY), 426},
    {REQUEST(LINE, HOST, UPGRADE, CONNECTION, "Sec-WebSocket-Version: 13, 8\r\n", KEY), 426},
    {REQUEST(LINE, HOST, UPGRADE, CONNECTION, "", KEY), 426},
    {REQUEST(LINE, HOST, "", CONNECTION, VERSION, KEY), 426},
    {REQUEST("POST /ws HTTP/1.1", HOST, UPGRADE, CONNECTION, VERSION, KEY), 405},
    {REQUEST("GET /ws HTTP/1.0", HOST, UPGRADE, CONNECTION, VERSION, KEY), 400},
    {REQUEST(LINE, "", UPGRADE, CONNECTION, VERSION, KEY), 400},
    {REQUEST(LINE, HOST HOST, UPGRADE, CONNECTION, VERSION, KEY), 400},
    {REQUEST(LINE, HOST, "Upgrade: websockets\r\n", CONNECTION, VERSION, KEY), 400},
    {REQUEST(LINE, HOST, UPGRADE, "Connection: keep-alive\r\n", VERSION, KEY), 400},
    {REQUEST(LINE, HOST, UPGRADE, CONNECTION, VERSION, ""), 400},
    {REQUEST(LINE, HOST, UPGRADE, CONNECTION, VERSION, KEY KEY), 400},
    {REQUEST(LINE, HOST, UPGRADE, CONNECTION, VERSION, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n"), 400},
    {REQUEST(LINE, HOST, UPGRADE, CONNECTION, VERSION, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQA=\r\n"), 400},
    {REQUEST(LINE, HOST, UPGRADE, CONNECTION, VERSION, "Sec-WebSocket-Key: !!!!IHNhbXBsZSBub25jZQ==\r\n"), 400},
    {REQUEST(LINE, HOST, UPGRADE, CONNECTION, VERSION, KEY "Content-Length: 1\r\n") "x", 400},
    {REQUEST(LINE, HOST, UPGRADE, CONNECTION, VERSION, KEY "Origin: null\r\n"), 403},
    {REQUEST(LINE, HOST, UPGRADE, CONNECTION, VERSION, KEY "Origin: http://good.example\r\n"), 403},
    {REQUEST(LINE, HOST, UPGRADE, CONNECTION, VERSION, KEY "Origin: https://good.example.evil.test\r\n"), 403},
    {REQUEST(LINE, HOST, UPGRADE, CONNECTION, VERSION, KEY "Origin: https://evil-good.example\r\n"), 403},
    {REQUEST(LINE, HOST, UPGRADE, CONNECTION, VERSION, KEY "Origin: http://localhost:81\r\n"), 403},
    {REQUEST(LINE, HOST, UPGRADE, CONNECTION, VERSION, KEY "Origin:\r\n"), 403},
    {REQUEST(LINE, HOST, UPGRADE, CONNECTION, VERSION, KEY "Origin: https://good.example\r\nOrigin: http://localhost\r\n"), 403},
};

static void test_handshakes_and_refusals(void **state)
{
    (void)state;
    struct server s;
    RESPONSE r = {0};
    server_init(&s);
    start(&s);
    int64_t refused = metric_total(M_HANDSHAKES_REFUSED);
    for (size_t i = 0; i < sizeof handshakes / sizeof *handshakes; i++) {
        ask(&s, handshakes[i].request, &r);
        if (r.status != handshakes[i].status)
            fail_msg("%s: %d, expected %d", handshakes[i].request, r.status, handshakes[i].status);
        if (r.status == 426 && !strstr(handshakes[i].request, VERSION))
            assert_string_equal(header(&r, "Sec-WebSocket-Version"), "13");
        if (r.status != 101)
            assert_true(strncmp(r.body.data, "{\"error\":{\"code\":", 17) == 0);
    }
    assert_true(metric_total(M_HANDSHAKES_REFUSED) - refused >= 20);
    assert_int_equal(opened, 5);
    upgrade_status = 401;
    ask(&s, handshakes[0].request, &r);
    assert_int_equal(r.status, 401);
    assert_string_equal(r.body.data, "{\"error\":{\"code\":101,\"message\":\"not \\\"you\\\"\"}}");
    assert_string_equal(header(&r, "Retry-After"), "7");
    stop(&s);
}

static void test_subprotocol_is_one_of_those_offered(void **state)
{
    (void)state;
    struct server s;
    RESPONSE r = {0};
    server_init(&s);
    start(&s);
    ask(&s, WS_REQUEST("/ws", "Sec-WebSocket-Protocol: a, known\r\n"), &r);
    assert_string_equal(header(&r, "Sec-WebSocket-Protocol"), "known");
    ask(&s, WS_REQUEST("/ws", "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: known\r\n"), &r);
    assert_int_equal(r.status, 101);
    ask(&s, WS_REQUEST("/ws", "Sec-WebSocket-Protocol: a, b\r\n"), &r);
    assert_null(header(&r, "Sec-WebSocket-Protocol"));
    ask(&s, WS_REQUEST("/ws", "Sec-WebSocket-Protocol: wrong\r\n"), &r);
    assert_int_equal(r.status, 101);
    assert_null(header(&r, "Sec-WebSocket-Protocol"));
    stop(&s);
}

static void test_handshake_bucket(void **state)
{
    (void)state;
    struct server s;
    RESPONSE r = {0};
    int taken = 0, refused = 0;
    server_init(&s);
    s.config.limits.handshakes_per_second = 5;
    start(&s);
    for (int i = 0; i < 12; i++) {
        ask(&s, WS_REQUEST("/ws", ""), &r);
        taken += r.status == 101;
        refused += r.status == 503 && header(&r, "Retry-After");
    }
    assert_true(taken >= 5 && taken <= 7);
    assert_int_equal(taken + refused, 12);
    eventually((ask(&s, WS_REQUEST("/ws", ""), &r), r.status == 101));
    stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake),
        cmocka_unit_test(test_compression_where_it_is_configured),
        cmocka_unit_test(test_handshakes_and_refusals),
        cmocka_unit_test(test_subprotocol_is_one_of_those_offered),
        cmocka_unit_test(test_handshake_bucket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
