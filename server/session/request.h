/* One message of a client that may be answered, whatever its wire, and a publish whose outcome is that answer.
 *
 * A request is valid during its handler; what is needed later is copied. Loop thread only. */
#ifndef CRIER_SESSION_REQUEST_H
#define CRIER_SESSION_REQUEST_H

#include "session/modules.h"
#include "session/session.h"

struct hub_publish;

struct crier_request {
    struct session *session;
    const struct handler *handler; /* NULL for the server's own messages */
    uint32_t type;
    struct bytes id; /* as the wire wants it back; data NULL none */
    struct bytes payload;
};

/* A publish in the session's name whose outcome answers `id`; the caller completes and posts it. */
struct hub_publish *session_publish_new(struct session *s, struct bytes id, struct bytes channel, struct bytes payload);
void session_publish_post(struct session *s, struct hub_publish *p);
/* Appends {"partition":..,"offset":..,"epoch":..}: where a publish was stored, as far as that is known (else -1). */
void stored_append(struct buf *out, int32_t partition, int64_t offset, const char *epoch);

#endif
