#include "city_network.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define PLACES_MAX  192
#define STREETS_MAX 320
#define CORNERS_MAX 96
#define NOWHERE     PLACES_MAX

/* Shares as in the feed of the real city on a weekday. */
const struct city_mode city_modes[HFP_MODE_OTHER] = {
    [HFP_BUS] = {1.0, 1.1, 1.0, 15, 380, 260, 8, 26, 0.35, 866, true, true, true},
    [HFP_UBUS] = {1.0, 1.1, 1.0, 13, 380, 260, 8, 26, 0.2, 2, true, true, true},
    [HFP_TRAM] = {1.0, 1.1, 0.9, 12, 340, 260, 14, 30, 0.02, 65, true, true, true},
    [HFP_TRAIN] = {0.7, 0.7, 0.9, 33, 0, 0, 30, 60, 0, 40, false, false, true},
    [HFP_METRO] = {1.0, 1.0, 0.9, 22, 0, 0, 18, 28, 0, 22, false, false, false},
    [HFP_FERRY] = {0.1, 0.1, 0.3, 6, 0, 0, 240, 420, 0, 5, false, false, true},
};

/* The streets as a graph. */
struct builder {
    struct city_point points[PLACES_MAX];
    struct {
        size_t a, b;
    } streets[STREETS_MAX];
    size_t street_count;
    char *error;
    size_t error_size;
};

/* A way from corner to corner, as places. */
struct way {
    size_t places[CORNERS_MAX];
    size_t count;
};

static size_t find_place(const char *key, size_t len)
{
    for (size_t i = 0; i < city_place_count; i++)
        if (strlen(city_places[i].key) == len && memcmp(city_places[i].key, key, len) == 0)
            return i;
    return NOWHERE;
}

/* Takes the next word of a list of places. False at its end, and with *ret = NOWHERE at a word that is no place. */
static bool next_place(struct builder *b, const char **list, size_t *ret)
{
    *list += strspn(*list, " ");
    size_t len = strcspn(*list, " ");
    if (len == 0)
        return false;
    *ret = find_place(*list, len);
    if (*ret == NOWHERE)
        snprintf(b->error, b->error_size, "%.*s is no place", (int)len, *list);
    *list += len;
    return *ret != NOWHERE;
}

static bool read_streets(struct builder *b)
{
    for (size_t i = 0; i < city_place_count; i++)
        b->points[i] = city_point_of(city_places[i].latitude, city_places[i].longitude);
    for (size_t i = 0; i < city_road_count; i++) {
        const char *list = city_roads[i];
        size_t from = NOWHERE, to = NOWHERE;
        while (next_place(b, &list, &to) && b->street_count < STREETS_MAX) {
            if (from != NOWHERE) {
                b->streets[b->street_count].a = from;
                b->streets[b->street_count++].b = to;
            }
            from = to;
        }
        if (to == NOWHERE)
            return false;
    }
    return true;
}

/* Shortest ways from one place to all others (Dijkstra); `before` is the place from which each one is reached. */
static void find_ways(const struct builder *b, size_t from, size_t before[PLACES_MAX])
{
    double distance[PLACES_MAX];
    bool done[PLACES_MAX] = {false};
    for (size_t i = 0; i < city_place_count; i++) {
        distance[i] = i == from ? 0 : INFINITY;
        before[i] = NOWHERE;
    }
    for (;;) {
        size_t at = NOWHERE;
        for (size_t i = 0; i < city_place_count; i++)
            if (!done[i] && isfinite(distance[i]) && (at == NOWHERE || distance[i] < distance[at]))
                at = i;
        if (at == NOWHERE)
            return;
        done[at] = true;
        for (size_t i = 0; i < b->street_count; i++) {
            size_t p = b->streets[i].a, q = b->streets[i].b, next = p == at ? q : q == at ? p : NOWHERE;
            double d = next == NOWHERE ? INFINITY : distance[at] + city_point_distance(b->points[at], b->points[next]);
            if (next != NOWHERE && d < distance[next]) {
                distance[next] = d;
                before[next] = at;
            }
        }
    }
}

static bool add_place(struct builder *b, struct way *w, size_t place)
{
    if (w->count == CORNERS_MAX) {
        snprintf(b->error, b->error_size, "a way has more than %d places", CORNERS_MAX);
        return false;
    }
    w->places[w->count++] = place;
    return true;
}

static bool extend(struct builder *b, struct way *w, size_t to)
{
    size_t from = w->places[w->count - 1], before[PLACES_MAX], back[PLACES_MAX], n = 0;
    find_ways(b, from, before);
    for (size_t p = to; p != from; p = before[p]) {
        if (p == NOWHERE) {
            snprintf(b->error, b->error_size, "no street from %s to %s", city_places[from].key, city_places[to].key);
            return false;
        }
        back[n++] = p;
    }
    while (n > 0)
        if (!add_place(b, w, back[--n]))
            return false;
    return true;
}

static bool find_line(struct builder *b, const struct city_line *line, struct way *w)
{
    const char *list = line->way;
    size_t place = NOWHERE;
    *w = (struct way){0};
    while (next_place(b, &list, &place)) {
        bool streets = city_modes[line->mode].streets && w->count > 0;
        if (!(streets ? extend(b, w, place) : add_place(b, w, place)))
            return false;
    }
    if (place == NOWHERE || w->count < 2) {
        if (place != NOWHERE)
            snprintf(b->error, b->error_size, "line %s goes nowhere", line->line);
        return false;
    }
    return true;
}

/* Stops of one street: at its end, where that is a place with a name, and evenly between. Numbers are those of the
 * street, so that each line that runs here finds the same ones. */
static void add_stops(struct city_route *r, size_t from, size_t to, double start, double end)
{
    const struct city_mode *mode = &city_modes[r->line->mode];
    size_t low = from < to ? from : to, high = from < to ? to : from;
    size_t pieces = mode->stop_metres > 0 ? (size_t)fmax(1, round((end - start) / mode->stop_metres)) : 1;
    int first = 1000000 + (int)(low * 7919 + high * 104729) % 40000 * 100 + (r->line->mode == HFP_TRAM ? 50 : 0);
    for (size_t i = 1; i <= pieces; i++) {
        bool corner = i == pieces;
        if (corner && !city_places[to].name)
            continue;
        int k = (int)(from < to ? i : pieces - i) % 24;
        r->stops[r->stop_count++] = (struct city_stop){
            start + (end - start) * (double)i / (double)pieces,
            corner ? 1000000 + (int)to * 100 + r->direction + 2 * (int)r->line->mode : first + k * 2 + (from < to)};
    }
}

static size_t stops_bound(const struct city_route *r, const struct way *w)
{
    double metres = city_modes[r->line->mode].stop_metres;
    return w->count * 2 + (metres > 0 ? (size_t)(r->path.length / metres) : 0) + 2;
}

static void build_route(const struct builder *b, const struct city_line *line, int direction, const struct way *w,
                        struct city_route *r)
{
    const struct city_mode *mode = &city_modes[line->mode];
    struct city_point corners[CORNERS_MAX];
    double at[CORNERS_MAX];
    for (size_t i = 0; i < w->count; i++)
        corners[i] = b->points[w->places[i]];
    *r = (struct city_route){.line = line, .direction = direction, .number = 100 + (int)(line - city_lines) * 7};
    r->headsign = city_places[w->places[w->count - 1]].name;
    const struct city_path_options options = {mode->limit, mode->lateral, mode->brake, mode->bend_metres};
    city_path_init(&r->path, corners, w->count, &options, at);
    r->stops = xcalloc(stops_bound(r, w), sizeof *r->stops);
    r->stops[r->stop_count++] =
        (struct city_stop){0, 1000000 + (int)w->places[0] * 100 + direction + 2 * (int)line->mode};
    for (size_t i = 1; i < w->count; i++)
        add_stops(r, w->places[i - 1], w->places[i], at[i - 1], at[i]);
}

static void reverse(struct way *w)
{
    for (size_t i = 0; i < w->count / 2; i++) {
        size_t p = w->places[i];
        w->places[i] = w->places[w->count - 1 - i];
        w->places[w->count - 1 - i] = p;
    }
}

static void network_done(struct city_network **n)
{
    city_network_free(*n);
}

struct city_network *city_network_new(char *error, size_t error_size)
{
    struct builder b = {.error = error, .error_size = error_size};
    __attribute__((cleanup(network_done))) struct city_network *n = xcalloc(1, sizeof *n);
    n->routes = xcalloc(city_line_count * 2, sizeof *n->routes);
    if (!read_streets(&b))
        return NULL;
    for (size_t i = 0; i < city_line_count; i++) {
        struct way w;
        if (!find_line(&b, &city_lines[i], &w))
            return NULL;
        build_route(&b, &city_lines[i], 1, &w, &n->routes[n->count++]);
        reverse(&w);
        build_route(&b, &city_lines[i], 2, &w, &n->routes[n->count++]);
    }
    struct city_network *built = n;
    n = NULL;
    return built;
}

void city_network_free(struct city_network *n)
{
    if (!n)
        return;
    for (size_t i = 0; i < n->count; i++) {
        city_path_done(&n->routes[i].path);
        free(n->routes[i].stops);
    }
    free(n->routes);
    free(n);
}
