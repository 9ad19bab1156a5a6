/* The transform of the feed: records become vehicles in a channel, crossings of zones, and counts.
 *
 * Hub thread only, after map_ingest_register() in the module's set-up. */
#ifndef REALTIMEMAP_INGEST_H
#define REALTIMEMAP_INGEST_H

#include "realtimemap.h"

int map_ingest_register(struct map *m);
void map_ingest_done(struct map *m);

#endif
