/* Clients of the bus map: each looks at a box and counts what comes, how old it is, and what it costs the server.
 *
 *     bench_viewers --port N [--viewers N] [--km N] [--mixed] [--slow PERCENT] [--seconds S] [--server-pid PID]
 *
 * Boxes are --km wide and lie around the city's centre; with --mixed from a tenth to ten times as wide. Slow ones read
 * nothing. Prints one JSON line. The age of a position is from the vehicle's clock to the reading here. */
#include "client.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define PER_SOURCE 5000
#define VIEWPORT 101
#define VEHICLES 104

struct viewer {
    struct client client; /* first */
    bool slow;
};

struct load {
    struct client_target target;
    struct viewer *viewers;
    size_t count, started, open;
    int epoll;
    double km;
    bool mixed, measuring;
    unsigned slow_percent;
    uint64_t messages, bytes, vehicles, left, resets;
    struct histogram age;
};

static double dice(void)
{
    return (double)rand() / RAND_MAX;
}

static int64_t wall_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static size_t write_point(char *out, unsigned field, double longitude, double latitude)
{
    out[0] = (char)(field << 3 | 2);
    out[1] = 18;
    out[2] = 9;
    memcpy(out + 3, &longitude, 8);
    out[11] = 17;
    memcpy(out + 12, &latitude, 8);
    return 20;
}

static void look(struct load *l, struct viewer *v)
{
    char message[64];
    const uint32_t type = VIEWPORT;
    double half = l->km / 2 * (l->mixed ? pow(10, dice() * 2 - 1) : 1);
    double latitude = 60.18 + (dice() - 0.5) * 0.04, longitude = 24.92 + (dice() - 0.5) * 0.08;
    size_t len = 4;
    memcpy(message, &type, 4);
    len += write_point(message + len, 1, longitude - half / 55.4, latitude - half / 111.2);
    len += write_point(message + len, 2, longitude + half / 55.4, latitude + half / 111.2);
    client_send(&v->client, FRAME_BINARY, message, len);
}

static uint64_t varint(const unsigned char **at, const unsigned char *end)
{
    uint64_t value = 0;
    for (unsigned shift = 0; *at < end; shift += 7) {
        unsigned char byte = *(*at)++;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            break;
    }
    return value;
}

/* Field 7 of a Vehicle is its time. */
static void read_vehicle(struct load *l, const unsigned char *at, const unsigned char *end, int64_t now_us)
{
    l->vehicles++;
    while (at < end) {
        uint64_t tag = varint(&at, end), value = varint(&at, end);
        if ((tag & 7) == 2)
            at += value;
        if (tag >> 3 != 7)
            continue;
        int64_t time_ms = (int64_t)(value >> 1);
        histogram_add(&l->age, (now_us - time_ms * 1000) * 1000);
        return;
    }
}

static void on_frame(struct client *c, const struct frame *f, void *arg)
{
    struct load *l = arg;
    const unsigned char *at = (const unsigned char *)f->payload + 4, *end = at + f->len - 4;
    uint32_t type = 0;
    (void)c;
    if (f->len < 4 || !l->measuring)
        return;
    memcpy(&type, f->payload, 4);
    if (type != VEHICLES)
        return;
    int64_t now_us = wall_us();
    l->messages++;
    l->bytes += f->len;
    while (at < end) {
        uint64_t tag = varint(&at, end), value = varint(&at, end);
        if (tag >> 3 == 1)
            l->resets++;
        if ((tag & 7) != 2)
            continue;
        if (tag >> 3 == 3)
            read_vehicle(l, at, at + value, now_us);
        else
            l->left++;
        at += value;
    }
}

static void start(struct load *l)
{
    struct viewer *v = &l->viewers[l->started];
    struct epoll_event e = {.events = EPOLLOUT, .data.ptr = v};
    v->slow = l->started % 100 < l->slow_percent;
    client_open(&v->client, &l->target, 2 + (unsigned)(l->started / PER_SOURCE));
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, v->client.fd, &e) < 0)
        bench_fail("epoll_ctl: %s", strerror(errno));
    l->started++;
}

static void on_event(struct load *l, struct viewer *v)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = v};
    if (v->client.state == CLIENT_CONNECTING) {
        client_send_handshake(&v->client, &l->target);
        epoll_ctl(l->epoll, EPOLL_CTL_MOD, v->client.fd, &e);
        return;
    }
    enum client_state before = v->client.state;
    client_read(&v->client, on_frame, l);
    if (before == CLIENT_HANDSHAKE && v->client.state == CLIENT_OPEN) {
        look(l, v);
        l->open++;
        if (v->slow)
            epoll_ctl(l->epoll, EPOLL_CTL_DEL, v->client.fd, &e);
    }
    if (v->client.state == CLIENT_CLOSED)
        bench_fail("a connection was closed");
}

static void run(struct load *l, int64_t deadline_ns)
{
    struct epoll_event events[512];
    while (bench_now_ns() < deadline_ns) {
        while (l->started < l->count && l->started - l->open < 200)
            start(l);
        int n = epoll_wait(l->epoll, events, 512, 20);
        for (int i = 0; i < n; i++)
            on_event(l, events[i].data.ptr);
        if (!l->measuring && l->open == l->count)
            return;
    }
}

static long memory_kb(pid_t pid)
{
    char path[64], line[200];
    long kb = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmRSS: %ld", &kb) == 1)
            break;
    if (f)
        fclose(f);
    return kb;
}

int main(int argc, char **argv)
{
    static struct load l;
    pid_t server = (pid_t)bench_arg_int(argc, argv, "server-pid", 0);
    double seconds = bench_arg_number(argc, argv, "seconds", 10);
    l.target = (struct client_target){.port = (uint16_t)bench_arg_int(argc, argv, "port", 0), .path = "/ws?codec=protobuf"};
    l.count = (size_t)bench_arg_int(argc, argv, "viewers", 1000);
    l.km = bench_arg_number(argc, argv, "km", 4);
    l.mixed = bench_arg_flag(argc, argv, "mixed");
    l.slow_percent = (unsigned)bench_arg_int(argc, argv, "slow", 0);
    l.viewers = calloc(l.count, sizeof *l.viewers);
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!l.viewers || l.epoll < 0 || !l.target.port)
        bench_fail("--port is needed, and memory for %zu viewers", l.count);
    bench_raise_fd_limit();
    run(&l, bench_now_ns() + 120 * BENCH_SECOND);
    if (l.open < l.count)
        bench_fail("only %zu viewers came in", l.open);
    l.measuring = true;
    run(&l, bench_now_ns() + 3 * BENCH_SECOND);
    l.messages = l.bytes = l.vehicles = l.left = l.resets = 0;
    histogram_reset(&l.age);
    int64_t cpu_ns = bench_process_cpu_ns(server), began_ns = bench_now_ns();
    run(&l, began_ns + (int64_t)(seconds * 1e9));
    seconds = (double)(bench_now_ns() - began_ns) / 1e9;
    cpu_ns = bench_process_cpu_ns(server) - cpu_ns;
    double each = (double)l.count * seconds;
    printf("{\"viewers\":%zu,\"slow_percent\":%u,\"messages_per_second\":%.0f,\"vehicles_per_message\":%.1f,"
           "\"bytes_per_viewer_second\":%.0f,\"left\":%" PRIu64 ",\"resets\":%" PRIu64 ",\"server_cores\":%.3f,"
           "\"server_us_per_viewer_second\":%.1f,\"age_ms\":{\"p50\":%.0f,\"p99\":%.0f,\"max\":%.0f},\"server_kb\":%ld}\n",
           l.count, l.slow_percent, (double)l.messages / seconds, l.messages ? (double)l.vehicles / (double)l.messages : 0,
           (double)l.bytes / each, l.left, l.resets, (double)cpu_ns / 1e9 / seconds, (double)cpu_ns / 1e3 / each,
           (double)histogram_quantile(&l.age, 0.5) / 1e6, (double)histogram_quantile(&l.age, 0.99) / 1e6,
           (double)l.age.max / 1e6, memory_kb(server));
    return 0;
}
