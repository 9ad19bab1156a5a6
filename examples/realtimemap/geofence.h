/* Organizations with circular zones, which of their vehicles are inside, and what to report when one crosses a border.
 *
 * A struct geofences owns everything in it until geofences_free(); organizations, zones and vehicle ids that it hands
 * out are borrowed from it, a vehicle's id until that vehicle is forgotten. One thread at a time. */
#ifndef REALTIMEMAP_GEOFENCE_H
#define REALTIMEMAP_GEOFENCE_H

#include "util/bytes.h"

#include <stdbool.h>
#include <stdint.h>

#define GEOFENCE_ZONES_MAX     64 /* of one organization */
#define GEOFENCE_VEHICLE_BYTES 32

struct geofence_zone {
    char *name;
    double latitude, longitude, radius_m;
};

/* Each organization has copies of its zones: vehicles are tested against those of their own operator only. */
struct geofence_organization {
    char *id, *name;
    struct geofence_zone *zones; /* by name */
    size_t zone_count;
    struct geofence_vehicle *vehicles; /* hash table; private */
};

struct geofence_crossing {
    const struct geofence_organization *organization;
    const struct geofence_zone *zone;
    const char *vehicle; /* 0022.01400 */
    bool entered;
    bool first; /* the vehicle's first known position: it may have been inside for long */
};

typedef void (*geofence_crossing_fn)(const struct geofence_crossing *crossing, void *arg);

struct geofences;

/* Reads {"zones":[{"name","latitude","longitude","radius_m"}],"organizations":[{"id","name","zones":[NAME]}]}. NULL
 * with a line for people in `error`. */
struct geofences *geofences_load(const char *path, char *error, size_t error_size);
/* The same from a text; `name` stands for it in errors. */
struct geofences *geofences_parse(struct bytes json, const char *name, char *error, size_t error_size);
/* Accepts NULL. */
void geofences_free(struct geofences *g);

/* A vehicle is at a place now. Calls `on_crossing` once for each border that lies between this position and the one
 * before; NULL restores the state without reporting. Vehicles of unknown organizations and of those without zones are
 * not kept. What is kept grows with the number of vehicles until they are forgotten. */
void geofences_update(struct geofences *g, struct bytes operator_id, struct bytes vehicle, int32_t latitude_e6,
                      int32_t longitude_e6, geofence_crossing_fn on_crossing, void *arg);
/* The vehicle has gone silent: it is inside of nothing any more, which is no crossing. */
void geofences_forget(struct geofences *g, struct bytes vehicle);

/* All organizations by name, also those without zones. */
const struct geofence_organization *geofences_organizations(const struct geofences *g, size_t *ret_count);
/* NULL when there is none with this id. */
const struct geofence_organization *geofences_find(const struct geofences *g, struct bytes id);
/* Ids of the vehicles inside of a zone of the organization, sorted, in an array to free(); NULL when there are none. */
const char **geofences_inside(const struct geofence_organization *o, size_t zone, size_t *ret_count);

/* Metres along the great circle of a sphere with the radius of 6371 km. */
double geofence_distance_m(double latitude1, double longitude1, double latitude2, double longitude2);

#endif
