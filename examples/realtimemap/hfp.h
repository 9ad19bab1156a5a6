/* Messages of the High-Frequency Positioning feed, version 2: MQTT topic and JSON payload to plain structs.
 *
 * Pure functions without allocation; views point into what was given and live as long as it does. */
#ifndef REALTIMEMAP_HFP_H
#define REALTIMEMAP_HFP_H

#include "util/bytes.h"

#include <stdbool.h>
#include <stdint.h>

enum hfp_mode { HFP_BUS, HFP_TRAM, HFP_TRAIN, HFP_FERRY, HFP_METRO, HFP_UBUS, HFP_ROBOT, HFP_MODE_OTHER };

enum hfp_event {
    HFP_VP,    /* position, once a second */
    HFP_DUE,   /* will arrive at a stop soon */
    HFP_ARR,   /* inside the radius of a stop */
    HFP_ARS,   /* stands at a stop */
    HFP_PDE,   /* ready to leave */
    HFP_DEP,   /* left the radius of a stop */
    HFP_PAS,   /* passed a stop */
    HFP_WAIT,  /* waits at a stop */
    HFP_DOO,   /* doors opened */
    HFP_DOC,   /* doors closed */
    HFP_TLR,   /* asks a traffic light */
    HFP_TLA,   /* a traffic light's answer */
    HFP_DA,    /* driver signs in */
    HFP_DOUT,  /* driver signs out */
    HFP_BA,    /* block selected */
    HFP_BOUT,  /* block ended */
    HFP_VJA,   /* signed in to a journey */
    HFP_VJOUT, /* signed off a journey */
    HFP_EVENT_OTHER,
};

/* A topic split at its levels. Absent and empty levels have data NULL.
 *     valid:   /hfp/v2/journey/ongoing/vp/bus/0022/01400/2212/1/Kauniala/11:26/2252204/5/60;24/27/08/15
 *              /hfp/v2/deadrun/ongoing/vp/bus/0018/01029              (ends after the vehicle)
 *              /hfp/v2/journey/ongoing/vp/tram/0040/00621/2015/2/Itäkeskus (M)/07:23/EOL/0////     (no position)
 *     invalid: /hfp/v1/...   hfp/v2/... (no slash in front)   /hfp/v2/journey/ongoing/vp/bus//01029 */
struct hfp_topic {
    enum hfp_event event;
    enum hfp_mode mode;
    bool journey;                      /* on a journey for passengers; false: deadrun, signoff */
    bool upcoming;                     /* signed in, the journey has not started */
    struct bytes operator_id, vehicle; /* digits, padded with zeros: together the vehicle's key `0022.01400` */
    struct bytes route, direction, headsign, start, next_stop; /* next_stop may be `EOL`, the end of the line */
    struct bytes geohash;                                      /* 60;24/27/08/15 */
    int geohash_level; /* 0 to 5, -1 absent: the first digit that changed since the vehicle's last message */
};

/* -EBADMSG with a static reason; `*ret` is untouched then. */
int hfp_topic_parse(struct bytes topic, struct hfp_topic *ret, const char **ret_reason);

/* What crier uses of a payload. Any field of the feed may be null or absent: a flag is false, a view's data NULL. */
struct hfp_position {
    enum hfp_event event;
    bool has_fix; /* both coordinates are there */
    bool has_heading, has_speed, has_doors, has_delay, has_time;
    int32_t latitude_e6, longitude_e6; /* degrees * 1e6 */
    int heading;                       /* degrees clockwise from north, 0 to 359 */
    double speed_ms;
    bool doors_open;
    int delay_s; /* negative: late */
    int64_t time_ms;
    struct bytes line /* desi */, route, stop, location /* loc: GPS, ODO, MAN, DR, N/A */;
    int occupancy; /* percent */
};

/* One object with one member, the event in upper case: {"VP":{"desi":"550","lat":60.1,...}}. Unknown events and fields
 * are fine, a field of another type than documented is not. Speeds, headings, delays and occupancies outside of what
 * is possible count as null. Texts with JSON escapes count as absent: no line, route or stop has any.
 * -EBADMSG with a static reason; `*ret` is untouched then. */
int hfp_payload_parse(struct bytes payload, struct hfp_position *ret, const char **ret_reason);

/* "bus", "vp" as topics write them; "other" for the OTHERs. */
const char *hfp_mode_name(enum hfp_mode mode);
const char *hfp_event_name(enum hfp_event event);

#endif
