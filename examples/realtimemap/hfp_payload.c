/* Members are looked up as they come; what is not needed is skipped. */
#include "hfp_names.h"

#include "hfp_json.h"
#include "utf8.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>

enum field_type {
    FIELD_TEXT,
    FIELD_LATITUDE,
    FIELD_LONGITUDE,
    FIELD_HEADING,
    FIELD_SPEED,
    FIELD_DOORS,
    FIELD_DELAY,
    FIELD_TIME,
    FIELD_SECONDS,
    FIELD_OCCUPANCY
};

struct field {
    const char *name;
    enum field_type type;
    size_t offset; /* of FIELD_TEXT */
};

static const struct field fields[] = {
    {"desi", FIELD_TEXT, offsetof(struct hfp_position, line)},
    {"tst", FIELD_TIME, 0},
    {"tsi", FIELD_SECONDS, 0},
    {"spd", FIELD_SPEED, 0},
    {"hdg", FIELD_HEADING, 0},
    {"lat", FIELD_LATITUDE, 0},
    {"long", FIELD_LONGITUDE, 0},
    {"dl", FIELD_DELAY, 0},
    {"drst", FIELD_DOORS, 0},
    {"loc", FIELD_TEXT, offsetof(struct hfp_position, location)},
    {"stop", FIELD_TEXT, offsetof(struct hfp_position, stop)},
    {"route", FIELD_TEXT, offsetof(struct hfp_position, route)},
    {"occu", FIELD_OCCUPANCY, 0},
};

/* What was read so far; latitude and longitude make a fix only together, tsi stands in for a missing tst. */
struct reader {
    struct hfp_position position;
    bool has_latitude, has_longitude, has_seconds;
    int64_t seconds;
};

/* ---- fields ---- */

static bool within(double d, double low, double high)
{
    return d >= low && d <= high;
}

static int two_digits(const char *p)
{
    return (p[0] - '0') * 10 + (p[1] - '0');
}

/* Days from 1970-01-01 to a date of the Gregorian calendar; years begin in March, so that leap days come last. */
static int64_t days_of(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return y * 365 + y / 4 - y / 100 + y / 400 + day_of_year - 719468;
}

/* 2025-03-12T10:00:04.751Z, the fraction as long as it likes or absent. */
static bool parse_time(struct bytes s, int64_t *ret_ms)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd";
    size_t n = sizeof form - 1;
    if (s.len <= n || s.data[s.len - 1] != 'Z')
        return false;
    for (size_t i = 0; i < n; i++)
        if (form[i] == 'd' ? s.data[i] < '0' || s.data[i] > '9' : s.data[i] != form[i])
            return false;
    int64_t ms = 0;
    int weight = 100;
    if (s.data[n] == '.')
        for (n++; n < s.len - 1 && s.data[n] >= '0' && s.data[n] <= '9'; n++, weight /= 10)
            ms += (s.data[n] - '0') * weight;
    const char *p = s.data;
    int year = two_digits(p) * 100 + two_digits(p + 2), month = two_digits(p + 5), day = two_digits(p + 8);
    int hour = two_digits(p + 11), minute = two_digits(p + 14), second = two_digits(p + 17);
    if (n != s.len - 1 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60)
        return false;
    *ret_ms = (((days_of(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * 1000 + ms;
    return true;
}

static const char *set_text(struct reader *r, size_t offset, const struct hfp_value *v)
{
    if (v->kind != HFP_VALUE_TEXT && v->kind != HFP_VALUE_NUMBER)
        return "desi, route, stop or loc is neither text nor number";
    if (!v->escaped && v->raw.len > 0)
        memcpy((char *)&r->position + offset, &v->raw, sizeof v->raw);
    return NULL;
}

static const char *set_time(struct reader *r, const struct hfp_value *v)
{
    if (v->kind != HFP_VALUE_TEXT || !parse_time(v->raw, &r->position.time_ms))
        return "tst is no time in UTC";
    r->position.has_time = true;
    return NULL;
}

static const char *set_coordinate(double d, double limit, int32_t *ret_e6, bool *ret_has)
{
    if (!within(d, -limit, limit))
        return "lat or long is no place on Earth";
    *ret_e6 = (int32_t)lround(d * 1e6);
    *ret_has = true;
    return NULL;
}

/* Fields that are numbers. What cannot be true is taken as not known. */
static const char *set_number(struct reader *r, enum field_type type, double d)
{
    struct hfp_position *p = &r->position;
    switch (type) {
    case FIELD_LATITUDE:
        return set_coordinate(d, 90, &p->latitude_e6, &r->has_latitude);
    case FIELD_LONGITUDE:
        return set_coordinate(d, 180, &p->longitude_e6, &r->has_longitude);
    case FIELD_HEADING:
        p->has_heading = within(d, 0, 360);
        p->heading = p->has_heading ? (int)lround(d) % 360 : 0;
        return NULL;
    case FIELD_SPEED:
        p->has_speed = within(d, 0, 150);
        p->speed_ms = p->has_speed ? d : 0;
        return NULL;
    case FIELD_DELAY:
        p->has_delay = within(d, -86400, 86400);
        p->delay_s = p->has_delay ? (int)lround(d) : 0;
        return NULL;
    case FIELD_SECONDS:
        r->has_seconds = within(d, 0, 253402300799);
        r->seconds = r->has_seconds ? (int64_t)d : 0;
        return NULL;
    case FIELD_OCCUPANCY:
        p->occupancy = within(d, 0, 100) ? (int)lround(d) : 0;
        return NULL;
    default:
        p->has_doors = d == 0 || d == 1;
        p->doors_open = d == 1;
        return NULL;
    }
}

static const char *set_field(struct reader *r, const struct field *f, const struct hfp_value *v)
{
    if (v->kind == HFP_VALUE_NULL)
        return NULL;
    if (f->type == FIELD_TEXT)
        return set_text(r, f->offset, v);
    if (f->type == FIELD_TIME)
        return set_time(r, v);
    if (f->type == FIELD_DOORS && v->kind == HFP_VALUE_BOOL)
        return set_number(r, f->type, v->truth);
    if (v->kind != HFP_VALUE_NUMBER)
        return "a field that is a number holds something else";
    return set_number(r, f->type, hfp_json_number(v));
}

static const struct field *find_field(struct bytes name)
{
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (fields[i].name[0] == name.data[0] && bytes_eq_str(name, fields[i].name))
            return &fields[i];
    return NULL;
}

/* ---- the two objects ---- */

static const char *read_members(struct hfp_json *s, struct reader *r)
{
    static const char malformed[] = "the payload is no JSON of the feed's form";
    if (hfp_json_take(s, '}'))
        return NULL;
    do {
        struct bytes name;
        struct hfp_value v;
        bool escaped;
        if (!hfp_json_take(s, '"') || !hfp_json_read_text(s, &name, &escaped) || !hfp_json_take(s, ':') ||
            !hfp_json_read_value(s, &v))
            return malformed;
        const struct field *f = name.len ? find_field(name) : NULL;
        const char *reason = f ? set_field(r, f, &v) : NULL;
        if (reason)
            return reason;
    } while (hfp_json_take(s, ','));
    return hfp_json_take(s, '}') ? NULL : malformed;
}

static const char *read_payload(struct hfp_json *s, struct reader *r)
{
    struct bytes name;
    bool escaped;
    if (!hfp_json_take(s, '{') || !hfp_json_take(s, '"') || !hfp_json_read_text(s, &name, &escaped) ||
        !hfp_json_take(s, ':') || !hfp_json_take(s, '{'))
        return "the payload is no object with one event";
    r->position.event = hfp_event_find(name);
    const char *reason = read_members(s, r);
    if (reason)
        return reason;
    if (!hfp_json_take(s, '}'))
        return "the payload has more than one event";
    hfp_json_skip_space(s);
    return s->p == s->end ? NULL : "something follows the payload's object";
}

int hfp_payload_parse(struct bytes payload, struct hfp_position *ret, const char **ret_reason)
{
    struct reader r = {0};
    const char *reason = "the payload is empty";
    if (payload.len > 0) {
        struct hfp_json s = {payload.data, payload.data + payload.len};
        reason = utf8_valid(payload.data, payload.len) ? read_payload(&s, &r) : "the payload is not UTF-8";
    }
    if (reason) {
        *ret_reason = reason;
        return -EBADMSG;
    }
    r.position.has_fix = r.has_latitude && r.has_longitude;
    if (!r.position.has_fix)
        r.position.latitude_e6 = r.position.longitude_e6 = 0;
    if (!r.position.has_time && r.has_seconds) {
        r.position.has_time = true;
        r.position.time_ms = r.seconds * 1000;
    }
    *ret = r.position;
    return 0;
}
