/* One TCP connection: adoption by libwebsockets, writing, blocking, and its end.
 *
 * libwebsockets' raw role stops reading while it has something buffered, but leaves POLLIN on, which spins; so reading is
 * switched off as long as a connection is blocked. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "internal.h"
#include "util/metrics.h"

static void table_add(struct net *n, struct conn *c)
{
    if (n->conn_count == n->conn_capacity) {
        n->conn_capacity = n->conn_capacity ? n->conn_capacity * 2 : 64;
        n->conns = xrealloc(n->conns, n->conn_capacity * sizeof *n->conns);
    }
    c->slot = (uint32_t)n->conn_count;
    n->conns[n->conn_count++] = c;
}

static void table_remove(struct net *n, struct conn *c)
{
    struct conn *last = n->conns[--n->conn_count];
    n->conns[c->slot] = last;
    last->slot = c->slot;
}

static void todo_add(struct conn *c)
{
    struct net *n = c->net;
    if (c->todo)
        return;
    c->todo = true;
    c->todo_next = n->todo;
    n->todo = c;
    if (!n->freeing)
        uv_timer_start(&n->turn, net_turn, 0, 0);
}

void conn_free(struct conn *c)
{
    if (c->phase == CONN_LINGER)
        c->net->lingering--;
    table_remove(c->net, c);
    metric_add(M_CONNECTIONS, -1);
    if (c->blocked)
        metric_add(M_CLIENTS_BEHIND, -1);
    if (c->admitted)
        net_shared_leave(c->net->options.shared, &c->address);
    buf_done(&c->in);
    free(c);
}

void conn_adopt(struct net *n, int fd, const struct net_address *address, bool ipv4, bool admitted)
{
    struct conn *c = xcalloc(1, sizeof *c);

    *c = (struct conn){.net = n, .fd = fd, .address = *address, .ipv4 = ipv4, .admitted = admitted, .adopting = true};
    c->phase = admitted ? CONN_HTTP : CONN_LINGER;
    c->rx_ms = net_now(n);
    c->deadline_ms = c->rx_ms + (admitted ? (uint64_t)n->config->limits.handshake_ms : LINGER_MS);
    if (!admitted)
        n->lingering++;
    table_add(n, c);
    metric_add(M_CONNECTIONS, 1);

    lws_adopt_desc_t info = {
        .vh = n->vhost,
        .type = LWS_ADOPT_SOCKET | (n->tls ? LWS_ADOPT_ALLOW_SSL : 0),
        .fd.sockfd = fd,
        .vh_prot_name = n->protocols[0].name,
        .opaque = c,
    };
    struct lws *wsi = lws_adopt_descriptor_vhost_via_info(&info); /* closes the socket when it fails */
    c->adopting = false;
    c->wsi = wsi;
    if (!wsi)
        conn_free(c);
}

static void on_close(struct conn *c)
{
    if (c->adopting)
        return;
    c->wsi = NULL;
    http_gone(c);
    if (c->ws) {
        ws_tell_closed(c->ws);
        ws_free(c->ws);
        c->ws = NULL;
    }
    if (!c->todo)
        conn_free(c);
}

static void on_rx(struct conn *c, char *data, size_t len)
{
    c->rx_ms = net_now(c->net);
    metric_add(M_BYTES_IN, (int64_t)len);
    if (!c->greeted) {
        c->greeted = true;
        if (c->net->tls)
            lws_set_timeout(c->wsi, NO_PENDING_TIMEOUT, 0);
    }
    if (c->doomed || c->phase == CONN_LINGER)
        return;
    if (c->phase == CONN_STREAM)
        stream_rx(c, len);
    else if (c->ws)
        ws_rx(c, data, len);
    else
        http_rx(c, data, len);
}

static void end_output(struct conn *c)
{
    /* Only the peer's FIN, after it has read everything, makes a close that cannot lose what we wrote. */
    if (c->net->tls)
        conn_doom(c);
    else if (shutdown(c->fd, SHUT_WR) < 0)
        conn_doom(c);
    c->deadline_ms = net_now(c->net) + LINGER_MS;
}

static void on_writable(struct conn *c)
{
    if (!c->blocked || lws_partial_buffered(c->wsi))
        return;
    c->blocked = false;
    c->rx_ms = net_now(c->net);
    metric_add(M_CLIENTS_BEHIND, -1);
    conn_set_rx(c);
    if (c->doomed)
        return;
    if (c->phase == CONN_LINGER)
        end_output(c);
    else if (conn_is_open(c) && c->ws->ops->writable)
        c->ws->ops->writable(c->ws);
    else if (c->phase == CONN_HTTP)
        http_advance(c);
}

int conn_on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    struct conn *c = wsi ? lws_get_opaque_user_data(wsi) : NULL;

    if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS) /* while the vhost is made; `user` is its SSL_CTX */
        ((struct net *)lws_context_user(lws_get_context(wsi)))->ssl_ctx = user;
    if (!c)
        return 0;
    if (reason == LWS_CALLBACK_RAW_RX)
        on_rx(c, in, len);
    else if (reason == LWS_CALLBACK_RAW_WRITEABLE)
        on_writable(c);
    else if (reason == LWS_CALLBACK_RAW_CLOSE)
        on_close(c);
    return 0;
}

void conn_set_rx(struct conn *c)
{
    bool off = c->blocked || (c->http && c->http->answering && c->in.len > (size_t)c->net->config->limits.header_bytes);
    if (off == c->rx_off || !c->wsi)
        return;
    c->rx_off = off;
    lws_rx_flow_control(c->wsi, !off);
}

/* Straight to the kernel, as long as nothing older waits in libwebsockets' buffer: what lws_write() looks at first would be
 * as many cache misses again. Returns how much was taken, or -1 when the connection is broken. */
static ssize_t send_directly(const struct conn *c, const void *data, size_t len)
{
    if (c->blocked || c->net->tls)
        return 0;
    ssize_t n = send(c->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? 0 : -1;
    return n;
}

/* libwebsockets sends what it can and keeps the rest. */
static int send_buffered(struct conn *c, const unsigned char *data, size_t len)
{
    if (lws_write(c->wsi, (unsigned char *)data, len, LWS_WRITE_RAW) < 0)
        return -EPIPE;
    if (!c->blocked && lws_partial_buffered(c->wsi)) {
        c->blocked = true;
        c->progress_ms = net_now(c->net);
        metric_add(M_CLIENTS_BEHIND, 1);
        conn_set_rx(c);
    }
    return 0;
}

int conn_write(struct conn *c, const void *data, size_t len)
{
    if (c->doomed || !c->wsi || c->phase == CONN_LINGER)
        return -EPIPE;
    ssize_t sent = send_directly(c, data, len);
    if (sent < 0 || ((size_t)sent < len && send_buffered(c, (const unsigned char *)data + sent, len - (size_t)sent) < 0)) {
        conn_doom(c);
        return -EPIPE;
    }
    metric_add(M_BYTES_OUT, (int64_t)len);
    return 0;
}

void conn_finish(struct conn *c)
{
    if (c->doomed || !c->wsi || c->phase == CONN_LINGER)
        return;
    c->phase = CONN_LINGER;
    c->net->lingering++;
    c->deadline_ms = 0;
    if (!c->blocked)
        end_output(c);
}

void conn_doom(struct conn *c)
{
    if (c->doomed)
        return;
    c->doomed = true;
    todo_add(c);
}

void conn_resume(struct conn *c)
{
    c->resume = true;
    todo_add(c);
}

static void take_turn(struct conn *c)
{
    c->todo = false;
    if (!c->wsi) {
        conn_free(c);
    } else if (c->doomed) {
        lws_set_timeout(c->wsi, PENDING_TIMEOUT_AWAITING_PROXY_RESPONSE, LWS_TO_KILL_SYNC);
    } else if (c->resume) {
        c->resume = false;
        http_advance(c);
        conn_set_rx(c);
    }
}

void net_turn(uv_timer_t *timer)
{
    struct net *n = timer->data;
    struct conn *list = n->todo;

    n->todo = NULL;
    while (list) {
        struct conn *c = list;
        list = c->todo_next;
        take_turn(c);
    }
}
