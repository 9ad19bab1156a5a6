/* Clients of the bus map: each looks at a box and counts what comes, how old it is, and what it costs the server.
 *
 *     bench_viewers --port N [--viewers N] [--look centre|suburb|region|mix] [--km N] [--slow PERCENT] [--plain CHANNEL]
 *                   [--sample N] [--warmup S] [--seconds S] [--server-pid PID]
 *
 * mix: 60 % look at the centre, 35 % at a suburb, 5 % at the whole region; --km is the width of the box, where it is
 * wanted otherwise. Slow ones take 2 KiB a second. --plain: no boxes, everybody subscribes to the whole channel.
 * So that this program is not what is measured, about --sample of the viewers read their messages; from the others the
 * bytes are taken off the socket unseen. Prints {"event":"ready",...} once everybody has got the first message, and after
 * the window {"event":"result",...}. The age of a position is from the vehicle's clock to the reading here; what comes
 * with a reset is no news and has none. */
#include "client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PER_SOURCE     5000
#define CONNECTING_MAX 256
#define READ_MAX       (8 << 20)
#define SLOW_BYTES     2048 /* a second */

enum { TYPE_VIEWPORT = 101, TYPE_VEHICLES = 104, TYPE_VEHICLE = 107 };
#define TYPE_SUBSCRIBE 4294967293u

struct viewer {
    struct client client; /* first: the frame callback gets it */
    bool ready, slow, sampled;
};

struct load {
    struct client_target target;
    struct viewer *viewers;
    size_t count, started, ready, sampled, slow;
    int epoll;
    const char *look, *plain;
    double km, slow_share, sample_share;
    int64_t slow_at_ns;
    uint64_t messages, bytes, vehicles, left, resets; /* bytes: of all that are fast; the others: of the sample */
    struct histogram age;
};

/* Where a kind of viewer looks: the middle of its box lies within `spread` of the place. */
static const struct kind {
    const char *name;
    double latitude, longitude, spread_km, width_km;
} kinds[] = {
    {"centre", 60.175, 24.935, 3, 3},
    {"suburb", 60.22, 24.92, 24, 6},
    {"region", 60.22, 24.92, 4, 90},
};

static double dice(void)
{
    return (double)rand() / ((double)RAND_MAX + 1);
}

static int64_t wall_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * BENCH_SECOND + t.tv_nsec;
}

/* ---- what a viewer asks for ---- */

static const struct kind *kind_of(const struct load *l)
{
    double d = dice();
    if (strcmp(l->look, "mix") == 0)
        return &kinds[d < 0.6 ? 0 : d < 0.95 ? 1 : 2];
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(l->look, kinds[i].name) == 0)
            return &kinds[i];
    bench_fail("--look %s: centre, suburb, region or mix", l->look);
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

static size_t write_viewport(const struct load *l, char *out)
{
    const double km_latitude = 111.2, km_longitude = 55.4; /* of a degree, at 60 degrees north */
    const struct kind *k = kind_of(l);
    double half = (l->km > 0 ? l->km : k->width_km) / 2;
    double latitude = k->latitude + (dice() - 0.5) * k->spread_km / km_latitude;
    double longitude = k->longitude + (dice() - 0.5) * k->spread_km / km_longitude;
    size_t len = write_point(out, 1, longitude - half / km_longitude, latitude - half / km_latitude);
    return len + write_point(out + len, 2, longitude + half / km_longitude, latitude + half / km_latitude);
}

static void ask(struct load *l, struct viewer *v)
{
    char message[256];
    const uint32_t type = l->plain ? TYPE_SUBSCRIBE : TYPE_VIEWPORT;
    size_t len = 4;
    memcpy(message, &type, 4);
    if (l->plain)
        len += (size_t)snprintf(message + 4, sizeof message - 4, "{\"channel\":\"%s\"}", l->plain);
    else
        len += write_viewport(l, message + 4);
    client_send(&v->client, FRAME_BINARY, message, len);
}

/* ---- what it gets ---- */

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

/* Field 7 of a Vehicle is its time in milliseconds. Trains and ferries tell it in whole seconds, as the real feed has it:
 * their age would be up to a second more than it is. */
static void read_vehicle(struct load *l, const unsigned char *at, const unsigned char *end, int64_t now_ns)
{
    l->vehicles++;
    while (at < end) {
        uint64_t tag = varint(&at, end), value = varint(&at, end);
        if ((tag & 7) == 2)
            at += value;
        if (tag >> 3 != 7)
            continue;
        int64_t time_ms = (int64_t)(value >> 1);
        if (time_ms % 1000)
            histogram_add(&l->age, now_ns - time_ms * 1000000);
        return;
    }
}

/* Field 1 of a Batch says that it is a reset, 3 are vehicles and 4 those that left. */
static void read_batch(struct load *l, const unsigned char *at, const unsigned char *end, int64_t now_ns)
{
    bool reset = false;
    while (at < end) {
        uint64_t tag = varint(&at, end), value = varint(&at, end);
        reset |= tag >> 3 == 1;
        if ((tag & 7) != 2)
            continue;
        if (tag >> 3 == 3 && !reset)
            read_vehicle(l, at, at + value, now_ns);
        l->left += tag >> 3 == 4;
        at += value;
    }
    l->resets += reset;
}

static void on_frame(struct client *c, const struct frame *f, void *arg)
{
    struct load *l = arg;
    struct viewer *v = (struct viewer *)c;
    const unsigned char *at = (const unsigned char *)f->payload, *end = at + f->len;
    uint32_t type = 0;
    if (f->len < sizeof type)
        return;
    memcpy(&type, at, sizeof type);
    if (!v->ready) {
        v->ready = true;
        l->ready++;
    }
    if (!v->sampled || (type != TYPE_VEHICLES && type != TYPE_VEHICLE))
        return;
    l->messages++;
    if (type == TYPE_VEHICLES)
        read_batch(l, at + sizeof type, end, wall_ns());
    else
        read_vehicle(l, at + sizeof type, end, wall_ns());
}

/* Bytes that the viewer does not look at. */
static size_t skip(struct viewer *v, size_t max)
{
    ssize_t n = recv(v->client.fd, NULL, max, MSG_TRUNC);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        v->client.state = CLIENT_CLOSED;
    return n > 0 ? (size_t)n : 0;
}

/* ---- connections ---- */

static void start(struct load *l)
{
    struct viewer *v = &l->viewers[l->started];
    struct epoll_event e = {.events = EPOLLOUT, .data.ptr = v};
    const int little = SLOW_BYTES;
    v->slow = dice() < l->slow_share;
    v->sampled = !v->slow && dice() < l->sample_share;
    l->slow += v->slow;
    l->sampled += v->sampled;
    client_open(&v->client, &l->target, 2 + (unsigned)(l->started / PER_SOURCE));
    if (v->slow)
        setsockopt(v->client.fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, v->client.fd, &e) < 0)
        bench_fail("epoll_ctl: %s", strerror(errno));
    l->started++;
}

static void read_all(struct load *l, struct viewer *v)
{
    enum client_state before = v->client.state;
    uint64_t bytes = client_read(&v->client, on_frame, l);
    l->bytes += v->slow ? 0 : bytes;
    if (before == CLIENT_HANDSHAKE && v->client.state == CLIENT_OPEN)
        ask(l, v);
    if (v->ready && v->slow)
        epoll_ctl(l->epoll, EPOLL_CTL_DEL, v->client.fd, NULL);
}

static void on_event(struct load *l, struct viewer *v)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = v};
    if (v->client.state == CLIENT_CONNECTING) {
        client_send_handshake(&v->client, &l->target);
        epoll_ctl(l->epoll, EPOLL_CTL_MOD, v->client.fd, &e);
    } else if (v->ready && !v->sampled) {
        l->bytes += skip(v, READ_MAX);
    } else {
        read_all(l, v);
    }
    if (v->client.state == CLIENT_CLOSED)
        bench_fail("a connection was closed");
}

/* Once a second each of the slow ones takes a little. */
static void serve_slow(struct load *l, int64_t now_ns)
{
    if (now_ns < l->slow_at_ns)
        return;
    l->slow_at_ns = now_ns + BENCH_SECOND;
    for (size_t i = 0; l->slow && i < l->started; i++)
        if (l->viewers[i].slow && l->viewers[i].ready)
            skip(&l->viewers[i], SLOW_BYTES);
}

/* Runs until the time is over, or until all are ready when `until_ready`. */
static void run(struct load *l, double seconds, bool until_ready)
{
    struct epoll_event events[512];
    int64_t now_ns = bench_now_ns(), deadline_ns = now_ns + (int64_t)(seconds * 1e9);
    for (; now_ns < deadline_ns && !(until_ready && l->ready == l->count); now_ns = bench_now_ns()) {
        while (l->started < l->count && l->started - l->ready < CONNECTING_MAX)
            start(l);
        serve_slow(l, now_ns);
        int n = epoll_wait(l->epoll, events, 512, 10);
        for (int i = 0; i < n; i++)
            on_event(l, events[i].data.ptr);
    }
}

/* ---- results ---- */

static void connect_all(struct load *l)
{
    int64_t start_ns = bench_now_ns();
    run(l, 90, true);
    if (l->ready < l->count)
        bench_fail("only %zu of %zu viewers got anything", l->ready, l->count);
    printf("{\"event\":\"ready\",\"viewers\":%zu,\"slow\":%zu,\"sampled\":%zu,\"seconds\":%.3f}\n", l->count, l->slow,
           l->sampled, (double)(bench_now_ns() - start_ns) / 1e9);
    fflush(stdout);
}

static void measure(struct load *l, double seconds, pid_t server)
{
    l->messages = l->bytes = l->vehicles = l->left = l->resets = 0;
    histogram_reset(&l->age);
    int64_t server_ns = bench_process_cpu_ns(server), client_ns = bench_process_cpu_ns(getpid()), start_ns = bench_now_ns();
    run(l, seconds, false);
    seconds = (double)(bench_now_ns() - start_ns) / 1e9;
    server_ns = bench_process_cpu_ns(server) - server_ns;
    client_ns = bench_process_cpu_ns(getpid()) - client_ns;
    double sample = (l->sampled ? (double)l->sampled : 1) * seconds, fast = (double)(l->count - l->slow) * seconds;
    printf("{\"event\":\"result\",\"seconds\":%.2f,\"server_cpu\":%.4f,\"client_cpu\":%.4f,\"messages_per_viewer\":%.2f,"
           "\"vehicles_per_message\":%.1f,\"vehicles_per_viewer\":%.1f,\"bytes_per_viewer\":%.0f,\"left\":%" PRIu64
           ",\"resets\":%" PRIu64 ",\"p50_ms\":%.1f,\"p99_ms\":%.1f,\"max_ms\":%.1f,\"server_bytes\":%" PRId64 "}\n",
           seconds, (double)server_ns / 1e9 / seconds, (double)client_ns / 1e9 / seconds, (double)l->messages / sample,
           l->messages ? (double)l->vehicles / (double)l->messages : 0, (double)l->vehicles / sample,
           fast > 0 ? (double)l->bytes / fast : 0, l->left, l->resets, (double)histogram_quantile(&l->age, 0.5) / 1e6,
           (double)histogram_quantile(&l->age, 0.99) / 1e6, (double)l->age.max / 1e6, bench_resident_bytes(server));
}

int main(int argc, char **argv)
{
    static struct load l;
    l.target = (struct client_target){.port = (uint16_t)bench_arg_int(argc, argv, "port", 0), .path = "/ws?codec=protobuf"};
    l.count = (size_t)bench_arg_int(argc, argv, "viewers", 1000);
    l.look = bench_arg(argc, argv, "look", "mix");
    l.plain = bench_arg(argc, argv, "plain", NULL);
    l.km = bench_arg_number(argc, argv, "km", 0);
    l.slow_share = bench_arg_number(argc, argv, "slow", 0) / 100;
    l.sample_share = bench_arg_number(argc, argv, "sample", 300) / (double)l.count;
    l.viewers = calloc(l.count, sizeof *l.viewers);
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!l.viewers || l.epoll < 0 || !l.target.port)
        bench_fail("--port is needed, and memory for %zu viewers", l.count);
    bench_raise_fd_limit();
    connect_all(&l);
    run(&l, bench_arg_number(argc, argv, "warmup", 3), false);
    measure(&l, bench_arg_number(argc, argv, "seconds", 10), (pid_t)bench_arg_int(argc, argv, "server-pid", 0));
    for (size_t i = 0; i < l.count; i++)
        client_done(&l.viewers[i].client);
    free(l.viewers);
    return 0;
}
