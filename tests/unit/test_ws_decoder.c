/* The WebSocket frame decoder: every rule of RFC 6455 it answers for, with frames cut at every place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "util/error.h"
#include "ws_decoder.h"

static const struct ws_limits limits = {.message_bytes = 1 << 20, .fragments = 8};

static void append_frame(struct buf *b, unsigned first_byte, const char *payload, size_t len)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    char header[14] = {(char)first_byte};
    size_t n = 2;

    if (len < 126) {
        header[1] = (char)(0x80 | len);
    } else if (len < 65536) {
        header[1] = (char)0xfe;
        header[2] = (char)(len >> 8);
        header[3] = (char)len;
        n = 4;
    } else {
        header[1] = (char)0xff;
        for (int i = 0; i < 8; i++)
            header[2 + i] = (char)((uint64_t)len >> (56 - 8 * i));
        n = 10;
    }
    buf_append(b, header, n);
    buf_append(b, mask, 4);
    size_t start = b->len;
    buf_append(b, payload, len);
    for (size_t i = 0; i < len; i++)
        b->data[start + i] = (char)(b->data[start + i] ^ mask[i % 4]);
}

/* What came out: "T:hello" for a text message, "C<payload>" for controls, "!1002" for a failure. */
static void note(struct buf *log, struct buf *message, const struct ws_piece *p)
{
    static const char letters[] = {[WS_TEXT] = 'T', [WS_BINARY] = 'B', [WS_CLOSE] = 'C', [WS_PING] = 'P', [WS_PONG] = 'O'};
    struct buf *into = &message[p->opcode >= WS_CLOSE];
    if (p->first)
        into->len = 0;
    buf_append(into, p->data, p->len);
    if (p->last)
        buf_printf(log, "%c%s:%.*s ", letters[p->opcode], p->compressed ? "z" : "", (int)into->len,
                   into->data ? into->data : "");
}

static char *decode_in_steps(const struct ws_limits *l, struct bytes wire, size_t step)
{
    struct ws_decoder d = {0};
    struct buf log = BUF_INIT, message[2] = {BUF_INIT, BUF_INIT};
    char *copy = bytes_dup(wire);
    bool failed = false;

    for (size_t at = 0; at < wire.len && !failed; at += step) {
        size_t left = wire.len - at < step ? wire.len - at : step, used;
        char *data = copy + at;
        for (;;) {
            struct ws_piece p;
            int r = ws_decoder_next(&d, l, data, left, &used, &p);
            assert_true(used <= left);
            data += used;
            left -= used;
            if (r == WS_PIECE) {
                note(&log, message, &p);
                continue;
            }
            if (r < 0) {
                buf_printf(&log, "!%d", -r);
                failed = true;
            } else {
                assert_int_equal(left, 0);
            }
            break;
        }
    }
    if (!failed && ws_decoder_busy(&d))
        buf_append_str(&log, "...");
    buf_append(&log, "", 1);
    buf_done(&message[0]);
    buf_done(&message[1]);
    free(copy);
    return buf_take(&log);
}

static void expect_with(const struct ws_limits *l, const struct buf *wire, const char *expected)
{
    for (size_t step = 1; step <= wire->len; step += step < 20 ? 1 : wire->len) {
        char *got = decode_in_steps(l, buf_bytes(wire), step);
        assert_string_equal(got, expected);
        free(got);
    }
    char *got = decode_in_steps(l, buf_bytes(wire), wire->len);
    assert_string_equal(got, expected);
    free(got);
}

static void expect(struct buf *wire, const char *expected)
{
    expect_with(&limits, wire, expected);
    wire->len = 0;
}

static void expect_bytes(const char *data, size_t len, const char *expected)
{
    CLEANUP_BUF b = BUF_INIT;
    buf_append(&b, data, len);
    expect(&b, expected);
}

#define EXPECT_BYTES(literal, expected) expect_bytes(literal, sizeof(literal) - 1, expected)

static void test_messages_in_one_frame(void **state)
{
    (void)state;
    CLEANUP_BUF b = BUF_INIT;
    append_frame(&b, 0x81, "hello", 5);
    append_frame(&b, 0x82, "", 0);
    append_frame(&b, 0x81, "", 0);
    expect(&b, "T:hello B: T: ");
    EXPECT_BYTES("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "T:Hello "); /* the RFC's own example */
}

static void test_all_length_forms(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 125, 126, 127, 128, 65535, 65536, 300000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        CLEANUP_BUF b = BUF_INIT;
        char *payload = malloc(sizes[i]);
        for (size_t k = 0; k < sizes[i]; k++)
            payload[k] = (char)('a' + k % 23);
        append_frame(&b, 0x82, payload, sizes[i]);
        char *got = decode_in_steps(&limits, buf_bytes(&b), 1499);
        assert_int_equal(strlen(got), sizes[i] + 3);
        assert_memory_equal(got + 2, payload, sizes[i]);
        free(got);
        free(payload);
    }
}

static void test_fragments_with_controls_between(void **state)
{
    (void)state;
    CLEANUP_BUF b = BUF_INIT;
    append_frame(&b, 0x01, "he", 2);
    append_frame(&b, 0x89, "ping", 4);
    append_frame(&b, 0x00, "", 0);
    append_frame(&b, 0x8a, "pong", 4);
    append_frame(&b, 0x80, "llo", 3);
    append_frame(&b, 0x88, "\x03\xe8", 2);
    expect(&b, "P:ping O:pong T:hello C:\x03\xe8 ");
}

static void test_unmasked_frames_are_refused(void **state)
{
    (void)state;
    EXPECT_BYTES("\x81\x05hello", "!1002");
    EXPECT_BYTES("\x89\x00", "!1002");
}

static void test_reserved_bits_and_opcodes_are_refused(void **state)
{
    (void)state;
    CLEANUP_BUF b = BUF_INIT;
    static const unsigned bad[] = {0xc1, 0xa1, 0x91, 0xf1, 0x83, 0x84, 0x85, 0x86, 0x87, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f, 0xc9};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        append_frame(&b, bad[i], "x", 1);
        expect(&b, "!1002");
    }
}

static void test_control_frames_are_short_and_whole(void **state)
{
    (void)state;
    CLEANUP_BUF b = BUF_INIT;
    char payload[126] = {0};
    memset(payload, 'p', sizeof payload);
    append_frame(&b, 0x89, payload, 126);
    expect(&b, "!1002");
    append_frame(&b, 0x09, "x", 1);
    expect(&b, "!1002");
    append_frame(&b, 0x08, "", 0);
    expect(&b, "!1002");
}

static void test_continuation_needs_a_start_and_a_start_no_continuation(void **state)
{
    (void)state;
    CLEANUP_BUF b = BUF_INIT;
    append_frame(&b, 0x80, "x", 1);
    expect(&b, "!1002");
    append_frame(&b, 0x81, "x", 1);
    append_frame(&b, 0x00, "x", 1);
    expect(&b, "T:x !1002");
    append_frame(&b, 0x01, "x", 1);
    append_frame(&b, 0x81, "y", 1);
    expect(&b, "!1002");
}

static void test_lengths_in_a_longer_form_than_needed_are_refused(void **state)
{
    (void)state;
    EXPECT_BYTES("\x82\xfe\x00\x7d\x01\x02\x03\x04", "!1002");
    EXPECT_BYTES("\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff\x01\x02\x03\x04", "!1002");
    EXPECT_BYTES("\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00\x01\x02\x03\x04", "!1002");
}

static void test_too_big_is_decided_at_the_header(void **state)
{
    (void)state;
    CLEANUP_BUF b = BUF_INIT;
    const struct ws_limits small = {.message_bytes = 10};
    EXPECT_BYTES("\x82\xff\x00\x00\x00\x00\x00\x10\x00\x01\x01\x02\x03\x04", "!1009");
    EXPECT_BYTES("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04", "!1009");
    append_frame(&b, 0x81, "0123456789", 10);
    append_frame(&b, 0x01, "01234", 5);
    append_frame(&b, 0x80, "56789", 5);
    expect_with(&small, &b, "T:0123456789 T:0123456789 ");
    b.len = 0;
    append_frame(&b, 0x01, "01234", 5);
    append_frame(&b, 0x80, "567890", 6);
    b.len -= 6; /* the payload that breaks the limit never comes */
    expect_with(&small, &b, "!1009");
}

static void test_fragments_are_capped(void **state)
{
    (void)state;
    CLEANUP_BUF b = BUF_INIT;
    append_frame(&b, 0x02, "a", 1);
    for (int i = 0; i < 6; i++)
        append_frame(&b, 0x00, "b", 1);
    append_frame(&b, 0x80, "c", 1);
    expect(&b, "B:abbbbbbc ");
    append_frame(&b, 0x02, "a", 1);
    for (int i = 0; i < 8; i++)
        append_frame(&b, 0x00, "b", 1);
    expect(&b, "!1008");
}

static void test_text_is_checked_over_fragments_and_fails_fast(void **state)
{
    (void)state;
    CLEANUP_BUF b = BUF_INIT;
    append_frame(&b, 0x01, "\xce", 1);
    append_frame(&b, 0x80, "\xba", 1);
    expect(&b, "T:\xce\xba ");
    append_frame(&b, 0x81, "\xce", 1);
    expect(&b, "!1007");
    append_frame(&b, 0x01, "ok \xf4", 4);
    append_frame(&b, 0x00, "\x90", 1);
    expect(&b, "!1007");
    append_frame(&b, 0x01, "\xce", 1);
    append_frame(&b, 0x80, "", 0);
    expect(&b, "!1007");
    append_frame(&b, 0x82, "\xff\xfe", 2);
    expect(&b, "B:\xff\xfe ");
}

static void test_fails_in_the_middle_of_a_frame(void **state)
{
    (void)state;
    CLEANUP_BUF b = BUF_INIT;
    append_frame(&b, 0x81, "ab\xff xxxxxxxxxxxxxxxxxxxxxxxx", 28);
    b.len = 6 + 3; /* up to the bad byte */
    expect(&b, "!1007");
}

static void test_compressed_messages_are_marked(void **state)
{
    (void)state;
    const struct ws_limits deflate = {.message_bytes = 100, .fragments = 8, .deflate = true};
    CLEANUP_BUF b = BUF_INIT;
    append_frame(&b, 0x41, "\xff\x01", 2);
    append_frame(&b, 0x89, "p", 1);
    append_frame(&b, 0x80, "\xfe", 1);
    append_frame(&b, 0x81, "plain", 5);
    expect_with(&deflate, &b, "P:p Tz:\xff\x01\xfe T:plain ");
    b.len = 0;
    append_frame(&b, 0x41, "x", 1);
    append_frame(&b, 0xc0, "x", 1); /* RSV1 on a continuation */
    expect_with(&deflate, &b, "!1002");
    b.len = 0;
    append_frame(&b, 0xc9, "x", 1);
    expect_with(&deflate, &b, "!1002");
}

static void test_close_payloads(void **state)
{
    (void)state;
    static const int good[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999};
    static const int bad[] = {0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535};
    struct bytes reason;
    int code = 0;

    assert_int_equal(ws_close_parse(BYTES_LIT(""), &code, &reason), 0);
    assert_int_equal(code, 1005);
    assert_int_equal(ws_close_parse(BYTES_LIT("\x03"), &code, &reason), -1002);
    assert_int_equal(ws_close_parse(BYTES_LIT("\x03\xe8" "bye"), &code, &reason), 0);
    assert_int_equal(code, 1000);
    assert_true(bytes_eq_str(reason, "bye"));
    assert_int_equal(ws_close_parse(BYTES_LIT("\x03\xe8\xff"), &code, &reason), -1007);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char p[2] = {(char)(good[i] >> 8), (char)good[i]};
        assert_int_equal(ws_close_parse((struct bytes){p, 2}, &code, &reason), 0);
        assert_int_equal(code, good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char p[2] = {(char)(bad[i] >> 8), (char)bad[i]};
        assert_int_equal(ws_close_parse((struct bytes){p, 2}, &code, &reason), -1002);
    }
}

static void test_unmask_of_any_length_and_alignment(void **state)
{
    (void)state;
    static const uint8_t mask[4] = {1, 2, 3, 0xff};
    char data[64];
    for (size_t offset = 0; offset < 8; offset++)
        for (size_t len = 0; len < 40; len++) {
            for (size_t i = 0; i < sizeof data; i++)
                data[i] = (char)(i * 7);
            ws_unmask(data + offset, len, mask);
            for (size_t i = 0; i < sizeof data; i++) {
                bool inside = i >= offset && i < offset + len;
                assert_int_equal((uint8_t)data[i], (uint8_t)((uint8_t)(i * 7) ^ (inside ? mask[(i - offset) % 4] : 0)));
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_in_one_frame),
        cmocka_unit_test(test_all_length_forms),
        cmocka_unit_test(test_fragments_with_controls_between),
        cmocka_unit_test(test_unmasked_frames_are_refused),
        cmocka_unit_test(test_reserved_bits_and_opcodes_are_refused),
        cmocka_unit_test(test_control_frames_are_short_and_whole),
        cmocka_unit_test(test_continuation_needs_a_start_and_a_start_no_continuation),
        cmocka_unit_test(test_lengths_in_a_longer_form_than_needed_are_refused),
        cmocka_unit_test(test_too_big_is_decided_at_the_header),
        cmocka_unit_test(test_fragments_are_capped),
        cmocka_unit_test(test_text_is_checked_over_fragments_and_fails_fast),
        cmocka_unit_test(test_fails_in_the_middle_of_a_frame),
        cmocka_unit_test(test_compressed_messages_are_marked),
        cmocka_unit_test(test_close_payloads),
        cmocka_unit_test(test_unmask_of_any_length_and_alignment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
