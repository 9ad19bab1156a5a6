/* /api/replay: where vehicles were within a time, thinned to what one answer may hold. */
#include "realtimemap_json.h"
#include "realtimemap_query.h"
#include "realtimemap_rest.h"

#include <stdlib.h>

struct replay {
    struct map *map;
    int64_t from_ms, to_ms;
    struct map_box box;
    size_t stride; /* of the points, each vehicle's newest always */
    size_t total;
};

static bool is_wanted(const struct replay *r, const struct fleet_point *points, size_t count, size_t i)
{
    return query_box_contains(&r->box, &points[i]) && (count - 1 - i) % r->stride == 0;
}

static size_t wanted(const struct replay *r, const struct fleet_point *points, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += is_wanted(r, points, count, i);
    return n;
}

static void write_point(struct buf *out, const struct fleet_point *p)
{
    buf_append_str(out, "[");
    buf_append_int(out, p->time_ms);
    buf_append_str(out, ",");
    map_write_degrees(out, p->longitude_e6);
    buf_append_str(out, ",");
    map_write_degrees(out, p->latitude_e6);
    buf_append_str(out, ",");
    buf_append_int(out, p->heading);
    buf_append_str(out, "]");
}

static void write_vehicle(const struct replay *r, const struct fleet_vehicle *v, const struct fleet_point *points,
                          size_t count, struct buf *out)
{
    const char *separator = "";
    buf_printf(out, "{\"id\":\"%s\",\"mode\":\"%s\",\"line\":", v->key, hfp_mode_name(v->mode));
    buf_append_json_string(out, bytes_of(v->line));
    buf_append_str(out, ",\"points\":[");
    for (size_t i = 0; i < count; i++) {
        if (!is_wanted(r, points, count, i))
            continue;
        buf_append_str(out, separator);
        write_point(out, &points[i]);
        separator = ",";
    }
    buf_append_str(out, "]}");
}

/* With `out` NULL: only counts. */
static void walk(struct replay *r, struct buf *out)
{
    CLEANUP_BUF points = BUF_INIT;
    const char *separator = "";
    size_t slots = fleet_slots(r->map->fleet);
    struct fleet_vehicle v;
    r->total = 0;
    for (size_t slot = 0; slot < slots; slot++) {
        points.len = 0;
        if (!fleet_replay(r->map->fleet, slot, r->from_ms, r->to_ms, &v, &points) || !points.len)
            continue;
        const struct fleet_point *list = (const struct fleet_point *)points.data;
        size_t count = points.len / sizeof *list, n = wanted(r, list, count);
        r->total += n;
        if (!out || !n)
            continue;
        buf_append_str(out, separator);
        write_vehicle(r, &v, list, count, out);
        separator = ",";
    }
}

static void on_replay(struct crier_http *h, void *arg)
{
    struct map *m = arg;
    struct replay r = {.map = m, .stride = 1};
    struct fleet_totals t;
    CLEANUP_BUF body = BUF_INIT;
    fleet_totals(m->fleet, &t);
    if (!query_box(h, &r.box) || !query_number(h, "from", t.newest_ms - 300000, INT64_MIN, INT64_MAX, &r.from_ms) ||
        !query_number(h, "to", t.newest_ms, INT64_MIN, INT64_MAX, &r.to_ms)) {
        reply_fault(h, 400, "BAD_REQUEST", "from and to are milliseconds since 1970, bbox is west,south,east,north");
        return;
    }
    walk(&r, NULL);
    r.stride = r.total / (size_t)m->settings.result_points + 1;
    buf_append_str(&body, "{\"vehicles\":[");
    walk(&r, &body);
    buf_append_str(&body, "]}\n");
    reply_json(h, &body);
}

int map_replay_register(struct map *m)
{
    return crier_route(m->crier, "GET", "/api/replay", on_replay, m);
}
