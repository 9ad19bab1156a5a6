/* WebSocket frames compressed whole (RFC 7692), for sessions that negotiated it: the same bytes for all of them.
 *
 * One a thread: the hub's makes publications for everybody, a loop's makes the answers of single sessions. No frame
 * depends on one before it, so nothing is kept between two calls and nothing belongs to a session. */
#ifndef CRIER_HUB_FRAME_DEFLATE_H
#define CRIER_HUB_FRAME_DEFLATE_H

#include "config/config.h"
#include "util/bytes.h"

#define FRAME_DEFLATE_MAX (256 << 10) /* bytes in a row: about 2 ms, in which the thread does nothing else */

struct ws_deflate;

struct frame_deflate {
    struct ws_deflate *context;
    size_t min_bytes;   /* messages below stay as they are */
    struct buf scratch; /* what the last call returned */
};

void frame_deflate_init(struct frame_deflate *d, const struct config_server *config);
void frame_deflate_done(struct frame_deflate *d);

/* What is to be sent for `frame`, which is a final one without a mask: the compressed frame, which is good until the next
 * call, or itself where it is short, very long, or does not get shorter. */
struct bytes frame_deflated(struct frame_deflate *d, struct bytes frame);
/* The same for the frame that `out` has from `start` on, in its place. */
void frame_deflate_tail(struct frame_deflate *d, struct buf *out, size_t start);
/* Back again: good until the next call, or `frame` itself where it was not compressed. */
struct bytes frame_inflated(struct frame_deflate *d, struct bytes frame);

#endif
