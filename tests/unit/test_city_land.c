/* The ways of the simulated city against the outlines of the land that the page draws. */
#include "examples/realtimemap/city_network.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define POLYGONS_MAX       2000
#define POLYGON_POINTS_MAX 20000

/* Outlines of the land that the page draws, one after the other. */
struct land {
    struct {
        size_t first, count;
        double west, south, east, north;
    } polygons[POLYGONS_MAX];
    double x[POLYGON_POINTS_MAX], y[POLYGON_POINTS_MAX];
    size_t polygon_count, point_count;
};

static void add_polygon(struct land *l, const json_t *ring)
{
    size_t i;
    const json_t *point;
    assert_true(l->polygon_count < POLYGONS_MAX && l->point_count + json_array_size(ring) < POLYGON_POINTS_MAX);
    size_t n = l->polygon_count++;
    l->polygons[n].first = l->point_count;
    l->polygons[n].count = json_array_size(ring);
    l->polygons[n].west = l->polygons[n].south = 1000;
    l->polygons[n].east = l->polygons[n].north = -1000;
    json_array_foreach(ring, i, point)
    {
        double x = json_number_value(json_array_get(point, 0)), y = json_number_value(json_array_get(point, 1));
        l->x[l->point_count] = x;
        l->y[l->point_count++] = y;
        l->polygons[n].west = fmin(l->polygons[n].west, x);
        l->polygons[n].east = fmax(l->polygons[n].east, x);
        l->polygons[n].south = fmin(l->polygons[n].south, y);
        l->polygons[n].north = fmax(l->polygons[n].north, y);
    }
}

static struct land *load_land(void)
{
    struct land *l = calloc(1, sizeof *l);
    json_t *root = json_load_file(SOURCE_DIR "/web/map/helsinki-land.geojson", 0, NULL);
    const json_t *features = json_object_get(root, "features"), *feature;
    size_t i;
    assert_true(json_array_size(features) > 100);
    json_array_foreach(features, i, feature)
        add_polygon(l, json_array_get(json_object_get(json_object_get(feature, "geometry"), "coordinates"), 0));
    json_decref(root);
    return l;
}

/* Even and odd crossings of a line to the east. */
static bool inside(const struct land *l, size_t polygon, double x, double y)
{
    size_t first = l->polygons[polygon].first, count = l->polygons[polygon].count;
    bool in = false;
    for (size_t i = first, j = first + count - 1; i < first + count; j = i++)
        if ((l->y[i] > y) != (l->y[j] > y) && x < (l->x[j] - l->x[i]) * (y - l->y[i]) / (l->y[j] - l->y[i]) + l->x[i])
            in = !in;
    return in;
}

static bool is_land(const struct land *l, double latitude, double longitude)
{
    for (size_t i = 0; i < l->polygon_count; i++)
        if (longitude >= l->polygons[i].west && longitude <= l->polygons[i].east && latitude >= l->polygons[i].south &&
            latitude <= l->polygons[i].north && inside(l, i, longitude, latitude))
            return true;
    return false;
}

/* Every way is walked along, so that it does not depend on where vehicles happen to be. */
static void all_but_ferries_keep_to_the_land_and_its_bridges(void **state)
{
    (void)state;
    char error[200];
    struct land *l = load_land();
    struct city_network *n = city_network_new(error, sizeof error);
    size_t points[HFP_MODE_OTHER] = {0}, wet[HFP_MODE_OTHER] = {0};
    for (size_t i = 0; i < n->count; i += 2)
        for (double at = 0; at < n->routes[i].path.length; at += 50) {
            double latitude, longitude;
            const struct city_path *p = &n->routes[i].path;
            city_point_degrees(city_path_point(p, city_path_piece(p, at, 0), at), &latitude, &longitude);
            points[n->routes[i].line->mode]++;
            wet[n->routes[i].line->mode] += !is_land(l, latitude, longitude);
        }
    for (int m = 0; m < HFP_MODE_OTHER; m++)
        print_message("%s: %zu of %zu points over water\n", hfp_mode_name((enum hfp_mode)m), wet[m], points[m]);
    assert_true(wet[HFP_BUS] * 100 < points[HFP_BUS] * 2);
    assert_true(wet[HFP_TRAM] * 100 < points[HFP_TRAM] * 2);
    assert_true(wet[HFP_TRAIN] * 100 < points[HFP_TRAIN] * 2);
    assert_true(wet[HFP_METRO] * 100 < points[HFP_METRO] * 10); /* tunnels between the islands */
    assert_true(wet[HFP_FERRY] * 100 > points[HFP_FERRY] * 85);
    city_network_free(n);
    free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_but_ferries_keep_to_the_land_and_its_bridges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
