/* Inside of windows: the box, and changes of it under way.
 *
 * Loop thread only; belongs to its subscription. */
#ifndef CRIER_LOOP_WINDOW_PRIVATE_H
#define CRIER_LOOP_WINDOW_PRIVATE_H

#include "hub/box_change.h"
#include "loop/loop_channel.h"

/* A wish for another box. */
struct wish {
    struct geo_box to;
    uint32_t id;
    struct buf reply;
    bool wished;
};

struct window {
    struct geo_box box;
    struct bytes filter; /* raw, for marks */
    uint64_t mark;
    uint64_t serial;  /* names it to answers of the hub */
    bool say_epoch;   /* the next publication tells the client of the window */
    bool asking;      /* the hub is to answer `now` */
    struct wish now, later;
    struct hub_box_change *change; /* the answer: takes effect before frame `at` */
    uint64_t at;
    uint32_t next_item; /* of its block */
};

/* Asks the hub for what the wish `now` brings. */
void window_ask(struct subscription *s);

#endif
