/* Publications as bytes ready for a socket: made once per form on the hub, shared by all loops.
 *
 * A form is one encoding of one wire. A block is an immutable run of frames with an atomic reference count; each frame
 * has a mark that says where it ends and which position a client has after it. */
#ifndef CRIER_HUB_FRAME_H
#define CRIER_HUB_FRAME_H

#include <stdatomic.h>

#include "publication.h"
#include "proto/typed.h"

enum frame_form {
    FORM_TYPED_BINARY,   /* payload as it is */
    FORM_TYPED_PROTOBUF, /* binary, payload transcoded by the schema of its message type */
    FORM_TYPED_STRING,   /* text, payload as a string */
    FORM_TYPED_OBJECT,   /* text, payload as a JSON value */
    FORM_POLL,           /* `{"offset":..,"data":..},` for GET /channels/... */
    FORM_COUNT
};

struct frame_mark {
    int64_t offset; /* of the publication; a notice repeats the one before it */
    uint32_t end;   /* in the block's bytes */
};

struct frame_block {
    atomic_uint refs;
    uint32_t count;
    size_t len;
    struct frame_mark *marks;
    char *bytes;
};

struct frame_block *frame_block_ref(struct frame_block *b);
void frame_block_unref(struct frame_block *b); /* accepts NULL */

/* What frames say of their channel. */
struct frame_channel {
    struct bytes name;
    uint32_t message_type;
    bool keyed; /* text frames name the key */
};

/* Collects frames; frame_builder_finish() freezes them. */
struct frame_builder {
    enum frame_form form;
    const struct frame_channel *channel;
    struct buf bytes;
    struct buf marks;
    struct buf scratch;
    uint32_t count;
};

void frame_builder_init(struct frame_builder *b, enum frame_form form, const struct frame_channel *channel);
void frame_builder_add(struct frame_builder *b, const struct publication *p);
/* A control message between publications (typed forms only): `json` is its payload. */
void frame_builder_add_notice(struct frame_builder *b, uint32_t type, struct bytes json, int64_t offset);
/* NULL when nothing was added. Leaves the builder empty. */
struct frame_block *frame_builder_finish(struct frame_builder *b);

/* Appends one typed control or reply message with its WebSocket header, in the form of the session. `member` ("name":value)
 * goes into the envelope of the text forms, beside the payload; data NULL: none. */
void frame_append_typed(struct buf *out, enum frame_form form, const struct typed_envelope *e, struct bytes payload,
                        struct bytes member);

/* Turns a JSON payload into protobuf by the schema of a message type; -ENOENT without schema. Set before threads start. */
typedef int (*frame_transcode_fn)(void *arg, uint32_t type, struct bytes json, struct buf *out);
void frame_set_transcoder(frame_transcode_fn fn, void *arg);

#endif
