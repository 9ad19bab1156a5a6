#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "hub/history.h"

static void append(struct history *h, int64_t offset, size_t limit)
{
    const struct publication_parts parts = {.offset = offset, .time_ms = offset * 10, .payload = BYTES_LIT("x")};
    struct publication *p = publication_new(&parts);
    history_append(h, p, limit);
    publication_unref(p);
}

static void keeps_the_newest_and_moves_the_floor(void **state)
{
    struct history h;
    (void)state;
    history_init(&h, 4);
    for (int64_t offset = 5; offset < 25; offset++)
        append(&h, offset, 3);
    assert_int_equal(h.count, 3);
    assert_int_equal(history_get(&h, 0)->offset, 22);
    assert_int_equal(history_get(&h, 2)->offset, 24);
    assert_int_equal(h.floor, 21);
    history_done(&h);
}

static void floor_stays_while_nothing_is_dropped(void **state)
{
    struct history h;
    (void)state;
    history_init(&h, 7);
    append(&h, 10, 100);
    append(&h, 20, 100);
    assert_int_equal(h.floor, 7);
    history_done(&h);
}

static void without_room_only_the_floor_moves(void **state)
{
    struct history h;
    (void)state;
    history_init(&h, -1);
    append(&h, 3, 0);
    assert_int_equal(h.count, 0);
    assert_int_equal(h.floor, 3);
    history_done(&h);
}

static void finds_what_is_above_an_offset_over_holes(void **state)
{
    static const struct {
        int64_t after;
        size_t index;
    } cases[] = {{-1, 0}, {9, 0}, {10, 1}, {15, 1}, {19, 1}, {20, 2}, {40, 3}, {99, 3}};
    struct history h;
    (void)state;
    history_init(&h, -1);
    append(&h, 10, 100);
    append(&h, 20, 100);
    append(&h, 40, 100);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(history_after(&h, cases[i].after), cases[i].index);
    history_done(&h);
}

static void expires_by_age(void **state)
{
    struct history h;
    (void)state;
    history_init(&h, -1);
    for (int64_t offset = 1; offset <= 10; offset++)
        append(&h, offset, 100);
    history_expire(&h, 61);
    assert_int_equal(h.count, 4);
    assert_int_equal(h.floor, 6);
    history_expire(&h, 10000);
    assert_int_equal(h.count, 0);
    assert_int_equal(h.bytes, 0);
    assert_int_equal(h.floor, 10);
    history_done(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_newest_and_moves_the_floor),
        cmocka_unit_test(floor_stays_while_nothing_is_dropped),
        cmocka_unit_test(without_room_only_the_floor_moves),
        cmocka_unit_test(finds_what_is_above_an_offset_over_holes),
        cmocka_unit_test(expires_by_age),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
