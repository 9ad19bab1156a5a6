#include "city_message.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int city_utc_offset_s(int64_t unix_s)
{
    struct tm tm;
    time_t t = (time_t)unix_s;
    gmtime_r(&t, &tm);
    /* Days of the month until its last Sunday, at 01:00 UTC, have both 31 days. */
    int last_sunday = 31 - (tm.tm_wday + 31 - tm.tm_mday) % 7;
    bool before = tm.tm_mday < last_sunday || (tm.tm_mday == last_sunday && tm.tm_hour < 1);
    bool summer = (tm.tm_mon > 2 && tm.tm_mon < 9) || (tm.tm_mon == 2 && !before) || (tm.tm_mon == 9 && before);
    return summer ? 3 * 3600 : 2 * 3600;
}

void city_geohash_write(struct buf *out, int32_t latitude_e5, int32_t longitude_e5)
{
    int lat = abs(latitude_e5) / 100, lon = abs(longitude_e5) / 100;
    buf_printf(out, "%s%d;%s%d/%d%d/%d%d/%d%d", latitude_e5 < 0 ? "-" : "", lat / 1000, longitude_e5 < 0 ? "-" : "",
               lon / 1000, lat / 100 % 10, lon / 100 % 10, lat / 10 % 10, lon / 10 % 10, lat % 10, lon % 10);
}

int city_geohash_level(int32_t latitude_e5, int32_t longitude_e5, int32_t before_latitude_e5,
                       int32_t before_longitude_e5)
{
    int32_t weight = 100000;
    for (int level = 0; level < 5; level++, weight /= 10)
        if (latitude_e5 / weight != before_latitude_e5 / weight ||
            longitude_e5 / weight != before_longitude_e5 / weight)
            return level;
    return 5;
}

static uint64_t hash(struct bytes s)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (unsigned char)s.data[i]) * UINT64_C(0x100000001b3);
    return h;
}

static bool out_of_service(const struct city_vehicle *v)
{
    return v->phase == CITY_DEADRUN;
}

static bool standing_at_stop(const struct city_vehicle *v)
{
    return v->phase != CITY_DRIVING && v->phase != CITY_WAITING;
}

static struct tm local_time(int64_t unix_s)
{
    struct tm tm;
    time_t t = (time_t)(unix_s + city_utc_offset_s(unix_s));
    gmtime_r(&t, &tm);
    return tm;
}

/* ---- topic ---- */

/* While it stands at a stop that is still the next one; behind the last it is the end of the line. */
static void write_next_stop(const struct city_vehicle *v, struct buf *topic)
{
    const struct city_route *r = city_vehicle_route(v);
    bool ended = v->phase == CITY_ENDED || v->stop >= r->stop_count;
    if (ended)
        buf_append_str(topic, "EOL");
    else
        buf_printf(topic, "%07d", r->stops[v->stop].id);
}

static void write_place(struct city_writer *w, uint64_t rest, bool has_fix, int32_t latitude_e5, int32_t longitude_e5,
                        struct buf *topic)
{
    if (!has_fix) {
        buf_append_str(topic, "/0////");
    } else {
        bool whole = !w->has_fix || rest != w->rest;
        int level = whole ? 0 : city_geohash_level(latitude_e5, longitude_e5, w->latitude_e5, w->longitude_e5);
        buf_printf(topic, "/%d/", level);
        city_geohash_write(topic, latitude_e5, longitude_e5);
    }
    *w = (struct city_writer){has_fix, latitude_e5, longitude_e5, rest};
}

/* The event type does not count as a change of the topic, the levels behind the vehicle do. */
static void write_topic(struct city_writer *w, const struct city_vehicle *v, enum hfp_event event, double latitude,
                        double longitude, struct buf *topic)
{
    const struct city_route *r = city_vehicle_route(v);
    struct tm start = local_time(v->journey_start_s);
    bool upcoming = v->phase == CITY_PAUSE;
    buf_printf(topic, "/hfp/v2/%s/%s/%s/%s/%04u/%05u", out_of_service(v) ? "deadrun" : "journey",
               upcoming ? "upcoming" : "ongoing", hfp_event_name(event), hfp_mode_name(r->line->mode), v->operator_id,
               v->number);
    if (out_of_service(v)) {
        w->has_fix = false;
        return;
    }
    size_t head = topic->len;
    buf_printf(topic, "/%s/%d/%s/%02d:%02d/", r->line->route, r->direction, r->headsign, start.tm_hour, start.tm_min);
    write_next_stop(v, topic);
    uint64_t rest = hash((struct bytes){topic->data + head, topic->len - head}) + upcoming;
    write_place(w, rest, v->nofix_s == 0, (int32_t)lround(latitude * 1e6) / 10, (int32_t)lround(longitude * 1e6) / 10,
                topic);
}

/* ---- payload ---- */

static void write_time(struct buf *out, const char *name, int64_t time_ms, bool with_ms)
{
    struct tm tm;
    time_t t = (time_t)(time_ms / 1000);
    gmtime_r(&t, &tm);
    buf_printf(out, "\"%s\":\"%04d-%02d-%02dT%02d:%02d:%02d", name, tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
               tm.tm_hour, tm.tm_min, tm.tm_sec);
    if (with_ms)
        buf_printf(out, ".%03d", (int)(time_ms % 1000));
    buf_append_str(out, "Z\"");
}

/* ,"name":VALUE or ,"name":null */
static void write_number(struct buf *out, const char *name, bool known, int decimals, double value)
{
    if (known)
        buf_printf(out, ",\"%s\":%.*f", name, decimals, value);
    else
        buf_printf(out, ",\"%s\":null", name);
}

static void write_text(struct buf *out, const char *name, const char *value)
{
    if (value)
        buf_printf(out, ",\"%s\":\"%s\"", name, value);
    else
        buf_printf(out, ",\"%s\":null", name);
}

/* The number that the payload has: one company drives under the licence of another. */
static unsigned payload_operator(const struct city_vehicle *v)
{
    return v->operator_id == 18 ? 6 : v->operator_id;
}

static void write_motion(const struct city_vehicle *v, double latitude, double longitude, struct buf *out)
{
    const struct city_mode *mode = city_vehicle_mode(v);
    bool fix = v->nofix_s == 0, moved = fix && v->odo_s == 0;
    write_number(out, "spd", moved, 2, v->speed);
    write_number(out, "hdg", moved, 0, fmod(floor(v->heading), 360));
    write_number(out, "lat", fix, 6, latitude);
    write_number(out, "long", fix, 6, longitude);
    write_number(out, "acc", moved && mode->journeys, 2, v->acceleration);
    write_number(out, "dl", mode->journeys && !out_of_service(v), 0, v->delay_s);
    write_number(out, "odo", mode->events, 0, v->odometer);
    write_number(out, "drst", mode->events, 0, v->phase == CITY_DOORS);
}

static void write_journey(const struct city_vehicle *v, struct buf *out)
{
    const struct city_route *r = city_vehicle_route(v);
    const struct city_mode *mode = city_vehicle_mode(v);
    bool known = !out_of_service(v);
    struct tm day = local_time(v->journey_start_s);
    char text[48];
    snprintf(text, sizeof text, "%04d-%02d-%02d", day.tm_year + 1900, day.tm_mon + 1, day.tm_mday);
    write_text(out, "oday", known ? text : NULL);
    if (mode->journeys) {
        write_number(out, "jrn", known, 0, v->journey);
        write_number(out, "line", known, 0, r->number);
    }
    snprintf(text, sizeof text, "%02d:%02d", day.tm_hour, day.tm_min);
    write_text(out, "start", known ? text : NULL);
    write_text(out, "loc", mode->journeys ? (v->odo_s > 0 ? "ODO" : "GPS") : "MAN");
    write_number(out, "stop", known && standing_at_stop(v) && v->stop < r->stop_count, 0,
                 v->stop < r->stop_count ? r->stops[v->stop].id : 0);
    write_text(out, "route", known ? r->line->route : NULL);
    write_number(out, "occu", true, 0, v->occupancy);
}

/* Stop events carry the timetable, signing in and out the block. */
static void write_more(const struct city_vehicle *v, enum hfp_event event, int64_t time_ms, struct buf *out)
{
    int64_t planned_ms = (time_ms + (int64_t)v->delay_s * 1000) / 60000 * 60000;
    if (event >= HFP_DUE && event <= HFP_DOC) {
        buf_append_str(out, ",");
        write_time(out, "ttarr", planned_ms, true);
        buf_append_str(out, ",");
        write_time(out, "ttdep", planned_ms, true);
    }
    if (event == HFP_VJA || event == HFP_VJOUT)
        buf_printf(out, ",\"dr-type\":1,\"block\":%u", v->number % 900 + 100);
    if (!city_vehicle_mode(v)->journeys)
        buf_append_str(out, ",\"seq\":1");
}

static void write_payload(const struct city_vehicle *v, enum hfp_event event, int64_t time_ms, double latitude,
                          double longitude, struct buf *out)
{
    const struct city_route *r = city_vehicle_route(v);
    bool known = !out_of_service(v);
    char upper[8] = "";
    const char *name = hfp_event_name(event);
    for (size_t i = 0; name[i] && i < sizeof upper - 1; i++)
        upper[i] = (char)(name[i] - 'a' + 'A');
    buf_printf(out, "{\"%s\":{\"desi\":", upper);
    if (known)
        buf_printf(out, "\"%s\"", r->line->line);
    else
        buf_append_str(out, "null");
    write_text(out, "dir", known ? (r->direction == 1 ? "1" : "2") : NULL);
    write_number(out, "oper", known, 0, payload_operator(v));
    write_number(out, "veh", true, 0, v->number);
    buf_append_str(out, ",");
    write_time(out, "tst", time_ms, city_vehicle_mode(v)->journeys);
    write_number(out, "tsi", true, 0, (double)(time_ms / 1000));
    write_motion(v, latitude, longitude, out);
    write_journey(v, out);
    write_more(v, event, time_ms, out);
    buf_append_str(out, "}}");
}

void city_message_write(struct city_writer *w, const struct city_vehicle *v, enum hfp_event event, int64_t time_ms,
                        struct buf *topic, struct buf *payload)
{
    double latitude, longitude;
    city_vehicle_position(v, &latitude, &longitude);
    topic->len = payload->len = 0;
    write_topic(w, v, event, latitude, longitude, topic);
    write_payload(v, event, time_ms, latitude, longitude, payload);
}
