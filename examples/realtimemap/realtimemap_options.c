#include "realtimemap_options.h"

#include "config/config.h"

#include <errno.h>
#include <stdlib.h>

struct number {
    const char *key;
    int64_t preset, min, max;
    size_t offset; /* of an int64_t in the settings */
    bool duration;
};

#define AT(member) offsetof(struct map_settings, member)
#define TYPE(key, member, preset)                                                                                      \
    {                                                                                                                  \
        key, preset, 0, 4294967039, AT(member), false                                                                  \
    }
#define MINUTE 60000

static const struct number numbers[] = {
    {"silent", 5 * MINUTE, 1000, 24 * 60 * MINUTE, AT(silent_ms), true},
    {"replay_step", 2000, 0, 10 * MINUTE, AT(fleet.replay_step_ms), true},
    {"reorder", MINUTE, 0, 60 * MINUTE, AT(fleet.reorder_ms), true},
    {"vehicles", 20000, 1, 1000000, AT(fleet.vehicles), false},
    {"trail", 200, 1, 100000, AT(fleet.trail), false},
    {"replay", 450, 0, 100000, AT(fleet.replay), false},
    {"seen", 32, 0, 1024, AT(fleet.seen), false},
    {"tracks", 60000, 0, 10000000, AT(tracks), false},
    {"result_ways", 60000, 1, 10000000, AT(result_ways), false},
    {"result_points", 100000, 1, 10000000, AT(result_points), false},
    {"cell_e6", 10000, 100, 10000000, AT(cell_e6), false},
    TYPE("type_viewport", type_viewport, 101),
    TYPE("type_positions", type_positions, 102),
    TYPE("type_notification", type_notification, 103),
    TYPE("type_vehicles", type_vehicles, 104),
    TYPE("type_left", type_left, 105),
    TYPE("type_counts", type_counts, 106),
    TYPE("type_vehicle", type_vehicle, 107),
};

static const struct {
    const char *key, *preset;
    size_t offset; /* of a const char * in the settings */
} texts[] = {
    {"channel", "vehicles:all", AT(channel)},
    {"geofence_prefix", "geofence:", AT(geofence_prefix)},
    {"counts_channel", "counts:fleet", AT(counts_channel)},
    {"attribution", "", AT(attribution)},
};

static int parse_number(const struct number *n, const char *text, int64_t *ret)
{
    char *end;
    if (n->duration)
        return config_parse_duration(text, ret);
    errno = 0;
    *ret = strtoll(text, &end, 10);
    return errno || end == text || *end ? -EINVAL : 0;
}

static int read_number(struct crier *c, const struct number *n, int64_t *out)
{
    const char *text = crier_module_option(c, n->key);
    int64_t value = n->preset;
    if (text && (parse_number(n, text, &value) < 0 || value < n->min || value > n->max)) {
        crier_module_fail(c, "%s: \"%s\" is not allowed, allowed: %s%lld to %lld%s", n->key, text,
                          n->duration ? "a duration of " : "", (long long)n->min, (long long)n->max,
                          n->duration ? " ms" : "");
        return -EINVAL;
    }
    *out = value;
    return 0;
}

static int read_flag(struct crier *c, const char *key, bool *out)
{
    const char *text = crier_module_option(c, key);
    if (text && strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
        crier_module_fail(c, "%s: \"%s\" is not allowed, allowed: true or false", key, text);
        return -EINVAL;
    }
    *out = text && strcmp(text, "true") == 0;
    return 0;
}

int map_options_read(struct crier *c, struct map_settings *ret)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof numbers / sizeof *numbers; i++)
        r = read_number(c, &numbers[i], (int64_t *)((char *)ret + numbers[i].offset));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *text = crier_module_option(c, texts[i].key);
        *(const char **)((char *)ret + texts[i].offset) = text ? text : texts[i].preset;
    }
    ret->organizations = crier_module_path(c, "organizations");
    return r < 0 ? r : read_flag(c, "simulated", &ret->simulated);
}
