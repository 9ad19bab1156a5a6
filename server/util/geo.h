/* Places in millionths of a degree, boxes of them, and the cells of a grid that a box touches.
 *
 * Values without owner; pure functions, any thread. */
#ifndef CRIER_UTIL_GEO_H
#define CRIER_UTIL_GEO_H

#include <stdbool.h>
#include <stdint.h>

#include "util/bytes.h"

#define GEO_LATITUDE_MAX_E6 90000000
#define GEO_LONGITUDE_MAX_E6 180000000

/* Borders included; west > east: across the 180th meridian. */
struct geo_box {
    int32_t south_e6, west_e6, north_e6, east_e6;
};

/* On the globe, and its south is not north of its north. */
CRIER_API bool geo_box_valid(const struct geo_box *b);

static inline bool geo_box_contains(const struct geo_box *b, int32_t latitude_e6, int32_t longitude_e6)
{
    bool between = b->west_e6 <= b->east_e6 ? longitude_e6 >= b->west_e6 && longitude_e6 <= b->east_e6
                                            : longitude_e6 >= b->west_e6 || longitude_e6 <= b->east_e6;
    return between && latitude_e6 >= b->south_e6 && latitude_e6 <= b->north_e6;
}

/* ---- cells ---- */

/* Edges of a cell. */
struct geo_grid {
    int32_t latitude_e6, longitude_e6;
};

/* About a kilometre in each direction at 60 degrees: a town on a screen is some hundred cells. */
CRIER_API extern const struct geo_grid geo_kilometre;

/* Rows and columns, borders included. */
struct geo_cells {
    uint32_t south, north, west, east;
};

CRIER_API uint32_t geo_row(const struct geo_grid *g, int32_t latitude_e6);
CRIER_API uint32_t geo_column(const struct geo_grid *g, int32_t longitude_e6);
/* Cells that a box touches; a box across the 180th meridian is two of them. */
CRIER_API unsigned geo_box_cells(const struct geo_grid *g, const struct geo_box *b, struct geo_cells ret[2]);
CRIER_API uint64_t geo_cells_count(const struct geo_cells *c);

static inline bool geo_cells_contain(const struct geo_cells *c, uint32_t row, uint32_t column)
{
    return row >= c->south && row <= c->north && column >= c->west && column <= c->east;
}

/* Every place in the cell is in the box: only those at the border need the exact test. */
static inline bool geo_cells_inside(const struct geo_cells *c, uint32_t row, uint32_t column)
{
    return row > c->south && row < c->north && column > c->west && column < c->east;
}

#endif
