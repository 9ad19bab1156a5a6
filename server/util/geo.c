#include "geo.h"

const struct geo_grid geo_kilometre = {.latitude_e6 = 10000, .longitude_e6 = 20000};

static bool is_longitude(int32_t e6)
{
    return e6 >= -GEO_LONGITUDE_MAX_E6 && e6 <= GEO_LONGITUDE_MAX_E6;
}

bool geo_box_valid(const struct geo_box *b)
{
    return b->south_e6 >= -GEO_LATITUDE_MAX_E6 && b->north_e6 <= GEO_LATITUDE_MAX_E6 && b->south_e6 <= b->north_e6 &&
           is_longitude(b->west_e6) && is_longitude(b->east_e6);
}

uint32_t geo_row(const struct geo_grid *g, int32_t latitude_e6)
{
    return ((uint32_t)latitude_e6 + GEO_LATITUDE_MAX_E6) / (uint32_t)g->latitude_e6;
}

uint32_t geo_column(const struct geo_grid *g, int32_t longitude_e6)
{
    return ((uint32_t)longitude_e6 + GEO_LONGITUDE_MAX_E6) / (uint32_t)g->longitude_e6;
}

unsigned geo_box_cells(const struct geo_grid *g, const struct geo_box *b, struct geo_cells ret[2])
{
    uint32_t south = geo_row(g, b->south_e6), north = geo_row(g, b->north_e6);
    uint32_t west = geo_column(g, b->west_e6), east = geo_column(g, b->east_e6);
    if (b->south_e6 > b->north_e6)
        return 0;
    if (b->west_e6 <= b->east_e6) {
        ret[0] = (struct geo_cells){south, north, west, east};
        return 1;
    }
    ret[0] = (struct geo_cells){south, north, west, geo_column(g, GEO_LONGITUDE_MAX_E6)};
    ret[1] = (struct geo_cells){south, north, 0, east};
    /* Not when both halves end in one cell: it would be looked at twice. */
    if (ret[1].east >= ret[0].west) {
        ret[0].west = 0;
        return 1;
    }
    return 2;
}

uint64_t geo_cells_count(const struct geo_cells *c)
{
    return ((uint64_t)c->north - c->south + 1) * ((uint64_t)c->east - c->west + 1);
}
