/* The UTF-8 validator, whole and in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "utf8.h"

#define TEXT(s) {s, sizeof(s) - 1}

static const struct sample {
    const char *data;
    size_t len;
} valid[] = {
    TEXT(""),
    TEXT("plain text of more than eight bytes"),
    TEXT("\0 is a character"),
    TEXT("\xc2\x80"),
    TEXT("\xdf\xbf"),
    TEXT("\xe0\xa0\x80"),
    TEXT("\xed\x9f\xbf"),
    TEXT("\xee\x80\x80"),
    TEXT("\xef\xbf\xbf"),
    TEXT("\xf0\x90\x80\x80"),
    TEXT("\xf4\x8f\xbf\xbf"),
    TEXT("1234567\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5 and more ascii \xf0\x9f\x98\x80"),
};

static const struct sample invalid[] = {
    TEXT("\x80"),
    TEXT("\xbf"),
    TEXT("\xc0\x80"),
    TEXT("\xc1\xbf"),
    TEXT("\xc2"),
    TEXT("\xc2\x41"),
    TEXT("\xe0\x9f\xbf"),
    TEXT("\xe2\x82"),
    TEXT("\xed\xa0\x80"),
    TEXT("\xed\xbf\xbf"),
    TEXT("\xf0\x8f\xbf\xbf"),
    TEXT("\xf0\x9f\x98"),
    TEXT("\xf4\x90\x80\x80"),
    TEXT("\xf5\x80\x80\x80"),
    TEXT("\xf8\x88\x80\x80\x80"),
    TEXT("\xff"),
    TEXT("\xfe"),
    TEXT("long ascii, then \xce\xba\x80"),
};

static bool valid_in_pieces(const struct sample *s, size_t step)
{
    struct utf8 u = {0};
    for (size_t at = 0; at < s->len; at += step)
        if (!utf8_feed(&u, s->data + at, s->len - at < step ? s->len - at : step))
            return false;
    return utf8_complete(&u);
}

static void test_valid_text_is_taken_in_pieces_of_any_size(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof valid / sizeof *valid; i++) {
        assert_true(utf8_valid(valid[i].data, valid[i].len));
        for (size_t step = 1; step < 12; step++)
            assert_true(valid_in_pieces(&valid[i], step));
    }
}

static void test_invalid_text_is_refused_in_pieces_of_any_size(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++) {
        assert_false(utf8_valid(invalid[i].data, invalid[i].len));
        for (size_t step = 1; step < 12; step++)
            assert_false(valid_in_pieces(&invalid[i], step));
    }
}

static void test_fails_at_the_first_impossible_byte(void **state)
{
    (void)state;
    struct utf8 u = {0};
    assert_true(utf8_feed(&u, "\xf4", 1));
    assert_false(utf8_feed(&u, "\x90", 1));
}

/* Every code point encoded by the definition, and every neighbour that the definition leaves out. */
static void test_all_code_points(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x120000; c++) {
        char t[4];
        size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        if (n == 1)
            t[0] = (char)c;
        for (size_t i = n; n > 1 && i-- > 0;)
            t[i] = (char)((i ? 0x80 : (n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0)) | (c >> (6 * (n - 1 - i)) & (i ? 0x3f : 0x1f)));
        bool expected = c < 0x110000 && !(c >= 0xd800 && c < 0xe000);
        if (utf8_valid(t, n) != expected)
            fail_msg("U+%04X: expected %d", c, expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid_text_is_taken_in_pieces_of_any_size),
        cmocka_unit_test(test_invalid_text_is_refused_in_pieces_of_any_size),
        cmocka_unit_test(test_fails_at_the_first_impossible_byte),
        cmocka_unit_test(test_all_code_points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
