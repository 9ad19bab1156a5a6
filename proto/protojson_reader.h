/* Inside of protojson's reading half: what its two files share. A reader lives during one call. */
#ifndef CRIER_PROTO_PROTOJSON_READER_H
#define CRIER_PROTO_PROTOJSON_READER_H

#include <errno.h>

#include "protojson_schema.h"

struct reader {
    const char *reason;
    struct buf *out;
    struct buf scratch; /* of one string */
};

static inline int reader_fail(struct reader *r, const char *reason)
{
    r->reason = reason;
    return -EBADMSG;
}

/* Unescapes a raw JSON string into `scratch`. */
int reader_unescape(struct reader *r, struct bytes raw);
/* Appends the value of a field that is no message, without its tag; says whether it is the type's default. */
int reader_scalar(struct reader *r, const ProtobufCFieldDescriptor *f, struct bytes raw, bool *ret_default);

#endif
