#include "config_tree.h"

#include <stdlib.h>

#include "util/bytes.h"

struct config_node *config_node_new(enum config_kind kind, const char *key, const char *text)
{
    struct config_node *node = xcalloc(1, sizeof *node);
    node->kind = kind;
    node->key = xstrdup(key);
    node->text = xstrdup(text);
    return node;
}

void config_node_add_take(struct config_node *parent, struct config_node *child)
{
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
}

void config_node_remove(struct config_node *table, const char *key)
{
    struct config_node *previous = NULL;
    for (struct config_node *node = table->first; node; previous = node, node = node->next) {
        if (strcmp(node->key, key) != 0)
            continue;
        if (previous)
            previous->next = node->next;
        else
            table->first = node->next;
        if (table->last == node)
            table->last = previous;
        config_node_free(node);
        return;
    }
}

struct config_node *config_node_get(const struct config_node *table, const char *key)
{
    for (struct config_node *node = table->first; node; node = node->next)
        if (strcmp(node->key, key) == 0)
            return node;
    return NULL;
}

void config_node_free(struct config_node *node)
{
    if (!node)
        return;
    for (struct config_node *child = node->first, *next; child; child = next) {
        next = child->next;
        config_node_free(child);
    }
    free(node->key);
    free(node->text);
    free(node);
}
