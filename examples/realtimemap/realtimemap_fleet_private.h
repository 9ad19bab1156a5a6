/* Inside of the fleet: its entries and rings, which writing and reading share.
 *
 * Everything here is used under the fleet's mutex only. */
#ifndef REALTIMEMAP_FLEET_PRIVATE_H
#define REALTIMEMAP_FLEET_PRIVATE_H

#include "realtimemap_fleet.h"

#include <pthread.h>
#include <uthash.h>

struct ring {
    struct fleet_point *points;
    size_t capacity, head, count;
};

struct entry {
    struct fleet_vehicle v;
    size_t slot;
    uint64_t *seen; /* ring of fingerprints */
    size_t seen_at;
    struct ring trail, replay;
    UT_hash_handle hh;
};

struct fleet {
    pthread_mutex_t lock;
    struct fleet_limits limits;
    bool simulated;
    struct geofences *zones;
    struct entry *by_key;
    struct entry **slots; /* NULL: free */
    size_t slot_count, count;
    struct fleet_totals totals;
};

/* The i-th oldest point. */
const struct fleet_point *fleet_ring_get(const struct ring *r, size_t i);
/* NULL when it is not known. */
struct entry *fleet_entry(struct fleet *f, struct bytes key);

#endif
