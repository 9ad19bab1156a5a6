/* The typed wire: the message format of kratos-transport's WebSocket server, plus ids, positions and control types.
 *
 * Binary: little-endian uint32 type, then the payload (codec output). An empty payload is valid, less than 4 bytes is
 * not.
 *     valid:   01 00 00 00 7b 7d            type 1, payload {}
 *     invalid: 01 00 00
 * Text: a JSON object. `payload` is a string that holds the codec output, or, for clients that send it so, an object.
 *     valid:   {"type":1,"payload":"{\"message\":\"hi\"}"}
 *     valid:   {"type":1,"id":"7","payload":{"message":"hi"}}
 *     valid:   {"type":1,"body":"{\"message\":\"hi\"}"}     as kratos-transport called it up to 1.2; is answered likewise
 *     invalid: {"payload":"x"}   {"type":-1}   {"type":4294967296}   [1]
 * Unknown members are ignored. Pure functions, no I/O, any thread. */
#ifndef CRIER_PROTO_TYPED_H
#define CRIER_PROTO_TYPED_H

#include "util/bytes.h"

/* Types of the server itself, at the top of the range; a client that does not know them ignores them. Payloads are JSON
 * in every form. Modules may use everything below TYPED_RESERVED. */
enum {
    TYPED_RESERVED = 0xffffff00u,
    TYPED_ERROR = 0xffffffffu,        /* {"id"?,"type"?,"error":{"code","message","temporary"}} */
    TYPED_OK = 0xfffffffeu,           /* {"id"?,"ok":{"partition"?,"offset"?,"epoch"?}} */
    TYPED_SUBSCRIBE = 0xfffffffdu,    /* client: {"channel","epoch"?,"offset"?,"history"?} */
    TYPED_SUBSCRIBED = 0xfffffffcu,   /* {"channel","epoch","offset","recovered"?,"publications":n}, those, then live */
    TYPED_UNSUBSCRIBE = 0xfffffffbu,  /* client: {"channel"} */
    TYPED_UNSUBSCRIBED = 0xfffffffau, /* {"channel","code","reason"}; code 2500: come back with the last position */
    TYPED_PUBLISH = 0xfffffff9u,      /* client: {"channel","key"?,"data"} where the namespace allows it */
    TYPED_GAP = 0xfffffff8u,          /* {"channel","first","last"}: offsets that this session did not get */
    TYPED_JOIN = 0xfffffff7u,         /* {"channel","session","user","name"?} */
    TYPED_LEAVE = 0xfffffff6u,        /* the same */
    TYPED_PRESENCE = 0xfffffff5u,     /* client: {"channel"}; answer {"channel","presence":[as in JOIN]} */
    TYPED_PING = 0xfffffff4u,         /* client: {} ; answered by TYPED_OK: pages cannot send WebSocket pings */
};

enum typed_form {
    TYPED_FORM_BINARY,
    TYPED_FORM_TEXT_STRING, /* text, payload as a string */
    TYPED_FORM_TEXT_OBJECT, /* text, payload as a JSON value */
    TYPED_FORM_TEXT_BODY,   /* text, payload as a string, whose member is called `body` */
};

struct typed_message {
    uint32_t type;
    enum typed_form form;
    struct bytes payload; /* decoded: inside of the string, or the raw JSON text of the object */
    struct bytes id;      /* raw JSON of `id` (a string with its quotes, or a number); data NULL: none */
};

/* Decodes one message. `scratch` receives what has to be unescaped; the views point into it or into `message`.
 * Returns 0, or -EBADMSG with a reason for the client in `*ret_reason`, -E2BIG when JSON is nested deeper than
 * `depth_limit` (the message itself is the first level). A text form with a payload that is any other value than a
 * string is TEXT_OBJECT, with a string or none TEXT_STRING, with a string in `body` and no `payload` TEXT_BODY. `scratch` is emptied first; `*ret` is untouched on failure.
 * An id is a string or a number of at most 128 bytes. */
CRIER_API int typed_decode(bool text, struct bytes message, unsigned depth_limit, struct buf *scratch,
                           struct typed_message *ret, const char **ret_reason);

/* What goes around a payload. Members without value are left out: channel (data NULL), offset (< 0), id (data NULL). */
struct typed_envelope {
    uint32_t type;
    struct bytes id;
    struct bytes channel;
    int64_t offset;
    struct bytes key; /* of a publication in a keyed channel */
};

/* Appends one message, without WebSocket header. TEXT_OBJECT needs a payload that is one JSON value; when it is not
 * valid JSON it is written as a string, and when it is absent (data NULL) as null. Bytes that are not UTF-8 become
 * U+FFFD in the text forms. In binary form id, channel and offset are left out. */
CRIER_API void typed_encode(struct buf *out, enum typed_form form, const struct typed_envelope *e,
                            struct bytes payload);

#endif
