#include "city_network.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define PLACES_MAX  192
#define STREETS_MAX 400
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

struct streets {
    struct {
        size_t a, b;
    } list[STREETS_MAX];
    size_t count;
};

/* The streets as a graph. */
struct builder {
    struct city_point points[PLACES_MAX];
    struct streets streets, bridges;
    char *error;
    size_t error_size;
};

/* A way from corner to corner, as places. */
struct way {
    size_t places[CORNERS_MAX];
    bool stops[CORNERS_MAX];
    size_t count;
};

/* Between two places further apart than that there are three streets, and lines spread over them. */
#define PARALLEL_METRES 700
#define TASTE           0.4
#define PARALLEL_BOW    0.11

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

static bool add_street(struct builder *b, struct streets *s, size_t from, size_t to)
{
    if (s->count == STREETS_MAX) {
        snprintf(b->error, b->error_size, "there are more than %d streets", STREETS_MAX);
        return false;
    }
    s->list[s->count].a = from;
    s->list[s->count++].b = to;
    return true;
}

static bool read_streets(struct builder *b, const char *const *lists, size_t count, struct streets *ret)
{
    for (size_t i = 0; i < count; i++) {
        const char *list = lists[i];
        size_t from = NOWHERE, to = NOWHERE;
        for (; next_place(b, &list, &to); from = to)
            if (from != NOWHERE && !add_street(b, ret, from, to))
                return false;
        if (to == NOWHERE)
            return false;
    }
    return true;
}

static bool has_street(const struct streets *s, size_t from, size_t to)
{
    for (size_t i = 0; i < s->count; i++)
        if ((s->list[i].a == from && s->list[i].b == to) || (s->list[i].a == to && s->list[i].b == from))
            return true;
    return false;
}

/* What a street counts for a line: lines like different streets, so that not all crowd into the shortest. */
static double street_cost(const struct builder *b, const struct city_line *line, size_t from, size_t to)
{
    size_t low = from < to ? from : to, high = from < to ? to : from;
    size_t taste = ((size_t)(line - city_lines) * 2654435761u + low * 40503u + high * 9973u) >> 3;
    return city_point_distance(b->points[from], b->points[to]) * (1 + (double)(taste % 64) / 64 * TASTE);
}

/* The best ways from one place to all others (Dijkstra); `before` is the place from which each one is reached. */
static void find_ways(const struct builder *b, const struct city_line *line, size_t from, size_t before[PLACES_MAX])
{
    double cost[PLACES_MAX];
    bool done[PLACES_MAX] = {false};
    for (size_t i = 0; i < city_place_count; i++) {
        cost[i] = i == from ? 0 : INFINITY;
        before[i] = NOWHERE;
    }
    for (;;) {
        size_t at = NOWHERE;
        for (size_t i = 0; i < city_place_count; i++)
            if (!done[i] && isfinite(cost[i]) && (at == NOWHERE || cost[i] < cost[at]))
                at = i;
        if (at == NOWHERE)
            return;
        done[at] = true;
        for (size_t i = 0; i < b->streets.count; i++) {
            size_t p = b->streets.list[i].a, q = b->streets.list[i].b, next = p == at ? q : q == at ? p : NOWHERE;
            double sum = next == NOWHERE ? INFINITY : cost[at] + street_cost(b, line, at, next);
            if (next != NOWHERE && sum < cost[next]) {
                cost[next] = sum;
                before[next] = at;
            }
        }
    }
}

static bool add_place(struct builder *b, struct way *w, size_t place, bool stops)
{
    if (w->count == CORNERS_MAX) {
        snprintf(b->error, b->error_size, "a way has more than %d places", CORNERS_MAX);
        return false;
    }
    w->stops[w->count] = stops && city_places[place].name;
    w->places[w->count++] = place;
    return true;
}

static bool extend(struct builder *b, const struct city_line *line, struct way *w, size_t to)
{
    size_t from = w->places[w->count - 1], before[PLACES_MAX], back[PLACES_MAX], n = 0;
    find_ways(b, line, from, before);
    for (size_t p = to; p != from; p = before[p]) {
        if (p == NOWHERE) {
            snprintf(b->error, b->error_size, "no street from %s to %s", city_places[from].key, city_places[to].key);
            return false;
        }
        back[n++] = p;
    }
    while (n > 0)
        if (!add_place(b, w, back[--n], true))
            return false;
    return true;
}

/* Takes the minus in front of a place. */
static bool passes(const char **list)
{
    *list += strspn(*list, " ");
    bool minus = **list == '-';
    *list += minus;
    return minus;
}

static bool find_line(struct builder *b, const struct city_line *line, struct way *w)
{
    const char *list = line->way;
    size_t place = NOWHERE;
    *w = (struct way){0};
    for (bool stops = !passes(&list); next_place(b, &list, &place); stops = !passes(&list)) {
        bool streets = city_modes[line->mode].streets && w->count > 0;
        if (!(streets ? extend(b, line, w, place) : add_place(b, w, place, stops)))
            return false;
    }
    if (place == NOWHERE || w->count < 2) {
        if (place != NOWHERE)
            snprintf(b->error, b->error_size, "line %s goes nowhere", line->line);
        return false;
    }
    return true;
}

/* Which of the parallel streets a line takes: 0 the middle one. */
static int street_of(const struct builder *b, const struct city_line *line, size_t from, size_t to)
{
    size_t low = from < to ? from : to, high = from < to ? to : from;
    bool bus = line->mode == HFP_BUS || line->mode == HFP_UBUS;
    if (!bus || city_point_distance(b->points[from], b->points[to]) < PARALLEL_METRES ||
        has_street(&b->bridges, from, to))
        return 0;
    return (int)(((size_t)(line - city_lines) + low * 3 + high) % 3);
}

static double bow_of(const struct builder *b, const struct city_line *line, size_t from, size_t to)
{
    static const double bows[] = {0.02, PARALLEL_BOW, -PARALLEL_BOW};
    return city_modes[line->mode].streets && !has_street(&b->bridges, from, to) ? bows[street_of(b, line, from, to)]
                                                                                : 0;
}

static int place_stop(const struct city_route *r, size_t place)
{
    return 1000000 + (int)place * 100 + r->direction + 2 * (int)r->line->mode;
}

/* Stops of one street: at its end, where that is a place with a name, and evenly between. Numbers are those of the
 * street, so that each line that runs here finds the same ones. */
static void add_stops(const struct builder *b, struct city_route *r, const struct way *w, size_t i, double start,
                      double end)
{
    const struct city_mode *mode = &city_modes[r->line->mode];
    size_t from = w->places[i - 1], to = w->places[i], low = from < to ? from : to, high = from < to ? to : from;
    size_t pieces = mode->stop_metres > 0 ? (size_t)fmax(1, round((end - start) / mode->stop_metres)) : 1;
    int street = street_of(b, r->line, from, to);
    int first = 2000000 + (int)((low * 7919 + high * 104729 + (size_t)street * 13) % 70000) * 100;
    for (size_t k = 1; k < pieces; k++) {
        int number = (int)(from < to ? k : pieces - k) % 24 * 4 + (r->line->mode == HFP_TRAM ? 2 : 0) + (from < to);
        r->stops[r->stop_count++] =
            (struct city_stop){start + (end - start) * (double)k / (double)pieces, first + number};
    }
    if (w->stops[i])
        r->stops[r->stop_count++] = (struct city_stop){end, place_stop(r, to)};
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
    double at[CORNERS_MAX], bows[CORNERS_MAX];
    for (size_t i = 0; i < w->count; i++) {
        corners[i] = b->points[w->places[i]];
        bows[i] = i + 1 < w->count ? bow_of(b, line, w->places[i], w->places[i + 1]) : 0;
    }
    *r = (struct city_route){.line = line, .direction = direction, .number = 100 + (int)(line - city_lines) * 7};
    r->headsign = city_places[w->places[w->count - 1]].name;
    const struct city_path_options options = {mode->limit, mode->lateral, mode->brake, mode->bend_metres};
    city_path_init(&r->path, corners, bows, w->count, &options, at);
    r->stops = xcalloc(stops_bound(r, w), sizeof *r->stops);
    r->stops[r->stop_count++] = (struct city_stop){0, place_stop(r, w->places[0])};
    for (size_t i = 1; i < w->count; i++)
        add_stops(b, r, w, i, at[i - 1], at[i]);
}

static void reverse(struct way *w)
{
    const struct way there = *w;
    for (size_t i = 0; i < w->count; i++) {
        w->places[i] = there.places[w->count - 1 - i];
        w->stops[i] = there.stops[w->count - 1 - i];
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
    for (size_t i = 0; i < city_place_count; i++)
        b.points[i] = city_point_of(city_places[i].latitude, city_places[i].longitude);
    if (!read_streets(&b, city_roads, city_road_count, &b.streets) ||
        !read_streets(&b, city_bridges, city_bridge_count, &b.bridges))
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
