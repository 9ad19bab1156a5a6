/* One TCP connection: its beginning, writing, blocking, and its end. While something is kept for a peer that does not take it,
 * nothing is read from it. */
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

    *c = (struct conn){.net = n, .fd = fd, .address = *address, .ipv4 = ipv4, .admitted = admitted};
    c->phase = admitted ? CONN_HTTP : CONN_LINGER;
    c->accepted_ms = c->rx_ms = net_now(n);
    c->deadline_ms = c->rx_ms + (admitted ? (uint64_t)n->config->limits.handshake_ms : LINGER_MS);
    if (!admitted)
        n->lingering++;
    table_add(n, c);
    metric_add(M_CONNECTIONS, 1);
    if (!n->carrier->open(c))
        conn_free(c);
}

void conn_closed(struct conn *c)
{
    c->carrier = NULL;
    if (c->entry)
        entry_take(c); /* a publication may be all that it came for */
    http_gone(c);
    if (c->ws) {
        ws_tell_closed(c->ws);
        ws_free(c->ws);
        c->ws = NULL;
    }
    if (!c->todo)
        conn_free(c);
}

void conn_received(struct conn *c, char *data, size_t len)
{
    c->rx_ms = net_now(c->net);
    metric_add(M_BYTES_IN, (int64_t)len);
    if (entry_wanted(c))
        entry_hold(c, data, len);
    else
        conn_input(c, data, len);
}

void conn_input(struct conn *c, char *data, size_t len)
{
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

void conn_writable(struct conn *c)
{
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

void conn_set_rx(struct conn *c)
{
    bool off = c->blocked || (c->http && c->http->answering && c->in.len > (size_t)c->net->config->limits.header_bytes);
    if (off == c->rx_off || !c->carrier)
        return;
    c->rx_off = off;
    c->net->carrier->update_rx(c);
}

static void block(struct conn *c)
{
    c->blocked = true;
    c->progress_ms = net_now(c->net);
    metric_add(M_CLIENTS_BEHIND, 1);
    conn_set_rx(c);
}

int conn_write(struct conn *c, const void *data, size_t len)
{
    bool kept = false;

    if (c->doomed || !c->carrier || c->phase == CONN_LINGER)
        return -EPIPE;
    if (c->net->carrier->write(c, data, len, &kept) < 0) {
        conn_doom(c);
        return -EPIPE;
    }
    if (kept && !c->blocked)
        block(c);
    metric_add(M_BYTES_OUT, (int64_t)len);
    return 0;
}

void conn_finish(struct conn *c)
{
    if (c->doomed || !c->carrier || c->phase == CONN_LINGER)
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
    if (!c->carrier) {
        conn_free(c);
    } else if (c->doomed) {
        c->net->carrier->close(c);
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
