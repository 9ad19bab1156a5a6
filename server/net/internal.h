/* What the files of server/net share; nobody else includes it.
 *
 * A connection is owned by its net. It is released only at the top of a loop turn: when its carrier closed or from
 * net_turn(), never inside a call of its user. */
#ifndef CRIER_NET_INTERNAL_H
#define CRIER_NET_INTERNAL_H

#include <libwebsockets.h>
#include <netinet/in.h>

#include "carrier.h"
#include "http1.h"
#include "net/net.h"
#include "ws_decoder.h"

#define WS_CLOSE_TIMEOUT_MS 5000
#define LINGER_MS 2000
#define ECHO_MESSAGE_BYTES (16u << 20)
#define RETRY_AFTER_S 1
#define READ_BYTES (64 << 10) /* one buffer a net; at least a TLS record, since libwebsockets does not say that more is there */

/* carrier_tls.c */
int net_on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);

/* ---- shared.c: admission ---- */

/* IPv4 as a mapped address; of IPv6 the /64, which is what one customer has. */
struct net_address {
    uint8_t bytes[16];
};

enum admission { ADMIT, REFUSE_TOTAL, REFUSE_ADDRESS };

struct net_address net_address_key(const struct net_address *address);
enum admission net_shared_admit(struct net_shared *s, const struct net_address *address);
void net_shared_leave(struct net_shared *s, const struct net_address *address);
/* One token of limits.handshakes_per_second. */
bool net_shared_handshake(struct net_shared *s);

/* ---- connections ---- */

enum conn_phase {
    CONN_HTTP,
    CONN_WS,
    CONN_STREAM, /* a response without end: the struct ws_conn of it only writes */
    CONN_WS_CLOSING, /* our close frame went out, the peer's has not come */
    CONN_LINGER,     /* everything is written; input is thrown away until the peer closes, too */
};

struct conn {
    /* What each delivery needs, in one cache line. */
    struct carrier *carrier; /* NULL after it is closed */
    struct net *net;
    int fd;
    int queued; /* while blocked: bytes in the kernel that the peer has not acknowledged */
    uint8_t phase;
    bool ipv4;
    bool admitted;
    bool adopting; /* inside lws_adopt_*: its close callback says nothing new */
    bool blocked;
    bool rx_off;
    bool todo;   /* in net->todo */
    bool doomed; /* to be cut in the next turn */
    bool resume; /* pipelined input is waiting */
    bool greeted; /* TLS: first bytes came, the timeout of its handshake is off */
    bool idle;    /* HTTP: between two requests */
    bool pinged;
    uint32_t slot; /* in net->conns */

    struct conn *todo_next;
    struct entry *entry;    /* input of a newcomer that waits for its turn */
    struct http_conn *http; /* while a request is read or answered */
    struct ws_conn *ws;     /* after the upgrade, or of a stream */
    struct buf in;          /* HTTP: unparsed input; WebSocket: the message in progress */
    uint64_t accepted_ms;
    uint64_t rx_ms;         /* when the last bytes came */
    uint64_t deadline_ms;   /* 0 none */
    uint64_t progress_ms;   /* while blocked: when the peer last took something */
    struct net_address address;
};

struct net {
    struct net_options options;
    const struct config *config;
    uv_loop_t *loop;
    const struct carrier_ops *carrier;
    struct lws_context *context; /* of TLS only */
    struct lws_vhost *vhost;
    struct lws_protocols protocols[2];
    bool tls;
    void *ssl_ctx; /* libwebsockets' own of the vhost: SSL_CTX */

    int listen_fd;
    uv_poll_t listener;
    uv_timer_t sweep, turn, drain;
    uv_idle_t entering;     /* newcomers wait */
    uv_poll_t entry_pause;  /* until they go on, where their share is used up */
    unsigned open_handles;
    bool listening, accept_paused;
    uint16_t port;

    struct conn **conns;
    size_t conn_count, conn_capacity, sweep_at, lingering;
    struct conn *todo;
    struct entry *entries; /* oldest first */
    size_t held_bytes;     /* in them */
    int entry_fd;          /* timer of the pause */
    bool entry_pausing;
    int64_t entry_credit_ns;
    uint64_t entry_clock_ns, busy_until_ms;

    const struct ws_ops **endpoints;
    size_t endpoint_count;
    struct ws_limits limits, echo_limits;
    struct ws_deflate *deflate;
    struct static_files *files;
    struct buf out;   /* what is written next; never kept over a call */
    struct buf plain; /* inflated message */
    char input[READ_BYTES]; /* what is read next */
    struct http_request *spare_request;
    char date[32];
    uint64_t date_s;

    bool draining, freeing;
    int drain_code;
    char drain_reason[124];
    uint64_t drain_end_ms;
    void (*on_drained)(void *arg);
    void *drain_arg;
    void (*on_freed)(void *arg);
    void *free_arg;
    uv_handle_t *lws_handles[8]; /* libwebsockets' own handles on the loop, gone when its context may be freed */
    size_t lws_handle_count;
};

static inline uint64_t net_now(const struct net *n)
{
    return uv_now(n->loop);
}

static inline bool conn_is_open(const struct conn *c)
{
    return c->phase == CONN_WS || c->phase == CONN_STREAM;
}

/* conn.c */
void conn_adopt(struct net *n, int fd, const struct net_address *address, bool ipv4, bool admitted);
/* 0, or -EPIPE when the connection is gone or going. */
int conn_write(struct conn *c, const void *data, size_t len);
/* Nothing more will be written: closes once that is through, without cutting off the peer's unread data. */
void conn_finish(struct conn *c);
/* Cuts it in the next turn. */
void conn_doom(struct conn *c);
void conn_resume(struct conn *c);
void conn_set_rx(struct conn *c);
void net_turn(uv_timer_t *timer);
void conn_free(struct conn *c);

/* What came from it, when its turn has come. */
void conn_input(struct conn *c, char *data, size_t len);

/* entry.c */

/* 0 or a negative errno. */
int entries_init(struct net *n);
void entries_close(struct net *n, uv_close_cb on_closed);
bool entry_wanted(const struct conn *c);
void entry_hold(struct conn *c, const char *data, size_t len);
/* Now, whose turn it may be. */
void entry_take(struct conn *c);
/* Around each thing that is done for newcomers: false when their share is used up, and then entries_pause(). */
bool entries_begin(struct net *n);
bool entries_go_on(struct net *n);
void entries_pause(struct net *n);

/* sweep.c */
void net_sweep(uv_timer_t *timer);

/* listener.c */
int listener_open(struct net *n, char *error, size_t error_size);
void listener_start(struct net *n);
void listener_resume(struct net *n);
void listener_close(struct net *n);

/* ---- http.c, http_reply.c, http_route.c ---- */

struct http_conn {
    size_t scanned, head_len;
    uint64_t body_len; /* expected, or decoded so far when chunked */
    struct http1_chunked chunk;
    struct http_request *request; /* being read or answered */
    bool reading_body, advancing, answering;
};

struct http_request {
    struct conn *conn;
    char *storage; /* head and body */
    struct http1_head head;
    struct buf path;
    struct bytes body, rest;
    const struct http_route *route;
    void (*on_abort)(void *arg);
    void *abort_arg;
    char address[INET6_ADDRSTRLEN];
};

void http_rx(struct conn *c, char *data, size_t len);
void http_advance(struct conn *c);
/* The connection goes away: the handler of an unanswered request is told. */
void http_gone(struct conn *c);
bool http_is_idle(const struct conn *c);
void http_dispatch(struct http_request *r);
void http_request_free(struct net *n, struct http_request *r);
/* {"error":{"code","message"}} with that status. */
void http_respond_status(struct http_request *r, int status, const char *message, const struct http_header *headers,
                         size_t header_count);
/* Refusal of a request that could not be parsed; the connection ends. */
void http_refuse(struct conn *c, int status);
/* The same as bytes, for connections that are not let in. */
void http_refusal_render(struct net *n, int status, struct buf *out);
bool http_origin_allowed(const struct net *n, const struct http1_head *h);
bool http_origin_listed(const struct net *n, struct bytes origin);

/* The head of a reply; `framed` with Content-Length, else the body ends with the connection. */
void http_head_append(const struct http_request *r, const struct http_reply *reply, bool framed, bool keep_alive,
                      struct buf *out);
/* False for headers that would break the head. */
bool http_headers_safe(const struct http_reply *reply);
void http_count_reply(int status);
/* The request is answered: frees it. */
void http_finish(struct http_request *r, bool keep_alive);

/* ---- WebSocket and streams: ws_upgrade.c, ws_conn.c, stream.c ---- */

struct ws_conn {
    struct conn *conn;
    const struct ws_ops *ops;
    void *user;
    struct ws_decoder decoder;
    struct buf control;    /* a ping or close frame that came in pieces */
    uint64_t message_start_ms; /* of the message in progress; 0 none */
    uint64_t last_message_ms;
    uint64_t refill_ms;
    uint32_t tokens_milli;
    uint16_t strikes;
    uint16_t code;         /* of the first close frame, sent or received; 0 none */
    uint8_t deflate_bits;  /* window of permessage-deflate; 0: not negotiated */
    bool stream;
    bool told_closed;
    uint32_t ignored; /* bytes that came on a stream */
};

const struct ws_ops *ws_endpoint_find(const struct net *n, struct bytes path);
bool ws_is_upgrade(const struct http1_head *h);
void ws_upgrade(struct http_request *r, const struct ws_ops *ops);
/* Origin, draining, the rate of handshakes; answers and returns false when it is refused. */
bool ws_admit(struct http_request *r);
/* The same by the verdict of ws_ops.upgrade. */
bool ws_ask_user(struct http_request *r, const struct ws_ops *ops, struct ws_verdict *v);
/* The connection is one of `phase` from now on. */
struct ws_conn *ws_conn_new(struct conn *c, const struct ws_ops *ops, void *user, enum conn_phase phase);
void ws_rx(struct conn *c, char *data, size_t len);
void stream_rx(struct conn *c, size_t len);
/* Sends the close frame and ends the connection, as for errors of the peer (RFC 6455, 7.1.7). */
void ws_fail(struct ws_conn *w, int code, const char *reason);
/* ws_ops.closed, once. */
void ws_tell_closed(struct ws_conn *w);
void ws_free(struct ws_conn *w);
const struct ws_limits *ws_conn_limits(const struct ws_conn *w);

/* echo.c */
extern const struct ws_ops echo_ops;

/* ---- static.c ---- */

/* `sources`: other origins that the pages may load from. */
struct static_files *static_new(const char *dir, char *const *sources, size_t source_count);
void static_free(struct static_files *s);
/* Answers GET and HEAD from the folder; false when there is no such file. */
bool static_serve(struct static_files *s, struct http_request *r);

#endif
