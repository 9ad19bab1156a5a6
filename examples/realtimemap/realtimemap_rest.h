/* The map's REST routes, all answered from memory.
 *
 * Registered in the module's set-up; they run on loop threads and keep nothing. */
#ifndef REALTIMEMAP_REST_H
#define REALTIMEMAP_REST_H

#include "realtimemap.h"

int map_rest_register(struct map *m);
int map_zones_register(struct map *m);   /* /api/organization... */
int map_replay_register(struct map *m);  /* /api/replay */

#endif
