#include "bridge_instance.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "bridges/registry.h"
#include "hub/hub.h"

const char *bridge_state_name(enum bridge_state state)
{
    static const char *const names[] = {"connecting", "ready", "degraded", "failed"};
    return names[state];
}

static void on_state(void *host, enum bridge_state state, const char *reason)
{
    struct bridge_instance *b = host;
    bool changed = state != b->state || strcmp(reason ? reason : "", b->reason) != 0;

    b->state = state;
    b->was_ready |= state == BRIDGE_READY;
    snprintf(b->reason, sizeof b->reason, "%s", reason ? reason : "");
    if (!changed)
        return;
    if (state == BRIDGE_READY)
        log_info("bridge ready", LOG_STR("bridge", b->config->name));
    else
        log_warn("bridge not ready", LOG_STR("bridge", b->config->name), LOG_STR("state", bridge_state_name(state)),
                 LOG_STR("reason", b->reason));
}

static void on_assigned(void *cookie, struct bytes topic, int32_t partition, int32_t partitions, struct bytes epoch_seed,
                        int64_t oldest, int64_t end)
{
    struct bridge_consumer *c = cookie;
    c->on_assigned(c, topic, partition, partitions, epoch_seed, oldest, end);
}

static void on_revoked(void *cookie, struct bytes topic, int32_t partition)
{
    (void)cookie;
    log_debug("partition revoked", LOG_BYTES("topic", topic), LOG_INT("partition", partition));
}

static void on_records(void *cookie, const struct bridge_record *records, size_t count)
{
    struct bridge_consumer *c = cookie;
    c->on_records(c, records, count);
}

static void on_caught_up(void *cookie)
{
    struct bridge_consumer *c = cookie;
    c->on_caught_up(c);
}

static void on_published(void *cookie, const struct bridge_receipt *receipt)
{
    struct bridge_publisher *p = cookie;
    p->on_published(p, receipt);
}

static void on_read(void *cookie, const struct bridge_read_result *result)
{
    struct bridge_reader *r = cookie;
    r->on_read(r, result);
}

static void on_closed(void *host)
{
    struct bridge_instance *b = host;
    struct hub *hub = b->hub;

    b->bridge = NULL;
    b->closed = true;
    if (hub->closing_bridges && --hub->closing_bridges == 0 && hub->on_closed)
        hub->on_closed(hub);
}

static const struct bridge_host_ops host_ops = {
    .on_state = on_state,
    .on_assigned = on_assigned,
    .on_revoked = on_revoked,
    .on_records = on_records,
    .on_caught_up = on_caught_up,
    .on_published = on_published,
    .on_read = on_read,
    .on_closed = on_closed,
};

int bridge_instance_open(struct bridge_instance *b, struct hub *hub, const struct config_bridge *config, char *error,
                         size_t error_size)
{
    const struct config *all = hub->config;
    *b = (struct bridge_instance){.hub = hub, .config = config, .state = BRIDGE_CONNECTING};

    char reason[400];
    int r = bridge_registry_find(config->driver, all->server.driver_dir, &b->ops, reason, sizeof reason);
    if (r == 0) {
        b->options = xcalloc(config->option_count, sizeof *b->options);
        for (size_t i = 0; i < config->option_count; i++)
            b->options[i] = (struct bridge_option){config->options[i].name, config->options[i].value};
        const struct bridge_open open = {
            .name = config->name,
            .servers = config->servers,
            .node_id = hub->node_id,
            .options = b->options,
            .option_count = config->option_count,
            .publish_timeout_ms = (uint64_t)all->limits.publish_timeout_ms,
            .publish_queue = (size_t)all->limits.pending_publishes,
            .loop = hub->loop,
            .host_ops = &host_ops,
            .host = b,
        };
        r = b->ops->open(&open, &b->bridge, reason, sizeof reason);
    }
    if (r < 0)
        snprintf(error, error_size, "%s:%d bridge \"%s\": %s", all->path, config->line, config->name, reason);
    return r;
}

void bridge_instance_done(struct bridge_instance *b)
{
    free(b->options);
    b->options = NULL;
}

struct bridge_instance *bridge_instance_find(struct hub *hub, const char *name)
{
    for (size_t i = 0; i < hub->bridge_count; i++)
        if (strcmp(hub->bridges[i].config->name, name) == 0)
            return &hub->bridges[i];
    return NULL;
}

bool bridge_instance_can(const struct bridge_instance *b, unsigned caps)
{
    return (b->ops->caps & caps) == caps;
}
