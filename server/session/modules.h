/* Modules: loads the shared objects that [[module]] names and keeps what they register.
 *
 * Filled on the main thread before others start, read-only afterwards. Implements the functions of <crier/crier.h>. */
#ifndef CRIER_SESSION_MODULES_H
#define CRIER_SESSION_MODULES_H

#include <uthash.h>

#include "config/config.h"
#include "crier/crier.h"
#include "net/net.h"

struct engine;
struct session;

/* The rpc of the channels wire that changes a box in place: no handler may have this name. */
#define MODULES_RESERVED_NAME "geo"

struct handler {
    struct crier *module;
    uint32_t type;
    char *name;
    enum crier_codec codec;
    crier_handler_fn fn;
    void *arg;
    UT_hash_handle hh;
};

struct schema {
    uint32_t type;
    const void *descriptor;
    UT_hash_handle hh;
};

struct crier { /* one loaded module */
    struct engine *engine;
    const struct config_module *config;
    size_t index;
    void *library;
    char failure[200];
};

struct module_hook {
    struct crier *module;
    void *arg;
    union {
        crier_connect_fn connect;
        crier_session_fn open;
        crier_disconnect_fn disconnect;
    } fn;
};

struct module_transform {
    struct crier *module;
    crier_transform_fn fn;
    void *arg;
};

struct module_ticker {
    struct crier *module;
    void (*fn)(void *arg);
    void *arg;
};

struct module_collector {
    struct crier *module;
    crier_metrics_fn fn;
    void *arg;
};

struct module_route {
    struct crier *module;
    char *method, *pattern;
    crier_http_fn fn;
    void *arg;
};

struct modules {
    struct engine *engine;
    struct crier **loaded;
    size_t count;
    struct handler *handlers;
    struct schema *schemas;
    struct module_hook *connect, *open, *disconnect;
    size_t connect_count, open_count, disconnect_count;
    struct module_transform **transforms;
    struct module_ticker **tickers;
    struct module_collector **collectors;
    size_t transform_count, ticker_count, collector_count;
    struct crier_view *views;
    struct module_route *routes;
    size_t route_count;
};

int modules_load(struct modules *m, struct engine *engine, char *error, size_t error_size);
void modules_done(struct modules *m);
const struct handler *modules_handler(const struct modules *m, uint32_t type);
const struct handler *modules_handler_named(const struct modules *m, struct bytes name);
const void *modules_schema(const struct modules *m, uint32_t type);
/* Before each call into a module on a loop thread: says whose it is. */
void modules_enter(struct crier *module);
/* HTTP handler of every module route; `arg` is its struct module_route. */
/* On each loop thread before it runs: where callbacks of crier_publish() come back. */
struct loop;
void modules_enter_loop(struct loop *l);
void module_views_done(struct modules *m);
/* What modules registered for the hub; module_transforms.c. */
void module_transforms_done(struct modules *m);
void module_route_serve(struct http_request *r, void *arg);

#endif
