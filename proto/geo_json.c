#include "geo_json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "json_scan.h"

#define TURN 360.0

static int fail(const char **ret_reason, const char *reason)
{
    *ret_reason = reason;
    return -EINVAL;
}

/* The member under one of two names, not both. */
static bool get_either(struct bytes object, const char *name, const char *other, struct bytes *ret)
{
    struct bytes second;
    int r = json_get_raw(object, name, ret);
    int r_other = json_get_raw(object, other, r == 0 ? &second : ret);
    return (r == 0 && r_other == -ENOENT) || (r == -ENOENT && r_other == 0);
}

static bool get_degrees(struct bytes object, const char *name, double bound, double *ret)
{
    char text[64], *end;
    struct bytes raw;
    if (json_get_raw(object, name, &raw) < 0 || raw.len >= sizeof text || (*raw.data != '-' && (*raw.data < '0' || *raw.data > '9')))
        return false;
    memcpy(text, raw.data, raw.len);
    text[raw.len] = 0;
    *ret = strtod(text, &end);
    return *end == 0 && *ret >= -bound && *ret <= bound;
}

struct corner {
    double latitude, longitude;
};

static bool get_corner(struct bytes object, const char *name, const char *other, struct corner *ret)
{
    struct bytes corner;
    return get_either(object, name, other, &corner) && get_degrees(corner, "latitude", 90, &ret->latitude) &&
           get_degrees(corner, "longitude", 180 + TURN, &ret->longitude);
}

/* Maps that are turned on and on count on beyond 180. */
static int32_t longitude_e6(double degrees)
{
    if (degrees > 180)
        degrees -= TURN;
    if (degrees > 180)
        degrees -= TURN;
    if (degrees < -180)
        degrees += TURN;
    if (degrees < -180)
        degrees += TURN;
    return (int32_t)lround(degrees * 1e6);
}

int geo_box_read(struct bytes object, struct geo_box *ret, const char **ret_reason)
{
    struct corner south_west, north_east;
    if (!get_corner(object, "south_west", "southWest", &south_west) ||
        !get_corner(object, "north_east", "northEast", &north_east))
        return fail(ret_reason, "a box is south_west and north_east, each with longitude and latitude in degrees");
    bool whole_turn = north_east.longitude - south_west.longitude >= TURN;
    struct geo_box b = {
        .south_e6 = (int32_t)lround(south_west.latitude * 1e6),
        .north_e6 = (int32_t)lround(north_east.latitude * 1e6),
        .west_e6 = whole_turn ? -GEO_LONGITUDE_MAX_E6 : longitude_e6(south_west.longitude),
        .east_e6 = whole_turn ? GEO_LONGITUDE_MAX_E6 : longitude_e6(north_east.longitude),
    };
    if (!geo_box_valid(&b))
        return fail(ret_reason, "the south of the box is north of its north");
    *ret = b;
    return 0;
}
