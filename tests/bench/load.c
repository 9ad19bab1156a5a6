/* The load client: opens many WebSocket connections, counts what arrives and how long it took, prints JSON lines.
 *
 *     bench_load --port N --path PATH --connections N [--first TEXT] [--source HOST] [--warmup S] [--seconds S]
 *                [--server-pid PID] [--stream]
 *
 * --first is sent on each connection once it is open; a connection then counts as ready when anything came back.
 * --stream reads server-sent events instead of a WebSocket.
 * --source is the last part of the first client address 127.0.0.x (2); 5,000 connections go out by each address.
 * Prints {"event":"ready",...} once all connections are ready, then measures for S seconds after the warm-up, with the
 * CPU time of the server taken at the very beginning and end of the window, and prints {"event":"result",...}.
 * A message is a frame with a stamp; other frames (answers) are not counted. The order is checked for each connection:
 * `gaps` counts messages whose number is not one more than the one before. */
#include "client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define CONNECTING_MAX 256
#define PER_SOURCE 5000

struct session {
    struct client client; /* first: the frame callback gets it */
    bool ready;
    int64_t last_sequence;
};

struct load {
    struct client_target target;
    const char *first;
    unsigned source;
    struct session *sessions;
    size_t count, started, ready, closed;
    int epoll;
    int64_t now_ns; /* when the bytes in hand were read */
    uint64_t messages, payload_bytes, other, gaps, reads;
    struct histogram latency;
};

static void session_start(struct load *l)
{
    struct session *s = &l->sessions[l->started];
    struct epoll_event e = {.events = EPOLLOUT, .data.ptr = s};
    client_open(&s->client, &l->target, l->source + (unsigned)(l->started / PER_SOURCE));
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, s->client.fd, &e) < 0)
        bench_fail("epoll_ctl: %s", strerror(errno));
    l->started++;
}

static void session_ready(struct load *l, struct session *s)
{
    if (!s->ready) {
        s->ready = true;
        l->ready++;
    }
}

static void on_frame(struct client *c, const struct frame *f, void *arg)
{
    struct load *l = arg;
    struct session *s = (struct session *)c;
    struct stamp stamp;
    session_ready(l, s);
    if (!stamp_find(f->payload, f->len, &stamp)) {
        l->other++;
        return;
    }
    l->messages++;
    l->payload_bytes += f->len;
    if (s->last_sequence && stamp.sequence != s->last_sequence + 1)
        l->gaps++;
    s->last_sequence = stamp.sequence;
    histogram_add(&l->latency, l->now_ns - stamp.sent_ns);
}

static void on_opened(struct load *l, struct session *s)
{
    if (l->first)
        client_send(&s->client, FRAME_TEXT, l->first, strlen(l->first));
    else
        session_ready(l, s);
}

static void on_event(struct load *l, struct session *s)
{
    if (s->client.state == CLIENT_CONNECTING) {
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = s};
        client_send_handshake(&s->client, &l->target);
        epoll_ctl(l->epoll, EPOLL_CTL_MOD, s->client.fd, &e);
        return;
    }
    enum client_state before = s->client.state;
    l->reads++;
    client_read(&s->client, on_frame, l);
    if (before == CLIENT_HANDSHAKE && s->client.state == CLIENT_OPEN)
        on_opened(l, s);
    if (s->client.state == CLIENT_CLOSED) {
        client_done(&s->client);
        l->closed++;
    }
}

/* Runs until the time is over, or until all are ready when `until_ready`. */
static void load_run(struct load *l, int64_t deadline_ns, bool until_ready)
{
    struct epoll_event events[512];
    while (!(until_ready && l->ready == l->count)) {
        int64_t left_ns = deadline_ns - bench_now_ns();
        if (left_ns <= 0)
            return;
        while (l->started < l->count && l->started - l->ready - l->closed < CONNECTING_MAX)
            session_start(l);
        struct timespec wait = {left_ns / BENCH_SECOND, left_ns % BENCH_SECOND};
        int n = epoll_pwait2(l->epoll, events, 512, &wait, NULL);
        for (int i = 0; i < n; i++) {
            l->now_ns = bench_now_ns();
            on_event(l, events[i].data.ptr);
        }
    }
}

static void connect_all(struct load *l, pid_t server)
{
    int64_t start = bench_now_ns(), cpu = bench_process_cpu_ns(server);
    load_run(l, start + 60 * BENCH_SECOND, true);
    if (l->ready < l->count)
        bench_fail("%zu of %zu connections are ready after 60 s, %zu were closed", l->ready, l->count, l->closed);
    printf("{\"event\":\"ready\",\"connections\":%zu,\"seconds\":%.4f,\"server_cpu_seconds\":%.4f}\n", l->ready,
           (double)(bench_now_ns() - start) / 1e9, (double)(bench_process_cpu_ns(server) - cpu) / 1e9);
    fflush(stdout);
}

static void counters_reset(struct load *l)
{
    l->messages = l->payload_bytes = l->other = l->gaps = l->reads = 0;
    histogram_reset(&l->latency);
}

static void result_print(const struct load *l, double seconds, int64_t server_ns, int64_t client_ns)
{
    double messages = l->messages ? (double)l->messages : 1;
    printf("{\"event\":\"result\",\"seconds\":%.4f,\"messages\":%" PRIu64 ",\"per_second\":%.0f,\"payload_bytes\":%.2f,"
           "\"other\":%" PRIu64 ",\"gaps\":%" PRIu64 ",\"closed\":%zu,\"messages_per_read\":%.2f,"
           "\"server_cpu\":%.4f,\"client_cpu\":%.4f,\"us_per_message\":%.4f,"
           "\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"max_ms\":%.3f}\n",
           seconds, l->messages, (double)l->messages / seconds, (double)l->payload_bytes / messages, l->other, l->gaps,
           l->closed, l->reads ? (double)l->messages / (double)l->reads : 0, (double)server_ns / 1e9 / seconds,
           (double)client_ns / 1e9 / seconds, (double)server_ns / 1e3 / messages,
           (double)histogram_quantile(&l->latency, 0.5) / 1e6, (double)histogram_quantile(&l->latency, 0.99) / 1e6,
           (double)histogram_quantile(&l->latency, 0.999) / 1e6, (double)l->latency.max / 1e6);
}

static void measure(struct load *l, double warmup, double seconds, pid_t server, pid_t self)
{
    load_run(l, bench_now_ns() + (int64_t)(warmup * 1e9), false);
    counters_reset(l);
    int64_t server_ns = bench_process_cpu_ns(server), client_ns = bench_process_cpu_ns(self), start = bench_now_ns();
    load_run(l, start + (int64_t)(seconds * 1e9), false);
    int64_t end = bench_now_ns();
    server_ns = bench_process_cpu_ns(server) - server_ns;
    client_ns = bench_process_cpu_ns(self) - client_ns;
    result_print(l, (double)(end - start) / 1e9, server_ns, client_ns);
}

int main(int argc, char **argv)
{
    static struct load l;
    pid_t server = (pid_t)bench_arg_int(argc, argv, "server-pid", 0);
    l.target.port = (uint16_t)bench_arg_int(argc, argv, "port", 0);
    l.target.path = bench_arg(argc, argv, "path", "/ws");
    l.target.stream = bench_arg_flag(argc, argv, "stream");
    l.first = bench_arg(argc, argv, "first", NULL);
    l.source = (unsigned)bench_arg_int(argc, argv, "source", 2);
    l.count = (size_t)bench_arg_int(argc, argv, "connections", 1);
    l.sessions = calloc(l.count, sizeof(struct session));
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!l.sessions || l.epoll < 0 || !l.target.port)
        bench_fail("--port is needed, and memory for %zu connections", l.count);
    bench_raise_fd_limit();
    connect_all(&l, server);
    measure(&l, bench_arg_number(argc, argv, "warmup", 1), bench_arg_number(argc, argv, "seconds", 4), server, getpid());
    for (size_t i = 0; i < l.count; i++)
        client_done(&l.sessions[i].client);
    free(l.sessions);
    return 0;
}
