/* What the steps of loading share: the tree, the configuration in the making, faults and notes with their places.
 *
 * Lives on the stack of config_load(); nodes and keys are borrowed from the tree and the schema. */
#ifndef CRIER_CONFIG_LOADER_H
#define CRIER_CONFIG_LOADER_H

#include "config.h"
#include "config_schema.h"
#include "config_tree.h"

struct config_report {
    int line, column;
    size_t sequence;
    char *text; /* the whole line */
};

struct config_reports {
    struct config_report *items;
    size_t count;
};

struct config_loader {
    struct config *config;
    struct config_node *root;
    struct config_reports faults, notes;
};

/* Where a key stands, or would stand. */
struct config_place {
    const char *section;            /* "server", "bridge"; "" for the file itself */
    const char *key;                /* NULL: the section as a whole */
    const struct config_node *node; /* the line and column are this node's; NULL: none is known */
    bool at_key;                    /* of its key, not of its value */
};

void config_fault(struct config_loader *l, struct config_place at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void config_note(struct config_loader *l, struct config_place at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Writes the lines in the order of the file, overrides last, and frees them. */
void config_reports_write(struct config_reports *reports, struct buf *out);

/* Applies one `-s KEY=VALUE` to the tree. */
void config_override_apply(struct config_loader *l, const char *text);

/* Stores the value of `node` for `key` into the struct at `base`, or reports why it cannot and returns false. */
bool config_value_set(struct config_loader *l, const struct config_section *section, const struct config_key *key,
                      const struct config_node *node, void *base);
/* Heap copy of a path: one of the file is relative to its folder, one of the command line to where it is given. */
char *config_path_join(const struct config_loader *l, const struct config_node *node, const char *path);
/* Appends the leaves of a table to a list of options: nested keys joined by dots, arrays as JSON text. `skip` names
 * keys of the schema that are no options, NULL none. */
void config_options_collect(const struct config_node *table, const struct config_section *skip,
                            struct config_option **list, size_t *count);
void config_options_free(struct config_option *list, size_t count);

/* What no single key can tell: names that have to exist, keys that depend on each other, files. */
void config_check(struct config_loader *l);
/* The part about namespaces: rights and options that contradict each other; compiles the patterns. */
void config_check_namespaces(struct config_loader *l);
/* The part about files; reads the secrets. */
void config_check_files(struct config_loader *l);

/* The value of `key` in a table, or the table where it is not given: for the place of a report. */
const struct config_node *config_value_at(const struct config_node *table, const char *key);
/* Table of the array section `section` at `index`, or of a plain section (index 0); NULL where the file has none. */
const struct config_node *config_table_at(const struct config_loader *l, const char *section, size_t index);

/* Closest of `names` (NULL-terminated) that a slip of the finger away may have meant; NULL none. */
const char *config_closest(const char *given, const char *const *names);

#endif
