/* Inside of the channels codec: names, numbers and types of what clients send, read by both encodings. Static data. */
#ifndef CRIER_PROTO_CHANNELS_SCHEMA_H
#define CRIER_PROTO_CHANNELS_SCHEMA_H

#include "channels.h"

enum channels_kind {
    FIELD_STRING,
    FIELD_RAW,     /* JSON: a value as it stands; protobuf: bytes */
    FIELD_FILTER,  /* a message or object that is kept as it stands */
    FIELD_LINES,   /* commands inside of an emulation body: a string in JSON, anything else counts as absent */
    FIELD_BOOL,
    FIELD_U32,
    FIELD_U64,
    FIELD_I32,
    FIELD_I64,
    FIELD_NESTED,  /* object with fields of its own in the same struct */
    FIELD_HEADERS, /* map of strings */
    FIELD_SUBS,    /* map of subscribe requests */
    FIELD_KIND_COUNT
};

struct channels_fields;

struct channels_field {
    const char *name;
    uint32_t number;
    enum channels_kind kind;
    size_t at; /* in the struct */
    const struct channels_fields *nested;
    size_t has; /* FIELD_NESTED: the bool that says it was there */
};

struct channels_fields {
    const struct channels_field *list;
    size_t count;
};

struct channels_method_info {
    const char *name;
    uint32_t command_number, reply_number; /* reply 0: it has none */
    const struct channels_fields *fields;
};

extern const struct channels_method_info channels_methods[CHANNELS_METHOD_COUNT];
extern const struct channels_fields channels_subscribe_fields, channels_emulation_fields;

/* What one decoding fills. */
struct channels_reader {
    struct buf *text; /* unescaped strings; has room for all of a JSON message at once, so that views stay good */
    struct buf *subs;
    const char *reason;
};

int channels_read_json(struct channels_reader *r, struct bytes line, unsigned depth_limit,
                       struct channels_command *ret);
int channels_read_protobuf(struct channels_reader *r, struct bytes message, struct channels_command *ret);
int channels_read_json_object(struct channels_reader *r, struct bytes text, unsigned depth_limit,
                              const struct channels_fields *fields, void *base);
int channels_read_protobuf_message(struct channels_reader *r, struct bytes message,
                                   const struct channels_fields *fields, void *base);

/* Shared rules of both encodings. */
int channels_fail(struct channels_reader *r, int error, const char *reason);
int channels_check_string(struct channels_reader *r, struct bytes s);
void channels_add_sub(struct channels_reader *r, struct channels_connect *connect,
                      const struct channels_subscribe *sub);
/* A command without method is a pong when it says nothing else either. */
int channels_check_command(struct channels_reader *r, const struct channels_command *c, bool has_unknown);

#endif
