/* Boxes as clients write them in JSON.
 *
 * Pure functions, any thread.
 *     valid:   {"south_west":{"longitude":24.9,"latitude":60.1},"north_east":{"longitude":25.1,"latitude":60.3}}
 *              {"southWest":{"longitude":175,"latitude":-20},"northEast":{"longitude":185,"latitude":-10}}
 *     invalid: south of the south pole, a south that is north of the north, one corner, a corner twice, "60.1" */
#ifndef CRIER_PROTO_GEO_JSON_H
#define CRIER_PROTO_GEO_JSON_H

#include "util/geo.h"

/* `object`: a JSON object with both corners; other members are passed over. Longitudes go up to one turn beyond the 180th
 * meridian; a box as wide as the globe is all of it. -EINVAL with a static reason. */
CRIER_API int geo_box_read(struct bytes object, struct geo_box *ret, const char **ret_reason);

#endif
