#include "embedded/settings.h"

#include <stdio.h>
#include <stdlib.h>

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit DURATIONS[] = {
    {"", 1}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0},
};

static const struct unit SIZES[] = {
    {"", 1}, {"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", (int64_t)1 << 40}, {NULL, 0},
};

static int parse_with_unit(const char *text, const struct unit *units, int64_t *ret_value)
{
    if (*text < '0' || *text > '9')
        return -EINVAL;
    char *rest;
    errno = 0;
    int64_t number = strtoll(text, &rest, 10);
    for (const struct unit *u = units; errno == 0 && u->name; u++)
        if (strcmp(u->name, rest) == 0)
            return __builtin_mul_overflow(number, u->factor, ret_value) ? -EINVAL : 0;
    return -EINVAL;
}

static int parse_duration(const char *text, int64_t *ret_ms)
{
    return parse_with_unit(text, DURATIONS, ret_ms);
}

static int parse_size(const char *text, int64_t *ret_bytes)
{
    return parse_with_unit(text, SIZES, ret_bytes);
}

static int parse_count(const char *text, int64_t *ret_count)
{
    static const struct unit NONE[] = {{"", 1}, {NULL, 0}};
    return parse_with_unit(text, NONE, ret_count);
}

static const struct {
    const char *name, *allowed;
    int (*parse)(const char *text, int64_t *ret_value);
    size_t field;
    int64_t preset, min, max;
} NUMBERS[] = {
#define FIELD(f) offsetof(struct settings, f)
    {"partitions", "1 to 1024", parse_count, FIELD(partitions), 1, 1, STORE_PARTITIONS_MAX},
    {"retention_bytes", "a size like \"512MiB\", 0 keeps all", parse_size, FIELD(retention_bytes), 0, 0, INT64_MAX},
    {"retention_age", "a duration like \"7d\", 0 keeps all", parse_duration, FIELD(retention_ms), 0, 0, INT64_MAX / 4},
    {"busy_timeout", "a duration of at most \"1h\"", parse_duration, FIELD(busy_timeout_ms), 5000, 0, 3600000},
    {"max_bytes", "a size of at least \"64KiB\", or 0", parse_size, FIELD(max_bytes), 0, 0, (int64_t)1 << 46},
    {"compact_lag", "a duration like \"1m\"", parse_duration, FIELD(compact_lag_ms), 60000, 0, INT64_MAX / 4},
    {"tombstone_age", "a duration like \"24h\"", parse_duration, FIELD(tombstone_ms), 86400000, 0, INT64_MAX / 4},
#undef FIELD
};
enum { NUMBER_COUNT = sizeof NUMBERS / sizeof *NUMBERS };

const char *const emb_settings_names[] = {"partitions", "retention_bytes", "retention_age", "busy_timeout", "max_bytes",
                                      "compact_lag", "tombstone_age",  "compact",       NULL};

static int read_number(const struct bridge_open *open, size_t i, struct settings *s, char *error, size_t error_size)
{
    int64_t *field = (int64_t *)((char *)s + NUMBERS[i].field);
    *field = NUMBERS[i].preset;
    const char *text = bridge_option_get(open, NUMBERS[i].name);
    if (!text)
        return 0;
    int r = NUMBERS[i].parse(text, field);
    if (r == 0 && *field >= NUMBERS[i].min && *field <= NUMBERS[i].max)
        return 0;
    snprintf(error, error_size, "option %s = %s, allowed: %s", NUMBERS[i].name, text, NUMBERS[i].allowed);
    return -EINVAL;
}

static bool is_known(const char *name)
{
    for (const char *const *known = emb_settings_names; *known; known++)
        if (strcmp(*known, name) == 0)
            return true;
    return false;
}

static int check_names(const struct bridge_open *open, char *error, size_t error_size)
{
    for (size_t i = 0; i < open->option_count; i++) {
        if (is_known(open->options[i].name))
            continue;
        snprintf(error, error_size,
                 "unknown option %s, allowed: partitions, retention_bytes, retention_age, compact, compact_lag, "
                 "tombstone_age, busy_timeout, max_bytes",
                 open->options[i].name);
        return -EINVAL;
    }
    return 0;
}

int emb_settings_read(const struct bridge_open *open, struct settings *ret_settings, char *error, size_t error_size)
{
    struct settings s = {0};
    if (!*open->servers) {
        snprintf(error, error_size, "servers is empty, allowed: the path of the log's file");
        return -EINVAL;
    }
    int r = check_names(open, error, error_size);
    for (size_t i = 0; r == 0 && i < NUMBER_COUNT; i++)
        r = read_number(open, i, &s, error, error_size);
    if (r == 0 && s.max_bytes > 0 && s.max_bytes < 65536) {
        snprintf(error, error_size, "option max_bytes is too small, allowed: at least \"64KiB\", or 0 for no limit");
        r = -EINVAL;
    }
    if (r < 0)
        return r;
    const char *compact = bridge_option_get(open, "compact");
    s.path = xstrdup(open->servers);
    s.compact = xstrdup(compact ? compact : "");
    *ret_settings = s;
    return 0;
}

void emb_settings_done(struct settings *s)
{
    free(s->path);
    free(s->compact);
    *s = (struct settings){0};
}

static bool pattern_matches(const char *pattern, size_t len, struct bytes topic)
{
    if (len > 0 && pattern[len - 1] == '*')
        return topic.len >= len - 1 && memcmp(pattern, topic.data, len - 1) == 0;
    return bytes_eq((struct bytes){pattern, len}, topic);
}

/* "a, b" and what the configuration makes of an array: ["a","b"]. */
static const char SEPARATORS[] = ", []\"";

static bool is_compacted(const struct settings *s, struct bytes topic)
{
    for (const char *p = s->compact; *p;) {
        p += strspn(p, SEPARATORS);
        size_t len = strcspn(p, SEPARATORS);
        if (len > 0 && pattern_matches(p, len, topic))
            return true;
        p += len;
    }
    return false;
}

struct store_policy emb_settings_policy(const struct settings *s, struct bytes topic)
{
    if (is_compacted(s, topic))
        return (struct store_policy){.partitions = (int32_t)s->partitions, .compact = true};
    return (struct store_policy){
        .partitions = (int32_t)s->partitions,
        .retention_bytes = s->retention_bytes,
        .retention_ms = s->retention_ms,
    };
}
