/* What a client may do with a channel, by its namespace, its user and the channel's name. One table for all wires.
 *
 * Pure functions. Whether the namespace offers a thing at all (presence, history) is the hub's to say. */
#ifndef CRIER_SESSION_RIGHTS_H
#define CRIER_SESSION_RIGHTS_H

#include "config/config.h"
#include "util/error.h"

struct session;

enum right {
    RIGHT_SUBSCRIBE,
    RIGHT_PUBLISH,
    RIGHT_HISTORY, /* reading it, and resuming by position */
    RIGHT_PRESENCE,
    RIGHT_MAP_PUBLISH,
    RIGHT_MAP_REMOVE,
};

enum right_facts {
    RIGHT_HAS_TOKEN = 1,  /* a valid token for this channel came with the request, or subscribed the session to it */
    RIGHT_SUBSCRIBED = 2, /* the session is subscribed to the channel */
};

/* CRIER_OK; 102 where `ns` is NULL; 107 for a name that does not fit the namespace's pattern; 103. */
enum crier_error rights_check(const struct session *s, const struct config_namespace *ns, struct bytes channel,
                              enum right right, unsigned facts);
/* The same for a user without a session; "" anonymous. */
CRIER_API enum crier_error rights_of_user(const struct config *config, const struct config_namespace *ns,
                                          const char *user, struct bytes channel, enum right right, unsigned facts);
/* Whether the name itself says who may use the channel: a sign for tokens, or users. */
CRIER_API bool rights_restricted(const struct config_namespace *ns, struct bytes channel);

#endif
