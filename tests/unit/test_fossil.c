#include "fossil.h"

#include "utf8.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#define assert_text(out, literal) assert_true(bytes_eq(buf_bytes(&(out)), BYTES_LIT(literal)))

/* What the npm client's decoder was seen to take. */
static void a_delta_of_the_protocol_page_is_made(void **state)
{
    (void)state;
    CLEANUP_BUF delta = BUF_INIT;
    struct bytes source = BYTES_LIT("{\"n\":1,\"pad\":\"abcdefghijklmnopqrstuvwxyz0123456789\"}");
    struct bytes target = BYTES_LIT("{\"n\":2,\"pad\":\"abcdefghijklmnopqrstuvwxyz0123456789\"}");
    assert_int_equal(fossil_delta(source, target, true, &delta), 0);
    assert_text(delta, "p\n6:{\"n\":2j@6,2D3dTF;");
}

static void check(struct bytes source, struct bytes target, bool utf8_cuts)
{
    CLEANUP_BUF delta = BUF_INIT;
    CLEANUP_BUF again = BUF_INIT;
    buf_append(&delta, "x", 1);
    buf_append(&again, "y", 1);
    int err = fossil_delta(source, target, utf8_cuts, &delta);
    if (err < 0) {
        assert_int_equal(delta.len, 1);
        return;
    }
    struct bytes made = {delta.data + 1, delta.len - 1};
    assert_true(made.len < target.len);
    if (utf8_cuts)
        assert_true(utf8_valid(made.data, made.len));
    assert_int_equal(fossil_apply(source, made, target.len, &again), 0);
    assert_true(bytes_eq((struct bytes){again.data + 1, again.len - 1}, target));
    if (target.len > 0)
        assert_int_equal(fossil_apply(source, made, target.len - 1, &again), -E2BIG);
}

static void fill(struct buf *b, size_t len, unsigned alphabet)
{
    b->len = 0;
    while (b->len < len)
        buf_append(b, &(char){(char)(rand() % (int)alphabet)}, 1);
}

/* Moves, doubles, drops and changes pieces. */
static void mutate(struct bytes source, unsigned alphabet, struct buf *target)
{
    target->len = 0;
    for (int pieces = 1 + rand() % 8; pieces > 0 && target->len < 40000; pieces--) {
        size_t from = source.len ? (size_t)rand() % source.len : 0, len = (size_t)rand() % (source.len - from + 1);
        buf_append(target, source.data + from, len);
        for (int n = rand() % 20; n > 0; n--)
            buf_append(target, &(char){(char)(rand() % (int)alphabet)}, 1);
    }
}

static void deltas_of_anything_give_the_target_back(void **state)
{
    (void)state;
    static const unsigned alphabets[] = {1, 2, 8, 256};
    CLEANUP_BUF source = BUF_INIT;
    CLEANUP_BUF target = BUF_INIT;
    srand(7);
    for (int round = 0; round < 4000; round++) {
        unsigned alphabet = alphabets[round % 4];
        fill(&source, (size_t)(rand() % (round % 50 ? 600 : 9000)), alphabet);
        mutate(buf_bytes(&source), alphabet, &target);
        check(buf_bytes(&source), buf_bytes(&target), false);
    }
}

static void append_character(struct buf *b)
{
    static const char *const characters[] = {"a", "b", "\xc3\xa9", "\xc3\xa8", "\xe2\x82\xac", "\xe2\x82\xad",
                                             "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x81"};
    buf_append_str(b, characters[rand() % 8]);
}

/* Characters that share their first bytes, so that the longest match often ends or begins inside of one. */
static void insertions_are_whole_characters(void **state)
{
    (void)state;
    CLEANUP_BUF source = BUF_INIT;
    CLEANUP_BUF target = BUF_INIT;
    size_t shorter = 0;
    srand(9);
    for (int round = 0; round < 4000; round++) {
        source.len = target.len = 0;
        for (int n = rand() % 100; n > 0; n--)
            append_character(&source);
        size_t middle = source.len / 2;
        while (middle && ((unsigned char)source.data[middle] & 0xc0) == 0x80)
            middle--;
        buf_append(&target, source.data, middle);
        append_character(&target);
        size_t skip = middle;
        for (int n = rand() % 3; n >= 0 && skip < source.len; n--)
            for (skip++; skip < source.len && ((unsigned char)source.data[skip] & 0xc0) == 0x80;)
                skip++;
        buf_append(&target, source.data + skip, source.len - skip);
        check(buf_bytes(&source), buf_bytes(&target), true);
        CLEANUP_BUF delta = BUF_INIT;
        shorter += fossil_delta(buf_bytes(&source), buf_bytes(&target), true, &delta) == 0;
    }
    assert_true(shorter > 2000);
}

static void a_delta_that_is_not_shorter_is_refused(void **state)
{
    (void)state;
    CLEANUP_BUF out = BUF_INIT;
    assert_int_equal(fossil_delta(BYTES_LIT("abc"), BYTES_LIT("xyz"), false, &out), -E2BIG);
    assert_int_equal(fossil_delta(BYTES_LIT(""), BYTES_LIT("xyz"), false, &out), -E2BIG);
    assert_int_equal(fossil_delta(BYTES_LIT("abc"), BYTES_LIT(""), false, &out), -E2BIG);
    assert_int_equal(fossil_delta(BYTES_NULL, BYTES_NULL, true, &out), -E2BIG);
    assert_int_equal(out.len, 0);
}

static void a_target_that_is_no_text_has_no_text_delta(void **state)
{
    (void)state;
    CLEANUP_BUF out = BUF_INIT;
    struct bytes same = BYTES_LIT("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xff");
    assert_int_equal(fossil_delta(same, same, true, &out), -EILSEQ);
    assert_int_equal(fossil_delta(same, same, false, &out), 0);
}

static void moved_blocks_are_found(void **state)
{
    (void)state;
    CLEANUP_BUF source = BUF_INIT;
    CLEANUP_BUF target = BUF_INIT;
    CLEANUP_BUF delta = BUF_INIT;
    srand(3);
    fill(&source, 100000, 256);
    buf_append(&target, source.data + 50000, 50000);
    buf_append(&target, source.data, 50000);
    assert_int_equal(fossil_delta(buf_bytes(&source), buf_bytes(&target), false, &delta), 0);
    assert_true(delta.len < 60);
    check(buf_bytes(&source), buf_bytes(&target), false);
}

/* A megabyte in which every block looks like every other: takes forever if candidates are not bounded. */
static void equal_blocks_take_linear_time(void **state)
{
    (void)state;
    CLEANUP_BUF source = BUF_INIT;
    CLEANUP_BUF target = BUF_INIT;
    for (int i = 0; i < 1 << 17; i++) {
        buf_append(&source, "aaaaaaaa", 8);
        buf_append(&target, i % 3 ? "aaaaaaaa" : "aaaaaaab", 8);
    }
    check(buf_bytes(&source), buf_bytes(&target), true);
    check(buf_bytes(&target), buf_bytes(&source), true);
}

static void malformed_deltas_are_refused(void **state)
{
    (void)state;
    static const char *const deltas[] = {
        "",
        "3",
        "3\n",
        "3\n3:abc",
        "3\n3:abc;",
        "3\n3:abc1XObC0",
        "3\n3:abc1XObCz;",
        "3\n2:ab1XObC0;",
        "4\n3:abc1XObC0;",
        "3\n3:abc1XObC0;x",
        "3\n4:abc1XObC0;",
        "3\n3@01XObC0;",
        "3\n3@1,1XObC0;",
        "3\n~@0,1XObC0;",
        "3\n3@~~~~~~~~~,1XObC0;",
        "~~~~~~~~~~~~~~~\n3:abc1XObC0;",
        "3\n;",
        "\n0;",
        "3\n3!abc1XObC0;",
        "3\n3:abc3:abc1XObC0;",
    };
    CLEANUP_BUF out = BUF_INIT;
    assert_int_equal(fossil_apply(BYTES_LIT("abc"), BYTES_LIT("3\n3:abc1XObC0;"), 100, &out), 0);
    out.len = 0;
    assert_int_equal(fossil_apply(BYTES_LIT("abc"), BYTES_LIT("3\n3@0,1XObC0;"), 100, &out), 0);
    assert_text(out, "abc");
    for (size_t i = 0; i < sizeof deltas / sizeof *deltas; i++)
        if (fossil_apply(BYTES_LIT("abc"), bytes_of(deltas[i]), 100, &out) != -EBADMSG)
            fail_msg("accepted: %s", deltas[i]);
    assert_text(out, "abc");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_delta_of_the_protocol_page_is_made),
        cmocka_unit_test(deltas_of_anything_give_the_target_back),
        cmocka_unit_test(insertions_are_whole_characters),
        cmocka_unit_test(a_delta_that_is_not_shorter_is_refused),
        cmocka_unit_test(a_target_that_is_no_text_has_no_text_delta),
        cmocka_unit_test(moved_blocks_are_found),
        cmocka_unit_test(equal_blocks_take_linear_time),
        cmocka_unit_test(malformed_deltas_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
