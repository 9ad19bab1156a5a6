/* A net's beginning and end: libwebsockets context and vhost, timers, draining. */
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"
#include "util/error.h"
#include "util/metrics.h"
#include "ws_deflate.h"

#define SWEEP_INTERVAL_MS 250
#define DRAIN_INTERVAL_MS 20
#define SEND_BYTES (1 << 20)       /* longest single send: large enough for every joined write */

static const lws_retry_bo_t no_validity_timers; /* all zero: the default would put a timer for each connection in one list */

static void on_lws_log(int level, const char *line)
{
    struct bytes text = bytes_of(line);
    while (text.len && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == ' '))
        text.len--;
    log_at(level & LLL_ERR ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG, "libwebsockets", LOG_BYTES("line", text));
}

struct handle_search {
    struct net *net;
    size_t seen, before;
    bool found;
};

static void count_handle(uv_handle_t *handle, void *arg)
{
    (void)handle;
    (*(size_t *)arg)++;
}

static void note_new_handle(uv_handle_t *handle, void *arg)
{
    struct handle_search *s = arg;
    struct net *n = s->net;
    bool in_context = handle->type == UV_IDLE || handle->type == UV_TIMER; /* those of sockets are freed one by one */
    if (s->seen++ >= s->before && in_context && n->lws_handle_count < sizeof n->lws_handles / sizeof *n->lws_handles)
        n->lws_handles[n->lws_handle_count++] = handle;
}

static void find_handle(uv_handle_t *handle, void *arg)
{
    struct handle_search *s = arg;
    for (size_t i = 0; i < s->net->lws_handle_count; i++)
        s->found |= s->net->lws_handles[i] == handle;
}

static void describe_vhost(struct net *n, struct lws_context_creation_info *info)
{
    const struct config_server *server = &n->config->server;

    info->port = CONTEXT_PORT_NO_LISTEN_SERVER;
    info->protocols = n->protocols;
    info->retry_and_idle_policy = &no_validity_timers;
    info->vhost_name = "crier";
    info->timeout_secs = (unsigned)(n->config->limits.handshake_ms / 1000 + 1);
    info->options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    info->ssl_cert_filepath = server->tls_cert;
    info->ssl_private_key_filepath = server->tls_key;
    info->ssl_options_set = SSL_OP_NO_SSLv3 | SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_COMPRESSION |
                            SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE;
    info->alpn = "http/1.1"; /* "h2" would take the connection out of the raw role */
}

/* TLS is set up for the process by its first context: a second setting up would take the place where contexts of OpenSSL
 * name their owner, and the first one's would not be freed. Nets are made one after the other. */
static struct lws_context *create_context(struct lws_context_creation_info info)
{
    static bool tls_is_up;

    if (tls_is_up)
        info.options &= ~(uint64_t)LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    tls_is_up |= (info.options & LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT) != 0;
    return lws_create_context(&info);
}

static int open_context(struct net *n, char *error, size_t error_size)
{
    void *loops[1] = {n->loop};
    struct handle_search search = {.net = n};
    struct lws_context_creation_info info = {0};

    lws_set_log_level(LLL_ERR | LLL_WARN, on_lws_log);
    info.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
    info.foreign_loops = loops;
    info.pt_serv_buf_size = READ_BYTES;
    info.user = n;
    describe_vhost(n, &info);
    uv_walk(n->loop, count_handle, &search.before);
    n->context = create_context(info);
    if (!n->context) {
        snprintf(error, error_size, "libwebsockets' context cannot be created (is libwebsockets-evlib-uv installed?)");
        return -1;
    }
    uv_walk(n->loop, note_new_handle, &search);
    n->vhost = lws_create_vhost(n->context, &info);
    if (!n->vhost) {
        snprintf(error, error_size, "server.tls: cert or key cannot be used");
        return -1;
    }
    return 0;
}

static void start_timers(struct net *n)
{
    uv_timer_init(n->loop, &n->sweep);
    uv_timer_init(n->loop, &n->turn);
    uv_timer_init(n->loop, &n->drain);
    n->sweep.data = n->turn.data = n->drain.data = n;
    n->open_handles = 3;
    uv_timer_start(&n->sweep, net_sweep, SWEEP_INTERVAL_MS, SWEEP_INTERVAL_MS);
}

static void gather_endpoints(struct net *n)
{
    const struct net_options *o = &n->options;
    n->endpoints = xcalloc(o->endpoint_count + 1, sizeof *n->endpoints);
    for (size_t i = 0; i < o->endpoint_count; i++)
        n->endpoints[n->endpoint_count++] = o->endpoints[i];
    if (n->config->debug.echo)
        n->endpoints[n->endpoint_count++] = &echo_ops;
}

struct net *net_new(const struct net_options *o, char *error, size_t error_size)
{
    struct net *n = xcalloc(1, sizeof *n);
    const struct config_limits *l = &o->config->limits;

    n->options = *o;
    n->config = o->config;
    n->loop = o->loop;
    n->listen_fd = -1;
    n->tls = o->config->server.tls_cert && *o->config->server.tls_cert;
    n->carrier = n->tls ? &carrier_tls : &carrier_socket;
    n->limits = (struct ws_limits){.message_bytes = (uint64_t)l->message_bytes, .fragments = (uint32_t)l->fragments};
    n->echo_limits = (struct ws_limits){.message_bytes = ECHO_MESSAGE_BYTES};
    n->protocols[0] = (struct lws_protocols){.name = "crier", .callback = net_on_lws, .tx_packet_size = SEND_BYTES};
    gather_endpoints(n);
    n->deflate = ws_deflate_new();
    const struct config_server *server = &o->config->server;
    n->files = o->web_dir && *o->web_dir ? static_new(o->web_dir, server->web_sources, server->web_source_count) : NULL;
    start_timers(n);
    int r = entries_init(n);
    if (r < 0)
        snprintf(error, error_size, "timer: %s", strerror(-r));
    if (r < 0 || (n->tls && open_context(n, error, error_size) < 0) || listener_open(n, error, error_size) < 0) {
        net_free(n, NULL, NULL);
        return NULL;
    }
    return n;
}

uint16_t net_port(const struct net *n)
{
    return n->port;
}

void net_start(struct net *n)
{
    listener_start(n);
}

void net_stop_accepting(struct net *n)
{
    listener_close(n);
}

/* ---- draining ---- */

static bool drain_conn(struct net *n, struct conn *c, uint64_t now)
{
    if (c->doomed || !c->carrier || c->phase == CONN_LINGER || c->phase == CONN_WS_CLOSING)
        return false;
    if (c->ws) {
        ws_close(c->ws, n->drain_code, n->drain_reason);
        return true;
    }
    /* A request that is still coming has the time that sessions have. */
    if (http_is_idle(c) || (now >= n->drain_end_ms && (c->blocked || !c->http || !c->http->answering)))
        conn_doom(c);
    return false;
}

static size_t count_open(const struct net *n)
{
    size_t open = 0;
    for (size_t i = 0; i < n->conn_count; i++)
        open += conn_is_open(n->conns[i]) && !n->conns[i]->doomed;
    return open;
}

static void on_drain_tick(uv_timer_t *timer)
{
    struct net *n = timer->data;
    uint64_t now = net_now(n);
    size_t open = count_open(n), ticks_left = 1, share;

    if (n->conn_count == 0) {
        uv_timer_stop(timer);
        n->on_drained(n->drain_arg);
        return;
    }
    if (now < n->drain_end_ms)
        ticks_left += (size_t)(n->drain_end_ms - now) / DRAIN_INTERVAL_MS;
    share = (open + ticks_left - 1) / ticks_left;
    for (size_t i = 0; i < n->conn_count; i++) {
        struct conn *c = n->conns[i];
        if (c->ws && share == 0)
            continue;
        if (drain_conn(n, c, now))
            share--;
    }
}

void net_drain(struct net *n, int code, const char *reason, uint64_t spread_ms, void (*on_drained)(void *), void *arg)
{
    n->draining = true;
    n->drain_code = code;
    snprintf(n->drain_reason, sizeof n->drain_reason, "%s", reason ? reason : "");
    n->drain_end_ms = net_now(n) + spread_ms;
    n->on_drained = on_drained;
    n->drain_arg = arg;
    uv_timer_start(&n->drain, on_drain_tick, 0, DRAIN_INTERVAL_MS);
}

/* ---- end ---- */

static void release(struct net *n)
{
    static_free(n->files);
    ws_deflate_free(n->deflate);
    buf_done(&n->out);
    buf_done(&n->plain);
    free(n->spare_request);
    free(n->conns);
    free(n->endpoints);
    if (n->on_freed)
        n->on_freed(n->free_arg);
    free(n);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct net *n = handle->data;
    if (--n->open_handles == 0)
        release(n);
}

/* libwebsockets closes its connections and then its own handles over some loop turns; only after those may the second
 * lws_context_destroy() free what they live in. */
static void on_free_tick(uv_timer_t *timer)
{
    struct net *n = timer->data;
    struct handle_search search = {.net = n};

    uv_walk(n->loop, find_handle, &search);
    if (search.found)
        return;
    if (n->context)
        lws_context_destroy(n->context);
    n->context = NULL;
    net_turn(&n->turn);
    if (n->listen_fd >= 0)
        listener_close(n);
    if (n->listener.data)
        uv_close((uv_handle_t *)&n->listener, on_handle_closed);
    uv_close((uv_handle_t *)&n->sweep, on_handle_closed);
    uv_close((uv_handle_t *)&n->turn, on_handle_closed);
    uv_close((uv_handle_t *)&n->drain, on_handle_closed);
    entries_close(n, on_handle_closed);
}

static void close_sockets(struct net *n)
{
    for (size_t i = n->conn_count; i-- > 0;)
        if (n->conns[i]->carrier)
            n->carrier->close(n->conns[i]);
}

void net_free(struct net *n, void (*on_freed)(void *), void *arg)
{
    n->on_freed = on_freed;
    n->free_arg = arg;
    n->freeing = true;
    listener_close(n);
    uv_timer_stop(&n->sweep);
    uv_timer_stop(&n->turn);
    if (n->context)
        lws_context_destroy(n->context);
    else
        close_sockets(n);
    uv_timer_start(&n->drain, on_free_tick, 0, 1);
}
