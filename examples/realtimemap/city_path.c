#include "city_path.h"

#include "util/bytes.h"

#include <math.h>
#include <stdlib.h>

#define ORIGIN_LATITUDE  60.2
#define ORIGIN_LONGITUDE 24.9
#define METRES_A_DEGREE  111195.0
#define ROUNDS           3    /* of corner cutting; each doubles the points */
#define SLOWEST          3.0  /* metres a second, in the sharpest bend */
#define BEND_SHARE       0.09 /* of the distance between bends: how far a street leaves the straight line */

struct points {
    struct city_point *data;
    size_t count, capacity;
};

struct city_point city_point_of(double latitude, double longitude)
{
    double east = METRES_A_DEGREE * cos(ORIGIN_LATITUDE * M_PI / 180);
    return (struct city_point){(longitude - ORIGIN_LONGITUDE) * east, (latitude - ORIGIN_LATITUDE) * METRES_A_DEGREE};
}

void city_point_degrees(struct city_point p, double *ret_latitude, double *ret_longitude)
{
    *ret_latitude = ORIGIN_LATITUDE + p.y / METRES_A_DEGREE;
    *ret_longitude = ORIGIN_LONGITUDE + p.x / (METRES_A_DEGREE * cos(ORIGIN_LATITUDE * M_PI / 180));
}

double city_point_distance(struct city_point a, struct city_point b)
{
    return hypot(a.x - b.x, a.y - b.y);
}

static void add(struct points *p, struct city_point point)
{
    if (p->count == p->capacity) {
        p->capacity = p->capacity ? p->capacity * 2 : 64;
        p->data = xrealloc(p->data, p->capacity * sizeof *p->data);
    }
    p->data[p->count++] = point;
}

static struct city_point between(struct city_point a, struct city_point b, double share)
{
    return (struct city_point){a.x + (b.x - a.x) * share, a.y + (b.y - a.y) * share};
}

/* -1 to 1, always the same for the same place. */
static double noise(struct city_point p, size_t k)
{
    double s = sin(p.x * 0.0129 + p.y * 0.0782 + (double)k * 7.13) * 43758.5453;
    return (s - floor(s)) * 2 - 1;
}

/* From a up to b, without b: a bow, and points to one or the other side, so that no street is a ruler. Both directions
 * of a street agree because all is reckoned from its southern end. */
static void add_street(struct points *p, struct city_point a, struct city_point b, double bow, double bend)
{
    double length = city_point_distance(a, b);
    size_t pieces = bend > 0 ? (size_t)(length / bend) + 1 : 1;
    bool reversed = b.y < a.y || (b.y == a.y && b.x < a.x);
    struct city_point south = reversed ? b : a, north = reversed ? a : b;
    double skew = 1 + 0.45 * noise(south, 1001), depth = bow * (1 + 0.4 * noise(north, bow > 0 ? 1002 : 1003));
    add(p, a);
    for (size_t i = 1; i < pieces; i++) {
        size_t k = reversed ? pieces - i : i;
        double share = (double)k / (double)pieces, along = pow(share, skew);
        double aside =
            noise(south, k) * BEND_SHARE * length / (double)pieces + depth * length * 4 * along * (1 - along);
        struct city_point m = between(south, north, share);
        add(p, (struct city_point){m.x - (north.y - south.y) / length * aside,
                                   m.y + (north.x - south.x) / length * aside});
    }
}

/* Chaikin's corner cutting: each piece is replaced by its middle half. The ends stay. */
static void cut_corners(struct points *p)
{
    struct points out = {0};
    add(&out, p->data[0]);
    for (size_t i = 0; i + 1 < p->count; i++) {
        if (i > 0)
            add(&out, between(p->data[i], p->data[i + 1], 0.25));
        if (i + 2 < p->count)
            add(&out, between(p->data[i], p->data[i + 1], 0.75));
    }
    add(&out, p->data[p->count - 1]);
    free(p->data);
    *p = out;
}

/* Speed in the bend at point i: the circle through it and its neighbours. */
static double bend_limit(const struct city_path *p, size_t i, double lateral)
{
    double turn = fabs(remainder(city_path_heading(p, i) - city_path_heading(p, i - 1), 360)) * M_PI / 180;
    double length = (p->at[i + 1] - p->at[i - 1]) / 2;
    return turn > 1e-6 ? fmax(sqrt(lateral * length / turn), SLOWEST) : INFINITY;
}

static void set_limits(struct city_path *p, const struct city_path_options *o)
{
    size_t last = p->count - 1;
    for (size_t i = 0; i <= last; i++)
        p->limit[i] = i > 0 && i < last ? fmin(o->limit, bend_limit(p, i, o->lateral)) : o->limit;
    for (size_t i = last; i-- > 0;) {
        double reachable = sqrt(p->limit[i + 1] * p->limit[i + 1] + 2 * o->brake * (p->at[i + 1] - p->at[i]));
        p->limit[i] = fmin(p->limit[i], reachable);
    }
}

void city_path_init(struct city_path *p, const struct city_point *corners, const double *bows, size_t count,
                    const struct city_path_options *options, double *ret_at)
{
    struct points points = {0};
    for (size_t i = 0; i + 1 < count; i++) {
        ret_at[i] = (double)points.count;
        add_street(&points, corners[i], corners[i + 1], bows[i], options->bend);
    }
    add(&points, corners[count - 1]);
    for (int i = 0; i < ROUNDS; i++)
        cut_corners(&points);
    *p = (struct city_path){.points = points.data, .count = points.count};
    p->at = xcalloc(p->count, sizeof *p->at);
    p->limit = xcalloc(p->count, sizeof *p->limit);
    for (size_t i = 1; i < p->count; i++)
        p->at[i] = p->at[i - 1] + city_point_distance(p->points[i - 1], p->points[i]);
    p->length = p->at[p->count - 1];
    set_limits(p, options);
    /* Each round moves point k to 2k: the corners' numbers are known. */
    for (size_t i = 0; i + 1 < count; i++)
        ret_at[i] = p->at[(size_t)ret_at[i] << ROUNDS];
    ret_at[count - 1] = p->length;
}

void city_path_done(struct city_path *p)
{
    free(p->points);
    free(p->at);
    free(p->limit);
    *p = (struct city_path){0};
}

size_t city_path_piece(const struct city_path *p, double at, size_t hint)
{
    while (hint + 2 < p->count && p->at[hint + 1] <= at)
        hint++;
    return hint;
}

struct city_point city_path_point(const struct city_path *p, size_t piece, double at)
{
    double length = p->at[piece + 1] - p->at[piece];
    return between(p->points[piece], p->points[piece + 1], length > 0 ? fmin((at - p->at[piece]) / length, 1) : 0);
}

double city_path_heading(const struct city_path *p, size_t piece)
{
    struct city_point a = p->points[piece], b = p->points[piece + 1];
    double degrees = atan2(b.x - a.x, b.y - a.y) * 180 / M_PI;
    return degrees < 0 ? degrees + 360 : degrees;
}
