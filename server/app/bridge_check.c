#include "bridge_check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "bridges/bridge.h"
#include "bridges/registry.h"
#include "util/template.h"

struct checker {
    const struct config *config;
    const struct bridge_ops **ops; /* by bridge; NULL: not usable, reported once */
    struct buf *faults, *notes;
};

/* What a rule asks of the driver of `bridge`. */
struct rule {
    struct checker *checker;
    int line, column;
    const char *section, *bridge;
};

static void report(struct buf *out, const struct rule *r, const char *key, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void report(struct buf *out, const struct rule *r, const char *key, const char *format, ...)
{
    char what[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    buf_printf(out, "%s:%d:%d %s.%s: %s\n", r->checker->config->path, r->line, r->column, r->section, key, what);
}

static const struct bridge_ops *find_ops(const struct rule *r)
{
    const struct config *c = r->checker->config;
    for (size_t i = 0; i < c->bridge_count; i++)
        if (strcmp(c->bridges[i].name, r->bridge) == 0)
            return r->checker->ops[i];
    return NULL;
}

static void require(const struct rule *r, unsigned cap, const char *key, const char *what)
{
    const struct bridge_ops *ops = find_ops(r);
    CLEANUP_BUF caps = BUF_INIT;
    if (!ops || (ops->caps & cap))
        return;
    bridge_caps_write(ops->caps, &caps);
    report(r->checker->faults, r, key, "%s, which driver %s does not offer, allowed: %.*s", what, ops->name,
           (int)caps.len, caps.data ? caps.data : "");
}

/* Fields of a record in templates need the driver to have them. */
static void require_fields(const struct rule *r, const char *key, const char *text)
{
    char error[8];
    struct template *t = template_parse(text, ~0u, error, sizeof error);
    unsigned fields = t ? template_fields(t) : 0;
    template_free(t);
    if (fields & TEMPLATE_KEY)
        require(r, BRIDGE_KEYED, key, "{key} asks for records with keys");
    if (fields & TEMPLATE_HEADER)
        require(r, BRIDGE_HEADERS, key, "{header.NAME} asks for records with headers");
}

static void require_start(const struct rule *r, enum source_mode mode, enum source_from from, const char *topic,
                          const char *topic_key)
{
    if (mode == SOURCE_SHARED)
        require(r, BRIDGE_SHARED, "mode", "\"shared\" asks for consumer groups");
    if (from != FROM_LATEST)
        require(r, BRIDGE_REPLAYABLE, "from", "anything but \"latest\" asks for records that can be read again");
    if (strpbrk(topic, "*#+"))
        require(r, BRIDGE_WILDCARDS, topic_key, "a pattern asks for wildcards");
}

static void check_source(struct checker *k, const struct config_source *s)
{
    const struct rule r = {k, s->line, 1, "source", s->bridge};
    const struct bridge_ops *ops = find_ops(&r);
    require_start(&r, s->mode, s->from, s->topic, "topic");
    require_fields(&r, "channel", s->channel);
    require_fields(&r, "key", s->key);
    for (size_t i = 0; i < s->tag_count; i++)
        require_fields(&r, "tags", s->tags[i].value);
    if (ops && !(ops->caps & BRIDGE_POSITIONED))
        report(k->notes, &r, "bridge",
               "note: driver %s has no positions: the channels number their publications "
               "themselves, under an epoch of their own",
               ops->name);
}

static void check_sink(struct checker *k, const struct config_sink *s)
{
    const struct rule r = {k, s->line, 1, "sink", s->bridge};
    const struct bridge_ops *ops = find_ops(&r);
    if (s->retain)
        require(&r, BRIDGE_RETAINED, "retain", "true asks for retained records");
    if (ops && !(ops->caps & BRIDGE_ACKED))
        report(k->notes, &r, "bridge",
               "note: driver %s has no acknowledgements: a publish is answered when it was handed "
               "over, not when it was stored",
               ops->name);
}

static void check_relay(struct checker *k, const struct config_relay *s)
{
    const struct rule r = {k, s->line, 1, "relay", s->from_bridge};
    require_start(&r, s->mode, s->from, s->from_topic, "from_topic");
    require_fields(&r, "to_topic", s->to_topic);
    require_fields(&r, "key", s->key);
}

static void check_option_name(struct checker *k, const struct config_bridge *b, const struct config_option *option,
                              const char *const *names)
{
    const struct rule r = {k, option->line ? option->line : b->line, option->line ? option->column : 1, "bridge",
                           b->name};
    CLEANUP_BUF list = BUF_INIT;
    char key[128];
    for (size_t i = 0; names[i]; i++) {
        if (strcmp(names[i], option->name) == 0)
            return;
        buf_printf(&list, "%s%s", i ? ", " : "", names[i]);
    }
    snprintf(key, sizeof key, "options.%s", option->name);
    report(k->faults, &r, key, "unknown option, allowed: %.*s", (int)list.len, list.len ? list.data : "");
}

static void check_options(struct checker *k, const struct config_bridge *b, const struct bridge_ops *ops)
{
    const struct rule r = {k, b->line, 1, "bridge", b->name};
    char error[256] = "";
    struct bridge_option *options = xcalloc(b->option_count, sizeof *options);
    size_t faults_before = k->faults->len;
    for (size_t i = 0; i < b->option_count; i++) {
        options[i] = (struct bridge_option){b->options[i].name, b->options[i].value};
        if (ops->option_names)
            check_option_name(k, b, &b->options[i], ops->option_names);
    }
    const struct bridge_open open = {
        .name = b->name,
        .servers = b->servers,
        .node_id = k->config->server.node_id[0] ? k->config->server.node_id : "check",
        .options = options,
        .option_count = b->option_count,
        .publish_timeout_ms = (uint64_t)k->config->limits.publish_timeout_ms,
        .publish_queue = (size_t)k->config->limits.pending_publishes,
    };
    bool names_known = k->faults->len == faults_before;
    if (names_known && ops->check && ops->check(&open, error, sizeof error) < 0)
        report(k->faults, &r, "options", "%s", error);
    free(options);
}

static void check_bridge(struct checker *k, size_t index)
{
    const struct config_bridge *b = &k->config->bridges[index];
    const struct rule r = {k, b->line, 1, "bridge", b->name};
    char error[512];
    if (bridge_registry_find(b->driver, k->config->server.driver_dir, &k->ops[index], error, sizeof error) < 0)
        report(k->faults, &r, "driver", "%s: %s", b->driver, error);
    else
        check_options(k, b, k->ops[index]);
}

void bridge_check_all(const struct config *c, struct buf *faults, struct buf *notes)
{
    struct checker k = {c, xcalloc(c->bridge_count, sizeof(struct bridge_ops *)), faults, notes};
    for (size_t i = 0; i < c->bridge_count; i++)
        check_bridge(&k, i);
    for (size_t i = 0; i < c->source_count; i++)
        check_source(&k, &c->sources[i]);
    for (size_t i = 0; i < c->sink_count; i++)
        check_sink(&k, &c->sinks[i]);
    for (size_t i = 0; i < c->relay_count; i++)
        check_relay(&k, &c->relays[i]);
    free(k.ops);
}
