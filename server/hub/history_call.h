/* The history of a channel as items, in pages, forwards and backwards from a position.
 *
 * A call is made and freed on the asking thread and answered on the hub. What memory does not reach is read back from the
 * broker, where one partition of a log feeds the channel; that is bounded in what is read and in how many read. */
#ifndef CRIER_HUB_HISTORY_CALL_H
#define CRIER_HUB_HISTORY_CALL_H

#include "hub/hub.h"

struct hub_history {
    struct hub_call call; /* first */
    /* in */
    char *channel;
    enum frame_form form; /* FORM_ITEM_JSON, FORM_ITEM_PROTOBUF, FORM_POLL, ... */
    int64_t limit;        /* items at most; 0: only the position; -1: all in memory, and of a log limits.recover at most */
    bool reverse;         /* newest first; with `since`: those before it */
    bool has_since;
    char since_epoch[CHANNEL_EPOCH_SIZE]; /* "": whatever epoch there is */
    int64_t since_offset;                 /* not among the items; -1 or less: from the beginning */
    bool shifted;         /* since_offset is one of the channels wire (or of the server API): 0 is from the beginning, and
                             refused with `reverse` */
    bool map;             /* the stream of a map: 107 for other channels */
    const struct tag_filter *filter; /* leaves items out of the page, which may be empty then; NULL none. Lives until `done` */
    /* out */
    enum crier_error error; /* 102; 107; 108: no history; 112: other epoch, lost, or ahead of the channel */
    const char *detail;     /* static; NULL: the table's text */
    char epoch[CHANNEL_EPOCH_SIZE];
    int64_t position; /* of the channel */
    int shift;        /* what the channels wire adds to offsets */
    bool more;        /* the page ended by `limit`: there are further ones */
    int64_t last;     /* offset of the last one of the page, whatever the filter made of it; without any, since_offset */
    bool unnumbered;  /* ephemeral map: clients are told no offsets */
    struct frame_block *block; /* NULL: no items */
    void *arg, *arg2; /* the caller's */
};

struct hub_history *hub_history_new(struct inbox *origin, struct bytes channel,
                                    void (*done)(struct hub_call *call, void *owner));
void hub_history_free(struct hub_history *h);

#endif
