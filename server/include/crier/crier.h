/* crier's module interface: message handlers, connect and disconnect hooks, REST routes.
 *
 * A module is a shared object named in config.toml by [[module]] name = "NAME"; crier loads NAME.so and calls
 * crier_module_init() once, before any thread starts. Register everything there.
 *
 * Threads. Handlers and hooks run on the loop thread of the session they are about; with several loops, several handlers
 * run at once, so state shared between sessions needs a lock or lives in channels. Callbacks come on the loop thread
 * that made the call. A handler must not block.
 *
 * Lifetimes. Pointers given to a handler are valid during the call. A session is named by its id afterwards: ids are
 * never reused, and a call with the id of a session that has gone does nothing. */
#ifndef CRIER_H
#define CRIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CRIER_MODULE_ABI 1
#define CRIER_EXPORT __attribute__((visibility("default")))

struct crier;         /* the server, as a module sees it */
struct crier_session; /* borrowed during a handler */
struct crier_request; /* one message that may be answered */

struct crier_bytes {
    const char *data;
    size_t len;
};

enum crier_codec { CRIER_JSON, CRIER_PROTOBUF };

/* The one symbol that a module exports. Returns 0, or a negative errno after crier_module_fail(). */
typedef int (*crier_module_init_fn)(struct crier *c);
#define CRIER_MODULE(fn)                                                                                               \
    CRIER_EXPORT const int crier_module_abi = CRIER_MODULE_ABI;                                                        \
    CRIER_EXPORT int crier_module_init(struct crier *c);                                                               \
    CRIER_EXPORT int crier_module_init(struct crier *c)                                                                \
    {                                                                                                                  \
        return fn(c);                                                                                                  \
    }

/* ---- setting up, only inside crier_module_init() ---- */

/* Message from a session. The payload is in the codec the handler was registered with, whatever the session speaks. */
typedef void (*crier_handler_fn)(struct crier_request *r, struct crier_bytes payload, void *arg);

/* `type` 0 to 0xfffffeff; `name` for rpc and logs. -EEXIST when type or name is taken,
 * -EINVAL for a type beyond and for the name "geo", which is the server's own rpc. */
CRIER_EXPORT int crier_handle(struct crier *c, uint32_t type, const char *name, enum crier_codec codec,
                              crier_handler_fn fn, void *arg);
/* Schema of a message type (a ProtobufCMessageDescriptor): lets sessions with ?codec=protobuf and publications in JSON
 * meet. Without it a type has the codec of its handler or namespace only. */
CRIER_EXPORT int crier_message_schema(struct crier *c, uint32_t type, const void *protobuf_c_descriptor);

struct crier_connect {
    struct crier_bytes path, query, subprotocols, remote_address;
    const char *user;   /* from the token; "" anonymous */
    const char *claims; /* JSON object of the token; "{}" none */
    /* Request header, data NULL when absent. */
    struct crier_bytes (*header)(const struct crier_connect *c, const char *name);
    /* Decoded query parameter copied to `out` (NUL-terminated, cut to size); false when absent. */
    bool (*query_get)(const struct crier_connect *c, const char *name, char *out, size_t size);
    const void *impl;
};

struct crier_connect_reply {
    int status;         /* 101 accepts (the preset); e.g. 403 refuses before the upgrade */
    const char *reason; /* sent in the error body; static */
    char user[128];     /* preset from the token; a hook may set it */
};

typedef void (*crier_connect_fn)(const struct crier_connect *c, struct crier_connect_reply *reply, void *arg);
/* After the upgrade: the session exists and can be subscribed and sent to. */
typedef void (*crier_session_fn)(struct crier_session *s, void *arg);
typedef void (*crier_disconnect_fn)(struct crier_session *s, int code, void *arg);

/* Hooks run in the order of registration; the first refusal ends it. */
CRIER_EXPORT void crier_on_connect(struct crier *c, crier_connect_fn fn, void *arg);
CRIER_EXPORT void crier_on_open(struct crier *c, crier_session_fn fn, void *arg);
CRIER_EXPORT void crier_on_disconnect(struct crier *c, crier_disconnect_fn fn, void *arg);

/* ---- source transforms: code that decides what a broker's record becomes ---- */

struct crier_record { /* borrowed during the call */
    struct crier_bytes topic;        /* the original one where a relay moved the record */
    struct crier_bytes key, payload; /* data NULL: no key; a tombstone */
    int32_t partition;
    int64_t offset;  /* -1 where the broker has none */
    int64_t time_ms; /* of the record; 0 unknown */
    bool replay;     /* part of the history that is read at start: rebuild state, nothing new happens */
    bool pure;       /* read again for a client's resume: answer from the record alone, change nothing */
    struct crier_bytes (*header)(const struct crier_record *r, const char *name); /* data NULL when absent */
    const void *impl;
};

/* Preset by the templates of the [[source]]; what it points to has to hold until the next call of the transform. */
struct crier_mapping {
    struct crier_bytes channel, key;
    struct crier_bytes tags;    /* JSON object of strings, or empty */
    struct crier_bytes payload; /* data NULL: a tombstone */
    bool has_geo;
    int32_t latitude_e6, longitude_e6; /* degrees * 1e6 */
};

enum crier_verdict {
    CRIER_TAKE,   /* publish the mapping */
    CRIER_DROP,   /* nothing to publish; the record is done */
    CRIER_REFUSE, /* a bad record: counted, and to the source's dead letters with `ret_reason`, which is static text */
};

/* Hub thread: all transforms of a server run one after the other, in the order of the records. Must not block. */
typedef enum crier_verdict (*crier_transform_fn)(const struct crier_record *r, struct crier_mapping *m,
                                                 const char **ret_reason, void *arg);
/* For [[source]] transform = "NAME". -EEXIST when the name is taken. */
CRIER_EXPORT int crier_transform(struct crier *c, const char *name, crier_transform_fn fn, void *arg);
/* Calls `fn` on the hub thread every `period_ms` (to 200 ms exactly). */
CRIER_EXPORT void crier_every(struct crier *c, unsigned period_ms, void (*fn)(void *arg), void *arg);
/* Inside a transform or crier_every(): publishes on a channel that this node keeps itself, at once. Of `p` channel, key
 * and payload count. False when a broker feeds the channel, or its name is not allowed. */
struct crier_publication;
CRIER_EXPORT bool crier_keep(struct crier *c, const struct crier_publication *p);

/* The module's own lines in /metrics, written on the hub thread when it is read. `help` NULL: another value of the metric
 * before it; `labels` as between the braces, NULL none. */
struct crier_out;
typedef void (*crier_metrics_fn)(struct crier_out *out, void *arg);
CRIER_EXPORT void crier_on_metrics(struct crier *c, crier_metrics_fn fn, void *arg);
CRIER_EXPORT void crier_metric(struct crier_out *out, const char *name, const char *type, const char *help,
                               const char *labels, int64_t value);

/* Key of the module's own [[module]] table, as text; NULL when not given. */
CRIER_EXPORT const char *crier_module_option(struct crier *c, const char *key);
/* The same for the path of a file, relative to the folder of config.toml; free() it. */
CRIER_EXPORT char *crier_module_path(struct crier *c, const char *key);
/* True when a channel of this name is allowed and its namespace configured. */
CRIER_EXPORT bool crier_channel_known(struct crier *c, const char *channel);
/* Reports why the module cannot start; names the line of its [[module]] table. */
CRIER_EXPORT void crier_module_fail(struct crier *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- inside handlers and hooks ---- */

CRIER_EXPORT struct crier_session *crier_request_session(struct crier_request *r);
CRIER_EXPORT struct crier *crier_session_server(struct crier_session *s);
CRIER_EXPORT uint32_t crier_request_type(struct crier_request *r);
/* The client's message id (typed wire `id`), data NULL when it sent none. */
CRIER_EXPORT struct crier_bytes crier_request_id(struct crier_request *r);
CRIER_EXPORT const char *crier_session_id(struct crier_session *s);
CRIER_EXPORT uint64_t crier_session_key(struct crier_session *s); /* for the calls below */
CRIER_EXPORT const char *crier_session_user(struct crier_session *s);
/* What the session's payloads are at the moment: a client that has not spoken yet may still choose. */
CRIER_EXPORT enum crier_codec crier_session_codec(struct crier_session *s);
/* Decoded query parameter of the request that opened the session, copied to `out` (NUL-terminated, cut to size); false
 * when absent. Also inside the open and disconnect hooks. */
CRIER_EXPORT bool crier_session_query(struct crier_session *s, const char *name, char *out, size_t size);
/* Name that presence, join and leave show to others beside the user ("name"); none by default. In the open hook, before
 * the session subscribes to anything. Cut at 127 bytes. */
CRIER_EXPORT void crier_session_set_name(struct crier_session *s, const char *name);
/* A pointer of the module's own at a session, for use on its loop thread; freed by the module in its disconnect hook. NULL
 * where none was set: requests of the server API (rpc) have a session for which no hook runs. */
CRIER_EXPORT void crier_session_set_data(struct crier_session *s, void *data);
CRIER_EXPORT void *crier_session_data(struct crier_session *s);

/* One answer a request; payload in the handler's codec. Type is usually the request's. */
CRIER_EXPORT void crier_reply(struct crier_request *r, uint32_t type, struct crier_bytes payload);
/* Codes as in docs/errors.md. */
CRIER_EXPORT void crier_reply_error(struct crier_request *r, int code, const char *message);
CRIER_EXPORT void crier_reply_ok(struct crier_request *r);

/* Payloads below are JSON unless `type` has a schema and the receiving session speaks protobuf. */
CRIER_EXPORT void crier_send(struct crier *c, uint64_t session_key, uint32_t type, struct crier_bytes payload);
CRIER_EXPORT void crier_send_user(struct crier *c, const char *user, uint32_t type, struct crier_bytes payload);
CRIER_EXPORT void crier_broadcast(struct crier *c, uint32_t type, struct crier_bytes payload);
CRIER_EXPORT void crier_disconnect(struct crier *c, uint64_t session_key, int code, const char *reason);

struct crier_publish_result {
    int error;          /* 0, or a code of docs/errors.md; 120 when the broker's answer did not come in time */
    const char *message;
    int32_t partition;
    int64_t offset;
    const char *epoch;
};
typedef void (*crier_publish_fn)(const struct crier_publish_result *result, void *arg);

struct crier_publication {
    const char *channel;
    struct crier_bytes key; /* data NULL: the sink's template decides */
    struct crier_bytes payload;
    const char *message_id; /* of the client; a repeated one within 5 minutes gives the first result. NULL none */
    const char *user;       /* for {user} in templates; NULL none */
};

/* Into the channel's sink, or into the channel itself where it has none. `fn` may be NULL. */
CRIER_EXPORT void crier_publish(struct crier *c, const struct crier_publication *p, crier_publish_fn fn, void *arg);
/* Publishes and answers the request with the broker's acknowledgement: {"ok":{partition,offset}} or the error. */
CRIER_EXPORT void crier_publish_reply(struct crier_request *r, const struct crier_publication *p);

struct crier_subscribe_options {
    const char *epoch;  /* NULL: no position */
    int64_t offset;     /* last one the client has */
    int history;        /* newest publications to hand over when there is no position */
};
/* Subscribes the session; it hears of it by the `subscribed` message of the typed wire. */
CRIER_EXPORT void crier_subscribe(struct crier_session *s, const char *channel,
                                  const struct crier_subscribe_options *options);
CRIER_EXPORT void crier_unsubscribe(struct crier_session *s, const char *channel);

/* ---- views: a keyed channel with places, cropped for each session to its box ----
 *
 * A session with a box gets one message a tick (the namespace's interval_ms, else gather_ms): what changed inside or came
 * in, newest of each key, and the keys that left; and everything inside when it begins or was too slow. An item is
 * written once, whoever sees it; the messages put such items together. */

struct crier_out; /* what the functions below write into */
CRIER_EXPORT void crier_out_append(struct crier_out *out, const void *data, size_t len);

/* One kind of message to viewers. The functions run on loop threads, several at once; those but `item` and `left` may be
 * NULL. A message is begin, items, left_begin, left keys, left_end, end; with a type of their own the keys that left are
 * a message of left_begin, left keys, left_end before it. */
struct crier_view_form {
    uint32_t type, left_type; /* left_type 0: in the same message */
    enum crier_codec codec;   /* of what is written */
    const char *separator;    /* between two items, and between two keys; "" none */
    void (*item)(struct crier_out *out, struct crier_bytes key, struct crier_bytes payload, void *arg);
    void (*left)(struct crier_out *out, struct crier_bytes key, void *arg);
    void (*begin)(struct crier_out *out, bool reset, void *arg); /* reset: what was shown before is to be forgotten */
    void (*left_begin)(struct crier_out *out, bool reset, void *arg);
    void (*left_end)(struct crier_out *out, void *arg);
    void (*end)(struct crier_out *out, void *arg);
};

#define CRIER_VIEW_FORMS 4

struct crier_view_options {
    const char *channel;                         /* of a keyed namespace */
    enum crier_codec payload;                    /* in which items get it; protobuf needs the schema of the type */
    int32_t cell_latitude_e6, cell_longitude_e6; /* of the grid: about a fifth of what a client's box is */
    const struct crier_view_form *forms;
    unsigned form_count;
    void *arg;
};

struct crier_view;
/* Inside crier_module_init(). -EINVAL after crier_module_fail(). */
CRIER_EXPORT int crier_view_new(struct crier *c, const struct crier_view_options *options, struct crier_view **ret);

struct crier_box { /* degrees * 1e6; west > east: across the 180th meridian */
    int32_t south_e6, west_e6, north_e6, east_e6;
};

struct crier_view_request {
    struct crier_box box;
    unsigned form;             /* index into the view's forms */
    struct crier_bytes filter; /* on tags, a FilterNode as JSON (docs/channels-wire.md); data NULL: none */
    bool tell;                 /* also wants what crier_view_tell() sends */
};

/* Rights of the namespace are not asked. Gives the session a box, or changes it: it hears of what is new in it and of what fell out. -EINVAL or -E2BIG with a
 * static reason. On the session's loop thread. */
CRIER_EXPORT int crier_view_set(struct crier_session *s, struct crier_view *v, const struct crier_view_request *r,
                                const char **ret_reason);
CRIER_EXPORT void crier_view_end(struct crier_session *s, struct crier_view *v);
/* A JSON message to all sessions with a box in the view that want it. Any thread. */
CRIER_EXPORT void crier_view_tell(struct crier_view *v, uint32_t type, struct crier_bytes payload);

/* ---- REST ---- */

struct crier_http;
typedef void (*crier_http_fn)(struct crier_http *h, void *arg);
/* `pattern`: exact path, or a prefix ending in '*'. */
CRIER_EXPORT int crier_route(struct crier *c, const char *method, const char *pattern, crier_http_fn fn, void *arg);
CRIER_EXPORT struct crier_bytes crier_http_path(struct crier_http *h);
CRIER_EXPORT struct crier_bytes crier_http_rest(struct crier_http *h); /* what '*' stood for */
CRIER_EXPORT bool crier_http_query(struct crier_http *h, const char *name, char *out, size_t size);
CRIER_EXPORT struct crier_bytes crier_http_header(struct crier_http *h, const char *name);
CRIER_EXPORT struct crier_bytes crier_http_body(struct crier_http *h);
/* A header of the answer (ETag, Cache-Control, ...), before it is given; `name` is static. Eight at most. */
CRIER_EXPORT void crier_http_reply_header(struct crier_http *h, const char *name, const char *value);
/* Instead of an answer: calls the route again with this request after `ms`; how a long poll waits. False when the server
 * is about to stop: answer now. */
CRIER_EXPORT bool crier_http_later(struct crier_http *h, unsigned ms);
/* Since the first call for this request. */
CRIER_EXPORT uint64_t crier_http_elapsed_ms(struct crier_http *h);
CRIER_EXPORT void crier_http_reply(struct crier_http *h, int status, const char *content_type, struct crier_bytes body);

#ifdef __cplusplus
}
#endif
#endif
