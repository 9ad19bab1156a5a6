#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "config_loader.h"

const struct config_node *config_value_at(const struct config_node *table, const char *key)
{
    const struct config_node *node = config_node_get(table, key);
    return node ? node : table;
}

/* Node of a section by its dotted name. */
static struct config_node *section_node(const struct config_loader *l, const char *name)
{
    const char *dot = strchr(name, '.');
    if (!dot)
        return config_node_get(l->root, name);
    char *parent_name = bytes_dup((struct bytes){name, (size_t)(dot - name)});
    struct config_node *parent = config_node_get(l->root, parent_name);
    free(parent_name);
    return parent && parent->kind == CONFIG_TABLE ? config_node_get(parent, dot + 1) : NULL;
}

const struct config_node *config_table_at(const struct config_loader *l, const char *section, size_t index)
{
    struct config_node *node = section_node(l, section);
    if (!node || node->kind != CONFIG_ARRAY)
        return node;
    node = node->first;
    while (node && index--)
        node = node->next;
    return node;
}

static void fault_unknown(struct config_loader *l, const char *section, const struct config_node *node,
                          const char *const *names)
{
    CLEANUP_BUF list = BUF_INIT;
    const char *closest = config_closest(node->key, names);
    for (size_t i = 0; names[i]; i++)
        buf_printf(&list, "%s%s", i ? ", " : "", names[i]);
    buf_append(&list, "", 1);
    config_fault(l, (struct config_place){section, node->key, node, true}, "unknown key%s%s%s, allowed: %s",
                 closest ? " (did you mean " : "", closest ? closest : "", closest ? "?)" : "", list.data);
}

/* Last part of the name of a section that is a table inside `parent`, else NULL. */
static const char *subsection_name(const struct config_section *section, const char *parent)
{
    size_t len = strlen(parent);
    if (strncmp(section->name, parent, len) != 0 || section->name[len] != '.')
        return NULL;
    return section->name + len + 1;
}

static void check_keys(struct config_loader *l, const struct config_section *section, const struct config_node *table)
{
    const char *names[128];
    size_t count = 0;
    for (size_t i = 0; i < section->key_count; i++)
        names[count++] = section->keys[i].name;
    for (size_t i = 0; i < config_section_count; i++)
        if (subsection_name(&config_sections[i], section->name))
            names[count++] = subsection_name(&config_sections[i], section->name);
    names[count] = NULL;

    for (const struct config_node *node = table->first; node; node = node->next) {
        size_t i = 0;
        while (names[i] && strcmp(names[i], node->key) != 0)
            i++;
        if (!names[i])
            fault_unknown(l, section->name, node, names);
    }
}

static void check_sections(struct config_loader *l)
{
    const char *names[32];
    size_t count = 0;
    for (size_t i = 0; i < config_section_count; i++)
        if (!strchr(config_sections[i].name, '.'))
            names[count++] = config_sections[i].name;
    names[count] = NULL;
    for (const struct config_node *node = l->root->first; node; node = node->next)
        if (!config_section_find(bytes_of(node->key)))
            fault_unknown(l, "", node, names);
}

/* Defaults are written as in the file and take the same way in. */
static void set_preset(struct config_loader *l, const struct config_section *section, const struct config_key *key,
                       void *base)
{
    char text[80];
    struct config_node *root;
    struct config_syntax_error error;
    int len = snprintf(text, sizeof text, "v = %s", key->preset);
    if (config_tree_parse(text, (size_t)len, &root, &error) < 0)
        abort(); /* a mistake in the schema */
    config_value_set(l, section, key, root->first, base);
    config_node_free(root);
}

static void load_keys(struct config_loader *l, const struct config_section *section, const struct config_node *table,
                      void *base)
{
    for (size_t i = 0; i < section->key_count; i++) {
        const struct config_key *key = &section->keys[i];
        const struct config_node *node = table ? config_node_get(table, key->name) : NULL;
        bool stored = node && config_value_set(l, section, key, node, base);
        if (!stored && key->preset) /* also after a fault, so that later checks see something sound */
            set_preset(l, section, key, base);
        else if (!node)
            config_fault(l, (struct config_place){section->name, key->name, table, false}, "missing, allowed: %s (%s)",
                         config_type_name(key->type), key->reason);
    }
    if (table && !section->free_keys)
        check_keys(l, section, table);
    if (table && section->free_keys)
        config_options_collect(table, section, (struct config_option **)((char *)base + section->options),
                               (size_t *)((char *)base + section->option_count));
}

static void load_array(struct config_loader *l, const struct config_section *section, const struct config_node *array)
{
    size_t count = 0;
    for (const struct config_node *item = array->first; item; item = item->next)
        count++;
    char *items = xcalloc(count, section->item_size);
    *(void **)((char *)l->config + section->offset) = items;
    *(size_t *)((char *)l->config + section->count_offset) = count;
    for (const struct config_node *item = array->first; item; item = item->next, items += section->item_size) {
        if (item->kind != CONFIG_TABLE) {
            config_fault(l, (struct config_place){section->name, NULL, item, false},
                         "wrong type, allowed: tables [[%s]]", section->name);
            continue;
        }
        *(int *)(items + section->line_offset) = item->line;
        load_keys(l, section, item, items);
    }
}

static void load_section(struct config_loader *l, const struct config_section *section)
{
    struct config_node *node = section_node(l, section->name);
    enum config_kind wanted = section->array ? CONFIG_ARRAY : CONFIG_TABLE;
    bool fits = node && node->kind == wanted;
    if (node && !fits)
        config_fault(l, (struct config_place){section->name, NULL, node, true}, "wrong type, allowed: %s%s%s",
                     section->array ? "tables [[" : "a table [", section->name, section->array ? "]]" : "]");
    if (!section->array)
        load_keys(l, section, fits ? node : NULL, (char *)l->config + section->offset);
    else if (fits)
        load_array(l, section, node);
}

static int read_file(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return -errno;
    size_t got;
    do {
        buf_reserve(out, 65536);
        got = fread(out->data + out->len, 1, 65536, file);
        out->len += got;
    } while (got > 0);
    int error = ferror(file) ? -errno : 0;
    fclose(file);
    return error;
}

static int read_tree(struct config_loader *l)
{
    CLEANUP_BUF text = BUF_INIT;
    struct config_syntax_error error;
    int r = read_file(l->config->path, &text);
    if (r < 0) {
        config_fault(l, (struct config_place){"", NULL, NULL, false}, "cannot be read: %s", strerror(-r));
        return r;
    }
    r = config_tree_parse(text.data, text.len, &l->root, &error);
    if (r < 0) {
        struct config_node at = {.line = error.line, .column = error.column};
        config_fault(l, (struct config_place){"", NULL, &at, false}, "not TOML: %s", error.text);
    }
    return r;
}

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return xstrdup(".");
    return bytes_dup((struct bytes){path, slash == path ? 1 : (size_t)(slash - path)});
}

struct config *config_load(const char *path, const struct config_override *overrides, size_t override_count,
                           struct buf *faults, struct buf *notes)
{
    struct config *config = xcalloc(1, sizeof *config);
    struct config_loader l = {.config = config};
    config->path = xstrdup(path);
    config->dir = folder_of(path);
    if (read_tree(&l) == 0) {
        for (size_t i = 0; i < override_count; i++)
            config_override_apply(&l, overrides[i].text);
        check_sections(&l);
        for (size_t i = 0; i < config_section_count; i++)
            load_section(&l, &config_sections[i]);
        config_check(&l);
    }
    bool faulty = l.faults.count > 0;
    config_reports_write(&l.faults, faults);
    config_reports_write(&l.notes, notes);
    config_node_free(l.root);
    if (!faulty)
        return config;
    config_free(config);
    return NULL;
}
