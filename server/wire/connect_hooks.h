/* The modules' connect hooks, run on the request that opens a session of whatever wire. Loop thread. */
#ifndef CRIER_WIRE_CONNECT_HOOKS_H
#define CRIER_WIRE_CONNECT_HOOKS_H

#include "net/net.h"
#include "session/modules.h"

/* `reply` starts as an acceptance in the name of `user`; a hook may change it. `claims`: JSON object, NULL none. */
void connect_hooks_run(struct http_request *r, const struct modules *m, const char *user, const char *claims,
                       struct crier_connect_reply *reply);

#endif
