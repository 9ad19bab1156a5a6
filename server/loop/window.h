/* Windows: a subscription to a keyed channel with places that gets what lies in a box, and can change it in place.
 *
 * What the client has is what its channel's table has in the box, as of its position: a key that comes in arrives as it
 * is, one that goes out as a removal. Belongs to its subscription, loop thread only.
 *
 * A position says which window it belongs to: the epoch that the client is told has a mark of box and tags filter behind
 * it. One who comes back with a position of another window knows of other keys, and is not recovered. */
#ifndef CRIER_LOOP_WINDOW_H
#define CRIER_LOOP_WINDOW_H

#include "hub/hub.h"
#include "util/geo.h"

struct subscription;
struct window;

#define WINDOW_EPOCH_SIZE (CHANNEL_EPOCH_SIZE + 20)

/* ---- marks ---- */

/* `filter`: what the client sent beside the box, as it is. */
uint64_t window_mark(const struct geo_box *box, struct bytes filter);
/* The epoch with the mark, "" where there is none. */
void window_epoch(const char *epoch, uint64_t mark, char ret[WINDOW_EPOCH_SIZE]);
/* The epoch without one; `*ret_mark` is 0 where it has none. */
struct bytes window_epoch_plain(struct bytes epoch, uint64_t *ret_mark);

/* ---- a subscription's ---- */

struct window *window_new(const struct geo_box *box, struct bytes filter);
/* The client has learnt the epoch, with its mark, from the answer to its subscribe. */
void window_said(struct window *w);
/* With its subscription: changes under way are answered with an error. Accepts NULL. */
void window_end(struct subscription *s);
/* Of the subscription, for its filter of changes. */
const struct geo_box *window_box(const struct window *w);
/* From the news of the change on, the client has what lies in `to`. `reply` (frames, taken) goes out behind them. A wish
 * that another one overtakes is answered by {"superseded":true} under `id`, as the wire wants it back. */
void window_change(struct subscription *s, const struct geo_box *to, uint32_t id, struct buf *reply);

/* ---- delivery ---- */

/* Something is to be sent though the cursor is at the head of the log. */
bool window_waits(const struct subscription *s);
/* It wants something of the frame. */
bool window_wants(const struct subscription *s, uint64_t seq);
/* As subscription_collect(). */
void window_collect(struct subscription *s, struct buf *out, size_t limit);

#endif
