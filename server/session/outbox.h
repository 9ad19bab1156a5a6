/* What goes out to a session: written at once, or kept until the socket takes it.
 *
 * Part of the session, on its loop's thread. Frames kept are the session's own bytes, bounded, or blocks shared with others. */
#ifndef CRIER_SESSION_OUTBOX_H
#define CRIER_SESSION_OUTBOX_H

#include "util/bytes.h"

struct frame_block;
struct session;
struct subscription;

/* Sends one frame now or, when the socket takes no more, keeps it within limits.outbox_bytes; beyond that the session is
 * closed with 3008. Compressed where the client takes that and it pays. */
void session_send(struct session *s, struct bytes frame);
/* The same for a block, which is shared, not copied; takes the reference. It does not count against the bound: there is
 * at most one a subscription, whose end drops what is unsent of it. */
void session_send_block(struct session *s, struct frame_block *block, const struct subscription *owner);
void session_drop_blocks(struct session *s, const struct subscription *owner);
/* Sends everything that the session is behind. */
void session_flush(struct session *s);
/* Writes whole frames; keeps the metrics. */
void session_write(struct session *s, struct bytes frames);
/* What waits is dropped, not sent. */
void session_drop_outbox(struct session *s);

#endif
