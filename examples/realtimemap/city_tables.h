/* The simulated city as plain tables: places, streets, lines.
 *
 * Static data. */
#ifndef REALTIMEMAP_CITY_TABLES_H
#define REALTIMEMAP_CITY_TABLES_H

#include "hfp.h"

struct city_place {
    const char *key;  /* one word */
    const char *name; /* on signs; NULL: only shapes the way, nothing stops there */
    double latitude, longitude;
};

struct city_line {
    enum hfp_mode mode;
    const char *line, *route;
    unsigned operators[2]; /* they own the vehicles; 0: none */
    /* Keys of places from one end to the other; streets in between are found. One with a minus in front is passed
     * without a stop. */
    const char *way;
};

extern const struct city_place city_places[];
extern const size_t city_place_count;
extern const char *const city_roads[]; /* keys of places, a street between each two neighbours */
extern const size_t city_road_count;
/* Streets among them that have no others beside them: bridges, and what runs along the shore. */
extern const char *const city_bridges[];
extern const size_t city_bridge_count;
extern const struct city_line city_lines[];
extern const size_t city_line_count;

#endif
