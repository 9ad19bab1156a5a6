/* Which partition a key belongs to: the same one that Kafka's Java client picks, so that a topic may move there.
 *
 * Pure functions. */
#ifndef CRIER_EMBEDDED_PARTITION_H
#define CRIER_EMBEDDED_PARTITION_H

#include "util/bytes.h"

/* MurmurHash2, 32 bits, with the seed of Kafka's clients. */
uint32_t emb_partition_murmur2(struct bytes key);
/* `count` > 0. */
int32_t emb_partition_of_key(struct bytes key, int32_t count);

#endif
