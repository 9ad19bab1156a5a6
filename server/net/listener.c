/* The listening socket of one net: SO_REUSEPORT, accepted in batches, refusals answered before they are closed. */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "internal.h"
#include "util/metrics.h"

#define ACCEPT_BATCH 8       /* connections a turn: what they then ask for comes at the same pace, so turns stay short */
#define REFUSED_LINGERING 16 /* refused connections that may stay open until they have read why */

static int split_listen(const char *listen, char host[256], char port[16])
{
    const char *colon = strrchr(listen, ':');
    if (!colon || (size_t)(colon - listen) >= 256 || strlen(colon + 1) >= 16)
        return -EINVAL;
    size_t n = (size_t)(colon - listen);
    if (n >= 2 && listen[0] == '[' && listen[n - 1] == ']')
        listen++, n -= 2;
    memcpy(host, listen, n);
    host[n] = 0;
    strcpy(port, colon + 1);
    return 0;
}

static int open_socket(const struct addrinfo *a, int backlog)
{
    int one = 1, fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) == 0 && bind(fd, a->ai_addr, a->ai_addrlen) == 0 &&
        listen(fd, backlog) == 0)
        return fd;
    int r = -errno;
    close(fd);
    return r;
}

/* SO_REUSEPORT would let two servers of one user share a port unnoticed, so the first net of a process probes without. */
static int probe_port(const struct addrinfo *a)
{
    int one = 1, fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), r = 0;
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, a->ai_addr, a->ai_addrlen) < 0)
        r = -errno;
    close(fd);
    return r;
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
        return 0;
    return ntohs(ss.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&ss)->sin6_port : ((struct sockaddr_in *)&ss)->sin_port);
}

int listener_open(struct net *n, char *error, size_t error_size)
{
    char host[256], port[16];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found = NULL;

    if (split_listen(n->config->server.listen, host, port) < 0) {
        snprintf(error, error_size, "server.listen: '%s' is not ADDRESS:PORT", n->config->server.listen);
        return -EINVAL;
    }
    bool first = n->options.port == 0;
    if (!first)
        snprintf(port, sizeof port, "%u", (unsigned)n->options.port);
    int r = getaddrinfo(*host ? host : NULL, port, &hints, &found);
    if (r != 0) {
        snprintf(error, error_size, "server.listen: %s: %s", host, gai_strerror(r));
        return -EINVAL;
    }
    r = first ? probe_port(found) : 0;
    if (r == 0)
        r = open_socket(found, (int)n->config->server.backlog);
    freeaddrinfo(found);
    if (r < 0) {
        snprintf(error, error_size, "cannot listen on %s: %s", n->config->server.listen, strerror(-r));
        return r;
    }
    n->listen_fd = r;
    n->port = bound_port(r);
    uv_poll_init(n->loop, &n->listener, r);
    n->listener.data = n;
    n->open_handles++;
    return 0;
}

static struct net_address read_address(const struct sockaddr_storage *ss, bool *ret_ipv4)
{
    struct net_address a = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}};
    struct net_address mapped = a;
    if (ss->ss_family == AF_INET6)
        memcpy(a.bytes, &((const struct sockaddr_in6 *)ss)->sin6_addr, 16);
    else
        memcpy(a.bytes + 12, &((const struct sockaddr_in *)ss)->sin_addr, 4);
    *ret_ipv4 = memcmp(a.bytes, mapped.bytes, 12) == 0;
    return a;
}

static void set_socket_options(const struct net *n, int fd)
{
    int one = 1, send_buffer = (int)n->config->server.send_buffer_bytes;
    const struct config_limits *l = &n->config->limits;
    unsigned user_timeout = l->ping_ms ? (unsigned)(l->ping_ms + l->pong_ms) : 0;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (send_buffer > 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer);
    /* A peer that acknowledges nothing is given up by the kernel even while our pings cannot get out. */
    if (user_timeout)
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, sizeof user_timeout);
}

static void refuse(struct net *n, int fd, const struct net_address *address, bool ipv4, enum admission verdict)
{
    int status = verdict == REFUSE_ADDRESS ? 429 : 503;

    metric_add(verdict == REFUSE_ADDRESS ? M_LIMIT_ADDRESS : M_LIMIT_CONNECTIONS, 1);
    if (!n->tls) {
        n->out.len = 0;
        http_refusal_render(n, status, &n->out);
        if (send(fd, n->out.data, n->out.len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            log_debug("refusal not sent", LOG_INT("status", status));
        shutdown(fd, SHUT_WR);
        if (n->lingering < REFUSED_LINGERING) {
            conn_adopt(n, fd, address, ipv4, false);
            return;
        }
    }
    close(fd);
}

static void pause_listener(struct net *n)
{
    n->accept_paused = true;
    uv_poll_stop(&n->listener);
}

/* Returns false when nothing more can be accepted now. */
static bool accept_one(struct net *n)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    int fd = accept4(n->listen_fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    bool ipv4;

    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            /* The connection stays in the backlog and would wake us again at once: the sweep tries later. */
            metric_add(M_LIMIT_CONNECTIONS, 1);
            pause_listener(n);
        }
        return errno == EINTR || errno == ECONNABORTED;
    }
    struct net_address address = read_address(&ss, &ipv4);
    set_socket_options(n, fd);
    enum admission verdict = net_shared_admit(n->options.shared, &address);
    if (verdict == ADMIT)
        conn_adopt(n, fd, &address, ipv4, true);
    else
        refuse(n, fd, &address, ipv4, verdict);
    return true;
}

static void on_acceptable(uv_poll_t *poll, int status, int events)
{
    (void)events;
    struct net *n = poll->data;

    if (status < 0)
        return;
    if (n->entries || !entries_begin(n)) {
        pause_listener(n); /* until newcomers have had their turn */
        if (!n->entries)
            entries_pause(n);
        return;
    }
    for (int i = 0; i < ACCEPT_BATCH && accept_one(n) && entries_go_on(n); i++)
        ;
}

void listener_start(struct net *n)
{
    if (n->listen_fd >= 0)
        n->listening = uv_poll_start(&n->listener, UV_READABLE, on_acceptable) == 0;
}

void listener_resume(struct net *n)
{
    if (n->accept_paused && n->listening) {
        n->accept_paused = false;
        uv_poll_start(&n->listener, UV_READABLE, on_acceptable);
    }
}

void listener_close(struct net *n)
{
    if (n->listen_fd < 0)
        return;
    n->listening = false;
    uv_poll_stop(&n->listener);
    close(n->listen_fd);
    n->listen_fd = -1;
}
