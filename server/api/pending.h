/* A REST request that waits for the hub: survives its client, answers once.
 *
 * Made on a loop thread around a request; the client's going away marks it, the hub's answer frees it. */
#ifndef CRIER_API_PENDING_H
#define CRIER_API_PENDING_H

#include "net/net.h"

struct pending {
    struct http_request *request; /* NULL: the client has gone */
};

struct pending *pending_new(struct http_request *r);
/* Frees it; gives the request to answer, or NULL. */
struct http_request *pending_take(struct pending *p);

#endif
