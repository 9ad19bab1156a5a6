#include "geofence_private.h"

#include <math.h>
#include <stdlib.h>

#define EARTH_RADIUS_M 6371000.0

double geofence_distance_m(double latitude1, double longitude1, double latitude2, double longitude2)
{
    const double radian = M_PI / 180;
    double y = sin((latitude2 - latitude1) * radian / 2), x = sin((longitude2 - longitude1) * radian / 2);
    double a = y * y + cos(latitude1 * radian) * cos(latitude2 * radian) * x * x;
    return 2 * EARTH_RADIUS_M * asin(sqrt(fmin(a, 1)));
}

const struct geofence_organization *geofences_organizations(const struct geofences *g, size_t *ret_count)
{
    *ret_count = g->count;
    return g->organizations;
}

/* Two dozen of them: a walk costs less than a hash. */
static struct geofence_organization *find(const struct geofences *g, struct bytes id)
{
    for (size_t i = 0; i < g->count; i++)
        if (bytes_eq_str(id, g->organizations[i].id))
            return &g->organizations[i];
    return NULL;
}

const struct geofence_organization *geofences_find(const struct geofences *g, struct bytes id)
{
    return find(g, id);
}

static struct geofence_vehicle *find_vehicle(const struct geofence_organization *o, struct bytes id)
{
    struct geofence_vehicle *v;
    HASH_FIND(hh, o->vehicles, id.data, id.len, v);
    return v;
}

static struct geofence_vehicle *add_vehicle(struct geofence_organization *o, struct bytes id)
{
    struct geofence_vehicle *v = xcalloc(1, sizeof *v);
    memcpy(v->id, id.data, id.len);
    HASH_ADD_KEYPTR(hh, o->vehicles, v->id, id.len, v);
    return v;
}

static uint64_t zones_around(const struct geofence_organization *o, double latitude, double longitude)
{
    uint64_t inside = 0;
    for (size_t i = 0; i < o->zone_count; i++) {
        const struct geofence_zone *z = &o->zones[i];
        if (geofence_distance_m(z->latitude, z->longitude, latitude, longitude) < z->radius_m)
            inside |= UINT64_C(1) << i;
    }
    return inside;
}

void geofences_update(struct geofences *g, struct bytes operator_id, struct bytes vehicle, int32_t latitude_e6,
                      int32_t longitude_e6, geofence_crossing_fn on_crossing, void *arg)
{
    struct geofence_organization *o = find(g, operator_id);
    if (!o || o->zone_count == 0 || vehicle.len == 0 || vehicle.len >= GEOFENCE_VEHICLE_BYTES)
        return;
    struct geofence_vehicle *v = find_vehicle(o, vehicle);
    bool first = !v;
    if (first)
        v = add_vehicle(o, vehicle);
    uint64_t inside = zones_around(o, latitude_e6 / 1e6, longitude_e6 / 1e6), changed = inside ^ v->inside;
    v->inside = inside;
    for (size_t i = 0; on_crossing && i < o->zone_count; i++)
        if (changed >> i & 1)
            on_crossing(&(struct geofence_crossing){o, &o->zones[i], v->id, inside >> i & 1, first}, arg);
}

void geofences_forget(struct geofences *g, struct bytes vehicle)
{
    for (size_t i = 0; i < g->count; i++) {
        struct geofence_organization *o = &g->organizations[i];
        struct geofence_vehicle *v = find_vehicle(o, vehicle);
        if (v) {
            HASH_DEL(o->vehicles, v);
            free(v);
        }
    }
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char **geofences_inside(const struct geofence_organization *o, size_t zone, size_t *ret_count)
{
    const char **ids = NULL;
    size_t n = 0;
    for (const struct geofence_vehicle *v = o->vehicles; v; v = v->hh.next)
        if (v->inside >> zone & 1) {
            if (!ids)
                ids = xcalloc(HASH_COUNT(o->vehicles), sizeof *ids);
            ids[n++] = v->id;
        }
    if (n > 0)
        qsort(ids, n, sizeof *ids, compare_ids);
    *ret_count = n;
    return ids;
}

static void organization_done(struct geofence_organization *o)
{
    struct geofence_vehicle *v, *next;
    HASH_ITER (hh, o->vehicles, v, next) {
        HASH_DEL(o->vehicles, v);
        free(v);
    }
    for (size_t i = 0; i < o->zone_count; i++)
        free(o->zones[i].name);
    free(o->zones);
    free(o->id);
    free(o->name);
}

void geofences_free(struct geofences *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->count; i++)
        organization_done(&g->organizations[i]);
    free(g->organizations);
    free(g);
}
