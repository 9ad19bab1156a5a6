/* JSON and protobuf of message types that a module gave a schema. Any thread: schemas are constant. */
#ifndef CRIER_WIRE_SCHEMA_H
#define CRIER_WIRE_SCHEMA_H

#include "session/modules.h"
#include "util/bytes.h"

/* Append the payload in the other codec. -ENOENT without schema, -EBADMSG when it does not fit; with a reason. */
int schema_to_protobuf(const struct modules *m, uint32_t type, struct bytes json, struct buf *out, const char **ret_reason);
int schema_to_json(const struct modules *m, uint32_t type, struct bytes data, struct buf *out, const char **ret_reason);
/* For the hub's frames. */
int schema_transcode_frame(void *modules, uint32_t type, struct bytes json, struct buf *out);

#endif
