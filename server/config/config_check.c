/* What no single key can tell: names that have to exist, keys that depend on each other. */
#include <stdlib.h>

#include "config_loader.h"
#include "util/template.h"

/* The value of `key` of item `index` of a section. */
static struct config_place place(const struct config_loader *l, const char *section, size_t index, const char *key)
{
    const struct config_node *table = config_table_at(l, section, index);
    bool is_table = table && table->kind == CONFIG_TABLE;
    return (struct config_place){section, key, is_table && key ? config_value_at(table, key) : table, false};
}

/* ---- names ---- */

struct name_list {
    const char **names;
    size_t count;
};

static void names_done(struct name_list *list)
{
    free(list->names);
}

#define CLEANUP_NAMES __attribute__((cleanup(names_done))) struct name_list

static struct name_list collect_names(const struct config_loader *l, const char *section_name)
{
    const struct config_section *section = config_section_find(bytes_of(section_name));
    const struct config_key *key = config_key_find(section, BYTES_LIT("name"));
    const char *item = *(char **)((char *)l->config + section->offset);
    size_t count = *(size_t *)((char *)l->config + section->count_offset);
    struct name_list list = {xcalloc(count + 1, sizeof(char *)), count};
    for (size_t i = 0; i < count; i++, item += section->item_size) {
        const char *name = *(char *const *)(item + key->offset);
        list.names[i] = name ? name : ""; /* a missing one is reported already */
    }
    return list;
}

static void check_duplicates(struct config_loader *l, const char *section, const struct name_list *list)
{
    for (size_t i = 1; i < list->count; i++)
        for (size_t j = 0; j < i; j++)
            if (list->names[i][0] && strcmp(list->names[i], list->names[j]) == 0) {
                config_fault(l, place(l, section, i, "name"), "\"%s\" is taken, allowed: a name of its own",
                             list->names[i]);
                break;
            }
}

static void check_known(struct config_loader *l, struct config_place at, const char *what, const char *name,
                        const struct name_list *known)
{
    CLEANUP_BUF list = BUF_INIT;
    for (size_t i = 0; i < known->count; i++) {
        if (strcmp(known->names[i], name) == 0)
            return;
        buf_printf(&list, "%s\"%s\"", i ? ", " : "", known->names[i]);
    }
    buf_append(&list, "", 1);
    const char *closest = known->count ? config_closest(name, known->names) : NULL;
    config_fault(l, at, "unknown %s \"%s\"%s%s%s, allowed: %s", what, name, closest ? " (did you mean \"" : "",
                 closest ? closest : "", closest ? "\"?)" : "", known->count ? list.data : "none is configured");
}

static void check_bridge_names(struct config_loader *l, const struct name_list *bridges)
{
    const struct config *c = l->config;
    for (size_t i = 0; i < c->source_count; i++)
        if (c->sources[i].bridge)
            check_known(l, place(l, "source", i, "bridge"), "bridge", c->sources[i].bridge, bridges);
    for (size_t i = 0; i < c->sink_count; i++)
        if (c->sinks[i].bridge)
            check_known(l, place(l, "sink", i, "bridge"), "bridge", c->sinks[i].bridge, bridges);
    for (size_t i = 0; i < c->relay_count; i++) {
        if (c->relays[i].from_bridge)
            check_known(l, place(l, "relay", i, "from_bridge"), "bridge", c->relays[i].from_bridge, bridges);
        if (c->relays[i].to_bridge)
            check_known(l, place(l, "relay", i, "to_bridge"), "bridge", c->relays[i].to_bridge, bridges);
    }
}

/* ---- channels ---- */

/* The namespace that a channel template or pattern is sure to give: "chat:{key}" -> chat, "news" -> default. False when
 * it depends on the record: "{key}", "n{key}". */
static bool fixed_namespace(const char *text, const char *wild, struct bytes *ret)
{
    size_t fixed = strcspn(text, wild);
    const char *colon = memchr(text, ':', fixed);
    if (colon) {
        *ret = (struct bytes){text, (size_t)(colon - text)};
        return true;
    }
    *ret = BYTES_LIT("default");
    return text[fixed] == '\0';
}

/* The namespace's name without the sign for channel tokens, where there is a namespace that has it. */
static struct bytes without_token_sign(const struct config *c, struct bytes name)
{
    for (size_t i = 0; i < c->namespace_count; i++) {
        const struct config_namespace *n = &c->namespaces[i];
        size_t sign = n->name && n->token_channels ? strlen(n->token_channels) : 0;
        if (sign && name.len > sign && memcmp(name.data, n->token_channels, sign) == 0 &&
            bytes_eq_str((struct bytes){name.data + sign, name.len - sign}, n->name))
            return bytes_of(n->name);
    }
    return name;
}

static void check_namespace(struct config_loader *l, struct config_place at, const char *channel, const char *wild,
                            const struct name_list *namespaces)
{
    struct bytes name;
    if (!channel || !fixed_namespace(channel, wild, &name))
        return;
    name = without_token_sign(l->config, name);
    char *text = bytes_dup(name);
    check_known(l, at, "namespace", text, namespaces);
    free(text);
}

static void check_sink_pattern(struct config_loader *l, size_t index)
{
    const char *channel = l->config->sinks[index].channel;
    const char *star = channel ? strchr(channel, '*') : NULL;
    if (channel && (!channel[0] || (star && star[1])))
        config_fault(l, place(l, "sink", index, "channel"),
                     "not a channel pattern, allowed: a channel, or the beginning of one and a * at the end");
    for (size_t i = 0; i < index && channel; i++)
        if (l->config->sinks[i].channel && strcmp(l->config->sinks[i].channel, channel) == 0)
            config_fault(l, place(l, "sink", index, "channel"),
                         "\"%s\" has a sink already, allowed: one sink a channel pattern", channel);
}

static void check_channels(struct config_loader *l, const struct name_list *namespaces)
{
    const struct config *c = l->config;
    for (size_t i = 0; i < c->source_count; i++)
        check_namespace(l, place(l, "source", i, "channel"), c->sources[i].channel, "{", namespaces);
    for (size_t i = 0; i < c->sink_count; i++) {
        check_namespace(l, place(l, "sink", i, "channel"), c->sinks[i].channel, "*", namespaces);
        check_sink_pattern(l, i);
    }
}

/* ---- keys that depend on each other ---- */

static void check_group(struct config_loader *l, const char *section, size_t index, enum source_mode mode,
                        const char *group)
{
    if (mode == SOURCE_SHARED && group && !group[0])
        config_fault(l, place(l, section, index, "group"), "missing, allowed: a name, because of mode = \"shared\"");
    if (mode == SOURCE_FANOUT && group && group[0])
        config_note(l, place(l, section, index, "group"), "has no meaning with mode = \"fanout\"");
}

static void check_groups(struct config_loader *l)
{
    const struct config *c = l->config;
    for (size_t i = 0; i < c->source_count; i++)
        check_group(l, "source", i, c->sources[i].mode, c->sources[i].group);
    for (size_t i = 0; i < c->relay_count; i++)
        check_group(l, "relay", i, c->relays[i].mode, c->relays[i].group);
}

static void check_places(struct config_loader *l)
{
    const struct config *c = l->config;
    for (size_t i = 0; i < c->source_count; i++) {
        const struct config_source *s = &c->sources[i];
        if (s->latitude && s->longitude && !*s->latitude != !*s->longitude)
            config_fault(l, place(l, "source", i, *s->latitude ? "longitude" : "latitude"),
                         "missing, allowed: a template, because the other coordinate has one");
    }
}

/* A channel has the broker's offsets when one partition feeds it; a key lives in one partition. */
static void note_numbering(struct config_loader *l)
{
    for (size_t i = 0; i < l->config->source_count; i++) {
        const char *channel = l->config->sources[i].channel;
        char error[8];
        struct template *t = channel ? template_parse(channel, ~0u, error, sizeof error) : NULL;
        if (t && !(template_fields(t) & (TEMPLATE_KEY | TEMPLATE_PARTITION)))
            config_note(l, place(l, "source", i, "channel"),
                        "names neither {key} nor {partition}: on a topic of several partitions the channel numbers its "
                        "publications itself, under an epoch of its own");
        template_free(t);
    }
}

static void check_limits(struct config_loader *l)
{
    const struct config_limits *limits = &l->config->limits;
    if (limits->outbox_bytes < limits->message_bytes)
        config_fault(l, place(l, "limits", 0, "outbox_bytes"), "smaller than message_bytes, allowed: %lld and more",
                     (long long)limits->message_bytes);
    if (limits->idle_ms && limits->idle_ms < limits->ping_ms)
        config_note(l, place(l, "limits", 0, "idle_ms"), "shorter than ping_ms: no session lives to be pinged");
}

void config_check(struct config_loader *l)
{
    CLEANUP_NAMES bridges = collect_names(l, "bridge");
    CLEANUP_NAMES namespaces = collect_names(l, "namespace");
    CLEANUP_NAMES modules = collect_names(l, "module");

    check_duplicates(l, "bridge", &bridges);
    check_duplicates(l, "namespace", &namespaces);
    check_duplicates(l, "module", &modules);
    check_bridge_names(l, &bridges);
    check_channels(l, &namespaces);
    check_groups(l);
    check_places(l);
    config_check_namespaces(l);
    check_limits(l);
    note_numbering(l);
    config_check_files(l);
}
