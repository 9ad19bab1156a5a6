/* Sinks: which bridge and topic take what is published on a channel.
 *
 * A row of them belongs to the publish table, hub thread only; sink_of_channel() reads the configuration from any
 * thread. */
#ifndef CRIER_HUB_SINK_H
#define CRIER_HUB_SINK_H

#include "hub/bridge_instance.h"
#include "util/template.h"

struct hub;

struct sink {
    const struct config_sink *config;
    struct bridge_instance *bridge;
    struct template *topic, *key; /* key NULL: the publication's */
};

/* Heap, as many as configured. */
struct sink *sinks_new(struct hub *hub);
void sinks_free(struct sink *sinks, size_t count);
/* The first configured sink whose pattern matches, NULL for none. */
struct sink *sinks_find(struct sink *sinks, size_t count, struct bytes channel);
const struct config_sink *sink_of_channel(const struct config *config, struct bytes channel);

#endif
