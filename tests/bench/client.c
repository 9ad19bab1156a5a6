#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The pair of RFC 6455, 1.3: a fixed key has a fixed answer, which spares this program a SHA-1. */
#define HANDSHAKE_KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define HANDSHAKE_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

static char receive_buffer[512 * 1024];

void client_open(struct client *c, const struct client_target *target, unsigned source_host)
{
    int one = 1;
    struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000u + source_host)};
    struct sockaddr_in server = {
        .sin_family = AF_INET, .sin_port = htons(target->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    *c = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    if (c->fd < 0)
        bench_fail("socket: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (bind(c->fd, (struct sockaddr *)&source, sizeof(source)) < 0)
        bench_fail("bind: %s", strerror(errno));
    if (connect(c->fd, (struct sockaddr *)&server, sizeof(server)) < 0 && errno != EINPROGRESS)
        bench_fail("connect: %s", strerror(errno));
}

static void wait_writable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    poll(&p, 1, 1000);
}

void client_send_raw(struct client *c, const char *data, size_t len)
{
    while (len && c->state != CLIENT_CLOSED) {
        ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        } else if (errno == EAGAIN) {
            wait_writable(c->fd);
        } else if (errno != EINTR) {
            c->state = CLIENT_CLOSED;
        }
    }
}

void client_send(struct client *c, unsigned opcode, const void *payload, size_t len)
{
    char *frame = malloc(len + FRAME_OVERHEAD_MAX);
    if (!frame)
        bench_fail("out of memory");
    client_send_raw(c, frame, frame_write(frame, opcode, true, payload, len));
    free(frame);
}

void client_send_handshake(struct client *c, const struct client_target *target)
{
    char request[2048];
    c->stream = target->stream;
    int n = target->stream ? snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n",
                                      target->path, target->port)
                           : snprintf(request, sizeof(request),
                     "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: " HANDSHAKE_KEY "\r\nSec-WebSocket-Version: 13\r\n\r\n",
                     target->path, target->port);
    c->state = CLIENT_HANDSHAKE;
    client_send_raw(c, request, (size_t)n);
}

/* Returns the size of the answer's head, 0 while it is incomplete. */
static size_t handshake_check(struct client *c, const char *data, size_t len)
{
    const char *end = memmem(data, len, "\r\n\r\n", 4);
    if (!end)
        return 0;
    size_t head = (size_t)(end + 4 - data);
    bool accepted = c->stream ? strncmp(data, "HTTP/1.1 200 ", 13) == 0
                              : strncmp(data, "HTTP/1.1 101 ", 13) == 0 &&
                                    memmem(data, head, HANDSHAKE_ACCEPT, strlen(HANDSHAKE_ACCEPT));
    if (!accepted)
        bench_fail("refused: %.*s", (int)(head < 200 ? head : 200), data);
    c->state = CLIENT_OPEN;
    return head;
}

/* An event as if it were a text frame: everything up to the empty line. */
static size_t event_next(char *data, size_t len, struct frame *ret)
{
    char *end = memmem(data, len, "\n\n", 2);
    if (!end)
        return 0;
    *ret = (struct frame){.opcode = FRAME_TEXT, .final = true, .payload = data, .len = (size_t)(end - data)};
    return ret->len + 2;
}

static void frame_handle(struct client *c, const struct frame *f, client_frame_fn fn, void *arg)
{
    if (f->opcode == FRAME_PING)
        client_send(c, FRAME_PONG, f->payload, f->len);
    else if (f->opcode == FRAME_CLOSE)
        c->state = CLIENT_CLOSED;
    else if (f->opcode <= FRAME_BINARY && f->final)
        fn(c, f, arg);
    else if (f->opcode != FRAME_PONG)
        bench_fail("unexpected frame: opcode %u, final %d", f->opcode, f->final);
}

static void carry_keep(struct client *c, const char *data, size_t len)
{
    free(c->carry);
    c->carry = NULL;
    c->carry_len = len;
    if (!len)
        return;
    if (len == sizeof(receive_buffer))
        bench_fail("a frame does not fit into %zu bytes", sizeof(receive_buffer));
    c->carry = malloc(len);
    if (!c->carry)
        bench_fail("out of memory");
    memcpy(c->carry, data, len);
}

size_t client_read(struct client *c, client_frame_fn fn, void *arg)
{
    char *at = receive_buffer;
    struct frame f;
    if (c->carry_len)
        memcpy(at, c->carry, c->carry_len);
    ssize_t n = recv(c->fd, at + c->carry_len, sizeof(receive_buffer) - c->carry_len, 0);
    if (n <= 0) {
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
            c->state = CLIENT_CLOSED;
        return 0;
    }
    size_t len = c->carry_len + (size_t)n, used = 0;
    if (c->state == CLIENT_HANDSHAKE)
        used = handshake_check(c, at, len);
    for (size_t size = 1; c->state == CLIENT_OPEN && size; used += size) {
        size = c->stream ? event_next(at + used, len - used, &f) : frame_next(at + used, len - used, &f);
        if (size)
            frame_handle(c, &f, fn, arg);
    }
    carry_keep(c, at + used, len - used);
    return (size_t)n;
}

void client_done(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    free(c->carry);
    *c = (struct client){.fd = -1, .state = CLIENT_CLOSED};
}
