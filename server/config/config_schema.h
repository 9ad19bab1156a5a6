/* The table of every key of config.toml: type, default, bounds and reason; loading, checks and documentation read it.
 *
 * Constant data. */
#ifndef CRIER_CONFIG_SCHEMA_H
#define CRIER_CONFIG_SCHEMA_H

#include <stddef.h>
#include <stdint.h>

#include "util/bytes.h"

enum config_type {
    CONFIG_TYPE_STRING,   /* char * */
    CONFIG_TYPE_NAME,     /* char *: letters, digits, '_', '-', '.', not first a '.'; safe in a file name */
    CONFIG_TYPE_ADDRESS,  /* char *: host:port */
    CONFIG_TYPE_PATH,     /* char *: relative to the file's folder */
    CONFIG_TYPE_TEMPLATE, /* char *: may use the fields in `fields` */
    CONFIG_TYPE_FLAG,     /* bool */
    CONFIG_TYPE_INT,      /* int64_t */
    CONFIG_TYPE_DURATION, /* int64_t milliseconds */
    CONFIG_TYPE_SIZE,     /* int64_t bytes */
    CONFIG_TYPE_ENUM,     /* an enum, index into `names` */
    CONFIG_TYPE_FROM,     /* enum source_from, and int64_t milliseconds at `extra` */
    CONFIG_TYPE_STRINGS,  /* char **, and size_t count at `extra` */
    CONFIG_TYPE_OPTIONS,  /* struct config_option *, and size_t count at `extra` */
};

struct config_key {
    const char *name;
    enum config_type type;
    size_t offset; /* into the struct of its section */
    size_t extra;
    const char *preset;       /* as written in TOML; NULL: has to be given */
    int64_t min, max;         /* numbers */
    const char *const *names; /* CONFIG_TYPE_ENUM and CONFIG_TYPE_FROM: NULL-terminated */
    unsigned fields;          /* templates, and options whose values are templates */
    const char *reason;
};

struct config_section {
    const char *name;    /* "server.tls", "bridge" */
    bool array;          /* [[name]], one struct an item */
    bool free_keys;      /* keys that are not in the table are options, at `options` and `option_count` */
    size_t offset;       /* into struct config: the struct itself, or the pointer to the array */
    size_t count_offset; /* arrays */
    size_t item_size, line_offset;
    size_t options, option_count;
    const struct config_key *keys;
    size_t key_count;
    const char *reason;
};

extern const struct config_section config_sections[];
extern const size_t config_section_count;

const struct config_section *config_section_find(struct bytes name);
const struct config_key *config_key_find(const struct config_section *section, struct bytes name);
/* "text", "duration", ...: for messages and documentation. */
const char *config_type_name(enum config_type type);

#endif
