#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "loop/frame_index.h"

static int32_t spread(int32_t bound)
{
    return (int32_t)(random() % bound);
}

static struct frame_meta random_meta(void)
{
    static const uint8_t flags[] = {FRAME_HAS_GEO, FRAME_HAS_GEO | FRAME_WAS_PLACED, FRAME_WAS_PLACED | FRAME_REMOVED, 0};
    struct frame_meta m = {.flags = flags[random() % 4],
                           .latitude_e6 = spread(2000000),
                           .longitude_e6 = 179000000 + spread(2000000),
                           .was_latitude_e6 = spread(2000000),
                           .was_longitude_e6 = -180000000 + spread(2000000)};
    if (m.longitude_e6 > 180000000)
        m.longitude_e6 -= 360000000;
    if (random() % 100 == 0)
        m.flags |= random() % 2 ? FRAME_JOIN_LEAVE : FRAME_WAS_UNKNOWN;
    return m;
}

static void append(struct frame_log *log, int count)
{
    struct frame_mark marks[200];
    struct frame_meta metas[200];
    char bytes[200];
    for (int i = 0; i < count; i++) {
        marks[i] = (struct frame_mark){.offset = (int64_t)log->head + i, .end = (uint32_t)i + 1};
        metas[i] = random_meta();
    }
    const struct frame_block block = {.count = (uint32_t)count, .len = (size_t)count, .marks = marks, .metas = metas,
                                      .meta_bytes = bytes, .bytes = memset(bytes, 'x', sizeof bytes)};
    frame_log_append(log, &block);
}

static bool concerns(const struct frame_meta *m, const struct geo_box *b)
{
    return m->flags & (FRAME_JOIN_LEAVE | FRAME_WAS_UNKNOWN) ||
           (m->flags & FRAME_HAS_GEO && geo_box_contains(b, m->latitude_e6, m->longitude_e6)) ||
           (m->flags & FRAME_WAS_PLACED && geo_box_contains(b, m->was_latitude_e6, m->was_longitude_e6));
}

/* Nothing is left out, and little comes that does not concern the box: what lies in the cells at its border. */
static void look(struct frame_index *x, const struct frame_log *log, const struct geo_box *b, uint64_t from)
{
    const uint64_t *seqs;
    size_t n = frame_index_look(x, log, b, from, log->head, &seqs), i = 0, concerned = 0;
    const struct geo_box around = {b->south_e6 - 10000, b->west_e6 - 20000, b->north_e6 + 10000, b->east_e6 + 20000};
    assert_int_not_equal(n, (size_t)-1);
    for (uint64_t seq = from; seq < log->head; seq++) {
        bool found = i < n && seqs[i] == seq;
        i += found;
        concerned += concerns(frame_log_meta(log, seq), b);
        assert_true(found || !concerns(frame_log_meta(log, seq), b));
        assert_true(!found || concerns(frame_log_meta(log, seq), &around));
    }
    assert_int_equal(i, n);
    assert_true(concerned > 0);
}

static const struct geo_box near_line = {500000, 179500000, 700000, -179500000}, west = {0, 179200000, 300000, 179900000},
                            globe = {-90000000, -180000000, 90000000, 180000000};

static void looks_find_what_concerns_a_box_wherever_they_begin(void **state)
{
    struct frame_index x = {.from = 0};
    struct frame_log log;
    (void)state;
    srandom(3);
    frame_log_init(&log, 4000, -1);
    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < 15; i++)
            append(&log, 180);
        look(&x, &log, &near_line, log.head - 2000);
        look(&x, &log, &west, log.head - 2000); /* covered */
        look(&x, &log, &west, log.head - 1500);
        look(&x, &log, &near_line, log.head - 2600); /* older ones, which were not */
    }
    frame_index_done(&x);
    frame_log_done(&log);
}

static void many_rows_for_few_frames_are_not_worth_it(void **state)
{
    struct frame_index x = {.from = 0};
    struct frame_log log;
    const uint64_t *seqs;
    (void)state;
    frame_log_init(&log, 100000, -1);
    append(&log, 100);
    assert_int_equal(frame_index_look(&x, &log, &globe, 0, log.head, &seqs), (size_t)-1);
    assert_int_equal(frame_index_look(&x, &log, &near_line, 0, log.head, &seqs), (size_t)-1);
    frame_index_done(&x);
    frame_log_done(&log);
}

/* A form that was let go begins a new log at 0. */
static void an_index_that_was_told_forgets(void **state)
{
    struct frame_index x = {.from = 0};
    (void)state;
    srandom(4);
    for (int i = 0; i < 2; i++) {
        struct frame_log log;
        frame_log_init(&log, 100000, -1);
        for (int k = 0; k < 15; k++)
            append(&log, 180);
        look(&x, &log, &near_line, 0);
        frame_log_done(&log);
        frame_index_forget(&x);
    }
    frame_index_done(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(looks_find_what_concerns_a_box_wherever_they_begin),
        cmocka_unit_test(many_rows_for_few_frames_are_not_worth_it),
        cmocka_unit_test(an_index_that_was_told_forgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
