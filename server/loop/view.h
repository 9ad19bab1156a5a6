/* Views: a keyed channel with places, cropped for each client to its box.
 *
 * Registered on the main thread before others start. Each loop keeps the channel's newest items in a grid (view_grid.h)
 * as long as it has viewers; a viewer is a session with a box. After each tick it gets one message: what changed or came
 * into its box, and the keys that left. One whose socket takes no more is passed over, and gets everything anew when the
 * socket takes data again, so that a slow client costs what a fast one does. Loop thread, except where said. */
#ifndef CRIER_LOOP_VIEW_H
#define CRIER_LOOP_VIEW_H

#include "crier/crier.h"
#include "hub/frame.h"
#include "loop/view_grid.h"

struct channel_form;
struct loop;
struct session;
struct viewer;

/* One registered by crier_view_new(), the same for all loops. */
struct crier_view {
    struct crier_view *next;
    struct crier *module;
    char *channel;
    enum frame_form source; /* form of the channel in which items come */
    int32_t cell_latitude_e6, cell_longitude_e6;
    struct crier_view_form forms[GRID_FORMS];
    unsigned form_count;
    void *arg;
};

struct views; /* of one loop */
struct views *views_new(struct loop *l);
void views_close(struct views *v); /* its handles; before the loop ends */
void views_free(struct views *v);
/* End of a turn: starts ticks that are due and works on their passes for a bounded time. True when there was something to send. */
bool views_run(struct views *v);

/* A session's box in a view, made or changed. -EINVAL or -E2BIG for a bad box or filter, with a static reason. */
struct view_wish {
    struct geo_box box;
    unsigned form;
    struct bytes filter; /* FilterNode as JSON; data NULL: none */
    bool tell;           /* also gets what view_tell() sends */
};
int view_set(struct session *s, const struct crier_view *view, const struct view_wish *w, const char **ret_reason);
void view_end(struct session *s, const struct crier_view *view);
/* A message to all viewers that asked for it. Any thread. `loops`: those of the engine. */
void view_tell(struct loop *loops, size_t loop_count, const struct crier_view *view, uint32_t type, struct bytes json);

/* ---- from the session ---- */

/* Its socket takes data again, and everything older is sent. */
void viewers_writable(struct viewer *first);
/* The session ends. */
void viewers_end(struct session *s);

/* ---- from the channel's form on this loop ---- */

struct view;
void view_on_block(struct view *v, struct frame_block *block); /* takes the reference */
bool view_in_use(const struct view *v);
/* No block follows; with `form_gone` the form itself goes away, too. */
void view_detached(struct view *v, bool form_gone);

#endif
