/* The typed wire at /ws: sessions that speak the message format of proto/typed.h.
 *
 * Runs on loop threads. A request is valid during its handler; what it needs later is copied. */
#ifndef CRIER_WIRE_TYPED_WIRE_H
#define CRIER_WIRE_TYPED_WIRE_H

#include "session/request.h"

extern const struct ws_ops typed_ws_ops;
extern const struct wire_ops typed_wire_ops;

/* What only some sessions of this wire have; `wire_state` is NULL without it. */
struct typed_state;
struct typed_state *typed_state_new(struct bytes client);
void typed_state_free(struct typed_state *state); /* accepts NULL */
/* The client's message id, scoped so that others cannot collide with it; heap, NULL without id. */
char *typed_message_id(const struct session *s, struct bytes id);
/* The id of a subscribe message waits here for its answer. */
void typed_note_subscribe_id(struct session *s, struct bytes channel, struct bytes id);
void typed_take_subscribe_id(struct session *s, struct bytes channel, struct buf *ret_id);

/* Encodes one message for the session, in its form and codec, and sends it. */
void typed_send(struct session *s, uint32_t type, struct bytes id, enum crier_codec codec, struct bytes payload);
void typed_reply_error(struct session *s, struct bytes id, enum crier_error error, const char *message);
void typed_reply_ok(struct session *s, struct bytes id);
void typed_reply_stored(struct session *s, struct bytes id, int32_t partition, int64_t offset, const char *epoch);
/* Messages of the reserved types from clients: typed_control.c. */
void typed_control(struct crier_request *r);

#endif
