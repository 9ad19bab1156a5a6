/* Maps that mirror who is subscribed: a channel's clients, or its users, are the keys of a map channel beside it.
 *
 * The namespace says `presence_clients` or `presence_users`, a prefix: who subscribes to C appears in prefix + C. Kept by
 * this node, of its own sessions; hub thread only. */
#ifndef CRIER_HUB_MIRROR_H
#define CRIER_HUB_MIRROR_H

#include "hub/hub.h"

/* A client's key has its ClientInfo and no data; a user's key has neither, and "" is no user. */
void mirror_joined(struct channel *c, const struct presence_client *client);
/* The client's key goes at once, the user's when its time is over. */
void mirror_left(struct channel *c, const struct presence_client *client);
/* Keys of those who are still there do not expire. Every MIRROR_RENEW_MS, less than their life time. */
#define MIRROR_RENEW_MS 10000
void mirrors_renew(struct hub *hub);

#endif
