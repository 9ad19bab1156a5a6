/* What loops, sessions, wires and REST share: configuration, hub, loops, what modules registered, and the network side.
 *
 * Owned by the running server (server/app); filled on the main thread before others start and constant from then on,
 * except for the flags marked atomic. */
#ifndef CRIER_LOOP_ENGINE_H
#define CRIER_LOOP_ENGINE_H

#include <stdatomic.h>

#include "config/config.h"
#include "hub/hub.h"
#include "loop/loop.h"
#include "net/net.h"

struct auth;
struct modules;

struct engine {
    const struct config *config;
    struct hub *hub;
    struct auth *auth;
    struct modules *modules;
    struct loop *loops;
    size_t loop_count;
    atomic_bool draining;
    void (*on_loop_drained)(struct engine *e); /* hub thread, once a loop */

    struct net_shared *net_shared;
    struct http_route *routes;
    size_t route_count;
    const struct ws_ops *endpoints[4];
    size_t endpoint_count;
    uint16_t port;
};

/* Loop of the request or connection at hand. */
static inline struct loop *loop_of_request(const struct http_request *r)
{
    return http_user(r);
}

#endif
