/* The channels wire over HTTP: server-sent events and HTTP streams with POST /emulation for what clients say, and the
 * unidirectional transports, whose clients say nothing after they have connected.
 *
 * A session over a stream is like one over a WebSocket, and lives as long as its stream. */
#ifndef CRIER_WIRE_CHANNELS_STREAM_H
#define CRIER_WIRE_CHANNELS_STREAM_H

#include "wire/channels_wire.h"

extern const struct http_route channels_routes[];
extern const size_t channels_route_count;
extern const struct ws_ops channels_uni_ws_ops;

/* ws_ops.farewell of all transports that tell the reason of an end by a push. */
void channels_farewell(struct ws_conn *conn, int code, const char *reason, struct buf *out);
/* Makes the name by which POST /emulation finds a session: its key and 128 random bits, so it cannot be guessed. */
void channels_name_session(struct session *s);
/* Whether a unidirectional client's ConnectRequest can be read; an empty one can. */
bool channels_uni_valid(const struct config *config, struct bytes connect_request);
/* Connects it. A request that cannot be read closes the session. */
void channels_uni_receive(struct session *s, struct bytes connect_request);

#endif
