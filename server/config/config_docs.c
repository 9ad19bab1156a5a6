/* Markdown of docs/config.md, from the table of keys. */
#include <inttypes.h>

#include "config.h"
#include "config_schema.h"

static const char intro[] =
    "# config.toml\n\n"
    "Every key, as the server knows it: this page is written by `crier check --docs`, and a test compares the two.\n\n"
    "- A **duration** is a number of milliseconds or a text with a unit: `\"250ms\"`, `\"90s\"`, `\"15m\"`, `\"24h\"`, "
    "`\"7d\"`. A **size** is a number of bytes or a text: `\"64KiB\"`, `\"1MiB\"`, `\"2GiB\"`.\n"
    "- A **path** is relative to the folder of the file; empty means none.\n"
    "- A **template** is a text with fields: `{topic}`, `{topic.3}` (part of the topic between slashes, counted from "
    "0), "
    "`{channel}`, `{channel.0}` (namespace), `{channel.1}` (the rest), `{key}`, `{header.NAME}`, `{payload.a.b}` "
    "(field of "
    "a JSON payload), `{user}`, `{partition}`. `{{` and `}}` stand for braces. A record that lacks a field is a bad "
    "record.\n"
    "- `-s KEY=VALUE` replaces one key from the command line: `-s server.listen=127.0.0.1:0`, `-s "
    "bridge.kafka.servers=host:9092` (table by name), `-s source.0.from=latest` (table by number, from 0).\n"
    "- `crier check` reads the file and reports every fault as `FILE:LINE:COL key: what is wrong, allowed: ...`.\n";

static void append_names(struct buf *out, const struct config_key *key)
{
    for (int i = 0; key->names[i]; i++)
        buf_printf(out, "%s`%s`", i ? ", " : "", key->names[i][0] ? key->names[i] : "\"\"");
    if (key->type == CONFIG_TYPE_FROM)
        buf_append_str(out, ", a time");
}

static void append_bound(struct buf *out, const struct config_key *key, int64_t bound)
{
    static const struct {
        enum config_type type;
        int64_t factor;
        const char *unit;
    } units[] = {
        {CONFIG_TYPE_SIZE, 1ll << 30, "GiB"},  {CONFIG_TYPE_SIZE, 1 << 20, "MiB"},   {CONFIG_TYPE_SIZE, 1 << 10, "KiB"},
        {CONFIG_TYPE_DURATION, 86400000, "d"}, {CONFIG_TYPE_DURATION, 3600000, "h"}, {CONFIG_TYPE_DURATION, 1000, "s"},
        {CONFIG_TYPE_DURATION, 1, "ms"},
    };
    for (size_t i = 0; bound && i < sizeof units / sizeof *units; i++)
        if (units[i].type == key->type && bound % units[i].factor == 0) {
            buf_printf(out, "%" PRId64 "%s", bound / units[i].factor, units[i].unit);
            return;
        }
    buf_printf(out, "%" PRId64, bound);
}

static void append_allowed(struct buf *out, const struct config_key *key)
{
    if (key->names) {
        append_names(out, key);
        return;
    }
    buf_append_str(out, config_type_name(key->type));
    if (key->max) {
        buf_append_str(out, ", ");
        append_bound(out, key, key->min);
        buf_append_str(out, " to ");
        append_bound(out, key, key->max);
    }
}

static void append_key(struct buf *out, const struct config_key *key)
{
    buf_printf(out, "| `%s` | ", key->name);
    if (key->preset)
        buf_printf(out, "`%s`", key->preset);
    else
        buf_append_str(out, "required");
    buf_append_str(out, " | ");
    append_allowed(out, key);
    buf_printf(out, " | %s |\n", key->reason);
}

void config_write_docs(struct buf *out)
{
    buf_append_str(out, intro);
    for (size_t i = 0; i < config_section_count; i++) {
        const struct config_section *section = &config_sections[i];
        buf_printf(out, section->array ? "\n## [[%s]]\n\n" : "\n## [%s]\n\n", section->name);
        buf_printf(out, "%s\n\n| key | default | allowed | meaning |\n|---|---|---|---|\n", section->reason);
        for (size_t k = 0; k < section->key_count; k++)
            append_key(out, &section->keys[k]);
    }
}
