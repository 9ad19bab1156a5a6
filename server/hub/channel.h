/* A channel on the hub: its position, history, keyed table, and which loops want which forms of it.
 *
 * Owned by the hub and used on its thread only. Publications are appended at once and framed at the end of the hub's
 * turn, so a burst becomes one block. */
#ifndef CRIER_HUB_CHANNEL_H
#define CRIER_HUB_CHANNEL_H

#include <uthash.h>

#include "config/config.h"
#include "hub/delta.h"
#include "hub/frame.h"
#include "hub/history.h"
#include "hub/keyed.h"
#include "hub/presence.h"
#include "hub/version.h"

#define CHANNEL_EPOCH_SIZE 24
#define LOOPS_MAX 64

struct hub;
struct partition;

enum channel_numbering {
    NUMBERED_NOT_YET,   /* fed by a bridge, but no record came so far: the partition is not known */
    NUMBERED_BY_BROKER, /* offset = the broker's offset in `origin` */
    NUMBERED_HERE,      /* counted by this node under an epoch of its own */
};

/* A loop that wants a form. */
struct channel_peer {
    enum frame_form form;
    unsigned loop;
    void *peer; /* the loop's own struct */
};

/* What the last client that came back had missed: a herd misses the same. */
struct missed {
    struct frame_block *block; /* NULL: nothing is kept */
    enum frame_form form;
    int64_t offset;
    uint64_t publications; /* of the channel, at that time */
    size_t count;          /* in its history */
    bool more;             /* as in struct hub_subscribe */
    int64_t until;
};

struct channel {
    struct hub *hub;
    const struct config_namespace *ns;
    struct frame_channel frame; /* name and message type */
    enum channel_numbering numbering;
    struct partition *origin;
    char epoch[CHANNEL_EPOCH_SIZE];
    int64_t top; /* offset of the newest publication; for a numbered-by-broker channel see channel_position() */
    struct history history;
    struct keyed keyed;
    struct presence presence;
    struct version version; /* that its publisher gave last, where it has no keys */
    uint64_t publications; /* ever, for metrics */
    uint64_t used_ms;      /* monotonic time of the last publication or request */
    unsigned resumes;      /* reads of the broker under way for it */
    size_t page_records;   /* of the broker that made the last full page; 0 none was read */
    struct resume *resuming; /* those of them that answer subscriptions */
    struct missed missed;

    struct channel_peer *peers; /* ascending by form */
    size_t peer_count;

    struct delta_chain *deltas; /* of what went to the loops; NULL while no loop wants deltas */
    uint64_t serial;            /* publications and joins sent to the forms of the channels wire */

    /* Publications since the last flush, in order. */
    struct publication **fresh;
    size_t fresh_count, fresh_capacity;
    bool queued;             /* in the hub's list of channels to flush */
    uint64_t flush_due_ms;   /* interval_ms: not before */
    struct channel *next_queued;
    UT_hash_handle hh;
};

struct channel *channel_new(struct hub *hub, struct bytes name, const struct config_namespace *ns);
void channel_free(struct channel *c);

/* Bytes of its publications. */
int64_t channel_memory(const struct channel *c);
/* Publications that its history keeps. */
size_t channel_history_limit(const struct config_namespace *ns);
/* Appends to history and keyed table and queues it for the loops. Takes the reference. */
void channel_append(struct channel *c, struct publication *p);
/* Queues for those who want it, at the end of the hub's turn; keeps nothing. */
void channel_send(struct channel *c, struct publication *p);
/* Position that a client has which got everything: for a channel fed by one partition the partition's own progress. */
int64_t channel_position(const struct channel *c);
/* Numbers by itself from now on, under a new epoch; tells subscribers when they had another one. */
void channel_number_here(struct channel *c);
/* Numbered by the broker's offsets in `origin` from now on. */
void channel_number_by(struct channel *c, struct partition *origin);
/* False for a publication of a keyed channel whose key has changed since. */
bool channel_is_newest_of_key(const struct channel *c, const struct publication *p);
/* Leaves only the newest of each key among what is fresh. */
void channel_conflate_fresh(struct channel *c);
/* Forgets the history; it reaches back to `floor` from now on, or to the newest one that was in it. */
void channel_drop_history(struct channel *c, int64_t floor);
/* Forgets history and keys and numbers anew, under a new epoch, which subscribers are told. */
void channel_clear(struct channel *c);
/* True when the loop did not want the form before. Nothing is fresh: the next deltas are against what the channel has. */
bool channel_add_peer(struct channel *c, const struct channel_peer *peer);
void channel_remove_peer(struct channel *c, enum frame_form form, unsigned loop);
void channel_forget_missed(struct channel *c);
bool channel_wanted(const struct channel *c);
/* Subscriptions on all loops. */
size_t channel_clients(const struct channel *c);
/* Frames what is fresh and hands it to the loops that want it. `now_ms` 0 ignores interval_ms. Returns false when it has
 * to wait for `flush_due_ms`. */
bool channel_flush(struct channel *c, uint64_t now_ms);
/* Tells all subscribers, in order with the publications. */
void channel_notice(struct channel *c, const struct frame_notice *n);
/* Expires history and keys; returns true when nothing is left and nobody wants it. */
bool channel_sweep(struct channel *c, uint64_t now_ms, int64_t wall_ms);

#endif
