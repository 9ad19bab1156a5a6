/* WebSocket over a real socket: handshake, messages, limits, keepalive, slow and vanishing peers, draining. */
#include "net_harness.h"

#include <zlib.h>

static atomic_int opened, closed_count, last_code, limited_count, writable_count;
static struct ws_conn *last_conn;
static int upgrade_status;
static bool call_closed_twice;

static void on_upgrade(struct http_request *r, struct ws_verdict *v)
{
    struct bytes offered = http_header_get(r, "sec-websocket-protocol");
    if (upgrade_status) {
        v->status = upgrade_status;
        v->reason = "not \"you\"";
        v->retry_after_s = 7;
    }
    if (offered.data && memmem(offered.data, offered.len, "known", 5))
        v->subprotocol = BYTES_LIT("known");
    if (offered.data && memmem(offered.data, offered.len, "wrong", 5))
        v->subprotocol = BYTES_LIT("never offered");
    v->user = &opened;
}

static void on_open(struct ws_conn *c)
{
    assert_ptr_equal(ws_user(c), &opened);
    last_conn = c;
    opened++;
}

static void on_echo(struct ws_conn *c, bool text, struct bytes message)
{
    if (bytes_eq_str(message, "close me"))
        ws_close(c, 4001, "as you wish");
    else
        ws_send(c, text, message);
}

static void on_limited(struct ws_conn *c, bool text, struct bytes message)
{
    (void)message;
    limited_count++;
    ws_send(c, text, BYTES_LIT("slow down"));
}

static void on_writable(struct ws_conn *c)
{
    (void)c;
    writable_count++;
}

static void on_closed(struct ws_conn *c, int code)
{
    (void)c;
    call_closed_twice |= last_conn == NULL && closed_count >= opened;
    last_code = code;
    closed_count++;
}

static const struct ws_ops plain = {
    .path = "/ws",
    .upgrade = on_upgrade,
    .open = on_open,
    .message = on_echo,
    .limited = on_limited,
    .writable = on_writable,
    .closed = on_closed,
};
static struct ws_ops deflating;
static const struct ws_ops *const endpoints[] = {&plain, &deflating};

static void start(struct server *s)
{
    deflating = plain;
    deflating.path = "/deflate";
    deflating.deflate = true;
    opened = closed_count = last_code = limited_count = writable_count = 0;
    upgrade_status = 0;
    s->options.endpoints = endpoints;
    s->options.endpoint_count = 2;
    server_start(s);
}

static void stop(struct server *s)
{
    server_stop(s);
    assert_int_equal(opened, closed_count); /* closed() exactly once for each */
    assert_false(call_closed_twice);
}

/* ---- handshake ---- */

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

/* ---- messages ---- */

static void expect_frame(int fd, unsigned first_byte, const char *payload, size_t len)
{
    FRAME f = {0};
    assert_true(ws_get(fd, &f));
    assert_int_equal(f.first_byte, first_byte);
    assert_int_equal(f.payload.len, len);
    assert_memory_equal(f.payload.data, payload, len);
}

static void test_messages_of_all_sizes_in_pieces(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 125, 126, 65535, 65536};
    struct server s;
    char *payload = malloc(65536);
    server_init(&s);
    start(&s);
    memset(payload, 'p', 65536);
    int fd = ws_dial(&s);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        ws_put(fd, 0x82, payload, sizes[i]);
        expect_frame(fd, 0x82, payload, sizes[i]);
        ws_put(fd, 0x01, payload, sizes[i] / 2);
        ws_put(fd, 0x89, "between", 7);
        ws_put(fd, 0x80, payload, sizes[i] - sizes[i] / 2);
        expect_frame(fd, 0x8a, "between", 7);
        expect_frame(fd, 0x81, payload, sizes[i]);
    }
    close(fd);
    free(payload);
    stop(&s);
}

static void test_frames_right_behind_the_handshake(void **state)
{
    (void)state;
    struct server s;
    RESPONSE r = {0};
    server_init(&s);
    start(&s);
    int fd = dial(&s);
    put_text(fd, WS_REQUEST("/ws", "") "\x81\x82\x01\x02\x03\x04\x69\x6b\x81\x82\x01\x02\x03\x04\x69");
    put_text(fd, "\x6b");
    read_response(fd, &r, true);
    expect_frame(fd, 0x81, "hi", 2);
    expect_frame(fd, 0x81, "hi", 2);
    close(fd);
    stop(&s);
}

static void test_every_ping_is_answered(void **state)
{
    (void)state;
    struct server s;
    char payload[125];
    server_init(&s);
    start(&s);
    int fd = ws_dial(&s);
    for (int i = 0; i < 10; i++) {
        memset(payload, 'a' + i, sizeof payload);
        ws_put(fd, 0x89, payload, sizeof payload - (size_t)i);
    }
    ws_put(fd, 0x8a, "unasked pong", 12);
    for (int i = 0; i < 10; i++) {
        memset(payload, 'a' + i, sizeof payload);
        expect_frame(fd, 0x8a, payload, sizeof payload - (size_t)i);
    }
    close(fd);
    stop(&s);
}

static const struct {
    const char *wire;
    size_t len;
    int code, reported; /* reported to ws_ops.closed */
} ends[] = {
#define END(wire, code) {wire, sizeof(wire) - 1, code, code}
    END("\x81\x05hello", 1002),
    END("\xa1\x80\x01\x02\x03\x04", 1002),
    END("\xc1\x80\x01\x02\x03\x04", 1002),
    END("\x83\x80\x01\x02\x03\x04", 1002),
    END("\x09\x80\x01\x02\x03\x04", 1002),
    END("\x89\xfe\x00\x7e\x01\x02\x03\x04", 1002),
    END("\x80\x80\x01\x02\x03\x04", 1002),
    END("\x01\x80\x01\x02\x03\x04\x81\x80\x01\x02\x03\x04", 1002),
    END("\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00\x01\x02\x03\x04", 1002),
    END("\x81\x81\x00\x00\x00\x00\xff", 1007),
    END("\x01\x81\x00\x00\x00\x00\xf4\x80\x81\x00\x00\x00\x00\x90", 1007),
    END("\x82\xff\x00\x00\x00\x00\x00\x01\x00\x01\x01\x02\x03\x04", 1009), /* 65,537 announced, nothing sent */
    END("\x88\x81\x00\x00\x00\x00\x03", 1002),
    END("\x88\x82\x00\x00\x00\x00\x03\xed", 1002), /* 1005 */
    END("\x88\x83\x00\x00\x00\x00\x03\xe8\xff", 1007),
    END("\x88\x82\x00\x00\x00\x00\x0b\xb8", 3000),
    END("\x88\x80\x00\x00\x00\x00", 1005),
#undef END
};

static void test_ends_of_a_connection(void **state)
{
    (void)state;
    struct server s;
    server_init(&s);
    start(&s);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        int fd = ws_dial(&s);
        int before = closed_count;
        put(fd, ends[i].wire, ends[i].len);
        put_text(fd, "unread bytes must not turn the close into a reset");
        int code = ws_close_code(fd);
        if (code != ends[i].code)
            fail_msg("case %zu: %d, expected %d", i, code, ends[i].code);
        assert_true(at_end(fd));
        eventually(closed_count == before + 1);
        assert_int_equal(last_code, ends[i].reported);
        close(fd);
    }
    stop(&s);
}

static void test_closing_handshake_from_our_side(void **state)
{
    (void)state;
    struct server s;
    server_init(&s);
    start(&s);
    int fd = ws_dial(&s);
    ws_put(fd, 0x81, "close me", 8);
    ws_put(fd, 0x81, "after it", 8); /* not answered any more */
    expect_frame(fd, 0x88, "\x0f\xa1" "as you wish", 13);
    assert_int_equal(closed_count, 0);
    ws_put(fd, 0x88, "\x0f\xa1", 2);
    assert_true(at_end(fd));
    eventually(closed_count == 1);
    assert_int_equal(last_code, 4001);
    close(fd);

    fd = ws_dial(&s);
    uint64_t begin = clock_mono_ms();
    ws_put(fd, 0x81, "close me", 8);
    assert_int_equal(ws_close_code(fd), 4001);
    assert_true(recv(fd, (char[1]){0}, 1, 0) <= 0); /* no answer: cut after five seconds */
    assert_true(clock_mono_ms() - begin > 4900 && clock_mono_ms() - begin < 6500);
    eventually(closed_count == 2);
    close(fd);
    stop(&s);
}

static void test_vanished_peer_is_1006(void **state)
{
    (void)state;
    struct server s;
    server_init(&s);
    start(&s);
    int fd = ws_dial(&s);
    ws_put(fd, 0x01, "half a message", 14);
    struct linger reset = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
    eventually(closed_count == 1);
    assert_int_equal(last_code, 1006);
    stop(&s);
}

/* ---- limits ---- */

static void test_fragment_flood(void **state)
{
    (void)state;
    struct server s;
    server_init(&s);
    start(&s);
    int fd = ws_dial(&s);
    ws_put(fd, 0x01, "a", 1);
    for (int i = 0; i < 10000; i++)
        ws_put(fd, 0x00, "b", 1);
    assert_int_equal(ws_close_code(fd), 1008);
    close(fd);
    stop(&s);
}

static void test_message_that_never_ends(void **state)
{
    (void)state;
    struct server s;
    server_init(&s);
    s.config.limits.message_ms = 400;
    start(&s);
    int fd = ws_dial(&s);
    uint64_t begin = clock_mono_ms();
    ws_put(fd, 0x01, "a", 1);
    assert_int_equal(ws_close_code(fd), 1008);
    assert_true(clock_mono_ms() - begin >= 390 && clock_mono_ms() - begin < 1500);
    close(fd);
    stop(&s);
}

static void test_rate_limit(void **state)
{
    (void)state;
    struct server s;
    FRAME f = {0};
    int echoed = 0;
    server_init(&s);
    s.config.limits.rate_messages = 1;
    s.config.limits.rate_burst = 10;
    start(&s);
    int fd = ws_dial(&s), other = ws_dial(&s);
    for (int i = 0; i < 40; i++)
        ws_put(fd, 0x81, "x", 1);
    while (ws_get(fd, &f) && f.first_byte == 0x81 && strcmp(f.payload.data, "x") == 0)
        echoed++;
    assert_int_equal(echoed, 10);
    assert_string_equal(f.payload.data, "slow down");
    assert_int_equal(ws_close_code(fd), 1008);
    assert_int_equal(limited_count, 4); /* the fifth strike closes */
    ws_put(other, 0x81, "me too", 6);
    expect_frame(other, 0x81, "me too", 6);
    close(fd), close(other);

    fd = ws_dial(&s); /* pings count as well */
    for (int i = 0; i < 40; i++)
        ws_put(fd, 0x89, "", 0);
    assert_int_equal(ws_close_code(fd), 1008);
    close(fd);
    stop(&s);
}

/* ---- keepalive ---- */

static void test_silent_peer_is_pinged_and_cut(void **state)
{
    (void)state;
    struct server s;
    FRAME f = {0};
    server_init(&s);
    s.config.limits.ping_ms = 500;
    s.config.limits.pong_ms = 500;
    start(&s);
    int silent = ws_dial(&s), alive = ws_dial(&s);
    uint64_t begin = clock_mono_ms();
    for (int i = 0; i < 4; i++) {
        assert_true(ws_get(alive, &f));
        assert_int_equal(f.first_byte, 0x89);
        ws_put(alive, 0x8a, f.payload.data, f.payload.len);
    }
    assert_true(clock_mono_ms() - begin > 1900);
    expect_frame(silent, 0x89, "", 0);
    assert_true(recv(silent, (char[1]){0}, 1, 0) <= 0);
    assert_int_equal(closed_count, 1);
    assert_int_equal(last_code, 1006);
    ws_put(alive, 0x81, "here", 4);
    expect_frame(alive, 0x81, "here", 4);
    close(silent), close(alive);
    stop(&s);
}

static void test_idle_session_is_closed_although_it_pongs(void **state)
{
    (void)state;
    struct server s;
    server_init(&s);
    s.config.limits.idle_ms = 700;
    start(&s);
    int fd = ws_dial(&s);
    uint64_t begin = clock_mono_ms();
    for (int i = 0; i < 4; i++) {
        ws_put(fd, 0x8a, "", 0);
        sleep_ms(100);
    }
    assert_int_equal(ws_close_code(fd), 1000);
    assert_true(clock_mono_ms() - begin >= 690 && clock_mono_ms() - begin < 2000);
    close(fd);
    stop(&s);
}

/* ---- slow peers ---- */

#define FLOOD_FRAMES 300
#define FLOOD_BYTES 20000

static void flood(struct server *s, void *arg)
{
    char *payload = malloc(FLOOD_BYTES);
    (void)s;
    (void)arg;
    memset(payload, 'f', FLOOD_BYTES);
    for (int i = 0; i < FLOOD_FRAMES; i++) {
        snprintf(payload, 12, "%d", i);
        assert_int_equal(ws_send(last_conn, false, (struct bytes){payload, FLOOD_BYTES}), 0);
    }
    assert_true(ws_blocked(last_conn));
    free(payload);
}

static void test_blocked_peer_costs_nothing_and_loses_nothing(void **state)
{
    (void)state;
    struct server s;
    FRAME f = {0};
    server_init(&s);
    s.config.server.send_buffer_bytes = 16384;
    start(&s);
    int fd = ws_dial_request(&s, WS_REQUEST("/ws", ""), 4096);
    eventually(opened == 1);
    server_call(&s, flood, NULL);
    for (int i = 0; i < 20; i++)
        ws_put(fd, 0x81, "while blocked", 13); /* input waits, and must not wake the loop all the time */
    double cpu = server_cpu_seconds(&s);
    sleep_ms(600);
    assert_true(server_cpu_seconds(&s) - cpu < 0.1);
    assert_int_equal(metric_total(M_CLIENTS_BEHIND), 1);
    for (int i = 0; i < FLOOD_FRAMES; i++) {
        assert_true(ws_get(fd, &f));
        assert_int_equal(f.payload.len, FLOOD_BYTES);
        assert_int_equal(atoi(f.payload.data), i);
    }
    for (int i = 0; i < 20; i++)
        expect_frame(fd, 0x81, "while blocked", 13);
    assert_int_equal(writable_count, 1);
    assert_int_equal(metric_total(M_CLIENTS_BEHIND), 0);
    close(fd);
    stop(&s);
}

static void test_blocked_peer_that_goes_away(void **state)
{
    (void)state;
    struct server s;
    server_init(&s);
    s.config.server.send_buffer_bytes = 16384;
    start(&s);
    for (int reset = 0; reset < 2; reset++) {
        int fd = ws_dial_request(&s, WS_REQUEST("/ws", ""), 4096);
        eventually(opened == reset + 1);
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

/* Neither reads nor acknowledges more: given up after the time a silent peer has. */
static void test_blocked_peer_that_makes_no_progress_is_cut(void **state)
{
    (void)state;
    struct server s;
    server_init(&s);
    s.config.server.send_buffer_bytes = 16384;
    s.config.limits.ping_ms = 400;
    s.config.limits.pong_ms = 400;
    start(&s);
    int fd = ws_dial_request(&s, WS_REQUEST("/ws", ""), 4096);
    eventually(opened == 1);
    uint64_t begin = clock_mono_ms();
    server_call(&s, flood, NULL);
    eventually(closed_count == 1);
    assert_true(clock_mono_ms() - begin > 700 && clock_mono_ms() - begin < 3000);
    close(fd);
    stop(&s);
}

static void close_from_outside(struct server *s, void *arg)
{
    (void)s;
    (void)arg;
    ws_close(last_conn, 3008, "slow");
    assert_int_equal(ws_send(last_conn, false, BYTES_LIT("x")), -EPIPE);
    ws_close(last_conn, 1000, "twice");
    assert_int_equal(closed_count, 0); /* never from inside */
}

static void test_close_while_blocked_comes_after_what_was_sent(void **state)
{
    (void)state;
    struct server s;
    FRAME f = {0};
    server_init(&s);
    s.config.server.send_buffer_bytes = 16384;
    start(&s);
    int fd = ws_dial_request(&s, WS_REQUEST("/ws", ""), 4096);
    eventually(opened == 1);
    server_call(&s, flood, NULL);
    server_call(&s, close_from_outside, NULL);
    for (int i = 0; i < FLOOD_FRAMES; i++) {
        assert_true(ws_get(fd, &f));
        assert_int_equal(f.payload.len, FLOOD_BYTES);
    }
    assert_int_equal(ws_close_code(fd), 3008);
    ws_put(fd, 0x88, "\x0b\xc0", 2);
    eventually(closed_count == 1);
    assert_int_equal(last_code, 3008);
    close(fd);
    stop(&s);
}

/* ---- permessage-deflate ---- */

static size_t deflate_text(char *out, size_t size, const char *data, size_t len)
{
    z_stream z = {.next_in = (Bytef *)data, .avail_in = (uInt)len, .next_out = (Bytef *)out, .avail_out = (uInt)size};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_SYNC_FLUSH), Z_OK);
    deflateEnd(&z);
    return z.total_out - 4;
}

#define OFFER "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"

static void test_compressed_messages(void **state)
{
    (void)state;
    struct server s;
    FRAME f = {0};
    RESPONSE r = {0};
    char text[5000], wire[6000], again[6000];
    server_init(&s);
    start(&s);
    memset(text, 't', sizeof text);
    int fd = dial(&s);
    put_text(fd, WS_REQUEST("/deflate", OFFER));
    read_response(fd, &r, true);
    assert_string_equal(header(&r, "Sec-WebSocket-Extensions"),
                        "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
    size_t n = deflate_text(wire, sizeof wire, text, sizeof text);
    for (int i = 0; i < 3; i++) {
        ws_put(fd, 0x41, wire, 5);
        ws_put(fd, 0x80, wire + 5, n - 5);
        assert_true(ws_get(fd, &f));
        assert_int_equal(f.first_byte, 0xc1);
        buf_append(&f.payload, "\0\0\xff\xff", 4);
        z_stream z = {.next_in = (Bytef *)f.payload.data, .avail_in = (uInt)f.payload.len, .next_out = (Bytef *)again, .avail_out = sizeof again};
        assert_int_equal(inflateInit2(&z, -15), Z_OK);
        assert_int_equal(inflate(&z, Z_SYNC_FLUSH), Z_OK);
        inflateEnd(&z);
        assert_int_equal(z.total_out, sizeof text);
        assert_memory_equal(again, text, sizeof text);
    }
    ws_put(fd, 0x81, "plain", 5); /* uncompressed is allowed at any time; short answers stay so */
    expect_frame(fd, 0x81, "plain", 5);
    n = deflate_text(wire, sizeof wire, "\xff\xff", 2);
    ws_put(fd, 0xc1, wire, n);
    assert_int_equal(ws_close_code(fd), 1007);
    close(fd);
    fd = ws_dial_request(&s, WS_REQUEST("/deflate", OFFER), 0);
    ws_put(fd, 0xc1, "\xff\xff\xff\xff", 4);
    assert_int_equal(ws_close_code(fd), 1007);
    close(fd);
    fd = ws_dial_request(&s, WS_REQUEST("/deflate", "Sec-WebSocket-Extensions: permessage-deflate; mystery\r\n"), 0);
    ws_put(fd, 0xc1, wire, n); /* declined, so RSV1 is an error */
    assert_int_equal(ws_close_code(fd), 1002);
    close(fd);
    stop(&s);
}

static long resident_kb(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long total = 0, resident = 0;
    assert_int_equal(fscanf(f, "%ld %ld", &total, &resident), 2);
    fclose(f);
    return resident * 4;
}

static void test_decompression_bomb(void **state)
{
    (void)state;
    struct server s;
    size_t size = 40 << 20;
    char *zeros = calloc(1, size), *wire = malloc(1 << 20);
    size_t n = deflate_text(wire, 1 << 20, zeros, size);
    free(zeros);
    assert_true(n < 65536);
    server_init(&s);
    start(&s);
    int fd = ws_dial_request(&s, WS_REQUEST("/deflate", OFFER), 0);
    long before = resident_kb();
    ws_put(fd, 0xc2, wire, n);
    assert_int_equal(ws_close_code(fd), 1009);
    assert_true(resident_kb() - before < 2048);
    close(fd);
    free(wire);
    stop(&s);
}

/* ---- draining ---- */

static void on_drained(void *arg)
{
    struct server *s = arg;
    s->drained = true;
}

static void drain(struct server *s, void *arg)
{
    (void)arg;
    net_stop_accepting(s->net);
    net_drain(s->net, 1001, "going away", 1000, on_drained, s);
}

static void test_drain_spreads_the_closes(void **state)
{
    (void)state;
    enum { CLIENTS = 100 };
    struct server s;
    RESPONSE r = {0};
    int fds[CLIENTS], early = 0;
    server_init(&s);
    start(&s);
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = ws_dial(&s);
    int idle = dial(&s), slow_client = dial(&s);
    put_text(idle, "GET /none HTTP/1.1\r\nHost: a\r\n\r\n");
    read_response(idle, &r, false);
    put_text(slow_client, "GET /ws HTTP/1.1\r\n");
    sleep_ms(50);
    uint64_t begin = clock_mono_ms();
    server_call(&s, drain, NULL);
    assert_true(at_end(idle)); /* at once */
    assert_true(clock_mono_ms() - begin < 300);
    put_text(slow_client, "Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    read_response(slow_client, &r, false);
    assert_int_equal(r.status, 503);
    close(slow_client);
    sleep_ms(500 - (unsigned)(clock_mono_ms() - begin));
    for (int i = 0; i < CLIENTS; i++) {
        struct pollfd p = {.fd = fds[i], .events = POLLIN};
        early += poll(&p, 1, 0);
    }
    assert_true(early > 25 && early < 75);
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(ws_close_code(fds[i]), 1001);
        ws_put(fds[i], 0x88, "\x03\xe9", 2);
        close(fds[i]);
    }
    eventually(s.drained);
    assert_true(clock_mono_ms() - begin > 900 && clock_mono_ms() - begin < 2500);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(net_port(s.net)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int late = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(late, (struct sockaddr *)&a, sizeof a), -1);
    close(late), close(idle);
    stop(&s);
}

static void test_free_cuts_everything(void **state)
{
    (void)state;
    struct server s;
    int fds[20];
    server_init(&s);
    s.config.server.send_buffer_bytes = 16384;
    start(&s);
    for (int i = 0; i < 20; i++)
        fds[i] = ws_dial_request(&s, WS_REQUEST("/ws", ""), 4096);
    eventually(opened == 20);
    server_call(&s, flood, NULL);
    ws_put(fds[0], 0x81, "close me", 8);
    ws_put(fds[1], 0x01, "half", 4);
    stop(&s);
    for (int i = 0; i < 20; i++)
        close(fds[i]);
}

static void test_many_connections_come_and_go(void **state)
{
    (void)state;
    struct server s;
    int fds[300];
    server_init(&s);
    s.config.debug.echo = true;
    start(&s);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 300; i++)
            fds[i] = ws_dial_request(&s, WS_REQUEST("/ws/echo", ""), 0);
        for (int i = 0; i < 300; i++) {
            ws_put(fds[i], 0x82, &i, sizeof i);
            expect_frame(fds[i], 0x82, (char *)&i, sizeof i);
        }
        for (int i = 0; i < 300; i++)
            close(fds[(i * 7) % 300]);
        eventually(metric_total(M_CONNECTIONS) == 0);
    }
    stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake),
        cmocka_unit_test(test_handshakes_and_refusals),
        cmocka_unit_test(test_subprotocol_is_one_of_those_offered),
        cmocka_unit_test(test_handshake_bucket),
        cmocka_unit_test(test_messages_of_all_sizes_in_pieces),
        cmocka_unit_test(test_frames_right_behind_the_handshake),
        cmocka_unit_test(test_every_ping_is_answered),
        cmocka_unit_test(test_ends_of_a_connection),
        cmocka_unit_test(test_closing_handshake_from_our_side),
        cmocka_unit_test(test_vanished_peer_is_1006),
        cmocka_unit_test(test_fragment_flood),
        cmocka_unit_test(test_message_that_never_ends),
        cmocka_unit_test(test_rate_limit),
        cmocka_unit_test(test_silent_peer_is_pinged_and_cut),
        cmocka_unit_test(test_idle_session_is_closed_although_it_pongs),
        cmocka_unit_test(test_blocked_peer_costs_nothing_and_loses_nothing),
        cmocka_unit_test(test_blocked_peer_that_goes_away),
        cmocka_unit_test(test_blocked_peer_that_makes_no_progress_is_cut),
        cmocka_unit_test(test_close_while_blocked_comes_after_what_was_sent),
        cmocka_unit_test(test_compressed_messages),
        cmocka_unit_test(test_decompression_bomb),
        cmocka_unit_test(test_drain_spreads_the_closes),
        cmocka_unit_test(test_free_cuts_everything),
        cmocka_unit_test(test_many_connections_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
