/* Tables of free keys (a driver's options, a module's own keys) as flat lists of name and text. */
#include <stdlib.h>

#include "config_loader.h"

static void append_json(struct buf *out, const struct config_node *node)
{
    bool table = node->kind == CONFIG_TABLE;
    if (!table && node->kind != CONFIG_ARRAY) {
        bool quoted = node->kind == CONFIG_TEXT || node->kind == CONFIG_TIME;
        if (quoted)
            buf_append_json_string(out, bytes_of(node->text));
        else
            buf_append_str(out, node->text);
        return;
    }
    buf_append_str(out, table ? "{" : "[");
    for (const struct config_node *child = node->first; child; child = child->next) {
        if (child != node->first)
            buf_append_str(out, ",");
        if (table) {
            buf_append_json_string(out, bytes_of(child->key));
            buf_append_str(out, ":");
        }
        append_json(out, child);
    }
    buf_append_str(out, table ? "}" : "]");
}

static char *leaf_text(const struct config_node *node)
{
    struct buf text = BUF_INIT;
    if (node->kind != CONFIG_ARRAY)
        return xstrdup(node->text);
    append_json(&text, node);
    buf_append(&text, "", 1);
    return buf_take(&text);
}

/* An override comes after the keys of the file and takes the place of the one with its name. */
static struct config_option *option_slot(struct config_option **list, size_t *count, const char *name)
{
    for (size_t i = 0; i < *count; i++)
        if (strcmp((*list)[i].name, name) == 0)
            return &(*list)[i];
    *list = xrealloc(*list, (*count + 1) * sizeof **list);
    struct config_option *slot = &(*list)[(*count)++];
    *slot = (struct config_option){.name = xstrdup(name)};
    return slot;
}

static void collect(const struct config_node *table, const char *prefix, const struct config_section *skip,
                    struct config_option **list, size_t *count)
{
    for (const struct config_node *node = table->first; node; node = node->next) {
        if (skip && config_key_find(skip, bytes_of(node->key)))
            continue;
        CLEANUP_BUF name = BUF_INIT;
        buf_printf(&name, "%s%s%s", prefix, prefix[0] ? "." : "", node->key);
        buf_append(&name, "", 1);
        if (node->kind == CONFIG_TABLE) {
            collect(node, name.data, NULL, list, count);
            continue;
        }
        struct config_option *slot = option_slot(list, count, name.data);
        free(slot->value);
        slot->value = leaf_text(node);
        slot->line = node->override ? 0 : node->line;
        slot->column = node->override ? 0 : node->column;
    }
}

void config_options_collect(const struct config_node *table, const struct config_section *skip,
                            struct config_option **list, size_t *count)
{
    collect(table, "", skip, list, count);
}

void config_options_free(struct config_option *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(list[i].name);
        free(list[i].value);
    }
    free(list);
}
