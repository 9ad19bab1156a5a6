/* What lies beside the frames of a log, and the verdicts of filters on them, against a model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "loop/filter.h"

static const struct frame_channel channel = {.name = {"c", 1}};

/* Publication n of these: its key is n, every third is red, every fifth has neither key nor tags. */
static bool is_red(uint64_t n)
{
    return n % 5 != 0 && n % 3 == 0;
}

static struct frame_block *block_of(uint64_t first, uint32_t count, size_t size)
{
    static char pad[400];
    struct frame_builder b;
    memset(pad, 'x', sizeof pad);
    frame_builder_init(&b, FORM_PAYLOAD_JSON, &channel);
    for (uint64_t n = first; n < first + count; n++) {
        char key[24];
        snprintf(key, sizeof key, "%llu", (unsigned long long)n);
        const struct publication_parts parts = {
            .offset = (int64_t)n,
            .key = n % 5 ? bytes_of(key) : BYTES_NULL,
            .tags = bytes_of(n % 5 == 0 ? "" : is_red(n) ? "{\"c\":\"red\"}" : "{\"c\":\"blue\"}"),
            .payload = {pad, size}};
        struct publication *p = publication_new(&parts);
        frame_builder_add(&b, p);
        publication_unref(p);
    }
    return frame_builder_finish(&b);
}

static void append(struct frame_log *log, uint64_t first, uint32_t count, size_t size)
{
    struct frame_block *b = block_of(first, count, size);
    frame_log_append(log, b);
    frame_block_unref(b);
}

static void assert_facts(const struct frame_log *log, uint64_t seq)
{
    const struct frame_facts f = frame_log_facts(log, seq);
    char key[24];
    snprintf(key, sizeof key, "%llu", (unsigned long long)seq);
    assert_true(bytes_eq_str(f.key, seq % 5 ? key : ""));
    assert_true(bytes_eq_str(f.tags, seq % 5 == 0 ? "" : is_red(seq) ? "{\"c\":\"red\"}" : "{\"c\":\"blue\"}"));
}

static void the_log_keeps_facts_as_long_as_frames_and_within_the_same_bound(void **state)
{
    struct frame_log log;
    uint64_t n = 0;
    (void)state;
    srand(2);
    frame_log_init(&log, 4096, -1);
    for (int round = 0; round < 3000; round++) {
        uint32_t count = 1 + (uint32_t)rand() % 6;
        append(&log, n, count, (size_t)rand() % 300);
        n += count;
        assert_int_equal(log.head, n);
        assert_facts(&log, log.base);
        assert_facts(&log, log.head - 1);
        assert_facts(&log, log.base + (uint64_t)rand() % (log.head - log.base));
        size_t live = byte_run_live(&log.bytes) + byte_run_live(&log.texts);
        assert_true(live <= 4096 || log.head - log.base <= count);
    }
    assert_true(log.texts.capacity <= 16384);
    frame_log_reset(&log, 5);
    assert_int_equal(byte_run_live(&log.texts), 0);
    append(&log, n, 2, 10);
    assert_facts(&log, n);
    frame_log_done(&log);
}

static void a_log_without_metas_says_nothing_and_one_that_is_bare_keeps_none(void **state)
{
    struct frame_log log;
    struct frame_block *b = block_of(1, 4, 10);
    (void)state;
    frame_log_init(&log, 4096, -1);
    log.bare = true;
    frame_log_append(&log, b);
    assert_null(log.metas);
    assert_int_equal(frame_log_facts(&log, 1).key.len, 0);
    assert_int_equal(frame_log_facts(&log, 1).flags, 0);
    frame_block_unref(b);
    frame_log_done(&log);
}

static void metas_may_begin_in_the_middle_of_a_log(void **state)
{
    struct frame_log log;
    (void)state;
    frame_log_init(&log, 4096, -1);
    for (uint64_t n = 0; n < 40; n += 5) { /* without anything to say */
        struct frame_block *b = block_of(n, 1, 10);
        assert_null(b->metas);
        for (int i = 0; i < 5; i++)
            frame_log_append(&log, b);
        frame_block_unref(b);
    }
    append(&log, 40, 10, 10);
    for (uint64_t seq = 0; seq < 40; seq++)
        assert_int_equal(frame_log_facts(&log, seq).tags.len, 0);
    for (uint64_t seq = 40; seq < 50; seq++)
        assert_facts(&log, seq);
    for (uint64_t n = 50; n < 400; n += 10) {
        append(&log, n, 10, 10);
        assert_facts(&log, log.base < 40 ? 40 : log.base);
    }
    frame_log_done(&log);
}

static struct filter *red(struct filter **list)
{
    const char *reason;
    return filter_get(list, BYTES_LIT("{\"key\":\"c\",\"cmp\":\"eq\",\"val\":\"red\"}"), CHANNELS_JSON, false, &reason);
}

static void assert_next_run(struct filter *f, const struct frame_log *log, uint64_t seq)
{
    uint64_t first, end, from = seq;
    filter_next_run(f, log, seq, UINT64_MAX, &first, &end);
    while (from < log->head && !is_red(from))
        from++;
    assert_int_equal(first, from);
    while (from < log->head && is_red(from))
        from++;
    assert_int_equal(end, from);
}

static void verdicts_agree_with_the_tags_wherever_cursors_are(void **state)
{
    struct frame_log log;
    struct filter *list = NULL, *f = NULL;
    uint64_t n = 0;
    (void)state;
    srand(3);
    frame_log_init(&log, 16384, -1);
    for (int round = 0; round < 4000; round++) {
        uint32_t count = 1 + (uint32_t)rand() % 40;
        append(&log, n, count, (size_t)rand() % 90);
        n += count;
        if (rand() % 50 == 0) {
            filter_unref(&list, f);
            f = NULL;
        }
        if (!f)
            f = red(&list);
        if (rand() % 100 == 0)
            frame_log_reset(&log, (int64_t)n);
        for (int i = rand() % 4; i > 0; i--)
            assert_next_run(f, &log, log.base + (uint64_t)rand() % (log.head - log.base + 1));
    }
    filter_unref(&list, f);
    assert_null(list);
    frame_log_done(&log);
}

/* Without time left each look goes on a little, forwards and backwards, and never says what was not judged. */
static void without_time_left_judging_goes_on_in_small_steps(void **state)
{
    struct frame_log log;
    struct filter *list = NULL, *f = red(&list);
    uint64_t first, end, seq = 200, looks = 0;
    (void)state;
    frame_log_init(&log, 1 << 20, -1);
    append(&log, 0, 400, 10);
    for (; seq < log.head; looks++) {
        filter_next_run(f, &log, seq, 0, &first, &end);
        assert_true(f->to - seq <= 400 && first >= seq && end >= first);
        for (uint64_t i = seq; i < end; i++)
            assert_true(is_red(i) == (i >= first));
        seq = end;
    }
    assert_true(looks >= 200 / 16);
    do {
        filter_next_run(f, &log, 10, 0, &first, &end);
        looks++;
    } while (first == end && f->from > 10);
    assert_true(f->from <= 10 && looks < 200);
    assert_next_run(f, &log, 10);
    filter_unref(&list, f);
    frame_log_done(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_log_keeps_facts_as_long_as_frames_and_within_the_same_bound),
        cmocka_unit_test(a_log_without_metas_says_nothing_and_one_that_is_bare_keeps_none),
        cmocka_unit_test(metas_may_begin_in_the_middle_of_a_log),
        cmocka_unit_test(verdicts_agree_with_the_tags_wherever_cursors_are),
        cmocka_unit_test(without_time_left_judging_goes_on_in_small_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
