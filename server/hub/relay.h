/* Relays: records of one bridge's topic are published to another bridge's topic, e.g. MQTT into Kafka.
 *
 * Owned by the hub, hub thread only. A record is acknowledged upstream when it is stored downstream, or its dead letter
 * upstream. What is under way is bounded in records and bytes: at the bound upstream waits, or where it cannot, and for
 * what is at most once anyway, records are dropped and counted. */
#ifndef CRIER_HUB_RELAY_H
#define CRIER_HUB_RELAY_H

#include <stddef.h>

struct hub;
struct buf;

int relays_start(struct hub *hub, char *error, size_t error_size);
/* Before the bridges close. */
void relays_cancel(struct hub *hub);
void relays_done(struct hub *hub);
/* Appends their metrics in Prometheus text. */
void relays_render(struct hub *hub, struct buf *out);

#endif
