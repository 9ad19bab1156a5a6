#include "config_loader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "util/template.h"

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

static bool set_quantity(const struct target *t, int (*parse)(const char *, int64_t *))
{
    int64_t number;
    if (t->node->kind == CONFIG_INT)
        return store_number(t, t->node->number);
    return t->node->kind == CONFIG_TEXT && parse(t->node->text, &number) == 0 && store_number(t, number);
}

static bool set_duration(const struct target *t)
{
    return set_quantity(t, config_parse_duration);
}

static bool set_size(const struct target *t)
{
    return set_quantity(t, config_parse_size);
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
    if (!t->node->text || t->node->kind == CONFIG_INT || config_parse_time(t->node->text, &ms) < 0)
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

/* How each type takes a value and speaks of one that does not fit. */
static const struct value_type {
    bool (*set)(const struct target *);
    bool takes_text, takes_int;
    int (*parse)(const char *, int64_t *); /* texts that are numbers with a unit */
    const char *malformed;                 /* a text that means nothing; NULL: any text fits */
    const char *allowed;
} types[] = {
    [CONFIG_TYPE_STRING] = {.set = set_string, .takes_text = true, .allowed = "a text"},
    [CONFIG_TYPE_NAME] = {.set = set_name,
                          .takes_text = true,
                          .malformed = "not a name",
                          .allowed = "1 to 64 letters, digits, '_', '-', '.', not first a '.'"},
    [CONFIG_TYPE_ADDRESS] = {.set = set_address,
                             .takes_text = true,
                             .malformed = "not an address",
                             .allowed = "\"host:port\", \"[ipv6]:port\", port 0 to 65535"},
    [CONFIG_TYPE_PATH] = {.set = set_path, .takes_text = true, .allowed = "a path"},
    [CONFIG_TYPE_TEMPLATE] = {.set = set_template, .takes_text = true, .allowed = "a template"},
    [CONFIG_TYPE_FLAG] = {.set = set_flag, .allowed = "true, false"},
    [CONFIG_TYPE_INT] = {.set = set_int, .takes_int = true, .allowed = "a whole number"},
    [CONFIG_TYPE_DURATION] = {.set = set_duration,
                              .takes_text = true,
                              .takes_int = true,
                              .parse = config_parse_duration,
                              .malformed = "not a duration",
                              .allowed = "milliseconds or a text as \"250ms\", \"90s\", \"15m\", \"24h\", \"7d\""},
    [CONFIG_TYPE_SIZE] = {.set = set_size,
                          .takes_text = true,
                          .takes_int = true,
                          .parse = config_parse_size,
                          .malformed = "not a size",
                          .allowed = "bytes or a text as \"64KiB\", \"1MiB\", \"2GiB\""},
    [CONFIG_TYPE_ENUM] = {.set = set_enum, .takes_text = true, .malformed = "unknown value", .allowed = ""},
    [CONFIG_TYPE_FROM] = {.set = set_from, .takes_text = true, .malformed = "unknown value", .allowed = ""},
    [CONFIG_TYPE_STRINGS] = {.set = set_strings, .allowed = "a list of texts"},
    [CONFIG_TYPE_OPTIONS] = {.set = set_options, .allowed = "a table { name = value, ... }"},
};

static void append_allowed(struct buf *out, const struct config_key *key)
{
    buf_append_str(out, types[key->type].allowed);
    for (int i = 0; key->names && key->names[i]; i++)
        buf_printf(out, "%s\"%s\"", i ? ", " : "", key->names[i]);
    if (key->type == CONFIG_TYPE_FROM)
        buf_append_str(out, ", a time as \"2026-01-31T08:00:00Z\"");
    if (key->max)
        buf_printf(out, ", %" PRId64 " to %" PRId64, key->min, key->max);
}

static const char *fault_of(const struct value_type *type, const struct config_node *node)
{
    int64_t number;
    bool is_int = type->takes_int && node->kind == CONFIG_INT;
    if (!is_int && !(type->takes_text && is_text(node)))
        return "wrong type";
    if (is_int || (type->parse && type->parse(node->text, &number) == 0))
        return "out of range";
    return type->malformed;
}

bool config_value_set(struct config_loader *l, const struct config_section *section, const struct config_key *key,
                      const struct config_node *node, void *base)
{
    const struct target target = {l, section, key, node, base};
    if (types[key->type].set(&target))
        return true;
    CLEANUP_BUF allowed = BUF_INIT;
    append_allowed(&allowed, key);
    buf_append(&allowed, "", 1);
    const char *what = fault_of(&types[key->type], node);
    bool shown = node->kind == CONFIG_TEXT && strcmp(what, "wrong type") != 0;
    config_fault(l, (struct config_place){section->name, key->name, node, false}, "%s%s%.80s%s, allowed: %s", what,
                 shown ? " \"" : "", shown ? node->text : "", shown ? "\"" : "", allowed.data);
    return false;
}
