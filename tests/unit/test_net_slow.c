/* WebSocket peers that do not read or go away, draining, and the end of a net with all of them open. */
#include "net_ws_harness.h"

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
    assert_true(clock_mono_ms() - begin > 700);
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
    assert_false(s.drained);
    put_text(slow_client, "Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    read_response(slow_client, &r, false);
    assert_int_equal(r.status, 503);
    close(slow_client);
    eventually((early = readable_count(fds, CLIENTS)) > 0);
    assert_true(early < 75);
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(ws_close_code(fds[i]), 1001);
        ws_put(fds[i], 0x88, "\x03\xe9", 2);
        close(fds[i]);
    }
    eventually(s.drained);
    assert_true(clock_mono_ms() - begin > 900 && clock_mono_ms() - begin < 15000);
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
        cmocka_unit_test(test_blocked_peer_costs_nothing_and_loses_nothing),
        cmocka_unit_test(test_blocked_peer_that_goes_away),
        cmocka_unit_test(test_blocked_peer_that_makes_no_progress_is_cut),
        cmocka_unit_test(test_close_while_blocked_comes_after_what_was_sent),
        cmocka_unit_test(test_drain_spreads_the_closes),
        cmocka_unit_test(test_free_cuts_everything),
        cmocka_unit_test(test_many_connections_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
