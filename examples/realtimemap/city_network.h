/* The routes of the simulated city, built from its tables: each line in both directions, with its way and its stops.
 *
 * A struct city_network owns its routes until city_network_free(); it does not change after its creation. */
#ifndef REALTIMEMAP_CITY_NETWORK_H
#define REALTIMEMAP_CITY_NETWORK_H

#include "city_path.h"
#include "city_tables.h"

struct city_stop {
    double at; /* metres from the start of the route */
    int id;    /* seven digits; lines that share a street share its stops */
};

struct city_route {
    const struct city_line *line;
    int number;    /* of the line, as the feed has it */
    int direction; /* 1 or 2 */
    const char *headsign;
    struct city_path path;
    struct city_stop *stops; /* the first is at the start, the last at the end */
    size_t stop_count;
};

/* How the vehicles of a mode move and what their messages have. */
struct city_mode {
    double accelerate, brake, lateral; /* metres a second squared */
    double limit;                      /* metres a second */
    double stop_metres;                /* between stops that have no name of their own; 0: there are none */
    double bend_metres;
    double dwell_min_s, dwell_max_s;
    double pass_share; /* of the stops where nobody gets on or off */
    int permille;      /* of all vehicles */
    bool streets;      /* finds its way through the streets */
    bool events;       /* reports stops and doors; others only positions */
    bool journeys;     /* has jrn, line and dl */
};

extern const struct city_mode city_modes[HFP_MODE_OTHER];

struct city_network {
    struct city_route *routes; /* two a line: there and back */
    size_t count;
};

/* NULL when a table names a place that is not there or that no street leads to; `error` then says which. */
struct city_network *city_network_new(char *error, size_t error_size);
/* Accepts NULL. */
void city_network_free(struct city_network *n);

#endif
