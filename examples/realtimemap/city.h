/* A simulated city: vehicles of all modes on their lines, whose messages look like those of the real feed.
 *
 * A struct city owns its network and vehicles until city_free(). What it does follows from its options alone: no clock,
 * no other source of chance. Messages are borrowed during the callback. */
#ifndef REALTIMEMAP_CITY_H
#define REALTIMEMAP_CITY_H

#include "city_vehicle.h"

struct city_options {
    size_t vehicles;
    uint64_t seed;
    int64_t start_ms; /* unix time; the vehicles are in the middle of their day then */
};

struct city_message {
    enum hfp_event event;
    const char *vehicle; /* 0022.01400 */
    struct bytes topic, payload;
    bool duplicate; /* the same as the one before, as the real feed sends some */
};

typedef void (*city_message_fn)(const struct city_message *m, void *arg);

struct city;

/* NULL when the tables of the city do not fit together; `error` says where. */
struct city *city_new(const struct city_options *options, char *error, size_t error_size);
/* Accepts NULL. */
void city_free(struct city *c);

/* Moves one vehicle on to `time_ms` and gives what it sends on the way: its events, then its position. */
void city_step(struct city *c, size_t vehicle, int64_t time_ms, city_message_fn on_message, void *arg);

/* Borrowed. */
const struct city_vehicle *city_vehicle(const struct city *c, size_t vehicle);

#endif
