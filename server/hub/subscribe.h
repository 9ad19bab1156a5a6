/* A loop's wish for a form of a channel: from which position, with what before it, and the end of the wish.
 *
 * The answer and the blocks that follow come through one inbox, so the stream behind it has no gap and no overlap. What
 * memory does not have is read from the broker by position. A long way back comes in pages of limits.recover publications or
 * limits.recover_bytes: the next one is asked for when the client has taken the one before, so that however much thousands of
 * clients have missed, a page each is all that waits in memory. */
#ifndef CRIER_HUB_SUBSCRIBE_H
#define CRIER_HUB_SUBSCRIBE_H

#include "hub/hub.h"

struct hub_subscribe {
    struct hub_call call; /* first */
    /* in */
    char *channel;
    enum frame_form form;
    enum frame_form block_form; /* of what comes before the live frames: `form`, or items for a reply */
    unsigned loop;
    void *peer;          /* for struct hub_loop.on_block */
    bool has_position;
    bool deltas;         /* of items: against the one before */
    bool at_head;        /* nothing of before: from the newest on */
    const struct tag_filter *filter; /* of what comes before the live frames; NULL everything. Lives until `done` */
    const struct geo_box *box; /* the same: what lies in it, and what left it; NULL everything */
    bool any_epoch;      /* the client has learnt none: its offset is of whatever numbering there is */
    bool shifted;        /* `offset` is one of the channels wire: struct frame_channel.shift is still in it */
    bool items;          /* what was missed as items for a reply */
    bool strict;         /* nothing instead of the newest when it is not recovered */
    bool conflate;       /* newest per key after the position instead of everything; the whole table when it is far behind */
    char epoch[CHANNEL_EPOCH_SIZE];
    int64_t offset;      /* last one the client has */
    char *session, *user, *name; /* presence: joins before the answer; session NULL: not kept */
    char *conn_info, *chan_info; /* raw JSON for the presence; NULL none */
    bool hidden, silent; /* as in struct presence_client */
    int64_t history;     /* without position, or when it cannot be resumed: the newest ones at most */
    /* out */
    enum crier_error error;
    const char *detail;  /* static; NULL: the table's text */
    bool fresh;          /* the loop had no interest before: its frame log begins now */
    bool recovered;
    char ret_epoch[CHANNEL_EPOCH_SIZE];
    int64_t position;
    bool more;                 /* recovered so far only: the client is to ask again when it has taken the block, */
    int64_t until;             /* from this offset */
    uint64_t serial;           /* of the channel's last frame on the channels wire */
    int shift;                 /* what the channels wire adds to offsets */
    bool by_broker;            /* offsets are those of one partition */
    bool numbered;             /* false: nobody knows yet who will number the channel, so its epoch is not to be told */
    uint32_t publications;     /* that come before what is live */
    struct frame_block *block; /* NULL: nothing missed; the receiver's reference */
    struct hub_subscribe *next_same; /* the hub's */
    void *arg, *arg2;          /* the caller's */
};

/* Loop thread. */
struct hub_subscribe *hub_subscribe_new(struct inbox *origin, struct bytes channel,
                                        void (*done)(struct hub_call *call, void *owner));
void hub_subscribe_free(struct hub_subscribe *s);

/* The loop does not want this form any more; `done` when no block for the peer can follow. */
struct hub_detach {
    struct hub_call call; /* first */
    char *channel;
    enum frame_form form;
    unsigned loop;
    void *arg;
};
struct hub_detach *hub_detach_new(struct inbox *origin, struct bytes channel,
                                  void (*done)(struct hub_call *call, void *owner));
void hub_detach_free(struct hub_detach *d);

/* The session leaves a channel's presence; nothing is answered. */
void hub_leave_post(struct hub *hub, struct bytes channel, const char *session);

#endif
