/* What the keys of one [[namespace]] may not say together, and the patterns of channel names. */
#include <stdlib.h>

#include "config_loader.h"

struct namespace_check {
    struct config_loader *loader;
    struct config_namespace *ns;
    size_t index;
};

static struct config_place place(const struct namespace_check *k, const char *key)
{
    const struct config_node *table = config_table_at(k->loader, "namespace", k->index);
    bool is_table = table && table->kind == CONFIG_TABLE;
    return (struct config_place){"namespace", key, is_table ? config_value_at(table, key) : table, false};
}

/* ---- keyed and not ---- */

/* A key that has no meaning in a namespace without keys. */
static void need_keyed(const struct namespace_check *k, bool used, const char *key)
{
    if (used && !k->ns->keyed)
        config_fault(k->loader, place(k, key), "has no meaning without keys, allowed: only with keyed = true");
}

static void check_map_mode(const struct namespace_check *k)
{
    struct config_namespace *n = k->ns;
    bool expires = n->map == MAP_EPHEMERAL || n->map == MAP_RECOVERABLE;
    need_keyed(k, n->map > MAP_OFF, "map");
    if (n->keyed && expires && !n->key_ttl_ms)
        config_fault(k->loader, place(k, "map"), "\"%s\" without a life time of keys, allowed: only with key_ttl",
                     n->map == MAP_EPHEMERAL ? "ephemeral" : "recoverable");
    if (n->keyed && n->map == MAP_PERSISTENT && n->key_ttl_ms)
        config_fault(k->loader, place(k, "map"),
                     "\"persistent\" with key_ttl, allowed: key_ttl = 0, or \"ephemeral\", \"recoverable\", \"off\"");
    if (n->map == MAP_AUTO)
        n->map = !n->keyed ? MAP_OFF : n->key_ttl_ms ? MAP_RECOVERABLE : MAP_PERSISTENT;
}

static void check_map(const struct namespace_check *k)
{
    const struct config_namespace *n = k->ns;
    check_map_mode(k);
    need_keyed(k, n->map_publish, "map_publish");
    need_keyed(k, n->map_remove, "map_remove");
    need_keyed(k, n->client_key != CLIENT_KEY_FREE, "client_key");
    need_keyed(k, n->debounce_ms > 0, "debounce_ms");
    if (n->keyed && n->client_key != CLIENT_KEY_FREE && !n->map_publish && !n->map_remove)
        config_fault(k->loader, place(k, "client_key"),
                     "says which keys clients may change, but they may change none, allowed: only with map_publish or "
                     "map_remove");
    if (n->behind == BEHIND_CONFLATE && !n->keyed)
        config_fault(k->loader, place(k, "behind"),
                     "\"conflate\" needs keys, allowed: skip, resync, close, or keyed = true");
    if (n->key_ttl_ms && !n->keyed)
        config_note(k->loader, place(k, "key_ttl"), "has no meaning without keyed = true");
}

/* ---- options and rights ---- */

static void check_history(const struct namespace_check *k)
{
    const struct config_namespace *n = k->ns;
    if (n->behind == BEHIND_RESYNC && n->history == 0)
        config_note(k->loader, place(k, "history"),
                    "0 with behind = \"resync\": a client that fell behind can resume only what the broker still has");
    if (n->recovery == RECOVERY_CACHE && n->history == 0)
        config_fault(k->loader, place(k, "recovery"),
                     "\"cache\" without a newest publication to give, allowed: only with history of 1 and more");
}

static void check_rights(const struct namespace_check *k)
{
    const struct config_namespace *n = k->ns;
    if (n->push_join_leave && !n->join_leave)
        config_fault(k->loader, place(k, "push_join_leave"),
                     "nobody is told without join_leave, allowed: only with join_leave = true");
    if (n->personal && !n->user_channels[0])
        config_fault(k->loader, place(k, "personal"),
                     "users have no channels of their own, allowed: only with a sign in user_channels");
    if (n->publish_subscribed && !n->publish && !n->map_publish && !n->map_remove)
        config_fault(k->loader, place(k, "publish_subscribed"),
                     "limits who may publish, but nobody may, allowed: only with publish, map_publish or map_remove");
}

/* ---- names of channels ---- */

/* A sign must not be part of a namespace's name, nor separate it from the rest, nor separate users. */
static void check_sign(const struct namespace_check *k, const char *sign, const char *key)
{
    size_t len = sign ? strlen(sign) : 0;
    bool good = len <= 8;
    for (size_t i = 0; i < len && good; i++)
        good = sign[i] > ' ' && sign[i] < 0x7f && !strchr("-_.:,", sign[i]) &&
               !strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", sign[i]);
    if (!good)
        config_fault(k->loader, place(k, key),
                     "not a sign, allowed: \"\" or 1 to 8 ASCII characters that are no letter, digit, space, or one of "
                     "-_.:,");
}

static void compile_pattern(const struct namespace_check *k)
{
    struct config_namespace *n = k->ns;
    if (!n->pattern || !n->pattern[0])
        return;
    regex_t compiled;
    int r = regcomp(&compiled, n->pattern, REG_EXTENDED);
    if (r) {
        char what[120];
        regerror(r, NULL, what, sizeof what);
        config_fault(k->loader, place(k, "pattern"), "not a regular expression (%s), allowed: a POSIX extended one",
                     what);
        return;
    }
    n->pattern_compiled = xmalloc(sizeof compiled);
    *n->pattern_compiled = compiled;
}

/* ---- maps that mirror who is subscribed ---- */

static const struct config_namespace *find_loaded(const struct config *c, struct bytes name)
{
    for (size_t i = 0; i < c->namespace_count; i++)
        if (c->namespaces[i].name && bytes_eq_str(name, c->namespaces[i].name))
            return &c->namespaces[i];
    return NULL;
}

static void check_mirror(const struct namespace_check *k, const char *prefix, const char *key)
{
    const char *colon = prefix ? strchr(prefix, ':') : NULL;
    if (!prefix || !prefix[0])
        return;
    if (!colon) {
        config_fault(k->loader, place(k, key), "\"%s\" names no namespace, allowed: a prefix as \"clients:\"", prefix);
        return;
    }
    const struct config_namespace *target =
        find_loaded(k->loader->config, (struct bytes){prefix, (size_t)(colon - prefix)});
    if (!target)
        config_fault(k->loader, place(k, key), "unknown namespace in \"%s\", allowed: one that is configured", prefix);
    else if (target == k->ns)
        config_fault(k->loader, place(k, key), "\"%s\" is this namespace, allowed: another one", prefix);
    else if (!target->keyed || target->map == MAP_OFF)
        config_fault(k->loader, place(k, key),
                     "namespace \"%s\" is no map, allowed: one with keyed = true, and map not \"off\"", target->name);
}

void config_check_namespaces(struct config_loader *l)
{
    struct config *c = l->config;
    for (size_t i = 0; i < c->namespace_count; i++) {
        const struct namespace_check k = {l, &c->namespaces[i], i};
        check_map(&k);
        check_history(&k);
        check_rights(&k);
        check_sign(&k, k.ns->user_channels, "user_channels");
        check_sign(&k, k.ns->token_channels, "token_channels");
        compile_pattern(&k);
        check_mirror(&k, k.ns->presence_clients, "presence_clients");
        check_mirror(&k, k.ns->presence_users, "presence_users");
    }
}
