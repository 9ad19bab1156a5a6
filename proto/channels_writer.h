/* Inside of the channels codec: one description of a message writes both encodings.
 *
 * A writer lives on the stack during one call. Each function writes a member of a JSON object or a field of a protobuf
 * message and leaves zero, false and absent values out, but for those that say "always" (which protobuf leaves out
 * too). */
#ifndef CRIER_PROTO_CHANNELS_WRITER_H
#define CRIER_PROTO_CHANNELS_WRITER_H

#include "channels.h"
#include "pb_wire.h"

struct channels_writer {
    struct buf *out;
    enum channels_encoding encoding;
    bool comma; /* JSON: the object has a member already */
};

struct channels_name {
    const char *key; /* with quotes and colon */
    uint32_t len, number;
};

#define NAME(text, number) ((struct channels_name){"\"" text "\":", sizeof(text) + 2, (number)})

static inline struct channels_writer channels_writer_of(struct buf *out, enum channels_encoding encoding)
{
    return (struct channels_writer){out, encoding, false};
}

static inline bool channels_writes_json(const struct channels_writer *w)
{
    return w->encoding == CHANNELS_JSON;
}

/* JSON: comma, quotes, name, colon. */
static inline void channels_put_key(struct channels_writer *w, struct channels_name name)
{
    if (w->comma)
        buf_append(w->out, ",", 1);
    w->comma = true;
    buf_append(w->out, name.key, name.len);
}

/* Raw JSON without the bytes that end lines. */
void channels_put_raw(struct buf *out, struct bytes json);
/* A JSON string, whatever the bytes are. */
void channels_put_text(struct buf *out, struct bytes s);

void channels_put_number(struct channels_writer *w, struct channels_name name, uint64_t value);
void channels_put_number_always(struct channels_writer *w, struct channels_name name, uint64_t value);
void channels_put_bool(struct channels_writer *w, struct channels_name name, bool value);
void channels_put_string(struct channels_writer *w, struct channels_name name, struct bytes value);
void channels_put_string_always(struct channels_writer *w, struct channels_name name, struct bytes value);
/* A raw JSON value, or bytes. */
void channels_put_data(struct channels_writer *w, struct channels_name name, struct bytes value);

/* A nested message. `expected` is about how long it gets. */
struct pb_mark channels_open(struct channels_writer *w, struct channels_name name, size_t expected);
void channels_close(struct channels_writer *w, struct pb_mark mark);

/* The outermost message: braces in JSON, nothing in protobuf. */
static inline void channels_open_root(struct channels_writer *w)
{
    if (channels_writes_json(w))
        buf_append(w->out, "{", 1);
}

static inline void channels_close_root(struct channels_writer *w)
{
    if (channels_writes_json(w))
        buf_append(w->out, "}", 1);
}

/* A field that is a raw JSON ClientInfo, or a JSON object of strings: turned into messages for protobuf. */
void channels_put_info(struct channels_writer *w, struct channels_name name, struct bytes info);
void channels_put_tags(struct channels_writer *w, struct channels_name name, struct bytes tags);
/* Protobuf: the fields of the ClientInfo that a JSON object is. */
void channels_put_info_fields(struct buf *out, struct bytes info);

/* What of a result is shared between replies and pushes. */
void channels_put_items(struct channels_writer *w, struct channels_name name, const struct channels_items *items);
void channels_put_subs(struct channels_writer *w, struct channels_name name, const struct channels_connect_result *r);

#endif
