/* The grid of views: what viewers hear is what a plain look at everything would tell them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "loop/view_grid.h"

static void encode(void *arg, unsigned form, struct bytes key, struct bytes payload, struct buf *out)
{
    unsigned *calls = arg;
    ++*calls;
    if (form == 0)
        buf_printf(out, "%.*s=%.*s", (int)key.len, key.data, (int)payload.len, payload.data);
    else
        buf_append_bytes(out, key);
}

static unsigned encoded;

static struct grid *new_grid(int32_t cell_e6)
{
    const struct grid_options options = {.cell = {cell_e6, cell_e6 * 2}, .forms = 2,
                                         .separators = {",", ";"}, .encode = encode, .arg = &encoded};
    encoded = 0;
    return grid_new(&options);
}

static void put(struct grid *g, const char *key, int32_t latitude, int32_t longitude, const char *payload,
                const char *tags)
{
    const struct grid_change c = {.key = bytes_of(key), .tags = bytes_of(tags), .payload = bytes_of(payload),
                                  .has_geo = true, .latitude_e6 = latitude, .longitude_e6 = longitude};
    grid_put(g, &c);
}

static const char *left_text(struct grid_news *n, struct buf *out)
{
    const struct bytes *keys = (const struct bytes *)n->left.data;
    out->len = 0;
    for (size_t i = 0; i < n->left_count; i++)
        buf_printf(out, "%.*s ", (int)keys[i].len, keys[i].data);
    buf_append(out, "", 1);
    return out->data;
}

static const char *items_text(struct grid_news *n)
{
    buf_append(&n->items, "", 1);
    n->items.len--;
    return n->items.data;
}

#define assert_news(n, items, left_keys)                                                                               \
    do {                                                                                                               \
        CLEANUP_BUF text_ = BUF_INIT;                                                                                  \
        assert_string_equal(items_text(n), items);                                                                     \
        assert_string_equal(left_text(n, &text_), left_keys);                                                          \
        grid_news_reset(n);                                                                                            \
    } while (0)

static void an_item_is_seen_while_it_is_inside_of_the_box(void **state)
{
    (void)state;
    struct grid *g = new_grid(10000);
    struct grid_news n = {0};
    const struct grid_viewer v = {.box = {.south_e6 = 60100000, .west_e6 = 24900000, .north_e6 = 60200000,
                                          .east_e6 = 25000000}};
    grid_begin(g);
    put(g, "a", 60150000, 24950000, "1", "");
    put(g, "b", 60250000, 24950000, "1", "");
    grid_end(g);
    grid_snapshot(g, &v, 0, &n);
    assert_news(&n, "a=1", "");

    grid_begin(g);
    put(g, "b", 60200000, 25000000, "2", ""); /* onto the corner, which belongs to the box */
    grid_end(g);
    grid_collect(g, &v, 0, &n);
    assert_news(&n, "b=2", "");

    grid_begin(g);
    put(g, "b", 60200001, 25000000, "3", ""); /* out of it without leaving its cell */
    grid_end(g);
    grid_collect(g, &v, 0, &n);
    assert_news(&n, "", "b ");

    grid_begin(g);
    put(g, "a", -10000000, -20000000, "2", ""); /* far away */
    grid_end(g);
    grid_collect(g, &v, 0, &n);
    assert_news(&n, "", "a ");
    grid_collect(g, &v, 1, &n);
    assert_news(&n, "", "a ");
    grid_news_done(&n);
    grid_free(g);
}

static void several_changes_in_one_tick_count_as_one(void **state)
{
    (void)state;
    struct grid *g = new_grid(10000);
    struct grid_news n = {0};
    const struct grid_viewer v = {.box = {.south_e6 = 0, .west_e6 = 0, .north_e6 = 1000000, .east_e6 = 1000000}};
    grid_begin(g);
    put(g, "a", 500000, 500000, "1", "");
    put(g, "a", 500000, 600000, "2", "");
    put(g, "gone", 500000, 600000, "1", "");
    grid_remove(g, BYTES_LIT("gone"));
    grid_remove(g, BYTES_LIT("never"));
    grid_end(g);
    assert_int_equal(grid_count(g), 1);
    grid_collect(g, &v, 0, &n);
    assert_news(&n, "a=2", "");
    assert_int_equal(encoded, 1);

    grid_begin(g);
    put(g, "a", 2000000, 600000, "3", ""); /* out and in again: nobody noticed */
    put(g, "a", 600000, 600000, "4", "");
    grid_end(g);
    grid_collect(g, &v, 0, &n);
    assert_news(&n, "a=4", "");

    grid_begin(g);
    grid_remove(g, BYTES_LIT("a")); /* removed and back */
    put(g, "a", 600000, 700000, "5", "");
    grid_end(g);
    grid_collect(g, &v, 0, &n);
    assert_news(&n, "a=5", "");

    grid_begin(g);
    put(g, "a", 600000, 700000, "6", "");
    grid_remove(g, BYTES_LIT("a"));
    grid_end(g);
    grid_collect(g, &v, 0, &n);
    assert_news(&n, "", "a ");
    assert_int_equal(grid_count(g), 0);
    grid_news_done(&n);
    grid_free(g);
}

static void a_filter_that_stops_to_fit_is_a_leaving(void **state)
{
    (void)state;
    struct grid *g = new_grid(10000);
    struct grid_news n = {0};
    struct grid_viewer v = {.box = {.south_e6 = 0, .west_e6 = 0, .north_e6 = 1000000, .east_e6 = 1000000}};
    struct grid_filter *same;
    const char *reason;
    assert_int_equal(grid_filter_get(g, BYTES_LIT("{\"key\":\"line\",\"cmp\":\"eq\",\"val\":\"5\"}"), &v.filter, &reason), 0);
    assert_int_equal(grid_filter_get(g, BYTES_LIT("{ \"cmp\":\"eq\", \"key\":\"line\",\"val\":\"5\"}"), &same, &reason), 0);
    assert_ptr_equal(v.filter, same);
    grid_filter_unref(same);
    assert_int_equal(grid_filter_get(g, BYTES_LIT("{\"op\":\"xor\"}"), &same, &reason), -22);

    grid_begin(g);
    put(g, "a", 500000, 500000, "1", "{\"line\":\"5\"}");
    put(g, "b", 500000, 500000, "1", "{\"line\":\"6\"}");
    grid_end(g);
    grid_collect(g, &v, 0, &n);
    assert_news(&n, "a=1", "");
    grid_begin(g);
    put(g, "a", 500000, 500000, "2", "{\"line\":\"6\"}");
    put(g, "b", 500000, 500000, "2", "{\"line\":\"5\"}");
    grid_end(g);
    grid_collect(g, &v, 0, &n);
    assert_news(&n, "b=2", "a ");
    grid_clear(g);
    assert_int_equal(grid_count(g), 0);
    grid_filter_unref(v.filter);
    grid_news_done(&n);
    grid_free(g);
}

static void a_box_may_lie_across_the_date_line(void **state)
{
    (void)state;
    struct grid *g = new_grid(1000000);
    struct grid_news n = {0};
    const struct grid_viewer v = {.box = {.south_e6 = -20000000, .west_e6 = 177000000, .north_e6 = -10000000,
                                          .east_e6 = -175000000}};
    const struct grid_viewer almost_all = {.box = {.south_e6 = -90000000, .west_e6 = 100000, .north_e6 = 90000000,
                                                   .east_e6 = 0}};
    grid_begin(g);
    put(g, "fiji", -17000000, 178000000, "1", "");
    put(g, "samoa", -14000000, -172000000, "1", "");
    put(g, "tonga", -19000000, -175500000, "1", "");
    put(g, "pole", 90000000, 180000000, "1", "");
    grid_end(g);
    grid_snapshot(g, &v, 0, &n);
    assert_int_equal(n.item_count, 2);
    grid_news_reset(&n);
    grid_snapshot(g, &almost_all, 0, &n);
    assert_int_equal(n.item_count, 4);
    grid_news_done(&n);
    grid_free(g);
}

/* ---- against a plain model ---- */

#define ITEMS 60
#define VIEWERS 12

struct model_item {
    bool there;
    int32_t latitude, longitude;
    unsigned version, line;
};

struct model_viewer {
    struct grid_viewer v;
    int line; /* -1: no filter */
    unsigned knows[ITEMS]; /* version + 1; 0: is not shown */
};

static uint32_t seed = 1;

static uint32_t dice(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

static bool model_sees(const struct model_viewer *w, const struct model_item *it)
{
    const struct geo_box *b = &w->v.box;
    return it->there && it->latitude >= b->south_e6 && it->latitude <= b->north_e6 && it->longitude >= b->west_e6 &&
           it->longitude <= b->east_e6 && (w->line < 0 || it->line == (unsigned)w->line);
}

static void take_news(struct model_viewer *w, struct grid_news *n)
{
    const struct bytes *keys = (const struct bytes *)n->left.data;
    for (size_t i = 0; i < n->left_count; i++) {
        int k = atoi(keys[i].data);
        assert_int_not_equal(w->knows[k], 0); /* nothing leaves that was not shown */
        w->knows[k] = 0;
    }
    size_t count = 0;
    for (const char *at = items_text(n); *at; count++) {
        unsigned k, version;
        assert_int_equal(sscanf(at, "%u=%u", &k, &version), 2);
        w->knows[k] = version + 1;
        at += strcspn(at, ",");
        at += *at == ',';
    }
    assert_int_equal(count, n->item_count);
    grid_news_reset(n);
}

static void roll_viewer(struct grid *g, struct model_viewer *w)
{
    int32_t south = (int32_t)dice(90000), west = (int32_t)dice(90000);
    char filter[80];
    const char *reason;
    w->v.box = (struct geo_box){south, west, south + (int32_t)dice(60000), west + (int32_t)dice(60000)};
    w->v.filter = NULL;
    w->line = dice(3) ? -1 : (int)dice(3);
    if (w->line < 0)
        return;
    snprintf(filter, sizeof filter, "{\"key\":\"line\",\"cmp\":\"eq\",\"val\":\"%d\"}", w->line);
    assert_int_equal(grid_filter_get(g, bytes_of(filter), &w->v.filter, &reason), 0);
}

static void roll_item(struct grid *g, struct model_item *it, int k)
{
    char key[8], payload[16], tags[32];
    snprintf(key, sizeof key, "%d", k);
    if (dice(12) == 0) {
        it->there = false;
        grid_remove(g, bytes_of(key));
        return;
    }
    if (!it->there || dice(10) == 0) {
        it->latitude = (int32_t)dice(100000);
        it->longitude = (int32_t)dice(100000);
        it->line = dice(3);
    }
    it->there = true;
    it->latitude += (int32_t)dice(2001) - 1000;
    it->longitude += (int32_t)dice(2001) - 1000;
    it->version++;
    snprintf(payload, sizeof payload, "%u", it->version);
    snprintf(tags, sizeof tags, "{\"line\":\"%u\"}", it->line);
    put(g, key, it->latitude, it->longitude, payload, tags);
}

static void viewers_know_what_a_plain_look_would_tell_them(void **state)
{
    static struct model_item items[ITEMS];
    static struct model_viewer viewers[VIEWERS];
    struct grid *g = new_grid(5000);
    struct grid_news n = {0};
    (void)state;
    for (int i = 0; i < VIEWERS; i++)
        roll_viewer(g, &viewers[i]);
    for (int round = 0; round < 3000; round++) {
        grid_begin(g);
        for (unsigned changes = dice(ITEMS); changes > 0; changes--) {
            int k = (int)dice(ITEMS);
            roll_item(g, &items[k], k);
        }
        grid_end(g);
        for (int i = 0; i < VIEWERS; i++) {
            struct model_viewer *w = &viewers[i];
            grid_collect(g, &w->v, 0, &n);
            take_news(w, &n);
            if (dice(10) == 0) {
                struct model_viewer before = *w;
                roll_viewer(g, w);
                grid_move(g, &before.v, &w->v, 0, &n);
                take_news(w, &n);
                grid_filter_unref(before.v.filter);
            }
            for (int k = 0; k < ITEMS; k++)
                assert_int_equal(w->knows[k], model_sees(w, &items[k]) ? items[k].version + 1 : 0);
        }
    }
    for (int i = 0; i < VIEWERS; i++)
        grid_filter_unref(viewers[i].v.filter);
    grid_news_done(&n);
    grid_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_item_is_seen_while_it_is_inside_of_the_box),
        cmocka_unit_test(several_changes_in_one_tick_count_as_one),
        cmocka_unit_test(a_filter_that_stops_to_fit_is_a_leaving),
        cmocka_unit_test(a_box_may_lie_across_the_date_line),
        cmocka_unit_test(viewers_know_what_a_plain_look_would_tell_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
