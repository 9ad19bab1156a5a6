#include "config.h"

#include <stdlib.h>

#include "config_loader.h"

static void free_strings(char **list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(list[i]);
    free(list);
}

static void free_key(const struct config_key *key, char *base)
{
    void *value = base + key->offset;
    switch (key->type) {
    case CONFIG_TYPE_STRING:
    case CONFIG_TYPE_NAME:
    case CONFIG_TYPE_ADDRESS:
    case CONFIG_TYPE_PATH:
    case CONFIG_TYPE_TEMPLATE:
        free(*(char **)value);
        break;
    case CONFIG_TYPE_STRINGS:
        free_strings(*(char ***)value, *(size_t *)(base + key->extra));
        break;
    case CONFIG_TYPE_OPTIONS:
        config_options_free(*(struct config_option **)value, *(size_t *)(base + key->extra));
        break;
    default:
        break;
    }
}

static void free_item(const struct config_section *section, char *base)
{
    for (size_t i = 0; i < section->key_count; i++)
        free_key(&section->keys[i], base);
    if (section->free_keys)
        config_options_free(*(struct config_option **)(base + section->options),
                            *(size_t *)(base + section->option_count));
}

static void free_section(const struct config_section *section, char *config)
{
    if (!section->array) {
        free_item(section, config + section->offset);
        return;
    }
    char *items = *(char **)(config + section->offset);
    size_t count = *(size_t *)(config + section->count_offset);
    for (size_t i = 0; i < count; i++)
        free_item(section, items + i * section->item_size);
    free(items);
}

static void free_patterns(struct config *c)
{
    for (size_t i = 0; i < c->namespace_count; i++) {
        if (c->namespaces[i].pattern_compiled)
            regfree(c->namespaces[i].pattern_compiled);
        free(c->namespaces[i].pattern_compiled);
    }
}

static void free_secret(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

void config_free(struct config *c)
{
    if (!c)
        return;
    free_patterns(c);
    for (size_t i = 0; i < config_section_count; i++)
        free_section(&config_sections[i], (char *)c);
    free_secret(c->hmac_secret);
    free_secret(c->api_key);
    free(c->path);
    free(c->dir);
    free(c);
}

/* The part before the colon; without one the whole name, which then is of the namespace `default`. */
static struct bytes name_before_colon(struct bytes channel, bool *ret_colon)
{
    const char *colon = channel.len ? memchr(channel.data, ':', channel.len) : NULL;
    *ret_colon = colon;
    return colon ? (struct bytes){channel.data, (size_t)(colon - channel.data)} : BYTES_LIT("default");
}

const struct config_namespace *config_namespace_of(const struct config *c, struct bytes channel)
{
    bool colon;
    struct bytes name = name_before_colon(channel, &colon);
    for (size_t i = 0; i < c->namespace_count; i++) {
        const struct config_namespace *n = &c->namespaces[i];
        /* No namespace begins with a sign, so a name has one meaning. */
        size_t sign = colon && config_channel_needs_token(n, channel) ? strlen(n->token_channels) : 0;
        if (bytes_eq_str((struct bytes){name.data + sign, name.len - sign}, n->name))
            return n;
    }
    return NULL;
}

bool config_channel_needs_token(const struct config_namespace *ns, struct bytes channel)
{
    size_t sign = strlen(ns->token_channels);
    return sign && channel.len >= sign && memcmp(channel.data, ns->token_channels, sign) == 0;
}

struct bytes config_channel_rest(const struct config_namespace *ns, struct bytes channel)
{
    const char *colon = channel.len ? memchr(channel.data, ':', channel.len) : NULL;
    size_t skip = 0;
    if (colon)
        skip = (size_t)(colon - channel.data) + 1;
    else if (config_channel_needs_token(ns, channel))
        skip = strlen(ns->token_channels);
    return (struct bytes){channel.data + skip, channel.len - skip};
}

bool config_channel_fits(const struct config_namespace *ns, struct bytes channel)
{
    if (!ns->pattern_compiled)
        return true;
    struct bytes rest = config_channel_rest(ns, channel);
    regmatch_t match = {.rm_so = 0, .rm_eo = (regoff_t)rest.len};
    /* Of all matches POSIX takes the one that begins first, and of these the longest: the whole, if the whole fits. */
    return regexec(ns->pattern_compiled, rest.data ? rest.data : "", 1, &match, REG_STARTEND) == 0 &&
           match.rm_so == 0 && (size_t)match.rm_eo == rest.len;
}

const struct config_bridge *config_bridge_find(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->bridge_count; i++)
        if (strcmp(c->bridges[i].name, name) == 0)
            return &c->bridges[i];
    return NULL;
}
