/* One vehicle of the simulated city: how it drives, stops, opens its doors and turns round.
 *
 * A struct city_vehicle is plain memory of its owner and borrows its route from the network. Pure: everything follows
 * from its random state and the time that passes. */
#ifndef REALTIMEMAP_CITY_VEHICLE_H
#define REALTIMEMAP_CITY_VEHICLE_H

#include "city_network.h"

#include <stdbool.h>
#include <stdint.h>

enum city_phase {
    CITY_DRIVING,
    CITY_WAITING, /* at a red light or behind one that turns */
    CITY_DOORS,   /* at a stop, doors open */
    CITY_READY,   /* at a stop, doors closed again */
    CITY_ENDED,   /* at the end of the line, signed off the journey */
    CITY_DEADRUN, /* the same, out of service */
    CITY_PAUSE,   /* signed in to the next journey, which has not started */
};

struct city_vehicle {
    const struct city_network *network;
    size_t route; /* of the network; the way back is its neighbour */
    unsigned operator_id, number;
    uint64_t random;

    enum city_phase phase;
    double left_s; /* of the phase, unless it drives */
    double at, speed, acceleration, odometer;
    size_t piece; /* of the path that it is in */
    size_t stop;  /* the next one, or the one it stands at; equal to the count behind the last */
    bool passes;  /* will not stop there */
    bool due;     /* has said that it comes there */
    double heading;
    double mood; /* of the driver: share of the allowed speed */
    double delay_s;
    int occupancy; /* percent; 0 also without a counter */
    bool counted;

    int journey;             /* number of the day */
    int64_t journey_start_s; /* unix time by the timetable */
    double nofix_s, odo_s;   /* still without position; without speed and heading */
};

/* What happened during a step, in order; the place is already that of the event. */
typedef void (*city_event_fn)(const struct city_vehicle *v, enum hfp_event event, double after_s, void *arg);

/* Puts a vehicle somewhere on its route, in the middle of its day. `random` seeds it. */
void city_vehicle_init(struct city_vehicle *v, const struct city_network *network, size_t route, unsigned operator_id,
                       unsigned number, uint64_t random, int64_t now_s);
/* Lets `seconds` go by until `now_s`. */
void city_vehicle_advance(struct city_vehicle *v, double seconds, int64_t now_s, city_event_fn on_event, void *arg);

const struct city_route *city_vehicle_route(const struct city_vehicle *v);
const struct city_mode *city_vehicle_mode(const struct city_vehicle *v);
/* Degrees. */
void city_vehicle_position(const struct city_vehicle *v, double *ret_latitude, double *ret_longitude);
/* 0 up to 1, the next of the vehicle's random numbers. */
double city_vehicle_random(struct city_vehicle *v);

#endif
