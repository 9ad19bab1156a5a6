/* The bus map's module: what its parts share.
 *
 * Settings are written once, before threads start. The fleet and the tracks are written by the transform on the hub
 * thread and read by REST on loop threads, each under a mutex that is held for microseconds; clients' boxes are the
 * engine's views, which are fed by the channel, so the transform knows no client. */
#ifndef REALTIMEMAP_H
#define REALTIMEMAP_H

#include <crier/crier.h>

#include "realtimemap_fleet.h"
#include "realtimemap_tracks.h"

struct ingest;

struct map_settings {
    struct fleet_limits fleet;
    int64_t silent_ms;            /* a vehicle that says nothing for so long has gone */
    const char *channel;          /* of the vehicles */
    const char *geofence_prefix;  /* the organization's id follows */
    const char *counts_channel;
    char *organizations;          /* file with the zones; NULL: those that ship */
    const char *attribution;
    bool simulated;
    int64_t tracks;               /* cells */
    int64_t result_ways, result_points; /* of one answer */
    int64_t cell_e6;              /* edge of the views' cells: millionths of a degree of latitude */
    int64_t type_viewport, type_positions, type_notification, type_vehicles, type_left, type_counts, type_vehicle;
};

struct map {
    struct crier *crier;
    struct map_settings settings;
    struct geofences *zones;
    struct fleet *fleet;
    struct tracks *tracks;
    struct ingest *ingest;
    struct crier_view *view;
};

#endif
