/* Relays: records of one bridge's topic are published to another bridge's topic, e.g. MQTT into Kafka.
 *
 * Owned by the hub, hub thread only. A record is acknowledged upstream when it is stored downstream; upstream waits while
 * too many are under way. */
#ifndef CRIER_HUB_RELAY_H
#define CRIER_HUB_RELAY_H

#include <stddef.h>

struct hub;
struct buf;

int relays_start(struct hub *hub, char *error, size_t error_size);
void relays_done(struct hub *hub);
/* Appends their metrics in Prometheus text. */
void relays_render(struct hub *hub, struct buf *out);

#endif
