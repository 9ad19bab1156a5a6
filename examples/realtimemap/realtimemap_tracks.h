/* Where vehicles have driven: a graph of small cells, each at the mean of the positions in it, joined where a vehicle
 * went from one to the next. It shows the network of streets and rails without a map.
 *
 * Written on the hub thread, read on any, under a mutex of its own that is held for microseconds. */
#ifndef REALTIMEMAP_TRACKS_H
#define REALTIMEMAP_TRACKS_H

#include "realtimemap_fleet.h"

struct tracks;
/* `limit`: cells kept; ways through more of them are not taken up. */
struct tracks *tracks_new(size_t limit);
void tracks_free(struct tracks *t); /* accepts NULL */
/* A vehicle went from one position to the next. Jumps are no way. */
void tracks_add(struct tracks *t, const struct fleet_point *from, const struct fleet_point *to);
/* Cells and ways between them; what is drawn changes when the ways do. */
void tracks_totals(struct tracks *t, size_t *ret_cells, size_t *ret_ways);

struct map_box {
    int32_t south_e6, west_e6, north_e6, east_e6;
};
/* Appends a GeoJSON feature collection with one MultiLineString of the ways inside the box, at most `limit` of them. */
void tracks_write(struct tracks *t, const struct map_box *box, size_t limit, struct buf *out);

#endif
