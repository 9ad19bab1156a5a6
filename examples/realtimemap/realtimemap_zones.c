/* /api/organization: the organizations with zones, and who is inside. */
#include "realtimemap_json.h"
#include "realtimemap_query.h"
#include "realtimemap_rest.h"

#include <stdlib.h>

static void on_organizations(struct crier_http *h, void *arg)
{
    const struct map *m = arg;
    size_t count;
    const struct geofence_organization *list = geofences_organizations(m->zones, &count); /* names never change */
    CLEANUP_BUF body = BUF_INIT;
    const char *separator = "";
    buf_append_str(&body, "[");
    for (size_t i = 0; i < count; i++) {
        if (!list[i].zone_count)
            continue;
        buf_append_str(&body, separator);
        buf_append_str(&body, "{\"id\":");
        buf_append_json_string(&body, bytes_of(list[i].id));
        buf_append_str(&body, ",\"name\":");
        buf_append_json_string(&body, bytes_of(list[i].name));
        buf_append_str(&body, "}");
        separator = ",";
    }
    buf_append_str(&body, "]\n");
    reply_json(h, &body);
}

static void write_zone(struct buf *out, const struct geofence_organization *o, size_t zone)
{
    const struct geofence_zone *z = &o->zones[zone];
    size_t count;
    buf_append_str(out, "{\"name\":");
    buf_append_json_string(out, bytes_of(z->name));
    buf_printf(out, ",\"longitude\":%.10g,\"latitude\":%.10g,\"radiusInMeters\":%g,\"vehiclesInZone\":[", z->longitude,
               z->latitude, z->radius_m);
    const char **ids = geofences_inside(o, zone, &count);
    for (size_t i = 0; i < count; i++) {
        buf_append_str(out, i ? "," : "");
        buf_append_json_string(out, bytes_of(ids[i]));
    }
    free(ids);
    buf_append_str(out, "]}");
}

struct organization_query {
    struct bytes id;
    struct buf body; /* empty: there is none */
};

static void write_organization(struct geofences *zones, void *arg)
{
    struct organization_query *q = arg;
    const struct geofence_organization *o = geofences_find(zones, q->id);
    if (!o)
        return;
    buf_append_str(&q->body, "{\"id\":");
    buf_append_json_string(&q->body, bytes_of(o->id));
    buf_append_str(&q->body, ",\"name\":");
    buf_append_json_string(&q->body, bytes_of(o->name));
    buf_append_str(&q->body, ",\"geofences\":[");
    for (size_t i = 0; i < o->zone_count; i++) {
        buf_append_str(&q->body, i ? "," : "");
        write_zone(&q->body, o, i);
    }
    buf_append_str(&q->body, "]}\n");
}

static void on_organization(struct crier_http *h, void *arg)
{
    struct map *m = arg;
    struct crier_bytes rest = crier_http_rest(h);
    struct organization_query q = {.id = {rest.data, rest.len}};
    fleet_with_zones(m->fleet, write_organization, &q);
    if (q.body.len) {
        reply_json(h, &q.body);
    } else {
        buf_printf(&q.body, "Organization %.*s not found", (int)rest.len, rest.data);
        buf_append(&q.body, "", 1);
        reply_fault(h, 404, "RESOURCE_NOT_FOUND", q.body.data);
    }
    buf_done(&q.body);
}

int map_zones_register(struct map *m)
{
    int r = crier_route(m->crier, "GET", "/api/organization", on_organizations, m);
    return r < 0 ? r : crier_route(m->crier, "GET", "/api/organization/*", on_organization, m);
}
