/* WebSocket messages over a real socket: sizes and cuts, pings, every way a connection ends, permessage-deflate. */
#include "net_ws_harness.h"

#include <zlib.h>

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
    assert_true(clock_mono_ms() - begin > 4900 && clock_mono_ms() - begin < 15000);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_of_all_sizes_in_pieces),
        cmocka_unit_test(test_frames_right_behind_the_handshake),
        cmocka_unit_test(test_every_ping_is_answered),
        cmocka_unit_test(test_ends_of_a_connection),
        cmocka_unit_test(test_closing_handshake_from_our_side),
        cmocka_unit_test(test_vanished_peer_is_1006),
        cmocka_unit_test(test_compressed_messages),
        cmocka_unit_test(test_decompression_bomb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
