#include "realtimemap_rest.h"

#include "realtimemap_json.h"
#include "realtimemap_query.h"

#include <stdlib.h>

#define POLL_MAX_S 60

/* ---- /api/trail/{vehicle} ---- */

/* All members, also those that are zero: a client may take the first one for the shape of all. */
static void write_trail_point(struct buf *out, const struct fleet_vehicle *v, const struct fleet_point *p)
{
    buf_printf(out, "{\"vehicleId\":\"%s\",\"orgId\":\"%s\",\"timestamp\":%lld,\"longitude\":", v->key, v->operator_id,
               (long long)p->time_ms);
    map_write_degrees(out, p->longitude_e6);
    buf_append_str(out, ",\"latitude\":");
    map_write_degrees(out, p->latitude_e6);
    buf_printf(out, ",\"heading\":%u,\"doorsOpen\":%s,\"speed\":%g}", p->heading, p->doors_open ? "true" : "false",
               p->speed_cms / 100.0);
}

static void on_trail(struct crier_http *h, void *arg)
{
    struct map *m = arg;
    struct crier_bytes rest = crier_http_rest(h);
    struct fleet_vehicle v;
    CLEANUP_BUF points = BUF_INIT;
    CLEANUP_BUF body = BUF_INIT;
    if (!fleet_find(m->fleet, (struct bytes){rest.data, rest.len}, &v) ||
        !fleet_trail(m->fleet, (struct bytes){rest.data, rest.len}, &points)) {
        buf_printf(&body, "Vehicle %.*s not found", (int)rest.len, rest.data);
        buf_append(&body, "", 1);
        reply_fault(h, 404, "RESOURCE_NOT_FOUND", body.data);
        return;
    }
    const struct fleet_point *p = (const struct fleet_point *)points.data;
    buf_append_str(&body, "{\"positions\":[");
    for (size_t i = 0; i < points.len / sizeof *p; i++) {
        buf_append_str(&body, i ? "," : "");
        write_trail_point(&body, &v, &p[i]);
    }
    buf_append_str(&body, "]}\n");
    reply_json(h, &body);
}

/* ---- /api/vehicles ---- */

struct vehicle_query {
    struct map_box box;
    char mode[32], line[32], operator_id[32];
    int64_t wait_s;
};

/* NULL, or what is wrong. */
static const char *read_vehicle_query(struct crier_http *h, struct vehicle_query *q)
{
    q->mode[0] = q->line[0] = q->operator_id[0] = 0;
    crier_http_query(h, "mode", q->mode, sizeof q->mode);
    crier_http_query(h, "line", q->line, sizeof q->line);
    crier_http_query(h, "operator", q->operator_id, sizeof q->operator_id);
    if (!query_box(h, &q->box))
        return "bbox is west,south,east,north in degrees";
    return query_number(h, "wait", 0, 0, INT64_MAX, &q->wait_s) ? NULL : "wait is a number of seconds";
}

static bool fits(const struct vehicle_query *q, const struct fleet_vehicle *v)
{
    return query_box_contains(&q->box, &v->at) && (!q->mode[0] || strcmp(q->mode, hfp_mode_name(v->mode)) == 0) &&
           (!q->line[0] || strcmp(q->line, v->line) == 0) &&
           (!q->operator_id[0] || strcmp(q->operator_id, v->operator_id) == 0);
}

static void write_feature(struct buf *out, const struct fleet_vehicle *v)
{
    buf_printf(out, "{\"type\":\"Feature\",\"id\":\"%s\",\"geometry\":{\"type\":\"Point\",\"coordinates\":[", v->key);
    map_write_degrees(out, v->at.longitude_e6);
    buf_append_str(out, ",");
    map_write_degrees(out, v->at.latitude_e6);
    buf_printf(out, "]},\"properties\":{\"operator\":\"%s\",\"mode\":\"%s\",\"line\":", v->operator_id,
               hfp_mode_name(v->mode));
    buf_append_json_string(out, bytes_of(v->line));
    buf_append_str(out, ",\"headsign\":");
    buf_append_json_string(out, bytes_of(v->headsign));
    buf_append_str(out, ",\"next_stop\":");
    buf_append_json_string(out, bytes_of(v->next_stop));
    buf_printf(out,
               ",\"timestamp\":%lld,\"heading\":%u,\"speed\":%g,\"delay\":%d,\"occupancy\":%u,\"doors_open\":%s,"
               "\"fix\":%s,\"simulated\":%s}}",
               (long long)v->time_ms, v->at.heading, v->at.speed_cms / 100.0, v->delay_s, v->occupancy,
               v->at.doors_open ? "true" : "false", v->flags & FLEET_NO_FIX ? "false" : "true",
               v->flags & FLEET_SIMULATED ? "true" : "false");
}

static void on_vehicles(struct crier_http *h, void *arg)
{
    struct map *m = arg;
    struct vehicle_query q;
    struct fleet_vehicle chunk[FLEET_CHUNK];
    CLEANUP_BUF body = BUF_INIT;
    const char *fault = read_vehicle_query(h, &q), *separator = "";
    if (fault) {
        reply_fault(h, 400, "BAD_REQUEST", fault);
        return;
    }
    buf_append_str(&body, "{\"type\":\"FeatureCollection\",\"features\":[");
    for (size_t at = 0, n; (n = fleet_read(m->fleet, &at, chunk)) > 0;) {
        for (size_t i = 0; i < n; i++) {
            if (!fits(&q, &chunk[i]))
                continue;
            buf_append_str(&body, separator);
            write_feature(&body, &chunk[i]);
            separator = ",";
        }
    }
    buf_append_str(&body, "]}\n");
    reply_tagged(h, "application/geo+json", &body, (q.wait_s < POLL_MAX_S ? q.wait_s : POLL_MAX_S) * 1000);
}

/* ---- /api/tracks ---- */

static void on_tracks(struct crier_http *h, void *arg)
{
    struct map *m = arg;
    struct map_box box;
    CLEANUP_BUF body = BUF_INIT;
    if (!query_box(h, &box)) {
        reply_fault(h, 400, "BAD_REQUEST", "bbox is west,south,east,north in degrees");
        return;
    }
    tracks_write(m->tracks, &box, (size_t)m->settings.result_ways, &body);
    reply_tagged(h, "application/geo+json", &body, 0);
}

/* ---- /api/map/status ---- */

static void on_status(struct crier_http *h, void *arg)
{
    static const char *const names[FLEET_OUTCOMES] = {"changed", "repeated", "late", "unplaced", "full"};
    struct map *m = arg;
    struct fleet_totals t;
    size_t cells, ways;
    CLEANUP_BUF body = BUF_INIT;
    fleet_totals(m->fleet, &t);
    tracks_totals(m->tracks, &cells, &ways);
    buf_printf(&body, "{\"simulated\":%s,\"vehicles\":%zu,\"newest_ms\":%lld,\"attribution\":",
               m->settings.simulated ? "true" : "false", t.vehicles, (long long)t.newest_ms);
    buf_append_json_string(&body, bytes_of(m->settings.attribution));
    buf_printf(&body, ",\"points\":%llu,\"track_cells\":%zu,\"track_ways\":%zu,\"messages\":{",
               (unsigned long long)t.points, cells, ways);
    for (int i = 0; i < FLEET_OUTCOMES; i++)
        buf_printf(&body, "%s\"%s\":%llu", i ? "," : "", names[i], (unsigned long long)t.outcomes[i]);
    buf_append_str(&body, "}}\n");
    reply_json(h, &body);
}

int map_rest_register(struct map *m)
{
    const struct {
        const char *pattern;
        crier_http_fn fn;
    } routes[] = {
        {"/api/trail/*", on_trail},
        {"/api/vehicles", on_vehicles},
        {"/api/tracks", on_tracks},
        {"/api/map/status", on_status},
    };
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof routes / sizeof *routes; i++)
        r = crier_route(m->crier, "GET", routes[i].pattern, routes[i].fn, m);
    if (r == 0)
        r = map_zones_register(m);
    return r < 0 ? r : map_replay_register(m);
}
