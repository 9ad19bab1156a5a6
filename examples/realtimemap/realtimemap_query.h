/* Parameters of the map's REST routes, and answers with an ETag.
 *
 * Used inside of a route's call only. */
#ifndef REALTIMEMAP_QUERY_H
#define REALTIMEMAP_QUERY_H

#include "realtimemap.h"

/* `?bbox=west,south,east,north` in degrees; the whole globe when it is not given. False when it is malformed. */
bool query_box(struct crier_http *h, struct map_box *ret);
bool query_box_contains(const struct map_box *b, const struct fleet_point *p);
/* A whole number; `preset` when it is not given. False when it is none, or out of bounds. */
bool query_number(struct crier_http *h, const char *name, int64_t preset, int64_t min, int64_t max, int64_t *ret);

/* {"code":..,"reason":..,"message":..,"metadata":{}} */
void reply_fault(struct crier_http *h, int status, const char *reason, const char *message);
void reply_json(struct crier_http *h, const struct buf *body);
/* With an ETag of the body; 304 when the client has it. With `wait_ms` a client that has it waits so long for another
 * body: the route is called again. */
void reply_tagged(struct crier_http *h, const char *content_type, const struct buf *body, int64_t wait_ms);

#endif
