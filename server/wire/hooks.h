/* The modules' hooks in the life of a session of whatever wire. Loop thread. */
#ifndef CRIER_WIRE_HOOKS_H
#define CRIER_WIRE_HOOKS_H

#include "net/net.h"
#include "session/modules.h"

/* On the request that asks for a session: `reply` becomes an acceptance in the name of `user`, which a hook may change.
 * `claims`: JSON object, NULL none. */
void hooks_connect(struct http_request *r, const struct modules *m, const char *user, const char *claims,
                   struct crier_connect_reply *reply);
/* The session can be sent to. */
void hooks_open(struct session *s);
void hooks_disconnect(struct session *s, int code);

#endif
