/* The change of a box in place: what lies in the new one only, and which keys lie in the old one only.
 *
 * Made and freed on the asking loop, answered on the hub. The answer comes behind all blocks up to its position: what a
 * subscriber got up to there under the old box, plus this, is what lies in the new one; what follows is to be seen under
 * the new one. */
#ifndef CRIER_HUB_BOX_CHANGE_H
#define CRIER_HUB_BOX_CHANGE_H

#include "hub/hub.h"

struct hub_box_change {
    struct hub_call call; /* first */
    /* in */
    char *channel;
    enum frame_form form; /* of items; they say no offsets: they are older than what the client has */
    struct geo_box from, to;
    struct tag_filter *filter; /* NULL everything; the call's own */
    /* out */
    bool found; /* false: the hub has no such channel */
    char epoch[CHANNEL_EPOCH_SIZE];
    int64_t position;
    int shift;
    bool unnumbered;
    struct frame_block *block; /* removals, then what is new; NULL: neither */
    void *arg;                 /* the caller's */
};

struct hub_box_change *hub_box_change_new(struct inbox *origin, struct bytes channel,
                                          void (*done)(struct hub_call *call, void *owner));
void hub_box_change_free(struct hub_box_change *b);

#endif
