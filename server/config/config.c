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
    for (size_t i = 0; i < config_section_count; i++)
        free_section(&config_sections[i], (char *)c);
    free_secret(c->hmac_secret);
    free_secret(c->api_key);
    free(c->path);
    free(c->dir);
    free(c);
}

const struct config_namespace *config_namespace_of(const struct config *c, struct bytes channel)
{
    const char *colon = channel.len ? memchr(channel.data, ':', channel.len) : NULL;
    struct bytes name = colon ? (struct bytes){channel.data, (size_t)(colon - channel.data)} : BYTES_LIT("default");
    for (size_t i = 0; i < c->namespace_count; i++)
        if (bytes_eq_str(name, c->namespaces[i].name))
            return &c->namespaces[i];
    return NULL;
}

const struct config_bridge *config_bridge_find(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->bridge_count; i++)
        if (strcmp(c->bridges[i].name, name) == 0)
            return &c->bridges[i];
    return NULL;
}
