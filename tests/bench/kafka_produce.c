/* Produces stamped records into a Kafka topic: at an exact rate until SIGTERM, or a number of them as fast as it goes.
 *
 *     bench_kafka --servers HOST:PORT --topic NAME [--data-size BYTES] [--keys N] (--rate N | --fill N)
 *
 * Keys are k0 to k(N-1) in turn; 0 keys means none. All records go to partition 0. Prints JSON when done. */
#include "kafka_producer.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct source {
    struct kafka_producer producer;
    char *data, *stamp;
    size_t data_size;
    int64_t keys, sequence;
};

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
}

static void produce(struct source *s)
{
    char key[32];
    int key_len = s->keys ? snprintf(key, sizeof(key), "k%" PRId64, s->sequence % s->keys) : 0;
    stamp_write(s->stamp, (struct stamp){bench_now_ns(), ++s->sequence});
    const struct kafka_record r = {
        .key = s->keys ? key : NULL, .key_len = (size_t)key_len, .data = s->data, .data_len = s->data_size};
    kafka_produce(&s->producer, &r);
}

static void produce_at_rate(struct source *s, double rate)
{
    int64_t interval = llround(1e9 / rate), next = bench_now_ns();
    while (!stopping) {
        struct timespec until = {next / BENCH_SECOND, next % BENCH_SECOND};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        produce(s);
        next += interval;
    }
}

int main(int argc, char **argv)
{
    struct source s = {.keys = bench_arg_int(argc, argv, "keys", 0),
                       .data_size = (size_t)bench_arg_int(argc, argv, "data-size", 64)};
    int64_t fill = bench_arg_int(argc, argv, "fill", 0);
    double rate = bench_arg_number(argc, argv, "rate", 0);
    if (fill <= 0 && rate <= 0)
        bench_fail("--fill or --rate is needed");
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    s.data = malloc(s.data_size);
    if (!s.data)
        bench_fail("out of memory");
    s.stamp = stamped_object_init(s.data, s.data_size);
    kafka_producer_open(&s.producer, bench_arg(argc, argv, "servers", "127.0.0.1:9092"),
                        bench_arg(argc, argv, "topic", "bench"), fill > 0);
    while (s.sequence < fill)
        produce(&s);
    if (rate > 0)
        produce_at_rate(&s, rate);
    kafka_producer_close(&s.producer);
    free(s.data);
    return 0;
}
