/* permessage-deflate: what is negotiated, and messages there and back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>

#include <cmocka.h>

#include "ws_deflate.h"

#define BASE "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

static const struct {
    const char *offers;
    int bits;
    const char *answer;
} offers[] = {
    {"permessage-deflate", 15, BASE},
    {"permessage-deflate; client_max_window_bits", 15, BASE},
    {"permessage-deflate;client_max_window_bits=8", 15, BASE},
    {"permessage-deflate; server_max_window_bits=10", 10, BASE "; server_max_window_bits=10"},
    {"permessage-deflate; server_max_window_bits=\"9\"", 9, BASE "; server_max_window_bits=9"},
    {"PerMessage-Deflate ; Server_No_Context_Takeover ; client_no_context_takeover", 15, BASE},
    {"x-webkit-deflate-frame, permessage-deflate", 15, BASE},
    {"permessage-deflate; unknown, permessage-deflate; server_max_window_bits=12", 12, BASE "; server_max_window_bits=12"},
    {"", 0, ""},
    {"permessage-bzip2", 0, ""},
    {"permessage-deflate; unknown", 0, ""},
    {"permessage-deflate; server_no_context_takeover; server_no_context_takeover", 0, ""},
    {"permessage-deflate; server_no_context_takeover=1", 0, ""},
    {"permessage-deflate; server_max_window_bits", 0, ""},
    {"permessage-deflate; server_max_window_bits=8", 0, ""},
    {"permessage-deflate; server_max_window_bits=7", 0, ""},
    {"permessage-deflate; server_max_window_bits=16", 0, ""},
    {"permessage-deflate; server_max_window_bits=09", 0, ""},
    {"permessage-deflate; client_max_window_bits=16", 0, ""},
    {"permessage-deflate; client_max_window_bits=", 0, ""},
    {"permessage-deflate;", 0, ""},
};

static void test_negotiation(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof offers / sizeof *offers; i++) {
        CLEANUP_BUF out = BUF_INIT;
        int bits = ws_deflate_negotiate(bytes_of(offers[i].offers), 9, &out);
        if (bits != offers[i].bits || !bytes_eq_str(buf_bytes(&out), offers[i].answer))
            fail_msg("%s: %d %.*s", offers[i].offers, bits, (int)out.len, out.data ? out.data : "");
    }
}

static void test_an_offer_with_too_small_a_window_is_passed_over(void **state)
{
    (void)state;
    CLEANUP_BUF out = BUF_INIT;
    assert_int_equal(ws_deflate_negotiate(bytes_of("permessage-deflate; server_max_window_bits=14"), 15, &out), 0);
    assert_int_equal(out.len, 0);
    assert_int_equal(ws_deflate_negotiate(bytes_of("permessage-deflate; server_max_window_bits=10, "
                                                   "permessage-deflate; server_max_window_bits=15"), 15, &out), 15);
    assert_true(bytes_eq_str(buf_bytes(&out), BASE "; server_max_window_bits=15"));
}

static void fill(struct buf *b, size_t len, unsigned variety)
{
    srand(7);
    b->len = 0;
    for (size_t i = 0; i < len; i++) {
        char c = (char)(variety > 255 ? rand() : 'a' + rand() % (int)variety);
        buf_append(b, &c, 1);
    }
}

static void test_there_and_back_in_every_window(void **state)
{
    (void)state;
    static const size_t sizes[] = {65, 1000, 40000, 300000};
    struct ws_deflate *d = ws_deflate_new();
    for (int bits = 9; bits <= 15; bits++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            CLEANUP_BUF plain = BUF_INIT;
            CLEANUP_BUF wire = BUF_INIT;
            CLEANUP_BUF again = BUF_INIT;
            fill(&plain, sizes[i], 4);
            assert_int_equal(ws_deflate_message(d, bits, buf_bytes(&plain), &wire), 0);
            assert_true(wire.len < plain.len);
            assert_int_equal(ws_inflate_message(d, buf_bytes(&wire), sizes[i], &again), 0);
            assert_true(bytes_eq(buf_bytes(&plain), buf_bytes(&again)));
        }
    ws_deflate_free(d);
}

/* The window the client asked for is the largest distance a decoder of that size can follow. */
static void test_small_window_is_kept(void **state)
{
    (void)state;
    struct ws_deflate *d = ws_deflate_new();
    CLEANUP_BUF plain = BUF_INIT;
    CLEANUP_BUF wire = BUF_INIT;
    char out[9000];
    fill(&plain, 2000, 300);
    buf_reserve(&plain, 6000);
    for (int i = 0; i < 2; i++)
        buf_append(&plain, plain.data, 2000); /* repeats 2,000 bytes back: out of a window of 512 */
    for (size_t i = 0; i < 2000; i++)
        buf_append(&plain, "a", 1);
    assert_int_equal(ws_deflate_message(d, 9, buf_bytes(&plain), &wire), 0);
    buf_append(&wire, "\x00\x00\xff\xff", 4);
    z_stream z = {.next_in = (Bytef *)wire.data, .avail_in = (uInt)wire.len, .next_out = (Bytef *)out, .avail_out = sizeof out};
    assert_int_equal(inflateInit2(&z, -9), Z_OK);
    assert_int_equal(inflate(&z, Z_SYNC_FLUSH), Z_OK);
    assert_int_equal(z.total_out, plain.len);
    assert_memory_equal(out, plain.data, plain.len);
    inflateEnd(&z);
    ws_deflate_free(d);
}

static void test_what_does_not_get_shorter_is_left_alone(void **state)
{
    (void)state;
    struct ws_deflate *d = ws_deflate_new();
    CLEANUP_BUF plain = BUF_INIT;
    CLEANUP_BUF wire = BUF_INIT;
    buf_append_str(&wire, "kept");
    fill(&plain, 5000, 300);
    assert_int_equal(ws_deflate_message(d, 15, buf_bytes(&plain), &wire), -ENOSPC);
    assert_true(bytes_eq_str(buf_bytes(&wire), "kept"));
    fill(&plain, 5000, 2);
    assert_int_equal(ws_deflate_message(d, 15, buf_bytes(&plain), &wire), 0);
    ws_deflate_free(d);
}

static void test_bomb_is_stopped_at_the_limit(void **state)
{
    (void)state;
    struct ws_deflate *d = ws_deflate_new();
    CLEANUP_BUF plain = BUF_INIT;
    CLEANUP_BUF wire = BUF_INIT;
    CLEANUP_BUF out = BUF_INIT;
    fill(&plain, 64 << 20, 1);
    assert_int_equal(ws_deflate_message(d, 15, buf_bytes(&plain), &wire), 0);
    assert_true(wire.len < 400000);
    assert_int_equal(ws_inflate_message(d, buf_bytes(&wire), 65536, &out), -EMSGSIZE);
    assert_true(out.capacity <= 256 << 10);
    out.len = 0;
    assert_int_equal(ws_inflate_message(d, buf_bytes(&wire), 64 << 20, &out), 0); /* and it is usable afterwards */
    assert_int_equal(out.len, 64 << 20);
    ws_deflate_free(d);
}

static void test_limit_is_exact(void **state)
{
    (void)state;
    struct ws_deflate *d = ws_deflate_new();
    CLEANUP_BUF plain = BUF_INIT;
    CLEANUP_BUF wire = BUF_INIT;
    CLEANUP_BUF out = BUF_INIT;
    fill(&plain, 65536, 3);
    assert_int_equal(ws_deflate_message(d, 15, buf_bytes(&plain), &wire), 0);
    assert_int_equal(ws_inflate_message(d, buf_bytes(&wire), 65535, &out), -EMSGSIZE);
    out.len = 0;
    assert_int_equal(ws_inflate_message(d, buf_bytes(&wire), 65536, &out), 0);
    ws_deflate_free(d);
}

static int inflate_text(struct ws_deflate *d, struct bytes wire, const char *expected)
{
    CLEANUP_BUF out = BUF_INIT;
    int r = ws_inflate_message(d, wire, 1000, &out);
    if (r == 0)
        assert_true(bytes_eq_str(buf_bytes(&out), expected));
    return r;
}

/* RFC 7692, 7.2.3: the examples. */
static void test_examples_of_the_rfc(void **state)
{
    (void)state;
    struct ws_deflate *d = ws_deflate_new();
    assert_int_equal(inflate_text(d, BYTES_LIT("\xf2\x48\xcd\xc9\xc9\x07\x00"), "Hello"), 0);
    assert_int_equal(inflate_text(d, BYTES_LIT("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), "Hello"), 0); /* stored */
    assert_int_equal(inflate_text(d, BYTES_LIT("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), "Hello"), 0);             /* BFINAL */
    assert_int_equal(inflate_text(d, BYTES_LIT("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), "Hello"), 0); /* two blocks */
    assert_int_equal(inflate_text(d, BYTES_LIT("\x00"), ""), 0);
    assert_int_equal(inflate_text(d, BYTES_LIT("\xff\xff\xff\xff"), ""), -EBADMSG);
    assert_int_equal(inflate_text(d, BYTES_LIT("\xf2\x48\xcd\xc9\xc9\x07\x00"), "Hello"), 0); /* usable after an error */
    ws_deflate_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_negotiation),
        cmocka_unit_test(test_an_offer_with_too_small_a_window_is_passed_over),
        cmocka_unit_test(test_there_and_back_in_every_window),
        cmocka_unit_test(test_small_window_is_kept),
        cmocka_unit_test(test_what_does_not_get_shorter_is_left_alone),
        cmocka_unit_test(test_bomb_is_stopped_at_the_limit),
        cmocka_unit_test(test_limit_is_exact),
        cmocka_unit_test(test_examples_of_the_rfc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
