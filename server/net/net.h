/* The network side of one loop thread: listener, connections, HTTP/1.1, streamed responses and WebSocket framing.
 *
 * One `struct net` a loop thread, made and used on that thread only. libwebsockets gives sockets, TLS and partial-write
 * buffering (raw role: LWS_ADOPT_SOCKET on a SO_REUSEPORT listener of ours); the HTTP and WebSocket bytes are read by the
 * pure parsers of proto/. Knows nothing of channels or sessions: those come in through `struct ws_ops` and routes. */
#ifndef CRIER_NET_H
#define CRIER_NET_H

#include <uv.h>

#include "config/config.h"
#include "util/bytes.h"

struct net;
struct http_request;
struct ws_conn;

/* ---- what all loops share ---- */

/* Connection counts in all and per address, handshake bucket, readiness of the listener. Thread-safe. */
struct net_shared;
struct net_shared *net_shared_new(const struct config *config);
void net_shared_free(struct net_shared *s);

/* ---- HTTP ---- */

struct http_header {
    const char *name;
    struct bytes value;
};

struct http_reply {
    int status;
    const char *content_type; /* NULL: no body */
    struct bytes body;
    const struct http_header *headers; /* extra ones; CR, LF and NUL in a value refuse the reply with 500 */
    size_t header_count;
};

/* Request data is borrowed: valid until the request is answered. Names are case-insensitive. data NULL: absent. */
struct bytes http_method(const struct http_request *r);
struct bytes http_path(const struct http_request *r);  /* percent-decoded once, starts with '/', has no "..", no NUL */
struct bytes http_query(const struct http_request *r); /* raw, without '?' */
struct bytes http_header_get(const struct http_request *r, const char *name);
struct bytes http_body(const struct http_request *r);
struct bytes http_remote_address(const struct http_request *r);
/* Part of the path that a '*' at the end of the route's pattern stood for. */
struct bytes http_path_rest(const struct http_request *r);
/* Decoded query parameter; -ENOENT when absent, -EINVAL when its percent-encoding is broken. */
int http_query_get(const struct http_request *r, const char *name, struct buf *ret_value);
struct net *http_net(const struct http_request *r);
/* The user pointer of the net the request came in by. */
void *http_user(const struct http_request *r);

/* Answers in one write; the request is gone afterwards. Adds Date, Content-Length, Connection, and the CORS headers for
 * an allowed Origin. HEAD sends no body. Loop thread; at once or later. */
void http_respond(struct http_request *r, const struct http_reply *reply);
/* {"error":{"code":..,"message":".."}} with the status of `code`; detail NULL takes the table's text. */
void http_respond_error(struct http_request *r, int crier_error, const char *detail);
/* For a handler that answers later: `fn` is called when the peer goes away first; the request is gone then. */
void http_on_abort(struct http_request *r, void (*fn)(void *arg), void *arg);

typedef void (*http_handler_fn)(struct http_request *r, void *arg);

enum http_cors {
    CORS_NONE = false,
    CORS_LISTED = true, /* answered across origins for the allow-list */
    CORS_CREDENTIALS,   /* the same, also with cookies and with whatever headers the page asks for */
};

struct http_route {
    const char *method;  /* "GET" (also HEAD), "POST", ...; OPTIONS is answered by net itself */
    const char *pattern; /* exact path, or a prefix with '*' at the end */
    http_handler_fn fn;
    void *arg;
    enum http_cors cors;
};

/* ---- WebSocket ---- */

/* Answer to a request for a WebSocket or a stream, filled by ws_ops.upgrade. */
struct ws_verdict {
    int status;          /* 101 to accept; else the HTTP status of the refusal */
    const char *reason;  /* of a refusal, for the JSON error body; static or living until the next call */
    int retry_after_s;   /* 0 none */
    struct bytes subprotocol; /* one of those the client offered; data NULL: none */
    void *user;          /* becomes ws_user() of the connection */
};

/* Where permessage-deflate is negotiated. */
enum ws_deflate_use {
    WS_DEFLATE_NEVER,
    WS_DEFLATE_CONFIGURED, /* with server.compression, and only with the largest window: its frames are for many clients */
    WS_DEFLATE_ALWAYS,
};

struct ws_ops {
    const char *path;
    /* Before 101, on a request that is a valid handshake from an allowed origin. */
    void (*upgrade)(struct http_request *r, struct ws_verdict *verdict);
    /* After the 101 went out. */
    void (*open)(struct ws_conn *c);
    /* One whole message, unmasked; text is valid UTF-8. Borrowed during the call. */
    void (*message)(struct ws_conn *c, bool text, struct bytes message);
    /* Instead of message() for one that is over the rate limit, so that an error reply can be sent; may be NULL.
     * After limits.rate_strikes of them in a row the connection is closed with 1008. */
    void (*limited)(struct ws_conn *c, bool text, struct bytes message);
    /* The socket takes data again after ws_blocked() was true. */
    void (*writable)(struct ws_conn *c);
    /* Appends what is sent before our close frame, or as the end of a stream; may be NULL. */
    void (*farewell)(struct ws_conn *c, int code, const char *reason, struct buf *out);
    /* The last call, exactly once for each accepted upgrade and each stream: with the code the peer sent or we sent; 1006
     * without either. */
    void (*closed)(struct ws_conn *c, int code);
    bool unlimited; /* no rate limit and 16 MiB messages: the echo endpoint */
    enum ws_deflate_use deflate;
};

void *ws_user(const struct ws_conn *c);
struct net *ws_net(const struct ws_conn *c);
/* The client takes compressed frames. */
bool ws_deflated(const struct ws_conn *c);
/* True while the kernel does not take more: nothing but ws_close() may be called until ws_ops.writable. */
bool ws_blocked(const struct ws_conn *c);
/* For a pass over many connections: has the cache load what a write to this one, which is in the cache itself, needs. */
void ws_prefetch(const struct ws_conn *c);
/* For what is of the moment: once so many bytes wait in the kernel for the network, the connection is blocked. Otherwise
 * the kernel would take megabytes for a peer that is slow, who would see them minutes later. */
void ws_limit_unsent(struct ws_conn *c, int bytes);
/* Sends bytes that are complete frames already. Returns 0, or -EPIPE when the connection is gone (closed() follows
 * later, never from inside this call). May leave the connection blocked; what was passed is then kept by net. */
int ws_write(struct ws_conn *c, const void *frames, size_t len);
/* Frames and sends one message. */
int ws_send(struct ws_conn *c, bool text, struct bytes message);
/* Starts the closing handshake; nothing is sent afterwards. The connection ends at the peer's answer or after 5 s. */
void ws_close(struct ws_conn *c, int code, const char *reason);
/* A message for the connection that came by another request: counted and rate-limited as its own are, then given to
 * ws_ops.message or limited. Afterwards the connection may be closed. */
void ws_take_message(struct ws_conn *c, bool text, struct bytes message);

/* ---- streamed responses ---- */

/* Turns a request into a response without end, which is then used as a WebSocket connection is: ws_write() of bytes that
 * bring their own framing, ws_blocked(), ws_close() for the end of the body. Of `ops` these are called: upgrade (on a
 * request that is not refused already; its verdict starts with `user`), message and limited (by ws_take_message()),
 * writable, farewell and closed. `head` is a reply whose body are the first bytes.
 *
 * The body ends with the connection (RFC 9112, 6.3 rule 8): frames are the same bytes for all clients, so no chunk header
 * can be put around what one of them takes at a time. What the peer sends after such a request is not a request any more
 * (9.6: none is processed after "Connection: close"), so it is thrown away, and more than limits.header_bytes of it ends
 * the connection, as the end of what the peer sends does: nothing else tells at once that it has gone.
 *
 * Returns NULL when it was answered otherwise: a HEAD request by the head (without upgrade()), or with 403 (origin), 503
 * (draining, or limits.handshakes_per_second), 500, or as the verdict says. The request is gone in any case, and closed()
 * is not called when it is NULL. */
struct ws_conn *http_stream_start(struct http_request *r, const struct http_reply *head, const struct ws_ops *ops, void *user);

/* ---- life ---- */

struct net_options {
    const struct config *config;
    struct net_shared *shared;
    uv_loop_t *loop;
    void *user;
    const struct http_route *routes;
    size_t route_count;
    const struct ws_ops *const *endpoints;
    size_t endpoint_count;
    const char *web_dir; /* static files; NULL none */
    uint16_t port;       /* 0: as in config (which may be 0, too: read it back with net_port) */
};

/* Nets must be created one after the other (libwebsockets' context creation). Opens the listener but does not accept
 * before net_start(). NULL with a reason in `error`. */
struct net *net_new(const struct net_options *o, char *error, size_t error_size);
uint16_t net_port(const struct net *n);
void net_start(struct net *n);
/* Publications are being sent: for a while, new connections get limits.newcomer_percent of the time and no more. */
void net_deliveries(struct net *n);
/* The certificate chain and key of [server.tls] as they are in their files now. Counted, for several nets; any thread.
 * NULL with a reason in `error` when they cannot be read or do not belong together. */
struct net_certificate;
struct net_certificate *net_certificate_load(const struct config *config, char *error, size_t error_size);
struct net_certificate *net_certificate_ref(struct net_certificate *c);
void net_certificate_unref(struct net_certificate *c);
/* The net's loop: handshakes that begin from now on use it; connections that are there stay. False: the old one stays. */
bool net_certificate_use(struct net *n, struct net_certificate *c);
/* Closes the listener. */
void net_stop_accepting(struct net *n);
/* Closes all WebSocket connections and streams with `code`, evenly spread over `spread_ms`, and idle HTTP ones at once;
 * `on_drained` once no connection is left. */
void net_drain(struct net *n, int code, const char *reason, uint64_t spread_ms, void (*on_drained)(void *), void *arg);
/* Cuts what is left and releases; the loop must run until on_freed. */
void net_free(struct net *n, void (*on_freed)(void *), void *arg);

#endif
