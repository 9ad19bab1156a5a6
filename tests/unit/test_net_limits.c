/* Limits and keepalive of WebSocket connections. */
#include "net_ws_harness.h"

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
    assert_true(clock_mono_ms() - begin >= 390 && clock_mono_ms() - begin < 15000);
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
    assert_true(clock_mono_ms() - begin >= 690 && clock_mono_ms() - begin < 15000);
    close(fd);
    stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fragment_flood),
        cmocka_unit_test(test_message_that_never_ends),
        cmocka_unit_test(test_rate_limit),
        cmocka_unit_test(test_silent_peer_is_pinged_and_cut),
        cmocka_unit_test(test_idle_session_is_closed_although_it_pongs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
