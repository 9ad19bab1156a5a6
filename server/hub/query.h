/* Questions that the hub answers in JSON: presence, history, channels, readiness, metrics of what it owns.
 *
 * Cold paths of REST and control messages. A query is made and freed on the asking thread and answered on the hub. */
#ifndef CRIER_HUB_QUERY_H
#define CRIER_HUB_QUERY_H

#include "hub/hub.h"

enum hub_query_kind {
    HUB_QUERY_PRESENCE,       /* {"channel":..,"presence":[{"session","user"}]} */
    HUB_QUERY_PRESENCE_MAP,   /* {"presence":{"SESSION":{"client","user"}}} */
    HUB_QUERY_PRESENCE_STATS, /* {"num_clients":n,"num_users":n} */
    HUB_QUERY_HISTORY,        /* {"publications":[..],"epoch":..,"offset":n} */
    HUB_QUERY_HISTORY_REMOVE, /* {} */
    HUB_QUERY_CHANNELS,       /* {"channels":{"name":{"num_clients":n}}} */
    HUB_QUERY_INFO,           /* {"nodes":[{..}]} */
    HUB_QUERY_READY,          /* {"ready":bool,"reasons":[..]} ; error NOT_AVAILABLE when not ready */
    HUB_QUERY_METRICS,        /* Prometheus text of bridges, sources and namespaces */
};

struct hub_query {
    struct hub_call call; /* first */
    enum hub_query_kind kind;
    /* in */
    char *channel; /* or the glob pattern of CHANNELS; "" all */
    int64_t limit; /* HISTORY: publications at most; 0 only the position, -1 all */
    bool reverse;
    bool has_since;
    char since_epoch[CHANNEL_EPOCH_SIZE];
    int64_t since_offset;
    /* out */
    enum crier_error error;
    struct buf json;
    void *arg; /* the caller's */
};

struct hub_query *hub_query_new(enum hub_query_kind kind, struct inbox *origin, struct bytes channel,
                                void (*done)(struct hub_call *call, void *owner));
void hub_query_free(struct hub_query *q);

#endif
