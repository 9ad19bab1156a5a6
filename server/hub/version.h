/* Versions that publishers give: of a channel, or of each key of a keyed channel; what is not newer is dropped.
 *
 * A version is part of its channel or key and ends with version_done(). Hub thread only. */
#ifndef CRIER_HUB_VERSION_H
#define CRIER_HUB_VERSION_H

#include "util/bytes.h"

struct version {
    uint64_t number; /* 0: none so far */
    char *epoch;     /* heap; NULL for "" */
};

void version_done(struct version *v);
/* True when `number` is above the last one, or its epoch is given and another one. */
bool version_is_new(const struct version *v, uint64_t number, struct bytes epoch);
/* A number of 0 changes nothing. */
void version_set(struct version *v, uint64_t number, struct bytes epoch);

#endif
