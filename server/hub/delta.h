/* Publications as deltas against the one before them: of their channel, where that is keyed of their key.
 *
 * A chain remembers what the next delta is against. Hub thread only; holds references to the publications. */
#ifndef CRIER_HUB_DELTA_H
#define CRIER_HUB_DELTA_H

#include "hub/publication.h"

struct delta_link;

struct delta_chain {
    struct delta_link *links; /* hash by key; one without key where the channel is not keyed */
    bool keyed;
};

void delta_chain_init(struct delta_chain *c, bool keyed);
void delta_chain_done(struct delta_chain *c);
/* Appends the delta that makes `p` of the one before, if there is one and it is shorter; returns whether it did. The next
 * one is against `p`. `wanted` false: `p` is to be sent in full. */
bool delta_chain_next(struct delta_chain *c, struct publication *p, bool wanted, struct buf *out);

#endif
