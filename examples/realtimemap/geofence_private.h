/* The inside of struct geofences, for the two files that make it.
 *
 * Everything belongs to the struct. */
#ifndef REALTIMEMAP_GEOFENCE_PRIVATE_H
#define REALTIMEMAP_GEOFENCE_PRIVATE_H

#include "geofence.h"

#include <uthash.h>

struct geofence_vehicle {
    char id[GEOFENCE_VEHICLE_BYTES];
    uint64_t inside; /* one bit a zone of its organization */
    UT_hash_handle hh;
};

struct geofences {
    struct geofence_organization *organizations; /* by name */
    size_t count;
};

#endif
