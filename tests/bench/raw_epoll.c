/* The yardstick: a hand-written epoll WebSocket server that sends the same frames to every client, and nothing else.
 *
 * A tick frames `burst` messages once and hands them to each client in one send(). A client whose socket is full keeps
 * the rest of what it was given and misses ticks until that has gone; the number of such misses is printed at the end.
 *
 *     bench_raw [--rate MESSAGES_A_SECOND | --max] [--burst N] [--size BYTES]
 *
 * Takes a free port and prints it. No --rate and no --max: silent, for measuring idle connections. Ends on SIGTERM. */
#include "tools.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPT_SUFFIX "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define INPUT_MAX 4096

struct peer {
    int fd;
    unsigned index; /* in server.open, once the handshake is done */
    bool open, gone;
    char *input; /* an incomplete request or frame */
    size_t input_len;
    char *unsent;
    size_t unsent_len;
};

struct server {
    int epoll, listener;
    struct peer **open;
    unsigned open_count, open_capacity;
    char *frames; /* of one tick: `burst` frames of `frame_len` bytes, their stamps at `stamp_at` */
    size_t frame_len, stamp_at;
    int64_t burst, sequence;
    int64_t interval_ns; /* between ticks; 0 silent, -1 as fast as it goes */
    int64_t next_ns;
    uint64_t sends, partial_sends, missed;
};

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
}

static void peer_watch(struct server *s, struct peer *p, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = p};
    epoll_ctl(s->epoll, EPOLL_CTL_MOD, p->fd, &e);
}

static void peer_free(struct server *s, struct peer *p)
{
    if (p->open) {
        s->open[p->index] = s->open[--s->open_count];
        s->open[p->index]->index = p->index;
    }
    close(p->fd);
    free(p->input);
    free(p->unsent);
    free(p);
}

/* A failed connection is left to epoll, which reports it as well. */
static void peer_send(struct server *s, struct peer *p, const char *data, size_t len)
{
    ssize_t n = send(p->fd, data, len, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN)
        return;
    size_t sent = n > 0 ? (size_t)n : 0;
    s->sends++;
    if (sent == len)
        return;
    s->partial_sends++;
    p->unsent_len = len - sent;
    p->unsent = malloc(p->unsent_len);
    if (!p->unsent)
        bench_fail("out of memory");
    memcpy(p->unsent, data + sent, p->unsent_len);
    peer_watch(s, p, EPOLLIN | EPOLLOUT);
}

static void on_writable(struct server *s, struct peer *p)
{
    ssize_t n = send(p->fd, p->unsent, p->unsent_len, MSG_NOSIGNAL);
    if (n < 0)
        return;
    p->unsent_len -= (size_t)n;
    memmove(p->unsent, p->unsent + n, p->unsent_len);
    if (p->unsent_len)
        return;
    free(p->unsent);
    p->unsent = NULL;
    peer_watch(s, p, EPOLLIN);
}

static void broadcast(struct server *s)
{
    int64_t now = bench_now_ns();
    for (int64_t i = 0; i < s->burst; i++)
        stamp_write(s->frames + (size_t)i * s->frame_len + s->stamp_at, (struct stamp){now, s->sequence++});
    for (unsigned i = 0; i < s->open_count; i++) {
        if (s->open[i]->unsent)
            s->missed++;
        else
            peer_send(s, s->open[i], s->frames, (size_t)s->burst * s->frame_len);
    }
}

static void handshake_answer(struct server *s, struct peer *p, const char *key, size_t key_len)
{
    char text[128], response[256];
    unsigned char digest[SHA_DIGEST_LENGTH], accept[32];
    int n = snprintf(text, sizeof(text), "%.*s" ACCEPT_SUFFIX, (int)key_len, key);
    SHA1((unsigned char *)text, (size_t)n, digest);
    EVP_EncodeBlock(accept, digest, sizeof(digest));
    n = snprintf(response, sizeof(response),
                 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Accept: %s\r\n\r\n", accept);
    peer_send(s, p, response, (size_t)n);
    if (s->open_count == s->open_capacity) {
        s->open_capacity = s->open_capacity ? s->open_capacity * 2 : 1024;
        s->open = realloc(s->open, s->open_capacity * sizeof(struct peer *));
        if (!s->open)
            bench_fail("out of memory");
    }
    p->open = true;
    p->index = s->open_count;
    s->open[s->open_count++] = p;
}

/* Returns the size of the request, 0 while it is incomplete. */
static size_t handshake_take(struct server *s, struct peer *p, char *data, size_t len)
{
    static const char name[] = "\r\nsec-websocket-key:";
    const char *end = memmem(data, len, "\r\n\r\n", 4);
    if (!end)
        return 0;
    size_t head = (size_t)(end + 4 - data);
    data[head - 2] = '\0';
    const char *key = strcasestr(data, name);
    if (!key) {
        p->gone = true;
        return head;
    }
    key += sizeof(name) - 1;
    key += strspn(key, " ");
    size_t key_len = strcspn(key, " \r");
    if (key_len == 24)
        handshake_answer(s, p, key, key_len);
    else
        p->gone = true;
    return head;
}

static void frame_handle(struct server *s, struct peer *p, const struct frame *f)
{
    char answer[FRAME_OVERHEAD_MAX + 125];
    if ((f->opcode != FRAME_PING && f->opcode != FRAME_CLOSE) || p->unsent)
        return;
    if (f->len > 125) {
        p->gone = true;
        return;
    }
    unsigned opcode = f->opcode == FRAME_PING ? FRAME_PONG : FRAME_CLOSE;
    peer_send(s, p, answer, frame_write(answer, opcode, false, f->payload, f->len));
    p->gone = f->opcode == FRAME_CLOSE;
}

/* Returns how much of the input was taken. */
static size_t input_take(struct server *s, struct peer *p, char *data, size_t len)
{
    struct frame f;
    size_t used = p->open ? 0 : handshake_take(s, p, data, len);
    for (size_t size = 1; p->open && !p->gone && size; used += size) {
        size = frame_next(data + used, len - used, &f);
        if (size)
            frame_handle(s, p, &f);
    }
    return used;
}

static void on_readable(struct server *s, struct peer *p)
{
    char data[INPUT_MAX];
    if (p->input_len)
        memcpy(data, p->input, p->input_len);
    ssize_t n = recv(p->fd, data + p->input_len, sizeof(data) - p->input_len, 0);
    if (n <= 0) {
        p->gone = n == 0 || errno != EAGAIN;
        return;
    }
    size_t len = p->input_len + (size_t)n, used = input_take(s, p, data, len);
    free(p->input);
    p->input = NULL;
    p->input_len = len - used;
    if (p->input_len == sizeof(data))
        p->gone = true;
    if (p->gone || !p->input_len)
        return;
    p->input = malloc(p->input_len);
    if (!p->input)
        bench_fail("out of memory");
    memcpy(p->input, data + used, p->input_len);
}

static void on_connection(struct server *s)
{
    int one = 1;
    for (int fd; (fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct peer *p = calloc(1, sizeof(*p));
        if (!p)
            bench_fail("out of memory");
        p->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = p};
        epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e);
    }
}

static void on_event(struct server *s, const struct epoll_event *e)
{
    struct peer *p = e->data.ptr;
    if (!p) {
        on_connection(s);
        return;
    }
    if (e->events & EPOLLOUT)
        on_writable(s, p);
    if (e->events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        on_readable(s, p);
    if (p->gone)
        peer_free(s, p);
}

/* A tick that comes late does not move those after it, unless the server is a second behind. */
static void tick(struct server *s)
{
    int64_t now = bench_now_ns();
    if (s->interval_ns > 0) {
        if (now < s->next_ns)
            return;
        s->next_ns += s->interval_ns;
        if (s->next_ns < now - BENCH_SECOND)
            s->next_ns = now;
    }
    if (s->interval_ns && s->open_count)
        broadcast(s);
}

static struct timespec time_to_tick(const struct server *s)
{
    int64_t wait = s->interval_ns > 0 ? s->next_ns - bench_now_ns() : s->interval_ns < 0 && s->open_count ? 0 : BENCH_SECOND;
    if (wait < 0)
        wait = 0;
    return (struct timespec){wait / BENCH_SECOND, wait % BENCH_SECOND};
}

static void server_run(struct server *s)
{
    struct epoll_event events[256];
    while (!stopping) {
        struct timespec wait = time_to_tick(s);
        int n = epoll_pwait2(s->epoll, events, 256, &wait, NULL);
        for (int i = 0; i < n; i++)
            on_event(s, &events[i]);
        tick(s);
    }
}

static uint16_t server_listen(struct server *s)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->epoll < 0 || s->listener < 0 || bind(s->listener, (struct sockaddr *)&address, size) < 0 ||
        listen(s->listener, 4096) < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->listener, &e) < 0)
        bench_fail("listen: %s", strerror(errno));
    getsockname(s->listener, (struct sockaddr *)&address, &size);
    return ntohs(address.sin_port);
}

static void frames_make(struct server *s, size_t size)
{
    char *object = malloc(size);
    if (!object)
        bench_fail("out of memory");
    stamped_object_init(object, size);
    s->frames = malloc((size_t)s->burst * (size + FRAME_OVERHEAD_MAX));
    if (!s->frames)
        bench_fail("out of memory");
    for (int64_t i = 0; i < s->burst; i++)
        s->frame_len = frame_write(s->frames + (size_t)i * s->frame_len, FRAME_TEXT, false, object, size);
    s->stamp_at = s->frame_len - size + 6;
    free(object);
}

int main(int argc, char **argv)
{
    struct server s = {.burst = bench_arg_int(argc, argv, "burst", 1), .sequence = 1};
    double rate = bench_arg_number(argc, argv, "rate", 0);
    if (s.burst < 1 || rate < 0)
        bench_fail("--burst must be 1 or more, --rate not negative");
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    bench_raise_fd_limit();
    frames_make(&s, (size_t)bench_arg_int(argc, argv, "size", 128));
    s.interval_ns = bench_arg_flag(argc, argv, "max") ? -1 : rate > 0 ? (int64_t)(1e9 * (double)s.burst / rate) : 0;
    s.next_ns = bench_now_ns();
    printf("raw ready at http://127.0.0.1:%u\n", server_listen(&s));
    fflush(stdout);
    server_run(&s);
    printf("{\"event\":\"result\",\"sends\":%lu,\"partial_sends\":%lu,\"missed\":%lu}\n", s.sends, s.partial_sends,
           s.missed);
    while (s.open_count)
        peer_free(&s, s.open[0]);
    free(s.frames);
    free(s.open);
    return 0;
}
