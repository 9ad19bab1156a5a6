/* The data file: zones by name once, organizations that name theirs. */
#include "geofence_private.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define RADIUS_MAX_M 1e6

struct loader {
    const char *name;
    char *error;
    size_t error_size;
};

static void json_done(json_t **value)
{
    json_decref(*value);
}

static void done_geofences(struct geofences **g)
{
    geofences_free(*g);
}

static bool fail(const struct loader *l, const char *what, size_t index, const char *reason)
{
    snprintf(l->error, l->error_size, "%s: %s %zu: %s", l->name, what, index + 1, reason);
    return false;
}

static json_t *find_zone(const json_t *zones, const char *name)
{
    size_t i;
    json_t *zone;
    json_array_foreach(zones, i,
                       zone) if (strcmp(json_string_value(json_object_get(zone, "name")), name) == 0) return zone;
    return NULL;
}

static bool check_zones(const struct loader *l, json_t *zones)
{
    size_t i;
    json_t *zone;
    json_array_foreach(zones, i, zone)
    {
        json_error_t fault;
        const char *name;
        double latitude, longitude, radius_m;
        if (json_unpack_ex(zone, &fault, JSON_STRICT, "{s:s, s:F, s:F, s:F}", "name", &name, "latitude", &latitude,
                           "longitude", &longitude, "radius_m", &radius_m) < 0)
            return fail(l, "zone", i, fault.text);
        if (!(latitude >= -90 && latitude <= 90 && longitude >= -180 && longitude <= 180))
            return fail(l, "zone", i, "its middle is no place on Earth");
        if (!(radius_m > 0 && radius_m <= RADIUS_MAX_M))
            return fail(l, "zone", i, "radius_m is not between 0 and 1000000");
        if (find_zone(zones, name) != zone)
            return fail(l, "zone", i, "another one has the same name");
    }
    return true;
}

static bool read_zone(const struct loader *l, size_t index, const json_t *zones, const json_t *name,
                      struct geofence_organization *o)
{
    json_t *zone = json_is_string(name) ? find_zone(zones, json_string_value(name)) : NULL;
    if (!zone)
        return fail(l, "organization", index, "it names a zone that is not among the zones");
    for (size_t i = 0; i < o->zone_count; i++)
        if (strcmp(o->zones[i].name, json_string_value(name)) == 0)
            return fail(l, "organization", index, "it names a zone twice");
    o->zones[o->zone_count++] = (struct geofence_zone){
        .name = xstrdup(json_string_value(name)),
        .latitude = json_number_value(json_object_get(zone, "latitude")),
        .longitude = json_number_value(json_object_get(zone, "longitude")),
        .radius_m = json_number_value(json_object_get(zone, "radius_m")),
    };
    return true;
}

static int compare_zones(const void *a, const void *b)
{
    return strcmp(((const struct geofence_zone *)a)->name, ((const struct geofence_zone *)b)->name);
}

static bool read_organization(const struct loader *l, size_t index, const json_t *zones, json_t *value,
                              struct geofences *g)
{
    const char *id, *name;
    json_t *names, *zone_name;
    json_error_t fault;
    size_t i;
    if (json_unpack_ex(value, &fault, JSON_STRICT, "{s:s, s:s, s:o}", "id", &id, "name", &name, "zones", &names) < 0)
        return fail(l, "organization", index, fault.text);
    if (!json_is_array(names) || json_array_size(names) > GEOFENCE_ZONES_MAX)
        return fail(l, "organization", index, "zones is no list of at most 64 names");
    if (geofences_find(g, bytes_of(id)))
        return fail(l, "organization", index, "another one has the same id");
    struct geofence_organization *o = &g->organizations[g->count++];
    o->id = xstrdup(id);
    o->name = xstrdup(name);
    o->zones = xcalloc(json_array_size(names) + 1, sizeof *o->zones);
    json_array_foreach(names, i, zone_name) if (!read_zone(l, index, zones, zone_name, o)) return false;
    qsort(o->zones, o->zone_count, sizeof *o->zones, compare_zones);
    return true;
}

static int compare_organizations(const void *a, const void *b)
{
    return strcmp(((const struct geofence_organization *)a)->name, ((const struct geofence_organization *)b)->name);
}

static struct geofences *build(const struct loader *l, const json_t *zones, const json_t *organizations)
{
    __attribute__((cleanup(done_geofences))) struct geofences *g = xcalloc(1, sizeof *g);
    size_t i;
    json_t *value;
    g->organizations = xcalloc(json_array_size(organizations) + 1, sizeof *g->organizations);
    json_array_foreach(organizations, i, value) if (!read_organization(l, i, zones, value, g)) return NULL;
    qsort(g->organizations, g->count, sizeof *g->organizations, compare_organizations);
    struct geofences *built = g;
    g = NULL;
    return built;
}

static struct geofences *read_root(const struct loader *l, json_t *root, const json_error_t *parse_fault)
{
    json_t *zones, *organizations;
    json_error_t fault;
    if (!root) {
        snprintf(l->error, l->error_size, "%s:%d:%d: %s", l->name, parse_fault->line, parse_fault->column,
                 parse_fault->text);
        return NULL;
    }
    if (json_unpack_ex(root, &fault, JSON_STRICT, "{s:o, s:o}", "zones", &zones, "organizations", &organizations) < 0) {
        snprintf(l->error, l->error_size, "%s: %s", l->name, fault.text);
        return NULL;
    }
    if (!json_is_array(zones) || !json_is_array(organizations)) {
        snprintf(l->error, l->error_size, "%s: zones and organizations are not both lists", l->name);
        return NULL;
    }
    return check_zones(l, zones) ? build(l, zones, organizations) : NULL;
}

struct geofences *geofences_parse(struct bytes json, const char *name, char *error, size_t error_size)
{
    json_error_t fault;
    const struct loader l = {name, error, error_size};
    __attribute__((cleanup(json_done))) json_t *root = json_loadb(json.data, json.len, JSON_REJECT_DUPLICATES, &fault);
    return read_root(&l, root, &fault);
}

struct geofences *geofences_load(const char *path, char *error, size_t error_size)
{
    json_error_t fault;
    const struct loader l = {path, error, error_size};
    __attribute__((cleanup(json_done))) json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &fault);
    return read_root(&l, root, &fault);
}
