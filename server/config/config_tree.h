/* A TOML document as a tree of C nodes that know where in the text they stood.
 *
 * The tree owns its nodes and their strings; it lives while the configuration is loaded and is freed as a whole. */
#ifndef CRIER_CONFIG_TREE_H
#define CRIER_CONFIG_TREE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum config_kind { CONFIG_TABLE, CONFIG_ARRAY, CONFIG_TEXT, CONFIG_INT, CONFIG_FLOAT, CONFIG_BOOL, CONFIG_TIME };

struct config_node {
    enum config_kind kind;
    char *key;                 /* in a table; NULL in an array */
    char *text;                /* a scalar as text: a string's content, a number in decimal */
    int64_t number;            /* CONFIG_INT; CONFIG_BOOL: 0 or 1 */
    int line, column;          /* of the value */
    int key_line, key_column;  /* of the key; 0 in an array */
    const char *override;      /* the -s that it came from, borrowed; NULL: from the file */
    struct config_node *first; /* children of tables (sorted by key) and arrays (in order) */
    struct config_node *last;
    struct config_node *next;
};

struct config_syntax_error {
    int line, column;
    char text[200];
};

/* Returns 0 and the root table, or -EINVAL and the first fault in `error`. */
int config_tree_parse(const char *text, size_t len, struct config_node **ret_root, struct config_syntax_error *error);

/* A node without parent; NULL texts are allowed. */
struct config_node *config_node_new(enum config_kind kind, const char *key, const char *text);
/* The parent owns the child from now on. */
void config_node_add_take(struct config_node *parent, struct config_node *child);
/* Unlinks and frees the child named `key`, where there is one. */
void config_node_remove(struct config_node *table, const char *key);
/* Child by key, or NULL. */
struct config_node *config_node_get(const struct config_node *table, const char *key);
/* With its children; accepts NULL. */
void config_node_free(struct config_node *node);

#ifdef __cplusplus
}
#endif

#endif
