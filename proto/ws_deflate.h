/* permessage-deflate (RFC 7692) without context takeover in either direction.
 *
 * As no message depends on an earlier one, one `struct ws_deflate` a thread serves all connections, and a connection
 * remembers nothing but the window size it negotiated. */
#ifndef CRIER_PROTO_WS_DEFLATE_H
#define CRIER_PROTO_WS_DEFLATE_H

#include "util/bytes.h"

#define WS_DEFLATE_WINDOW_MIN 9
#define WS_DEFLATE_WINDOW_MAX 15

struct ws_deflate;
struct ws_deflate *ws_deflate_new(void);
void ws_deflate_free(struct ws_deflate *d); /* accepts NULL */

/* Reads Sec-WebSocket-Extensions and takes the first offer that can be met with a window of `least_bits` (9 to 15) or more.
 * Returns the window bits to compress with, at most 15, and appends the value of the answer; 0 when there is none.
 *     taken:    permessage-deflate; client_max_window_bits      permessage-deflate; server_max_window_bits=10
 *     declined: an unknown or repeated parameter, a value on a *_no_context_takeover, window bits out of 8 to 15,
 *               server_max_window_bits=8 (zlib has no raw window of that size) */
int ws_deflate_negotiate(struct bytes offers, int least_bits, struct buf *response);

/* Appends the compressed message. -ENOSPC, with nothing appended, when it would not be shorter. */
int ws_deflate_message(struct ws_deflate *d, int window_bits, struct bytes message, struct buf *out);
/* Appends the inflated message. -EMSGSIZE as soon as it is longer than `limit`, -EBADMSG when it is broken. */
int ws_inflate_message(struct ws_deflate *d, struct bytes wire, size_t limit, struct buf *out);

#endif
