/* What views cost without a network: ticks of a fleet, and the messages of its viewers put together. */
#include "loop/view_grid.h"
#include "util/clock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define ITEM_BYTES 90

static void encode(void *arg, unsigned form, struct bytes key, struct bytes payload, struct buf *out)
{
    (void)arg, (void)form, (void)key;
    buf_append_bytes(out, payload);
}

static uint32_t seed = 7;

static double dice(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) / 16777216.0;
}

struct item {
    int32_t latitude, longitude, dy, dx;
};

/* Denser around the centre, as a city is. */
static double scatter(void)
{
    double r = dice() * dice();
    return dice() < 0.5 ? -r : r;
}

static void tick(struct grid *g, struct item *items, unsigned count)
{
    char key[16], payload[ITEM_BYTES];
    memset(payload, 'x', sizeof payload);
    grid_begin(g);
    for (unsigned i = 0; i < count; i++) {
        items[i].latitude += items[i].dy;
        items[i].longitude += items[i].dx;
        const struct grid_change c = {.key = {key, (size_t)snprintf(key, sizeof key, "0022.%05u", i)},
                                      .tags = BYTES_LIT("{\"mode\":\"bus\",\"line\":\"550\"}"),
                                      .payload = {payload, sizeof payload}, .has_geo = true,
                                      .latitude_e6 = items[i].latitude, .longitude_e6 = items[i].longitude};
        grid_put(g, &c);
    }
    grid_end(g);
}

static void measure(const char *what, unsigned vehicles, unsigned viewers, double half_latitude, double half_longitude,
                    bool mixed)
{
    const struct grid_options options = {.cell = {10000, 20000}, .forms = 1,
                                         .separators = {""}, .encode = encode};
    struct grid *g = grid_new(&options);
    struct item *items = calloc(vehicles, sizeof *items);
    struct grid_viewer *v = calloc(viewers, sizeof *v);
    struct grid_news news = {0};
    uint64_t grid_ns = 0, view_ns = 0, items_sent = 0, bytes = 0;
    enum { TICKS = 10 };

    for (unsigned i = 0; i < vehicles; i++)
        items[i] = (struct item){60200000 + (int32_t)(scatter() * 200000), 24900000 + (int32_t)(scatter() * 400000),
                                 (int32_t)(scatter() * 200), (int32_t)(scatter() * 400)};
    for (unsigned i = 0; i < viewers; i++) {
        double scale = mixed ? pow(10, dice() * 2 - 1) : 1;
        int32_t y = 60200000 + (int32_t)(scatter() * 60000), x = 24900000 + (int32_t)(scatter() * 120000);
        int32_t dy = (int32_t)(half_latitude * scale * 1e6), dx = (int32_t)(half_longitude * scale * 1e6);
        v[i].box = (struct geo_box){y - dy, x - dx, y + dy, x + dx};
    }
    tick(g, items, vehicles);
    for (int t = 0; t < TICKS; t++) {
        uint64_t began = clock_mono_ns();
        tick(g, items, vehicles);
        uint64_t ticked = clock_mono_ns();
        for (unsigned i = 0; i < viewers; i++) {
            grid_news_reset(&news);
            grid_collect(g, &v[i], 0, &news);
            items_sent += news.item_count;
            bytes += news.items.len;
        }
        grid_ns += ticked - began;
        view_ns += clock_mono_ns() - ticked;
    }
    printf("%-34s %5u vehicles %6u viewers of %4.0f: tick %.2f ms, viewers %.1f ms = %.2f us each, %.1f MB\n", what,
           vehicles, viewers, (double)items_sent / TICKS / viewers, grid_ns / 1e6 / TICKS, view_ns / 1e6 / TICKS,
           view_ns / 1e3 / TICKS / viewers, bytes / 1e6 / TICKS);
    grid_news_done(&news);
    grid_free(g);
    free(items);
    free(v);
}

int main(void)
{
    measure("one size of box", 2000, 5000, 0.018, 0.036, false);
    measure("the whole region", 2500, 1000, 1, 2, false);
    measure("boxes from 400 m to 40 km", 2500, 10000, 0.018, 0.036, true);
    return 0;
}
