/* Publishing: from a client, REST call or module into the channel's sink, answered after the broker's acknowledgement.
 *
 * A repeated message id on a channel gets the first result, also over a restart when the source reads the log back (the
 * id travels as a header). Hub thread, except where said. */
#ifndef CRIER_HUB_PUBLISH_H
#define CRIER_HUB_PUBLISH_H

#include "hub/hub.h"
#include "hub/sink.h"

#define VERSION_EPOCH_MAX 128

/* Conditions of a publish on its key, in a keyed channel. */
enum publish_key_mode { KEY_ANY, KEY_IF_NEW, KEY_IF_EXISTS };

/* Why a publish that was answered without an error changed nothing. */
enum publish_suppressed {
    NOT_SUPPRESSED,
    SUPPRESSED_IDEMPOTENCY, /* the message id was seen: the position is that of the first */
    SUPPRESSED_VERSION,     /* not above the last; the position is the channel's, here and below */
    SUPPRESSED_KEY_EXISTS,
    SUPPRESSED_KEY_NOT_FOUND,
};

struct hub_publish {
    struct hub_call call; /* first */
    /* in: owned by the call */
    char *channel;
    struct buf payload, key;
    bool has_key;
    bool tombstone;     /* no payload: deletes the key */
    bool delta;         /* subscribers with deltas get one, where the namespace leaves that to the publisher */
    bool skip_history;  /* for who is there now: not kept and without an offset. A broker keeps it all the same */
    bool map;           /* a change of a map channel: 107 for other channels and without a key */
    enum publish_key_mode key_mode;
    uint64_t version;   /* of the channel, in keyed channels of the key; not above the last one: dropped. 0 none */
    char *version_epoch; /* versions of another epoch are not compared; NULL or "": of any */
    char *message_id;   /* NULL none */
    char *user;         /* NULL none */
    char *tags;         /* JSON object of strings; NULL none */
    char *info;         /* JSON object, the publisher's ClientInfo; NULL none */
    char *traceparent;
    /* out */
    enum crier_error error;
    char detail[160]; /* "" : the table's text says enough */
    enum publish_suppressed suppressed;
    int32_t partition;
    int64_t offset; /* -1: the broker has none, or it was not kept */
    unsigned shift; /* offset + shift is what the channels wire calls it */
    char epoch[CHANNEL_EPOCH_SIZE];
    /* the caller's, not touched */
    void *arg, *arg2;
    /* the hub's */
    uint64_t began_ns;
    struct publish_table *pending_in; /* NULL: not counted as pending */
    struct hub_publish *next_waiter;
};

/* Name for the suppress_reason of the server API; NULL for NOT_SUPPRESSED. */
const char *publish_suppressed_name(enum publish_suppressed reason);

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
