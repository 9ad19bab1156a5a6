/* Recovery of channels of which only the newest publication matters (recovery = "cache").
 *
 * Hub thread; a part of answering a subscription. */
#ifndef CRIER_HUB_CACHE_H
#define CRIER_HUB_CACHE_H

#include "hub/channel.h"

/* What a client at this position is given: the newest publication in memory that `fits` (NULL: any), whatever epoch and
 * offset it names, or nothing when it has that one already (`*ret` NULL). False: there is none, so nothing is recovered. */
bool cache_recover(const struct channel *c, const char *epoch, int64_t offset,
                   bool (*fits)(const struct publication *p, const void *arg), const void *arg, struct publication **ret);

#endif
