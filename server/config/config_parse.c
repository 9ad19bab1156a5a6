/* Durations, sizes and times as texts. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "config_loader.h"

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit duration_units[] = {
    {"", 1}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0},
};
static const struct unit size_units[] = {
    {"", 1}, {"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {NULL, 0},
};

static int parse_quantity(const char *text, const struct unit *units, int64_t *ret)
{
    int64_t number = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(number, 10, &number) || __builtin_add_overflow(number, *p - '0', &number))
            return -EINVAL;
    if (p == text)
        return -EINVAL;
    for (; units->name; units++) {
        if (strcmp(p, units->name) != 0)
            continue;
        if (__builtin_mul_overflow(number, units->factor, &number))
            return -EINVAL;
        *ret = number;
        return 0;
    }
    return -EINVAL;
}

int config_parse_duration(const char *text, int64_t *ret_ms)
{
    return parse_quantity(text, duration_units, ret_ms);
}

int config_parse_size(const char *text, int64_t *ret_bytes)
{
    return parse_quantity(text, size_units, ret_bytes);
}

static bool fits_mask(const char *text, const char *mask)
{
    for (; *mask; mask++, text++)
        if (*mask == '0' ? *text < '0' || *text > '9' : *text != *mask)
            return false;
    return true;
}

/* Z, +01:00, -05:30 */
static int parse_zone(const char *p, int64_t *ret_ms)
{
    *ret_ms = 0;
    if (strcmp(p, "Z") == 0)
        return 0;
    if ((*p != '+' && *p != '-') || strlen(p) != 6 || !fits_mask(p + 1, "00:00"))
        return -EINVAL;
    int hours = atoi(p + 1), minutes = atoi(p + 4);
    if (hours > 23 || minutes > 59)
        return -EINVAL;
    *ret_ms = (hours * 60 + minutes) * 60000ll * (*p == '-' ? -1 : 1);
    return 0;
}

/* RFC 3339: 2026-01-31T08:00:00Z, 2026-01-31T08:00:00.250+01:00; not 2026-02-30T00:00:00Z, not without a zone. */
int config_parse_time(const char *text, int64_t *ret_ms)
{
    struct tm tm = {0};
    if (!fits_mask(text, "0000-00-00T00:00:00") || !strptime(text, "%Y-%m-%dT%H:%M:%S", &tm))
        return -EINVAL;
    int day = tm.tm_mday;
    int64_t seconds = timegm(&tm), ms = 0, zone_ms;
    const char *p = text + strlen("0000-00-00T00:00:00");
    if (*p == '.') {
        int64_t scale = 100;
        for (p++; *p >= '0' && *p <= '9'; p++, scale /= 10)
            ms += (*p - '0') * scale;
    }
    if (tm.tm_mday != day || parse_zone(p, &zone_ms) < 0)
        return -EINVAL;
    *ret_ms = seconds * 1000 + ms - zone_ms;
    return 0;
}
