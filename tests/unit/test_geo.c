/* Boxes: as JSON, on the globe, and over the cells of a grid; the keyed table by place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "hub/keyed.h"
#include "proto/geo_json.h"

static struct geo_box read_box(const char *json)
{
    struct geo_box b = {0};
    const char *reason = NULL;
    assert_int_equal(geo_box_read(bytes_of(json), &b, &reason), 0);
    return b;
}

static void assert_box(const char *json, int32_t south, int32_t west, int32_t north, int32_t east)
{
    struct geo_box b = read_box(json);
    assert_int_equal(b.south_e6, south);
    assert_int_equal(b.west_e6, west);
    assert_int_equal(b.north_e6, north);
    assert_int_equal(b.east_e6, east);
}

#define BOX(south, west, north, east)                                                                                  \
    "{\"south_west\":{\"latitude\":" #south ",\"longitude\":" #west "},\"north_east\":{\"latitude\":" #north           \
    ",\"longitude\":" #east "}}"

static void boxes_are_read_in_both_spellings(void **state)
{
    (void)state;
    assert_box(BOX(60.1, 24.9, 60.3, 25.1), 60100000, 24900000, 60300000, 25100000);
    assert_box("{\"northEast\":{\"longitude\":2,\"latitude\":-1e0},\"x\":1,\"southWest\":{\"latitude\":-2,\"longitude\":1.5}}",
               -2000000, 1500000, -1000000, 2000000);
    assert_box(BOX(-90, -180, 90, 180), -90000000, -180000000, 90000000, 180000000);
    assert_box(BOX(1, 2, 1, 2), 1000000, 2000000, 1000000, 2000000);
    assert_box(BOX(0, 0.1234564, 0, 0.1234566), 0, 123456, 0, 123457);
}

static void longitudes_of_maps_that_were_turned_on_come_home(void **state)
{
    (void)state;
    assert_box(BOX(0, 170, 1, 190), 0, 170000000, 1000000, -170000000);
    assert_box(BOX(0, -190, 1, -170), 0, 170000000, 1000000, -170000000);
    assert_box(BOX(0, 370, 1, 380), 0, 10000000, 1000000, 20000000);
    assert_box(BOX(0, 530, 1, 540), 0, 170000000, 1000000, 180000000);
    assert_box(BOX(0, -540, 1, -530), 0, -180000000, 1000000, -170000000);
    assert_box(BOX(0, 100, 1, 460), 0, -180000000, 1000000, 180000000);
    assert_box(BOX(0, -200, 1, 300), 0, -180000000, 1000000, 180000000);
}

static void what_is_no_box_is_refused(void **state)
{
    static const char *const bad[] = {
        "", "1", "[]", "{}", "{", "{\"south_west\":{\"latitude\":1,\"longitude\":1}}", BOX(2, 0, 1, 1), BOX(-90.1, 0, 1, 1),
        BOX(0, 0, 90.000001, 1), BOX(0, -540.1, 1, 1), BOX(0, 0, 1, 541), BOX("0", 0, 1, 1), BOX(null, 0, 1, 1),
        BOX(0, 0, 1, 1e400), BOX(true, 0, 1, 1), BOX(0x1, 0, 1, 1), BOX(, 0, 1, 1), BOX(NaN, 0, 1, 1), BOX(-Infinity, 0, 1, 1),
        BOX(0, 0, 1, 0.00000000000000000000000000000000000000000000000000000000000000000001),
        ("{\"south_west\":{\"latitude\":0,\"longitude\":0},\"southWest\":{\"latitude\":0,\"longitude\":0},"
        "\"north_east\":{\"latitude\":1,\"longitude\":1}}"),
        "{\"south_west\":{\"latitude\":0,\"longitude\":0,\"latitude\":1},\"north_east\":{\"latitude\":1,\"longitude\":1}}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct geo_box b = {.south_e6 = 7};
        const char *reason = NULL;
        assert_int_equal(geo_box_read(bytes_of(bad[i]), &b, &reason), -22);
        assert_non_null(reason);
        assert_int_equal(b.south_e6, 7);
    }
}

static void a_box_across_the_180th_meridian_has_both_ends(void **state)
{
    const struct geo_box b = {-1000000, 179000000, 1000000, -179000000};
    (void)state;
    assert_true(geo_box_contains(&b, 0, 180000000));
    assert_true(geo_box_contains(&b, 0, -180000000));
    assert_true(geo_box_contains(&b, 1000000, 179000000));
    assert_false(geo_box_contains(&b, 0, 178999999));
    assert_false(geo_box_contains(&b, 0, 0));
    assert_false(geo_box_contains(&b, 1000001, 180000000));
}

/* ---- the table ---- */

static int32_t random_degrees(int32_t bound)
{
    return (int32_t)((int64_t)random() * 2 * bound / RAND_MAX - bound);
}

/* Half of them crowd around one place. */
static void put_randomly(struct keyed *k, int64_t offset)
{
    char key[16];
    bool crowd = random() % 2;
    snprintf(key, sizeof key, "k%ld", random() % 400);
    const struct publication_parts parts = {
        .offset = offset,
        .key = bytes_of(key),
        .payload = random() % 8 ? BYTES_LIT("1") : BYTES_NULL,
        .has_geo = random() % 10 != 0,
        .latitude_e6 = crowd ? 60000000 + random_degrees(300000) : random_degrees(90000000),
        .longitude_e6 = crowd ? 179900000 - (int32_t)(random() % 300000) : random_degrees(180000000),
    };
    struct publication *p = publication_new(&parts);
    keyed_put(k, p);
    publication_unref(p);
}

static struct geo_box random_box(void)
{
    if (random() % 2)
        return (struct geo_box){60000000 + random_degrees(200000), 179700000, 60300000, -179900000};
    struct geo_box b = {random_degrees(90000000), random_degrees(180000000), 90000000, random_degrees(180000000)};
    b.north_e6 = b.south_e6 + (int32_t)(random() % (90000001 - b.south_e6));
    return b;
}

struct count {
    const struct geo_box *box, *except;
    size_t n;
};

static void count_in(struct publication *p, void *arg)
{
    struct count *c = arg;
    c->n += publication_is_in(p, c->box) && !(c->except && publication_is_in(p, c->except));
}

static void the_table_finds_by_place_what_a_plain_look_finds(void **state)
{
    struct keyed k;
    (void)state;
    srandom(5);
    keyed_init(&k);
    for (int64_t offset = 1; offset < 6000; offset++) {
        put_randomly(&k, offset);
        if (offset % 7)
            continue;
        struct geo_box box = random_box(), other = random_box();
        const struct geo_box *except = offset % 3 ? &other : NULL;
        struct count plain = {.box = &box, .except = except};
        struct publication **list;
        enum keyed_order order = offset % 2 ? KEYED_BY_KEY : KEYED_BY_OFFSET;
        size_t n = keyed_in_box(&k, &box, except, order, &list);
        keyed_each_after(&k, INT64_MIN, count_in, &plain);
        assert_int_equal(n, plain.n);
        for (size_t i = 0; i < n; i++) {
            assert_true(publication_is_in(list[i], &box));
            if (i && order == KEYED_BY_OFFSET)
                assert_true(list[i - 1]->offset < list[i]->offset);
            else if (i)
                assert_true(keyed_compare(publication_key(list[i - 1]), publication_key(list[i])) < 0);
        }
        free(list);
    }
    keyed_done(&k);
}

static void a_table_that_was_emptied_is_found_anew(void **state)
{
    const struct geo_box globe = {-90000000, -180000000, 90000000, 180000000};
    struct publication **list;
    struct keyed k;
    (void)state;
    keyed_init(&k);
    for (int64_t offset = 1; offset < 50; offset++)
        put_randomly(&k, offset);
    assert_true(keyed_in_box(&k, &globe, NULL, KEYED_BY_KEY, &list) > 10);
    free(list);
    keyed_done(&k);
    assert_int_equal(keyed_in_box(&k, &globe, NULL, KEYED_BY_KEY, &list), 0);
    free(list);
    keyed_done(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boxes_are_read_in_both_spellings),
        cmocka_unit_test(longitudes_of_maps_that_were_turned_on_come_home),
        cmocka_unit_test(what_is_no_box_is_refused),
        cmocka_unit_test(a_box_across_the_180th_meridian_has_both_ends),
        cmocka_unit_test(the_table_finds_by_place_what_a_plain_look_finds),
        cmocka_unit_test(a_table_that_was_emptied_is_found_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
