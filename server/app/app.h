/* The running server: configuration, hub, loops, and what modules registered.
 *
 * Built on the main thread before any other starts and constant from then on, except for the flags marked atomic. */
#ifndef CRIER_APP_APP_H
#define CRIER_APP_APP_H

#include <stdatomic.h>

#include "app/modules.h"
#include "config/config.h"
#include "hub/hub.h"
#include "loop/loop.h"
#include "net/net.h"

struct app {
    const struct config *config;
    struct hub hub;
    struct net_shared *net_shared;
    struct loop *loops;
    size_t loop_count;
    uint16_t port;
    struct modules modules;

    struct http_route *routes;
    size_t route_count;
    const struct ws_ops *endpoints[4];
    size_t endpoint_count;
    atomic_bool draining;
    size_t loops_drained; /* hub thread */
    void (*on_loop_drained)(struct app *app); /* hub thread, once a loop */
};

/* Serves until a signal ends it. Returns the process's exit code. */
int app_run(const struct config *config, const char *ready_file);

/* Loop of the request or connection at hand. */
static inline struct loop *loop_of_request(const struct http_request *r)
{
    return http_user(r);
}

#endif
