#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "loop/frame_log.h"

/* A block of `count` frames of `size` bytes each; the bytes of a frame repeat the low byte of its offset. */
static struct frame_block *block_of(int64_t first, uint32_t count, uint32_t size)
{
    struct frame_block *b = malloc(sizeof *b + count * (sizeof(struct frame_mark) + size));
    assert_non_null(b);
    *b = (struct frame_block){0};
    atomic_init(&b->refs, 1);
    b->count = count;
    b->len = (size_t)count * size;
    b->marks = (struct frame_mark *)(b + 1);
    b->bytes = (char *)(b->marks + count);
    for (uint32_t i = 0; i < count; i++) {
        memset(b->bytes + i * size, (int)((first + i) & 0xff), size);
        b->marks[i] = (struct frame_mark){.offset = first + i, .end = (i + 1) * size};
    }
    return b;
}

static void append(struct frame_log *log, int64_t first, uint32_t count, uint32_t size)
{
    struct frame_block *b = block_of(first, count, size);
    frame_log_append(log, b);
    frame_block_unref(b);
}

static void assert_frames(struct bytes slice, int64_t first, size_t count, size_t size)
{
    assert_int_equal(slice.len, count * size);
    for (size_t i = 0; i < slice.len; i++)
        assert_int_equal((unsigned char)slice.data[i], (unsigned char)(first + (int64_t)(i / size)));
}

static void a_cursor_gets_everything_behind_it_in_one_piece(void **state)
{
    struct frame_log log;
    uint64_t next;
    (void)state;
    frame_log_init(&log, 1000, 41);
    append(&log, 42, 3, 10);
    append(&log, 45, 2, 10);
    struct bytes slice = frame_log_slice(&log, 1, 65536, &next);
    assert_frames(slice, 43, 4, 10);
    assert_int_equal(next, 5);
    assert_int_equal(frame_log_offset_before(&log, 0), 41);
    assert_int_equal(frame_log_offset_before(&log, 5), 46);
    frame_log_done(&log);
}

static void a_slice_ends_at_a_frame_and_has_one_at_least(void **state)
{
    struct frame_log log;
    uint64_t next;
    (void)state;
    frame_log_init(&log, 10000, -1);
    append(&log, 0, 10, 100);
    assert_frames(frame_log_slice(&log, 0, 250, &next), 0, 2, 100);
    assert_int_equal(next, 2);
    assert_frames(frame_log_slice(&log, 2, 1, &next), 2, 1, 100);
    assert_int_equal(next, 3);
    assert_frames(frame_log_slice(&log, 3, 300, &next), 3, 3, 100);
    assert_int_equal(next, 6);
    frame_log_done(&log);
}

static void old_frames_leave_and_the_base_says_what_was_lost(void **state)
{
    struct frame_log log;
    uint64_t next;
    (void)state;
    frame_log_init(&log, 500, 99);
    for (int64_t offset = 100; offset < 300; offset++)
        append(&log, offset, 1, 100);
    assert_int_equal(log.head, 200);
    assert_int_equal(log.base, 195);
    assert_int_equal(log.base_offset, 294);
    assert_frames(frame_log_slice(&log, log.base, 65536, &next), 295, 5, 100);
    assert_true(log.bytes.capacity <= 2048);
    frame_log_done(&log);
}

static void a_block_over_the_limit_still_fits(void **state)
{
    struct frame_log log;
    uint64_t next;
    (void)state;
    frame_log_init(&log, 100, 0);
    append(&log, 1, 1, 60);
    append(&log, 2, 1, 5000);
    assert_int_equal(log.base, 1);
    assert_frames(frame_log_slice(&log, 1, 10, &next), 2, 1, 5000);
    append(&log, 3, 1, 10);
    assert_int_equal(log.base, 2);
    assert_int_equal(log.base_offset, 2);
    frame_log_done(&log);
}

static void seeks_the_first_frame_above_an_offset(void **state)
{
    struct frame_log log;
    (void)state;
    frame_log_init(&log, 10000, 9);
    append(&log, 10, 1, 8);
    append(&log, 20, 1, 8);
    append(&log, 30, 1, 8);
    assert_int_equal(frame_log_seek(&log, 0, 9), 0);
    assert_int_equal(frame_log_seek(&log, 0, 10), 1);
    assert_int_equal(frame_log_seek(&log, 0, 25), 2);
    assert_int_equal(frame_log_seek(&log, 0, 30), 3);
    assert_int_equal(frame_log_seek(&log, 2, 0), 2);
    frame_log_done(&log);
}

static void a_reset_keeps_the_sequence_going(void **state)
{
    struct frame_log log;
    uint64_t next;
    (void)state;
    frame_log_init(&log, 10000, -1);
    append(&log, 0, 4, 50);
    frame_log_reset(&log, 77);
    assert_int_equal(log.base, 4);
    assert_int_equal(log.head, 4);
    append(&log, 80, 2, 50);
    assert_frames(frame_log_slice(&log, 4, 65536, &next), 80, 2, 50);
    assert_int_equal(next, 6);
    assert_int_equal(frame_log_between(&log, 5, 5).len, 0);
    frame_log_done(&log);
}

/* Random appends against a plain list of the last offsets. */
static void agrees_with_a_model(void **state)
{
    struct frame_log log;
    int64_t offset = 0;
    (void)state;
    srand(1);
    frame_log_init(&log, 4096, -1);
    for (int round = 0; round < 2000; round++) {
        uint32_t count = 1 + (uint32_t)rand() % 5, size = 1 + (uint32_t)rand() % 300;
        append(&log, offset, count, size);
        offset += count;
        uint64_t seq = log.base + (uint64_t)rand() % (log.head - log.base), next;
        struct bytes slice = frame_log_slice(&log, seq, 1 + (size_t)rand() % 2000, &next);
        assert_int_equal((unsigned char)slice.data[0], (unsigned char)seq);
        assert_int_equal((unsigned char)slice.data[slice.len - 1], (unsigned char)(next - 1));
        assert_int_equal(frame_log_offset_before(&log, next), (int64_t)next - 1);
    }
    frame_log_done(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cursor_gets_everything_behind_it_in_one_piece),
        cmocka_unit_test(a_slice_ends_at_a_frame_and_has_one_at_least),
        cmocka_unit_test(old_frames_leave_and_the_base_says_what_was_lost),
        cmocka_unit_test(a_block_over_the_limit_still_fits),
        cmocka_unit_test(seeks_the_first_frame_above_an_offset),
        cmocka_unit_test(a_reset_keeps_the_sequence_going),
        cmocka_unit_test(agrees_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
