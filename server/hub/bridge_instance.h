/* A configured bridge with its driver: state, and the driver's calls back into the hub.
 *
 * Owned by the hub, hub thread only. */
#ifndef CRIER_HUB_BRIDGE_INSTANCE_H
#define CRIER_HUB_BRIDGE_INSTANCE_H

#include "bridges/bridge.h"
#include "config/config.h"

struct hub;

struct bridge_instance {
    struct hub *hub;
    const struct config_bridge *config;
    const struct bridge_ops *ops;
    struct bridge *bridge;
    struct bridge_option *options;
    enum bridge_state state;
    char reason[200];
    bool was_ready;
    uint64_t records, acks, errors; /* for metrics */
    bool closed;
};

int bridge_instance_open(struct bridge_instance *b, struct hub *hub, const struct config_bridge *config, char *error,
                         size_t error_size);
void bridge_instance_done(struct bridge_instance *b);
struct bridge_instance *bridge_instance_find(struct hub *hub, const char *name);
bool bridge_instance_can(const struct bridge_instance *b, unsigned caps);
const char *bridge_state_name(enum bridge_state state);

/* What a driver's cookies point to: the first member of sources, relays, publishes and reads. */
struct bridge_consumer {
    void (*on_assigned)(struct bridge_consumer *c, struct bytes topic, int32_t partition, int32_t partitions,
                        struct bytes epoch_seed, int64_t oldest, int64_t end);
    void (*on_records)(struct bridge_consumer *c, const struct bridge_record *records, size_t count);
    void (*on_caught_up)(struct bridge_consumer *c);
};

struct bridge_publisher {
    void (*on_published)(struct bridge_publisher *p, const struct bridge_receipt *receipt);
};

struct bridge_reader {
    void (*on_read)(struct bridge_reader *r, const struct bridge_read_result *result);
};

#endif
