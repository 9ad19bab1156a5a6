/* Publications as deltas against the one before them: of their channel, in map channels of their key.
 *
 * A chain remembers what the next delta is against. Hub thread only; holds references to the publications. */
#ifndef CRIER_HUB_DELTA_H
#define CRIER_HUB_DELTA_H

#include "config/config.h"
#include "hub/publication.h"

struct delta_link;

/* Clients of map channels keep a value by key, those of streams only the last one. */
static inline bool delta_by_key(const struct config_namespace *ns)
{
    return ns->keyed && ns->map != MAP_OFF;
}

struct delta_chain {
    struct delta_link *links; /* hash by key; a single one where it is not by key */
    bool by_key;
};

void delta_chain_init(struct delta_chain *c, bool by_key);
void delta_chain_done(struct delta_chain *c);
/* Appends the delta that makes `p` of the one before, if there is one and it is shorter; returns whether it did. The next
 * one is against `p`. `wanted` false: `p` is to be sent in full. */
bool delta_chain_next(struct delta_chain *c, struct publication *p, bool wanted, struct buf *out);

#endif
