/* A net on a thread of its own, and blocking clients for it: what the test_net_*.c programs share.
 *
 * server_start() with the fields of `config` and `options` that a test changes set before; server_stop() checks that
 * nothing is left behind. Whatever touches the net is run on its thread by server_call(). */
#ifndef CRIER_TESTS_NET_HARNESS_H
#define CRIER_TESTS_NET_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "net/net.h"
#include "util/clock.h"
#include "util/metrics.h"

#define RECEIVE_TIMEOUT_S 20

struct server {
    struct config config;
    struct net_options options;
    char *origins[2];
    struct net_shared *shared;
    struct net *net;
    uv_loop_t loop;
    uv_async_t async;
    pthread_t thread;
    sem_t ready, called;
    void (*call)(struct server *s, void *arg);
    void *call_arg;
    char error[256];
    atomic_bool drained;
};

static void on_freed(void *arg)
{
    struct server *s = arg;
    uv_close((uv_handle_t *)&s->async, NULL);
}

static void free_net(struct server *s, void *arg)
{
    (void)arg;
    net_free(s->net, on_freed, s);
}

static void on_call(uv_async_t *async)
{
    struct server *s = async->data;
    if (!s->call)
        return;
    s->call(s, s->call_arg);
    s->call = NULL;
    sem_post(&s->called);
}

static void *run_server(void *arg)
{
    struct server *s = arg;
    uv_loop_init(&s->loop);
    uv_async_init(&s->loop, &s->async, on_call);
    s->async.data = s;
    s->options.config = &s->config;
    s->options.shared = s->shared;
    s->options.loop = &s->loop;
    s->options.user = s;
    s->net = net_new(&s->options, s->error, sizeof s->error);
    if (s->net)
        net_start(s->net);
    else
        uv_close((uv_handle_t *)&s->async, NULL);
    sem_post(&s->ready);
    uv_run(&s->loop, UV_RUN_DEFAULT);
    return NULL;
}

static inline void server_init(struct server *s)
{
    *s = (struct server){0};
    s->config.server.listen = (char *)"127.0.0.1:0";
    s->config.server.backlog = 1024;
    s->config.limits = (struct config_limits){
        .connections = 1000,
        .message_bytes = 65536,
        .fragments = 64,
        .message_ms = 30000,
        .header_bytes = 8192,
        .body_bytes = 100000,
        .handshake_ms = 10000,
        .keepalive_ms = 60000,
        .rate_burst = 100,
        .rate_strikes = 5,
        .ping_ms = 25000,
        .pong_ms = 10000,
    };
    s->origins[0] = (char *)"https://good.example";
    s->config.auth.allowed_origins = s->origins;
    s->config.auth.allowed_origin_count = 1;
}

static inline void server_start(struct server *s)
{
    sem_init(&s->ready, 0, 0);
    sem_init(&s->called, 0, 0);
    s->shared = net_shared_new(&s->config);
    assert_int_equal(pthread_create(&s->thread, NULL, run_server, s), 0);
    sem_wait(&s->ready);
    if (!s->net)
        fail_msg("net_new: %s", s->error);
}

static inline void server_call(struct server *s, void (*fn)(struct server *, void *), void *arg)
{
    s->call_arg = arg;
    s->call = fn;
    uv_async_send(&s->async);
    sem_wait(&s->called);
}

static inline void server_stop(struct server *s)
{
    server_call(s, free_net, NULL);
    pthread_join(s->thread, NULL);
    assert_int_equal(uv_loop_close(&s->loop), 0);
    net_shared_free(s->shared);
    assert_int_equal(metric_total(M_CONNECTIONS), 0);
    assert_int_equal(metric_total(M_SESSIONS), 0);
    assert_int_equal(metric_total(M_CLIENTS_BEHIND), 0);
}

/* CPU the loop thread took so far. */
static inline double server_cpu_seconds(struct server *s)
{
    clockid_t clock;
    struct timespec t;
    pthread_getcpuclockid(s->thread, &clock);
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline void sleep_ms(unsigned ms)
{
    usleep(ms * 1000);
}

/* Waits until the condition holds; fails the test after five seconds. */
#define eventually(condition)                                                                                          \
    do {                                                                                                               \
        uint64_t until_ = clock_mono_ms() + 20000;                                                                      \
        while (!(condition)) {                                                                                         \
            if (clock_mono_ms() > until_)                                                                              \
                fail_msg("never became true: %s", #condition);                                                         \
            sleep_ms(5);                                                                                               \
        }                                                                                                              \
    } while (0)

/* ---- clients ---- */

static inline int dial_with_buffer(struct server *s, int receive_buffer)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(net_port(s->net)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval timeout = {.tv_sec = RECEIVE_TIMEOUT_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    if (receive_buffer)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static inline int dial(struct server *s)
{
    return dial_with_buffer(s, 0);
}

static inline void put(int fd, const void *data, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = send(fd, (const char *)data + done, len - done, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* the peer's end is what a test looks at */
        done += (size_t)n;
    }
}

static inline void put_text(int fd, const char *text)
{
    put(fd, text, strlen(text));
}

/* Reads exactly len bytes; false at the end of the connection, and when nothing comes. */
static inline bool get(int fd, void *data, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = recv(fd, (char *)data + done, len - done, 0);
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

/* How many have something to read, or have ended. */
static inline int readable_count(const int *fds, int count)
{
    int readable = 0;
    for (int i = 0; i < count; i++)
        readable += poll(&(struct pollfd){.fd = fds[i], .events = POLLIN}, 1, 0);
    return readable;
}

/* True when the peer has closed in an orderly way and nothing else came. */
static inline bool at_end(int fd)
{
    char c;
    return recv(fd, &c, 1, 0) == 0;
}

struct response {
    int status;
    struct buf head, body;
};

static inline void response_done(struct response *r)
{
    buf_done(&r->head);
    buf_done(&r->body);
}
#define RESPONSE __attribute__((cleanup(response_done))) struct response

/* Value of a header, NULL when absent; valid until the next call. */
static inline const char *header(const struct response *r, const char *name)
{
    static char value[1024];
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\r\n%s: ", name);
    const char *at = r->head.data ? strcasestr(r->head.data, wanted) : NULL;
    if (!at)
        return NULL;
    at += strlen(wanted);
    snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "\r"), at);
    return value;
}

/* Reads one response; its body only when there is one (no_body: the answer to HEAD). */
static inline void read_response(int fd, struct response *r, bool no_body)
{
    r->head.len = r->body.len = 0;
    r->status = 0;
    while (r->head.len < 4 || memcmp(r->head.data + r->head.len - 4, "\r\n\r\n", 4) != 0) {
        char c;
        if (!get(fd, &c, 1))
            return;
        buf_append(&r->head, &c, 1);
    }
    buf_append(&r->head, "", 1);
    r->head.len--;
    r->status = atoi(r->head.data + strlen("HTTP/1.1 "));
    const char *length = no_body ? NULL : header(r, "Content-Length");
    size_t n = length ? (size_t)atol(length) : 0;
    buf_reserve(&r->body, n + 1);
    assert_true(get(fd, r->body.data, n));
    r->body.len = n;
    r->body.data[n] = 0;
}

/* One request on a connection of its own. */
static inline void ask(struct server *s, const char *request, struct response *r)
{
    int fd = dial(s);
    put_text(fd, request);
    read_response(fd, r, strncmp(request, "HEAD", 4) == 0);
    close(fd);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: localhost\r\n\r\n"

/* ---- WebSocket clients ---- */

#define WS_REQUEST(path, extra)                                                                                        \
    "GET " path " HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                        \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" extra "\r\n"

static inline void ws_put(int fd, unsigned first_byte, const void *payload, size_t len)
{
    CLEANUP_BUF b = BUF_INIT;
    char header_bytes[14] = {(char)first_byte};
    size_t n = 2;
    if (len < 126) {
        header_bytes[1] = (char)(0x80 | len);
    } else if (len < 65536) {
        header_bytes[1] = (char)0xfe;
        header_bytes[2] = (char)(len >> 8);
        header_bytes[3] = (char)len;
        n = 4;
    } else {
        header_bytes[1] = (char)0xff;
        for (int i = 0; i < 8; i++)
            header_bytes[2 + i] = (char)((uint64_t)len >> (56 - 8 * i));
        n = 10;
    }
    buf_append(&b, header_bytes, n);
    buf_append(&b, "\1\2\3\4", 4);
    size_t start = b.len;
    buf_append(&b, payload, len);
    for (size_t i = 0; i < len; i++)
        b.data[start + i] = (char)(b.data[start + i] ^ (char)(1 + i % 4));
    put(fd, b.data, b.len);
}

struct frame {
    unsigned first_byte;
    struct buf payload;
};

static inline bool ws_get(int fd, struct frame *f)
{
    uint8_t h[2], longer[8] = {0};
    f->payload.len = 0;
    f->first_byte = 0;
    if (!get(fd, h, 2))
        return false;
    size_t len = h[1], bytes = len == 126 ? 2 : len == 127 ? 8 : 0;
    if (bytes) {
        if (!get(fd, longer, bytes))
            return false;
        len = 0;
        for (size_t i = 0; i < bytes; i++)
            len = len << 8 | longer[i];
    }
    buf_reserve(&f->payload, len + 1);
    if (!get(fd, f->payload.data, len))
        return false;
    f->payload.len = len;
    f->payload.data[len] = 0;
    f->first_byte = h[0];
    return true;
}

static inline void frame_done(struct frame *f)
{
    buf_done(&f->payload);
}
#define FRAME __attribute__((cleanup(frame_done))) struct frame

/* Reads on to the close frame and returns its code; 1005 without body, 1006 when there was none. */
static inline int ws_close_code(int fd)
{
    FRAME f = {0};
    while (ws_get(fd, &f))
        if (f.first_byte == 0x88)
            return f.payload.len < 2 ? 1005 : (uint8_t)f.payload.data[0] << 8 | (uint8_t)f.payload.data[1];
    return 1006;
}

static inline int ws_dial_request(struct server *s, const char *request, int receive_buffer)
{
    RESPONSE r = {0};
    int fd = dial_with_buffer(s, receive_buffer);
    put_text(fd, request);
    read_response(fd, &r, true);
    if (r.status != 101)
        fail_msg("handshake: %d", r.status);
    return fd;
}

static inline int ws_dial(struct server *s)
{
    return ws_dial_request(s, WS_REQUEST("/ws", ""), 0);
}

#endif
