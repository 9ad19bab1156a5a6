#include "config_loader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "util/template.h"

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
static int parse_time(const char *text, int64_t *ret_ms)
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

/* One setter a type. It returns false when the value does not fit; what is allowed is then said by allowed_text(). */
struct target {
    struct config_loader *loader;
    const struct config_section *section;
    const struct config_key *key;
    const struct config_node *node;
    char *base;
};

static bool is_text(const struct config_node *node)
{
    return node->kind == CONFIG_TEXT || (node->override && node->text);
}

static bool store_text(const struct target *t, const char *text)
{
    *(char **)(t->base + t->key->offset) = xstrdup(text);
    return true;
}

static bool set_string(const struct target *t)
{
    return is_text(t->node) && store_text(t, t->node->text);
}

static bool set_name(const struct target *t)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    const char *text = t->node->text;
    if (!is_text(t->node))
        return false;
    size_t len = strlen(text);
    return len > 0 && len <= 64 && text[0] != '.' && strspn(text, letters) == len && store_text(t, text);
}

static bool set_address(const struct target *t)
{
    const char *colon = is_text(t->node) ? strrchr(t->node->text, ':') : NULL;
    if (!colon || colon == t->node->text)
        return false;
    size_t digits = strspn(colon + 1, "0123456789");
    if (digits == 0 || digits > 5 || colon[1 + digits] || atoi(colon + 1) > 65535)
        return false;
    bool bare_ipv6 = memchr(t->node->text, ':', (size_t)(colon - t->node->text)) && t->node->text[0] != '[';
    return !bare_ipv6 && store_text(t, t->node->text);
}

char *config_path_join(const struct config_loader *l, const struct config_node *node, const char *path)
{
    const char *dir = l->config->dir;
    if (!path[0] || path[0] == '/' || node->override || strcmp(dir, ".") == 0)
        return xstrdup(path);
    struct buf joined = BUF_INIT;
    buf_printf(&joined, "%s/%s%c", dir, path, 0);
    return buf_take(&joined);
}

static bool set_path(const struct target *t)
{
    if (!is_text(t->node))
        return false;
    *(char **)(t->base + t->key->offset) = config_path_join(t->loader, t->node, t->node->text);
    return true;
}

static bool check_template(const struct target *t, const char *name, const struct config_node *node)
{
    char error[200];
    struct template *parsed = template_parse(node->text, t->key->fields, error, sizeof error);
    struct config_place at = {t->section->name, name, node, false};
    if (!parsed)
        config_fault(t->loader, at, "%s", error);
    template_free(parsed);
    return parsed;
}

static bool set_template(const struct target *t)
{
    if (!is_text(t->node))
        return false;
    check_template(t, t->key->name, t->node);
    return store_text(t, t->node->text);
}

static bool set_flag(const struct target *t)
{
    if (t->node->kind != CONFIG_BOOL)
        return false;
    *(bool *)(t->base + t->key->offset) = t->node->number != 0;
    return true;
}

static bool store_number(const struct target *t, int64_t number)
{
    if (number < t->key->min || number > t->key->max)
        return false;
    *(int64_t *)(t->base + t->key->offset) = number;
    return true;
}

static bool set_int(const struct target *t)
{
    return t->node->kind == CONFIG_INT && store_number(t, t->node->number);
}

static bool set_quantity(const struct target *t, const struct unit *units)
{
    int64_t number;
    if (t->node->kind == CONFIG_INT)
        return store_number(t, t->node->number);
    return t->node->kind == CONFIG_TEXT && parse_quantity(t->node->text, units, &number) == 0 && store_number(t, number);
}

static bool set_duration(const struct target *t)
{
    return set_quantity(t, duration_units);
}

static bool set_size(const struct target *t)
{
    return set_quantity(t, size_units);
}

static int find_name(const char *text, const char *const *names)
{
    for (int i = 0; names[i]; i++)
        if (strcmp(text, names[i]) == 0)
            return i;
    return -1;
}

static void store_enum(const struct target *t, int index)
{
    _Static_assert(sizeof(enum behind_policy) == sizeof(int), "an enum of the configuration is stored as an int");
    memcpy(t->base + t->key->offset, &index, sizeof index);
}

static bool set_enum(const struct target *t)
{
    int index = is_text(t->node) ? find_name(t->node->text, t->key->names) : -1;
    if (index < 0)
        return false;
    store_enum(t, index);
    return true;
}

static bool set_from(const struct target *t)
{
    int64_t ms = 0;
    if (set_enum(t))
        return true;
    if (!t->node->text || t->node->kind == CONFIG_INT || parse_time(t->node->text, &ms) < 0)
        return false;
    store_enum(t, FROM_TIME);
    *(int64_t *)(t->base + t->key->extra) = ms;
    return true;
}

static bool set_strings(const struct target *t)
{
    size_t count = 0;
    if (t->node->kind != CONFIG_ARRAY)
        return false;
    for (const struct config_node *item = t->node->first; item; item = item->next, count++)
        if (item->kind != CONFIG_TEXT)
            return false;
    char **list = xcalloc(count, sizeof *list);
    *(char ***)(t->base + t->key->offset) = list;
    *(size_t *)(t->base + t->key->extra) = count;
    for (const struct config_node *item = t->node->first; item; item = item->next)
        *list++ = xstrdup(item->text);
    return true;
}

static bool set_options(const struct target *t)
{
    if (t->node->kind != CONFIG_TABLE)
        return false;
    for (const struct config_node *item = t->node->first; item && t->key->fields; item = item->next) {
        char name[128];
        snprintf(name, sizeof name, "%s.%s", t->key->name, item->key);
        if (is_text(item))
            check_template(t, name, item);
        else
            config_fault(t->loader, (struct config_place){t->section->name, name, item, false},
                         "wrong type, allowed: a template");
    }
    config_options_collect(t->node, NULL, (struct config_option **)(t->base + t->key->offset),
                           (size_t *)(t->base + t->key->extra));
    return true;
}

static bool (*const setters[])(const struct target *) = {
    [CONFIG_TYPE_STRING] = set_string,     [CONFIG_TYPE_NAME] = set_name,         [CONFIG_TYPE_ADDRESS] = set_address,
    [CONFIG_TYPE_PATH] = set_path,         [CONFIG_TYPE_TEMPLATE] = set_template, [CONFIG_TYPE_FLAG] = set_flag,
    [CONFIG_TYPE_INT] = set_int,           [CONFIG_TYPE_DURATION] = set_duration, [CONFIG_TYPE_SIZE] = set_size,
    [CONFIG_TYPE_ENUM] = set_enum,         [CONFIG_TYPE_FROM] = set_from,         [CONFIG_TYPE_STRINGS] = set_strings,
    [CONFIG_TYPE_OPTIONS] = set_options,
};

static void append_names(struct buf *out, const char *const *names)
{
    for (int i = 0; names[i]; i++)
        buf_printf(out, "%s\"%s\"", i ? ", " : "", names[i]);
}

static void append_allowed(struct buf *out, const struct config_key *key)
{
    static const char *const texts[] = {
        [CONFIG_TYPE_STRING] = "a text",
        [CONFIG_TYPE_NAME] = "1 to 64 letters, digits, '_', '-', '.', not first a '.'",
        [CONFIG_TYPE_ADDRESS] = "\"host:port\", \"[ipv6]:port\", port 0 to 65535",
        [CONFIG_TYPE_PATH] = "a path",
        [CONFIG_TYPE_TEMPLATE] = "a template",
        [CONFIG_TYPE_FLAG] = "true, false",
        [CONFIG_TYPE_INT] = "a whole number",
        [CONFIG_TYPE_DURATION] = "milliseconds or a text as \"250ms\", \"90s\", \"15m\", \"24h\", \"7d\"",
        [CONFIG_TYPE_SIZE] = "bytes or a text as \"64KiB\", \"1MiB\", \"2GiB\"",
        [CONFIG_TYPE_ENUM] = "",
        [CONFIG_TYPE_FROM] = "",
        [CONFIG_TYPE_STRINGS] = "a list of texts",
        [CONFIG_TYPE_OPTIONS] = "a table { name = value, ... }",
    };
    buf_append_str(out, texts[key->type]);
    if (key->names)
        append_names(out, key->names);
    if (key->type == CONFIG_TYPE_FROM)
        buf_append_str(out, ", a time as \"2026-01-31T08:00:00Z\"");
    if (key->max)
        buf_printf(out, ", %" PRId64 " to %" PRId64, key->min, key->max);
}

/* "wrong type" where the kind of value can never fit, else what is wrong with the value. */
static const char *fault_of(const struct config_key *key, const struct config_node *node)
{
    bool number = node->kind == CONFIG_INT, text = is_text(node);
    switch (key->type) {
    case CONFIG_TYPE_INT:
        return number ? "out of range" : "wrong type";
    case CONFIG_TYPE_DURATION:
    case CONFIG_TYPE_SIZE: {
        int64_t value;
        const struct unit *units = key->type == CONFIG_TYPE_SIZE ? size_units : duration_units;
        if (node->kind == CONFIG_TEXT && parse_quantity(node->text, units, &value) < 0)
            return key->type == CONFIG_TYPE_SIZE ? "not a size" : "not a duration";
        return number || text ? "out of range" : "wrong type";
    }
    case CONFIG_TYPE_ENUM:
    case CONFIG_TYPE_FROM:
        return text ? "unknown value" : "wrong type";
    case CONFIG_TYPE_NAME:
        return text ? "not a name" : "wrong type";
    case CONFIG_TYPE_ADDRESS:
        return text ? "not an address" : "wrong type";
    default:
        return "wrong type";
    }
}

bool config_value_set(struct config_loader *l, const struct config_section *section, const struct config_key *key,
                      const struct config_node *node, void *base)
{
    const struct target target = {l, section, key, node, base};
    if (setters[key->type](&target))
        return true;
    CLEANUP_BUF allowed = BUF_INIT;
    append_allowed(&allowed, key);
    buf_append(&allowed, "", 1);
    const char *what = fault_of(key, node);
    bool shown = node->kind == CONFIG_TEXT && strcmp(what, "wrong type") != 0;
    config_fault(l, (struct config_place){section->name, key->name, node, false}, "%s%s%.80s%s, allowed: %s", what,
                 shown ? " \"" : "", shown ? node->text : "", shown ? "\"" : "", allowed.data);
    return false;
}
