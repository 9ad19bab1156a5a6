/* A way through the city: a smooth line in metres, and how fast it may be driven.
 *
 * A struct city_path owns its points from city_path_init() until city_path_done(). Pure geometry. */
#ifndef REALTIMEMAP_CITY_PATH_H
#define REALTIMEMAP_CITY_PATH_H

#include <stddef.h>

/* Metres east and north of a point in the middle of the region; the plane is good to some metres there. */
struct city_point {
    double x, y;
};

struct city_path {
    struct city_point *points;
    double *at;    /* metres from the start to each point */
    double *limit; /* metres a second; already low enough to brake for what follows */
    size_t count;
    double length;
};

struct city_path_options {
    double limit;   /* metres a second */
    double lateral; /* metres a second squared, in bends */
    double brake;   /* metres a second squared */
    double bend;    /* metres between a street's bends; 0: straight between the corners */
};

struct city_point city_point_of(double latitude, double longitude);
void city_point_degrees(struct city_point p, double *ret_latitude, double *ret_longitude);
double city_point_distance(struct city_point a, struct city_point b);

/* A line through `corners` (at least two), with rounded corners. The same two corners and bow always give the same
 * street, in both directions. `bows` has one number for each two neighbours: how far the street leaves the straight
 * line, as a share of its length, to the west when it runs north. `ret_at` gets the metres from the start to each
 * corner. */
void city_path_init(struct city_path *p, const struct city_point *corners, const double *bows, size_t count,
                    const struct city_path_options *options, double *ret_at);
void city_path_done(struct city_path *p);

/* Index of the piece of the path that `at` lies in; `hint` is one from before, for a place further back. */
size_t city_path_piece(const struct city_path *p, double at, size_t hint);
struct city_point city_path_point(const struct city_path *p, size_t piece, double at);
/* Degrees clockwise from north, 0 to 360. */
double city_path_heading(const struct city_path *p, size_t piece);

#endif
