/* `-s KEY=VALUE`: one key of the file replaced from the command line.
 *
 * server.listen=127.0.0.1:0        a key of a table
 * bridge.kafka.servers=host:9092   of the [[bridge]] whose name is kafka
 * source.0.from=latest             of the first [[source]]
 * bridge.kafka.options.acks=all    what follows `options` is one name, dots and all
 *
 * VALUE is TOML where it reads as TOML, else a text: the quotes of "[::1]:0" or "{key}" can be left out. */
#include <stdio.h>
#include <stdlib.h>

#include "config_loader.h"

struct override {
    struct config_loader *loader;
    const char *text; /* KEY=VALUE */
    struct bytes key;
    const char *value;
};

static void mark(struct config_node *node, const char *text)
{
    node->override = text;
    for (struct config_node *child = node->first; child; child = child->next)
        mark(child, text);
}

static void fault(const struct override *o, const char *what, const char *allowed)
{
    struct config_node at = {.override = o->text};
    config_fault(o->loader, (struct config_place){"", NULL, &at, false}, "%s, allowed: %s", what, allowed);
}

/* VALUE as a node without key. */
static struct config_node *parse_value(const struct override *o)
{
    struct config_node *root = NULL, *node;
    struct config_syntax_error error;
    CLEANUP_BUF document = BUF_INIT;
    buf_printf(&document, "v = %s", o->value);
    if (!strchr(o->value, '\n') && !strchr(o->value, '#') &&
        config_tree_parse(document.data, document.len, &root, &error) == 0 && root->first && !root->first->next) {
        node = root->first;
        root->first = root->last = NULL;
        free(node->key);
        node->key = NULL;
    } else if (o->value[0] == '"' || o->value[0] == '\'') {
        node = NULL;
        fault(o, "not a TOML value", "a value as in the file, or a text without quotes");
    } else {
        node = config_node_new(CONFIG_TEXT, NULL, o->value);
    }
    config_node_free(root);
    return node;
}

/* Cuts the part before the first dot off. */
static struct bytes next_part(struct bytes *rest)
{
    const char *dot = memchr(rest->data, '.', rest->len);
    struct bytes part = {rest->data, dot ? (size_t)(dot - rest->data) : rest->len};
    size_t used = dot ? part.len + 1 : part.len;
    *rest = (struct bytes){rest->data + used, rest->len - used};
    return part;
}

static struct config_node *child_table(struct config_node *parent, struct bytes name, const char *text)
{
    char *key = bytes_dup(name);
    struct config_node *table = config_node_get(parent, key);
    if (!table) {
        table = config_node_new(CONFIG_TABLE, key, NULL);
        table->override = text;
        config_node_add_take(parent, table);
    }
    free(key);
    return table->kind == CONFIG_TABLE ? table : NULL;
}

static bool is_item(const struct config_node *item, size_t index, struct bytes wanted)
{
    char number[24];
    const struct config_node *name = item->kind == CONFIG_TABLE ? config_node_get(item, "name") : NULL;
    if (name && name->text && bytes_eq_str(wanted, name->text))
        return true;
    snprintf(number, sizeof number, "%zu", index);
    return bytes_eq_str(wanted, number);
}

static struct config_node *find_item(const struct override *o, const struct config_section *section,
                                     struct bytes wanted)
{
    struct config_node *array = config_node_get(o->loader->root, section->name);
    size_t index = 0;
    for (struct config_node *item = array ? array->first : NULL; item; item = item->next, index++)
        if (is_item(item, index, wanted))
            return item->kind == CONFIG_TABLE ? item : NULL;

    CLEANUP_BUF what = BUF_INIT, allowed = BUF_INIT;
    buf_printf(&what, "no [[%s]] \"%.*s\"%c", section->name, (int)wanted.len, wanted.data, 0);
    buf_printf(&allowed, "the name of one, or 0 to %zu%c", index ? index - 1 : 0, 0);
    fault(o, what.data, index ? allowed.data : "none, the file has no such table");
    return NULL;
}

/* The table that the key stands in; `rest` is then the key in that table. */
static struct config_node *find_table(const struct override *o, struct bytes *rest)
{
    struct bytes name = next_part(rest);
    const struct config_section *section = config_section_find(name);
    if (section && section->array)
        return find_item(o, section, next_part(rest));

    struct config_node *table = child_table(o->loader->root, name, o->text);
    struct bytes after = *rest, sub = next_part(&after);
    struct bytes both = {name.data, name.len + 1 + sub.len};
    if (table && after.len && config_section_find(both)) {
        *rest = after;
        table = child_table(table, sub, o->text);
    }
    if (!table)
        fault(o, "not a table", "a key as in the file");
    return table;
}

static void store(struct config_node *table, struct bytes key, struct config_node *value_take)
{
    char *name = bytes_dup(key);
    value_take->key = name;
    config_node_remove(table, name);
    config_node_add_take(table, value_take);
}

static void apply(const struct override *o)
{
    struct bytes rest = o->key;
    struct config_node *table = find_table(o, &rest), *value;
    if (!table)
        return;
    struct bytes after = rest, first = next_part(&after);
    if (after.len && (bytes_eq_str(first, "options") || bytes_eq_str(first, "tags"))) {
        table = child_table(table, first, o->text);
        rest = after;
    }
    if (!table || !rest.len) {
        fault(o, "names a table", "a key of it: KEY.NAME=VALUE");
        return;
    }
    value = parse_value(o);
    if (!value)
        return;
    mark(value, o->text);
    store(table, rest, value);
}

void config_override_apply(struct config_loader *l, const char *text)
{
    const char *equals = strchr(text, '=');
    struct override o = {.loader = l, .text = text};
    if (!equals || equals == text || !memchr(text, '.', (size_t)(equals - text))) {
        fault(&o, "not an override", "SECTION.KEY=VALUE");
        return;
    }
    o.key = (struct bytes){text, (size_t)(equals - text)};
    o.value = equals + 1;
    apply(&o);
}
