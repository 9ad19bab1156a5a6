#include "http_client.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define HEAD_LIMIT (16 * 1024)
#define BODY_LIMIT (64 * 1024 * 1024)

struct http_client {
    char *host, *port, *api_key;
    int fd; /* -1: not connected */
};

/* "http://127.0.0.1:8800/", "http://[::1]:8800": host without the brackets. */
static bool split_url(const char *url, char **ret_host, char **ret_port)
{
    static const char scheme[] = "http://";
    if (strncmp(url, scheme, sizeof scheme - 1) != 0)
        return false;
    const char *host = url + sizeof scheme - 1;
    size_t len = strcspn(host, "/");
    const char *colon = memrchr(host, ':', len);
    if (host[len] && host[len + 1])
        return false;
    if (!colon || colon == host || colon + 1 == host + len)
        return false;
    struct bytes name = {host, (size_t)(colon - host)};
    if (name.data[0] == '[' && name.len > 2 && name.data[name.len - 1] == ']')
        name = (struct bytes){name.data + 1, name.len - 2};
    *ret_host = bytes_dup(name);
    *ret_port = bytes_dup((struct bytes){colon + 1, (size_t)(host + len - colon - 1)});
    return true;
}

struct http_client *http_client_new(const char *url, const char *api_key, char *error, size_t error_size)
{
    char *host, *port;
    if (!split_url(url, &host, &port)) {
        snprintf(error, error_size, "'%s' is no address, allowed: http://HOST:PORT", url);
        return NULL;
    }
    struct http_client *c = xcalloc(1, sizeof *c);
    *c = (struct http_client){.host = host, .port = port, .api_key = xstrdup(api_key), .fd = -1};
    return c;
}

static void disconnect(struct http_client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

void http_client_free(struct http_client *c)
{
    if (!c)
        return;
    disconnect(c);
    free(c->host);
    free(c->port);
    free(c->api_key);
    free(c);
}

static int connect_one(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0)
        return -errno;
    if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

/* A kept connection that the server has closed for idleness is found out before a request is spent on it. */
static bool still_open(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static int ensure_connected(struct http_client *c)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
    if (c->fd >= 0 && still_open(c->fd))
        return 0;
    disconnect(c);
    if (getaddrinfo(c->host, c->port, &hints, &list) != 0)
        return -EHOSTUNREACH;
    int r = -EHOSTUNREACH;
    for (const struct addrinfo *a = list; a && r < 0; a = a->ai_next)
        r = connect_one(a);
    freeaddrinfo(list);
    if (r < 0)
        return r;
    c->fd = r;
    return 0;
}

static int send_all(int fd, struct bytes data)
{
    while (data.len) {
        ssize_t n = send(fd, data.data, data.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data = (struct bytes){data.data + n, data.len - (size_t)n};
    }
    return 0;
}

static int send_request(struct http_client *c, const char *method, const char *target, struct bytes body)
{
    CLEANUP_BUF out = BUF_INIT;
    bool ipv6 = strchr(c->host, ':');
    buf_printf(&out, "%s %s HTTP/1.1\r\nHost: %s%s%s:%s\r\nAccept: application/json\r\n", method, target,
               ipv6 ? "[" : "", c->host, ipv6 ? "]" : "", c->port);
    if (c->api_key)
        buf_printf(&out, "X-API-Key: %s\r\n", c->api_key);
    if (body.data)
        buf_printf(&out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", body.len);
    buf_append_str(&out, "\r\n");
    buf_append_bytes(&out, body);
    return send_all(c->fd, buf_bytes(&out));
}

/* Appends what is there. 0 at the end of the stream. */
static ssize_t read_some(int fd, struct buf *in)
{
    ssize_t n;
    buf_reserve(in, 16384);
    do
        n = recv(fd, in->data + in->len, 16383, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? -ETIMEDOUT : -errno;
    in->len += (size_t)n;
    in->data[in->len] = 0;
    return n;
}

/* Reads up to and including the empty line. `ret_len` is the length of the head. */
static int read_head(int fd, struct buf *in, size_t *ret_len)
{
    for (;;) {
        const char *end = in->len ? memmem(in->data, in->len, "\r\n\r\n", 4) : NULL;
        if (end) {
            *ret_len = (size_t)(end - in->data) + 4;
            return 0;
        }
        if (in->len > HEAD_LIMIT)
            return -EPROTO;
        ssize_t n = read_some(fd, in);
        if (n <= 0)
            return n < 0 ? (int)n : in->len ? -EPROTO : -ECONNRESET;
    }
}

/* Value of a header in a head that ends with an empty line; NULL when absent. */
static const char *find_header(const char *head, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line && line[2] != '\r'; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, len) == 0 && line[2 + len] == ':')
            return line + 3 + len + strspn(line + 3 + len, " \t");
    return NULL;
}

static bool has_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

/* The rest of the body, by its announced length or up to the end of the stream. */
static int read_body(int fd, struct buf *in, size_t head_len, const char *length, bool *ret_ended)
{
    size_t wanted = length ? strtoul(length, NULL, 10) : SIZE_MAX;
    *ret_ended = false;
    if (length && wanted > BODY_LIMIT)
        return -EMSGSIZE;
    while (in->len - head_len < wanted) {
        ssize_t n = read_some(fd, in);
        *ret_ended = n == 0;
        if (n < 0 || (n == 0 && length))
            return n < 0 ? (int)n : -EPROTO;
        if (n == 0)
            break;
        if (in->len - head_len > BODY_LIMIT)
            return -EMSGSIZE;
    }
    return 0;
}

static int read_reply(struct http_client *c, struct http_reply *reply)
{
    CLEANUP_BUF in = BUF_INIT;
    size_t head_len = 0;
    bool ended = false;
    int r = read_head(c->fd, &in, &head_len);
    if (r < 0)
        return r;
    in.data[head_len - 1] = 0; /* ends the head as a C string; the body starts after it */
    if (sscanf(in.data, "HTTP/1.%*1[01] %3d", &reply->status) != 1 || find_header(in.data, "Transfer-Encoding"))
        return -EPROTO;
    const char *connection = find_header(in.data, "Connection"), *length = find_header(in.data, "Content-Length");
    bool closes = connection && strncasecmp(connection, "close", 5) == 0;
    if (has_body(reply->status))
        r = read_body(c->fd, &in, head_len, length, &ended);
    if (r < 0)
        return r;
    reply->body = BUF_INIT;
    buf_append(&reply->body, in.data + head_len, in.len - head_len);
    buf_append(&reply->body, "", 1);
    reply->body.len--;
    if (closes || ended)
        disconnect(c);
    return 0;
}

int http_client_request(struct http_client *c, const char *method, const char *target, struct bytes body, int timeout_s,
                        struct http_reply *reply)
{
    struct timeval timeout = {.tv_sec = timeout_s};
    int r = ensure_connected(c);
    if (r < 0)
        return r;
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    r = send_request(c, method, target, body);
    if (r == 0)
        r = read_reply(c, reply);
    if (r < 0)
        disconnect(c);
    return r;
}

void http_append_escaped(struct buf *out, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:";
    for (; *text; text++)
        if (strchr(plain, *text))
            buf_append(out, text, 1);
        else
            buf_printf(out, "%%%02X", (unsigned char)*text);
}
