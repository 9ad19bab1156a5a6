#include "hfp_names.h"

#include "utf8.h"

#include <errno.h>

/* Levels of a topic, counted without the empty one before the first slash. */
enum level {
    LEVEL_PREFIX,
    LEVEL_VERSION,
    LEVEL_JOURNEY,
    LEVEL_TEMPORAL,
    LEVEL_EVENT,
    LEVEL_MODE,
    LEVEL_OPERATOR,
    LEVEL_VEHICLE,
    LEVEL_ROUTE, /* from here on a topic may end */
    LEVEL_DIRECTION,
    LEVEL_HEADSIGN,
    LEVEL_START,
    LEVEL_NEXT_STOP,
    LEVEL_GEOHASH_LEVEL,
    LEVEL_GEOHASH,
    LEVEL_GEOHASH_LAST = LEVEL_GEOHASH + 3,
    LEVEL_COUNT,
};

#define ID_DIGITS_MAX 10

/* What stands behind the geohash (the signal id of tlr and tla) stays unread. Returns how many levels there are. */
static size_t split(struct bytes topic, struct bytes level[LEVEL_COUNT])
{
    const char *p = topic.data + 1, *end = topic.data + topic.len;
    size_t n = 0;
    while (n < LEVEL_COUNT) {
        const char *slash = memchr(p, '/', (size_t)(end - p));
        const char *stop = slash ? slash : end;
        level[n++] = (struct bytes){p, (size_t)(stop - p)};
        if (!slash)
            break;
        p = slash + 1;
    }
    return n;
}

static bool is_id(struct bytes s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] < '0' || s.data[i] > '9')
            return false;
    return s.len > 0 && s.len <= ID_DIGITS_MAX;
}

static bool has_controls(struct bytes s)
{
    bool found = false;
    for (size_t i = 0; i < s.len; i++)
        found |= (unsigned char)s.data[i] < 0x20;
    return found;
}

static struct bytes null_if_empty(struct bytes s)
{
    return s.len ? s : BYTES_NULL;
}

static const char *read_kind(const struct bytes *level, struct hfp_topic *t)
{
    t->journey = bytes_eq_str(level[LEVEL_JOURNEY], "journey");
    if (!t->journey && !bytes_eq_str(level[LEVEL_JOURNEY], "deadrun") && !bytes_eq_str(level[LEVEL_JOURNEY], "signoff"))
        return "the journey type of the topic is none of journey, deadrun, signoff";
    t->upcoming = bytes_eq_str(level[LEVEL_TEMPORAL], "upcoming");
    if (!t->upcoming && !bytes_eq_str(level[LEVEL_TEMPORAL], "ongoing"))
        return "the temporal type of the topic is neither ongoing nor upcoming";
    if (level[LEVEL_EVENT].len == 0 || level[LEVEL_MODE].len == 0)
        return "the topic has no event type or no transport mode";
    t->event = hfp_event_find(level[LEVEL_EVENT]);
    t->mode = hfp_mode_find(level[LEVEL_MODE]);
    return NULL;
}

static const char *read_geohash(const struct bytes *level, size_t count, struct hfp_topic *t)
{
    t->geohash_level = -1;
    struct bytes digit = count > LEVEL_GEOHASH_LEVEL ? level[LEVEL_GEOHASH_LEVEL] : BYTES_NULL;
    if (digit.len == 0)
        return NULL;
    if (digit.len > 1 || digit.data[0] < '0' || digit.data[0] > '5')
        return "the geohash level of the topic is no digit from 0 to 5";
    t->geohash_level = digit.data[0] - '0';
    if (count <= LEVEL_GEOHASH || level[LEVEL_GEOHASH].len == 0)
        return NULL;
    struct bytes last = level[count > LEVEL_GEOHASH_LAST ? LEVEL_GEOHASH_LAST : count - 1];
    const char *start = level[LEVEL_GEOHASH].data;
    t->geohash = (struct bytes){start, (size_t)(last.data + last.len - start)};
    return NULL;
}

static const char *read_levels(const struct bytes *level, size_t count, struct hfp_topic *t)
{
    if (!bytes_eq_str(level[LEVEL_PREFIX], "hfp"))
        return "the topic does not begin with /hfp/";
    if (count <= LEVEL_VERSION || !bytes_eq_str(level[LEVEL_VERSION], "v2"))
        return "the topic's version is not v2";
    if (count <= LEVEL_VEHICLE)
        return "the topic ends before the vehicle number";
    const char *reason = read_kind(level, t);
    if (reason)
        return reason;
    if (!is_id(level[LEVEL_OPERATOR]) || !is_id(level[LEVEL_VEHICLE]))
        return "operator or vehicle of the topic is no number";
    t->operator_id = level[LEVEL_OPERATOR];
    t->vehicle = level[LEVEL_VEHICLE];
    struct bytes *const texts[] = {&t->route, &t->direction, &t->headsign, &t->start, &t->next_stop};
    for (size_t i = 0; i < sizeof texts / sizeof *texts && LEVEL_ROUTE + i < count; i++)
        *texts[i] = null_if_empty(level[LEVEL_ROUTE + i]);
    return read_geohash(level, count, t);
}

int hfp_topic_parse(struct bytes topic, struct hfp_topic *ret, const char **ret_reason)
{
    struct bytes level[LEVEL_COUNT];
    struct hfp_topic t = {0};
    const char *reason = NULL;
    if (topic.len == 0 || topic.data[0] != '/')
        reason = "the topic does not begin with a slash";
    else if (!utf8_valid(topic.data, topic.len) || has_controls(topic))
        reason = "the topic is no text";
    else
        reason = read_levels(level, split(topic, level), &t);
    if (reason) {
        *ret_reason = reason;
        return -EBADMSG;
    }
    *ret = t;
    return 0;
}
