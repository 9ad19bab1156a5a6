#include "fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/clock.h"

struct url {
    bool tls;
    char host[256], port[8];
    const char *path; /* "" : / */
};

struct link {
    const struct fetch *fetch;
    uint64_t deadline_ms;
    int fd;
    SSL_CTX *context;
    SSL *ssl;
};

static void done_link(struct link *l)
{
    SSL_free(l->ssl);
    SSL_CTX_free(l->context);
    if (l->fd >= 0)
        close(l->fd);
}

/* ---- the address ---- */

/* http://host, https://host:8443/path, http://[::1]:80/x?y; a name and password in it are refused. */
static bool parse_url(const char *text, struct url *ret)
{
    ret->tls = strncmp(text, "https://", 8) == 0;
    if ((!ret->tls && strncmp(text, "http://", 7) != 0) || strpbrk(text, " \t\r\n"))
        return false;
    const char *host = text + (ret->tls ? 8 : 7), *end = host + strcspn(host, "/?#");
    bool bracket = host[0] == '[';
    const char *closing = bracket ? memchr(host, ']', (size_t)(end - host)) : NULL;
    if (memchr(host, '@', (size_t)(end - host)) || (bracket && !closing))
        return false;
    const char *from = bracket ? closing : host, *colon = memchr(from, ':', (size_t)(end - from));
    const char *name = bracket ? host + 1 : host, *name_end = bracket ? closing : colon ? colon : end;
    int name_len = (int)(name_end - name), port_len = colon ? (int)(end - colon - 1) : 0;
    if (name_len < 1 || name_len >= (int)sizeof ret->host || (colon && (port_len < 1 || port_len > 5)))
        return false;
    snprintf(ret->host, sizeof ret->host, "%.*s", name_len, name);
    snprintf(ret->port, sizeof ret->port, "%.*s", colon ? port_len : 3, colon ? colon + 1 : ret->tls ? "443" : "80");
    ret->path = end;
    return true;
}

/* ---- waiting ---- */

/* Until the socket is ready for `events`; -ECANCELED, -ETIMEDOUT. */
static int wait_for(const struct link *l, short events)
{
    uint64_t now = clock_mono_ms();
    struct pollfd fds[2] = {{l->fd, events, 0}, {l->fetch->cancel_fd, POLLIN, 0}};
    if (now >= l->deadline_ms)
        return -ETIMEDOUT;
    int r = poll(fds, l->fetch->cancel_fd >= 0 ? 2 : 1, (int)(l->deadline_ms - now));
    if (r < 0)
        return errno == EINTR ? 0 : -errno;
    if (l->fetch->cancel_fd >= 0 && fds[1].revents)
        return -ECANCELED;
    return r ? 0 : -ETIMEDOUT;
}

static int connect_one(struct link *l, const struct addrinfo *address)
{
    int error = 0;
    socklen_t size = sizeof error;
    l->fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0)
        return -errno;
    int r = connect(l->fd, address->ai_addr, address->ai_addrlen) < 0 ? -errno : 0;
    if (r == -EINPROGRESS)
        r = wait_for(l, POLLOUT);
    if (r == 0 && getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0)
        r = -error;
    if (r < 0) {
        close(l->fd);
        l->fd = -1;
    }
    return r;
}

static int connect_to(struct link *l, const struct url *url)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *list;
    if (getaddrinfo(url->host, url->port, &hints, &list) != 0)
        return -EHOSTUNREACH;
    int r = -EHOSTUNREACH;
    for (const struct addrinfo *a = list; a && r < 0 && r != -ECANCELED && r != -ETIMEDOUT; a = a->ai_next)
        r = connect_one(l, a);
    freeaddrinfo(list);
    return r;
}

/* ---- TLS ---- */

/* After an operation of OpenSSL that gave `result`: 0 to try again when the socket is ready, 1 at the end of the stream. */
static int settle(const struct link *l, int result)
{
    switch (SSL_get_error(l->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return wait_for(l, POLLIN);
    case SSL_ERROR_WANT_WRITE:
        return wait_for(l, POLLOUT);
    case SSL_ERROR_ZERO_RETURN:
        return 1;
    default:
        return SSL_get_verify_result(l->ssl) == X509_V_OK ? -ECONNRESET : -EKEYREJECTED;
    }
}

static int start_tls(struct link *l, const struct url *url)
{
    l->context = SSL_CTX_new(TLS_client_method());
    if (!l->context || SSL_CTX_set_default_verify_paths(l->context) != 1)
        return -ENOMEM;
    SSL_CTX_set_verify(l->context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_min_proto_version(l->context, TLS1_2_VERSION);
    l->ssl = SSL_new(l->context);
    if (!l->ssl || SSL_set_fd(l->ssl, l->fd) != 1)
        return -ENOMEM;
    bool numeric = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(l->ssl), url->host) == 1;
    if (!numeric && (SSL_set1_host(l->ssl, url->host) != 1 || SSL_set_tlsext_host_name(l->ssl, url->host) != 1))
        return -EINVAL;
    int result;
    while ((result = SSL_connect(l->ssl)) != 1) {
        int r = settle(l, result);
        if (r)
            return r < 0 ? r : -ECONNRESET;
    }
    return 0;
}

/* ---- bytes ---- */

/* Bytes moved, 0 when it is to be tried again, -ENODATA at the end of the stream. */
static int read_some(const struct link *l, char *out, size_t size)
{
    if (l->ssl) {
        int got = SSL_read(l->ssl, out, (int)size);
        int r = got > 0 ? got : settle(l, got);
        return got <= 0 && r == 1 ? -ENODATA : r;
    }
    ssize_t got = recv(l->fd, out, size, 0);
    if (got > 0)
        return (int)got;
    if (got == 0)
        return -ENODATA;
    return errno == EAGAIN || errno == EINTR ? wait_for(l, POLLIN) : -errno;
}

static int write_some(const struct link *l, const char *data, size_t len)
{
    if (l->ssl) {
        int sent = SSL_write(l->ssl, data, (int)len);
        int r = sent > 0 ? sent : settle(l, sent);
        return sent <= 0 && r == 1 ? -ECONNRESET : r;
    }
    ssize_t sent = send(l->fd, data, len, MSG_NOSIGNAL);
    if (sent >= 0)
        return (int)sent;
    return errno == EAGAIN || errno == EINTR ? wait_for(l, POLLOUT) : -errno;
}

static int send_all(const struct link *l, struct bytes data)
{
    while (data.len) {
        int sent = write_some(l, data.data, data.len);
        if (sent < 0)
            return sent;
        data = (struct bytes){data.data + sent, data.len - (size_t)sent};
    }
    return 0;
}

/* ---- the exchange ---- */

/* HTTP/1.0, so that the answer has no chunks and ends with the connection. */
static void write_request(const struct url *url, struct buf *out)
{
    bool v6 = strchr(url->host, ':');
    size_t path = strcspn(url->path, "#");
    buf_printf(out, "GET %s%.*s HTTP/1.0\r\n", url->path[0] == '/' ? "" : "/", (int)path, url->path);
    buf_printf(out, "Host: %s%s%s:%s\r\n", v6 ? "[" : "", url->host, v6 ? "]" : "", url->port);
    buf_append_str(out, "Accept: application/json\r\nUser-Agent: crier\r\nConnection: close\r\n\r\n");
}

/* Value of a header of the answer as a number; -1 absent. */
static long long length_header(const char *head)
{
    const char *at = strcasestr(head, "\r\ncontent-length:");
    return at ? atoll(at + strlen("\r\ncontent-length:")) : -1;
}

/* Position of the body when the answer is whole, 0 when more is to come, negative errno. */
static long body_of(const struct buf *answer, bool ended, int *ret_status)
{
    const char *end = answer->len ? memmem(answer->data, answer->len, "\r\n\r\n", 4) : NULL;
    if (!end)
        return ended ? -EPROTO : 0;
    char *head = bytes_dup((struct bytes){answer->data, (size_t)(end - answer->data) + 2});
    long long wanted = length_header(head);
    bool chunked = strcasestr(head, "\r\ntransfer-encoding:");
    bool status_line = sscanf(head, "HTTP/1.%*1[01] %3d ", ret_status) == 1;
    size_t start = (size_t)(end - answer->data) + 4;
    free(head);
    if (!status_line || chunked)
        return -EPROTO;
    if (wanted >= 0 ? (long long)(answer->len - start) >= wanted : ended)
        return (long)start;
    return ended ? -EPROTO : 0;
}

static int receive(const struct link *l, struct buf *ret_body, int *ret_status)
{
    CLEANUP_BUF answer = BUF_INIT;
    bool ended = false;
    long start = 0;
    while ((start = body_of(&answer, ended, ret_status)) == 0) {
        if (answer.len > l->fetch->limit_bytes)
            return -EFBIG;
        buf_reserve(&answer, 16384);
        int got = read_some(l, answer.data + answer.len, 16384);
        if (got < 0 && got != -ENODATA)
            return got;
        ended = got == -ENODATA;
        answer.len += got > 0 ? (size_t)got : 0;
    }
    if (start < 0)
        return (int)start;
    buf_append(ret_body, answer.data + start, answer.len - (size_t)start);
    return 0;
}

static int exchange(struct link *l, const struct url *url, struct buf *ret_body, int *ret_status)
{
    CLEANUP_BUF request = BUF_INIT;
    int r = connect_to(l, url);
    if (r == 0 && url->tls)
        r = start_tls(l, url);
    write_request(url, &request);
    if (r == 0)
        r = send_all(l, buf_bytes(&request));
    return r == 0 ? receive(l, ret_body, ret_status) : r;
}

int fetch_get(const struct fetch *f, struct buf *ret_body, char *error, size_t error_size)
{
    __attribute__((cleanup(done_link))) struct link l = {
        .fetch = f, .deadline_ms = clock_mono_ms() + (uint64_t)f->timeout_ms, .fd = -1};
    CLEANUP_BUF body = BUF_INIT;
    struct url url;
    int status = 0;
    if (!parse_url(f->url, &url)) {
        snprintf(error, error_size, "not an address");
        return -EINVAL;
    }
    int r = exchange(&l, &url, &body, &status);
    ERR_clear_error();
    if (r < 0) {
        snprintf(error, error_size, "%s", r == -EKEYREJECTED ? "the certificate is not trusted" : strerror(-r));
        return r;
    }
    if (status != 200) {
        snprintf(error, error_size, "status %d", status);
        return -EPROTO;
    }
    buf_append_bytes(ret_body, buf_bytes(&body));
    return 0;
}
