/* The publisher: an exact rate of stamped publications into one channel over one WebSocket of the typed wire.
 *
 *     bench_publish --port N --channel NAME --rate MESSAGES_A_SECOND [--burst N] [--data-size BYTES]
 *
 * A burst is `burst` TYPED_PUBLISH messages in one send(). Every publication is stamped at the moment it is handed to
 * the kernel. Ends on SIGTERM and prints what it did: how many were sent and refused, and how late its
 * own ticks were. */
#include "client.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TYPE_PUBLISH "4294967289"

struct publisher {
    struct client client;
    char *text; /* one message; `stamp` points into its data object */
    char *stamp;
    size_t text_len;
    char *out; /* a burst of frames */
    int64_t burst, interval_ns, sequence;
    uint64_t refused;
    struct histogram late;
};

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
}

/* Without an id nothing is acknowledged; what comes back is a refusal. */
static void on_frame(struct client *c, const struct frame *f, void *arg)
{
    struct publisher *p = arg;
    (void)c;
    if (!memmem(f->payload, f->len, "\"error\"", 7))
        return;
    if (!p->refused++)
        fprintf(stderr, "bench_publish: refused: %.*s\n", (int)(f->len < 200 ? f->len : 200), f->payload);
}

static void connection_open(struct publisher *p, const struct client_target *target)
{
    struct pollfd poll_fd;
    client_open(&p->client, target, 1);
    poll_fd = (struct pollfd){.fd = p->client.fd, .events = POLLOUT};
    poll(&poll_fd, 1, 5000);
    client_send_handshake(&p->client, target);
    poll_fd.events = POLLIN;
    while (p->client.state == CLIENT_HANDSHAKE) {
        if (poll(&poll_fd, 1, 5000) == 0)
            bench_fail("no answer to the handshake");
        client_read(&p->client, on_frame, p);
    }
}

static void message_make(struct publisher *p, const char *channel, size_t data_size)
{
    static const char format[] = "{\"type\":" TYPE_PUBLISH ",\"payload\":{\"channel\":\"%s\",\"data\":";
    size_t capacity = sizeof(format) + strlen(channel) + data_size + 3;
    p->text = malloc(capacity);
    p->out = malloc((size_t)p->burst * (capacity + FRAME_OVERHEAD_MAX));
    if (!p->text || !p->out)
        bench_fail("out of memory");
    p->text_len = (size_t)snprintf(p->text, capacity, format, channel);
    p->stamp = stamped_object_init(p->text + p->text_len, data_size);
    p->text_len += data_size;
    memcpy(p->text + p->text_len, "}}", 2);
    p->text_len += 2;
}

static void burst_send(struct publisher *p)
{
    size_t len = 0;
    int64_t now = bench_now_ns();
    for (int64_t i = 0; i < p->burst; i++) {
        stamp_write(p->stamp, (struct stamp){now, ++p->sequence});
        len += frame_write(p->out + len, FRAME_TEXT, true, p->text, p->text_len);
    }
    client_send_raw(&p->client, p->out, len);
}

/* Reads answers until the given time, or while there are any when it has come already. */
static void answers_read_until(struct publisher *p, int64_t until_ns)
{
    struct pollfd poll_fd = {.fd = p->client.fd, .events = POLLIN};
    for (int64_t left; !stopping && p->client.state == CLIENT_OPEN;) {
        left = until_ns - bench_now_ns();
        struct timespec wait = {left > 0 ? left / BENCH_SECOND : 0, left > 0 ? left % BENCH_SECOND : 0};
        if (ppoll(&poll_fd, 1, &wait, NULL) > 0)
            client_read(&p->client, on_frame, p);
        if (left <= 0)
            return;
    }
}

static void publisher_run(struct publisher *p)
{
    int64_t start = bench_now_ns(), next = start;
    while (!stopping && p->client.state == CLIENT_OPEN) {
        burst_send(p);
        histogram_add(&p->late, bench_now_ns() - next);
        next += p->interval_ns;
        answers_read_until(p, next);
    }
    double seconds = (double)(bench_now_ns() - start) / 1e9;
    bool closed = p->client.state != CLIENT_OPEN;
    stopping = 0;
    answers_read_until(p, bench_now_ns() + BENCH_SECOND / 2);
    printf("{\"event\":\"result\",\"seconds\":%.4f,\"sent\":%" PRId64 ",\"per_second\":%.1f"
           ",\"refused\":%" PRIu64 ",\"closed\":%d,\"late_p99_ms\":%.3f}\n",
           seconds, p->sequence, (double)p->sequence / seconds, p->refused, closed,
           (double)histogram_quantile(&p->late, 0.99) / 1e6);
}

int main(int argc, char **argv)
{
    static struct publisher p;
    struct client_target target = {.port = (uint16_t)bench_arg_int(argc, argv, "port", 0), .path = "/ws"};
    double rate = bench_arg_number(argc, argv, "rate", 1);
    p.burst = bench_arg_int(argc, argv, "burst", 1);
    if (p.burst < 1 || rate <= 0 || !target.port)
        bench_fail("--port is needed; --rate and --burst must be more than 0");
    p.interval_ns = llround(1e9 * (double)p.burst / rate);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    message_make(&p, bench_arg(argc, argv, "channel", "bench:x"), (size_t)bench_arg_int(argc, argv, "data-size", 64));
    connection_open(&p, &target);
    publisher_run(&p);
    client_done(&p.client);
    free(p.text);
    free(p.out);
    return 0;
}
