/* Publishing: from a client, REST call or module into the channel's sink, answered after the broker's acknowledgement.
 *
 * A repeated message id on a channel gets the first result, also over a restart when the source reads the log back (the
 * id travels as a header). Hub thread, except where said. */
#ifndef CRIER_HUB_PUBLISH_H
#define CRIER_HUB_PUBLISH_H

#include "hub/hub.h"
#include "hub/sink.h"

#define PUBLISH_ID_HEADER "crier-id"

struct hub_publish {
    struct hub_call call; /* first */
    /* in: owned by the call */
    char *channel;
    struct buf payload, key;
    bool has_key;
    bool tombstone;   /* no payload: deletes the key */
    char *message_id; /* NULL none */
    char *user;       /* NULL none */
    char *traceparent;
    /* out */
    enum crier_error error;
    char detail[160]; /* "" : the table's text says enough */
    int32_t partition;
    int64_t offset; /* -1: the broker has none */
    char epoch[CHANNEL_EPOCH_SIZE];
    /* the caller's, not touched */
    void *arg, *arg2;
    /* the hub's */
    uint64_t began_ns;
    struct publish_table *pending_in; /* NULL: not counted as pending */
    struct hub_publish *next_waiter;
};

/* Any thread. `done` runs on `origin`'s thread and must call hub_publish_free(). */
struct hub_publish *hub_publish_new(struct inbox *origin, struct bytes channel, struct bytes payload,
                                    void (*done)(struct hub_call *call, void *owner));
/* Goes to the broker as a header when it is a valid traceparent (with a span id of this hop); else nothing does. */
void hub_publish_set_trace(struct hub_publish *p, struct bytes traceparent);
void hub_publish_free(struct hub_publish *p);

struct publish_table *publish_table_new(struct hub *hub);
void publish_table_free(struct publish_table *t); /* accepts NULL */
/* Forgets message ids after their time. */
void publish_table_sweep(struct publish_table *t, uint64_t now_ms);
/* The source saw a record with this message id. */
void publish_note_stored(struct hub *hub, const struct channel *c, struct bytes message_id, int32_t partition,
                         int64_t offset);
#endif
