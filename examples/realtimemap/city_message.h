/* A simulated vehicle's state as the feed writes it: MQTT topic and JSON payload.
 *
 * A struct city_writer remembers what geohash levels depend on; it is plain memory of its owner. */
#ifndef REALTIMEMAP_CITY_MESSAGE_H
#define REALTIMEMAP_CITY_MESSAGE_H

#include "city_vehicle.h"

/* Of the message before. */
struct city_writer {
    bool has_fix;
    int32_t latitude_e5, longitude_e5;
    uint64_t rest; /* hash of the topic without its position */
};

/* Writes the event at `time_ms`; both buffers are emptied first. */
void city_message_write(struct city_writer *w, const struct city_vehicle *v, enum hfp_event event, int64_t time_ms,
                        struct buf *topic, struct buf *payload);
/* `<int>;<int>/<digits>/<digits>/<digits>` of a position in 1e-5 degrees. */
void city_geohash_write(struct buf *out, int32_t latitude_e5, int32_t longitude_e5);
/* 0 when an integer part changed, else the first decimal that did, 5 also when none did. */
int city_geohash_level(int32_t latitude_e5, int32_t longitude_e5, int32_t before_latitude_e5,
                       int32_t before_longitude_e5);
/* Seconds that Helsinki is ahead of UTC: three hours from the last Sunday of March to that of October, else two. */
int city_utc_offset_s(int64_t unix_s);

#endif
