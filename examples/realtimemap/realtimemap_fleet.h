/* The vehicles of the feed as last heard of, with where each has been.
 *
 * Written on the hub thread, read on any: each call takes the fleet's mutex for the work on one vehicle, or for the copy
 * of a handful, so neither side waits for longer than microseconds. What is handed out are copies. */
#ifndef REALTIMEMAP_FLEET_H
#define REALTIMEMAP_FLEET_H

#include "geofence.h"
#include "hfp.h"

#define FLEET_KEY_BYTES 32 /* 0022.01400 */
#define FLEET_CHUNK 32     /* vehicles that fleet_read() copies at a time */

struct fleet_limits {
    int64_t vehicles;       /* known at a time; more are refused */
    int64_t trail;          /* newest positions kept of each */
    int64_t replay;         /* older positions kept of each, thinned to one in replay_step_ms */
    int64_t replay_step_ms;
    int64_t seen;           /* messages of each remembered to tell repeated ones */
    int64_t reorder_ms;     /* a message older than the newest by up to this is late; by more: the feed began anew */
};

enum fleet_flag { FLEET_DOORS_OPEN = 1, FLEET_NO_FIX = 2, FLEET_SIMULATED = 4 };

struct fleet_point {
    int64_t time_ms;
    int32_t latitude_e6, longitude_e6;
    uint16_t heading, speed_cms;
    bool doors_open;
};

struct fleet_vehicle {
    char key[FLEET_KEY_BYTES];
    char operator_id[8], line[16], route[16], next_stop[16], headsign[64];
    enum hfp_mode mode;
    unsigned direction, occupancy, flags;
    int delay_s;
    bool placed; /* has had a position */
    struct fleet_point at;
    int64_t time_ms;  /* of its newest message, by its own clock */
    int64_t heard_ms; /* by ours */
};

struct fleet;
struct fleet *fleet_new(const struct fleet_limits *limits, bool simulated, struct geofences *zones);
void fleet_free(struct fleet *f); /* accepts NULL; the zones are the caller's */

enum fleet_outcome {
    FLEET_CHANGED,
    FLEET_REPEATED, /* the broker handed it over more than once */
    FLEET_LATE,     /* a newer one has been here before */
    FLEET_UNPLACED, /* no position so far: nothing to show yet */
    FLEET_FULL,
    FLEET_OUTCOMES
};

struct fleet_message {
    struct bytes topic_text;
    const struct hfp_topic *topic;
    const struct hfp_position *position;
    int64_t heard_ms;
    geofence_crossing_fn on_crossing; /* NULL: state only */
    void *arg;
};

/* Takes one message in; `*ret` is the vehicle after it where the outcome is FLEET_CHANGED, and `*ret_was` as it was
 * before (key "" when it is new). Hub thread. */
enum fleet_outcome fleet_apply(struct fleet *f, const struct fleet_message *m, struct fleet_vehicle *ret,
                               struct fleet_vehicle *ret_was);
/* What a message alone says of a vehicle, without any state: FLEET_UNPLACED without a position in it. Any thread. */
enum fleet_outcome fleet_describe(const struct fleet_message *m, bool simulated, struct fleet_vehicle *ret);
/* Forgets those not heard of since; calls `on_gone` for each. Hub thread. */
void fleet_expire(struct fleet *f, int64_t before_ms, void (*on_gone)(const struct fleet_vehicle *v, void *arg),
                  void *arg);

/* Copies up to FLEET_CHUNK placed vehicles from `*at` on, which moves on; 0 at the end. Starts at 0. */
size_t fleet_read(struct fleet *f, size_t *at, struct fleet_vehicle out[FLEET_CHUNK]);
/* False when it is not known. */
bool fleet_find(struct fleet *f, struct bytes key, struct fleet_vehicle *ret);
/* Appends its newest positions (struct fleet_point) oldest first; false when the vehicle is not known. */
bool fleet_trail(struct fleet *f, struct bytes key, struct buf *out);
/* The same for what is kept to replay, within a time, for the slot that fleet_read() was at (`*at - 1` and below). */
size_t fleet_slots(struct fleet *f);
bool fleet_replay(struct fleet *f, size_t slot, int64_t from_ms, int64_t to_ms, struct fleet_vehicle *ret,
                  struct buf *out);

struct fleet_totals {
    size_t vehicles;
    int64_t newest_ms; /* time of the newest message, by the vehicles' clocks */
    uint64_t outcomes[FLEET_OUTCOMES];
    uint64_t points; /* kept in all */
};
void fleet_totals(struct fleet *f, struct fleet_totals *ret);

/* Calls `fn` with the zones while the fleet does not change. */
void fleet_with_zones(struct fleet *f, void (*fn)(struct geofences *zones, void *arg), void *arg);

#endif
