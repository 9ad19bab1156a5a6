/* Vehicles as JSON and protobuf texts.
 *
 * Pure functions that append to a buffer of the caller's. */
#ifndef REALTIMEMAP_JSON_H
#define REALTIMEMAP_JSON_H

#include "realtimemap_fleet.h"

/* The message Vehicle: {"id":"0022.01400","lat":60201181,...}. Members that are zero or empty are left out. */
void map_write_vehicle(struct buf *out, const struct fleet_vehicle *v);
/* {"line":"550","mode":"bus","operator":"0022"} */
void map_write_tags(struct buf *out, const struct fleet_vehicle *v);
/* Degrees with six digits behind the point, without trailing zeros. */
void map_write_degrees(struct buf *out, int32_t e6);
/* The message Position without its braces' inside of others: {"vehicle_id":...}. Zero values are left out. */
void map_write_position(struct buf *out, const char *key, const char *operator_id, const struct fleet_point *p);

#endif
