/* Inside of views: what viewers, views and a loop's views are made of.
 *
 * Loop thread only. */
#ifndef CRIER_LOOP_VIEW_PRIVATE_H
#define CRIER_LOOP_VIEW_PRIVATE_H

#include <uv.h>

#include "view.h"

/* A session's box. */
struct viewer {
    struct session *session;
    struct view *view;
    struct viewer *next; /* of the session */
    size_t index;        /* in the view */
    struct grid_viewer sees;
    unsigned form;
    uint64_t tick; /* the last one that it was told of */
    bool stale;    /* knows nothing, or too little: gets everything next */
    bool told;     /* has got a message before */
    bool tell;
};

struct view {
    struct views *of;
    const struct crier_view *config;
    struct view *next;
    struct channel_form *form; /* NULL: no viewer so far, or long ago */
    bool asking;               /* the hub is to answer */
    bool live;                 /* it has: the grid is the channel's state */
    struct grid *grid;
    struct frame_block **pending;
    size_t pending_count, pending_capacity, pending_bytes;
    struct viewer **viewers;
    size_t count, capacity;
    uint64_t tick, ticked_ms;
    bool passing;
    size_t pass_at;
};

struct views {
    struct loop *loop;
    struct view *list;
    uv_idle_t more;
    uv_timer_t gather;
    struct grid_news news;
    struct buf message;
};

/* view_pass.c */
void view_encode_item(void *arg, unsigned form, struct bytes key, struct bytes payload, struct buf *out);
bool viewer_can_take(const struct viewer *w);
/* The items and keys in `views.news`. */
void viewer_send_news(struct viewer *w, bool reset);
void viewer_send_everything(struct viewer *w);
/* Brings it to the present tick. */
void viewer_update(struct viewer *w);
void view_begin_tick(struct view *v, uint64_t now_ms);
void view_drop_pending(struct view *v);

#endif
