/* A plain socket, polled by the loop. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "internal.h"

struct carrier {
    uv_poll_t poll;
    struct conn *conn;
    struct buf kept; /* what the kernel did not take */
    size_t sent;     /* of it */
};

static void on_freed(uv_handle_t *handle)
{
    struct carrier *s = handle->data;
    buf_done(&s->kept);
    free(s);
}

static void close_socket(struct conn *c)
{
    struct carrier *s = c->carrier;
    uv_close((uv_handle_t *)&s->poll, on_freed);
    close(c->fd);
    s->conn = NULL;
    conn_closed(c);
}

static bool is_temporary(int error)
{
    return error == EAGAIN || error == EINTR || error == ENOBUFS || error == ENOMEM;
}

/* Straight to the kernel. How much it took, or -1 when the connection is broken. */
static ssize_t send_some(const struct conn *c, const char *data, size_t len)
{
    ssize_t n = send(c->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    return n >= 0 ? n : is_temporary(errno) ? 0 : -1;
}

static void on_readable(struct carrier *s)
{
    struct conn *c = s->conn;
    struct net *n = c->net;
    ssize_t got = recv(c->fd, n->input, sizeof n->input, MSG_DONTWAIT);

    if (got > 0)
        conn_received(c, n->input, (size_t)got);
    else if (got == 0 || !is_temporary(errno))
        close_socket(c);
}

static void on_event(uv_poll_t *poll, int status, int events);

static void watch(struct carrier *s)
{
    int events = (s->conn->rx_off ? 0 : UV_READABLE) | (s->kept.len ? UV_WRITABLE : 0);
    if (events)
        uv_poll_start(&s->poll, events, on_event);
    else
        uv_poll_stop(&s->poll);
}

static void on_sendable(struct carrier *s)
{
    ssize_t sent = send_some(s->conn, s->kept.data + s->sent, s->kept.len - s->sent);

    if (sent < 0) {
        close_socket(s->conn);
        return;
    }
    s->sent += (size_t)sent;
    if (s->sent < s->kept.len)
        return;
    buf_done(&s->kept);
    s->sent = 0;
    watch(s);
    conn_writable(s->conn);
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct carrier *s = poll->data;

    if (status == 0 && events & UV_WRITABLE)
        on_sendable(s);
    if (s->conn && (status < 0 || events & UV_READABLE) && !s->conn->rx_off)
        on_readable(s); /* of a broken connection what came before */
    if (s->conn && status < 0)
        close_socket(s->conn);
}

static bool open_socket(struct conn *c)
{
    struct carrier *s = xcalloc(1, sizeof *s);

    s->conn = c;
    s->poll.data = s;
    if (uv_poll_init(c->net->loop, &s->poll, c->fd) < 0) {
        close(c->fd);
        free(s);
        return false;
    }
    c->carrier = s;
    watch(s);
    return true;
}

static void keep(struct carrier *s, const char *data, size_t len)
{
    s->kept.len -= s->sent;
    if (s->sent)
        memmove(s->kept.data, s->kept.data + s->sent, s->kept.len);
    s->sent = 0;
    s->kept.capacity = s->kept.len + len; /* and no more: it is what a slow client costs */
    s->kept.data = xrealloc(s->kept.data, s->kept.capacity);
    buf_append(&s->kept, data, len);
    watch(s);
}

static int write_socket(struct conn *c, const void *data, size_t len, bool *ret_kept)
{
    struct carrier *s = c->carrier;
    ssize_t sent = c->blocked ? 0 : send_some(c, data, len);

    if (sent < 0)
        return -EPIPE;
    *ret_kept = c->blocked || (size_t)sent < len;
    if (*ret_kept)
        keep(s, (const char *)data + sent, len - (size_t)sent);
    return 0;
}

static void update_rx(struct conn *c)
{
    watch(c->carrier);
}

const struct carrier_ops carrier_socket = {
    .open = open_socket,
    .write = write_socket,
    .update_rx = update_rx,
    .close = close_socket,
};
