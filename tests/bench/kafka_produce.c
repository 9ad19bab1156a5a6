/* Produces stamped records into a Kafka topic: at an exact rate until SIGTERM, or a number of them as fast as it goes.
 *
 *     bench_kafka --servers HOST:PORT --topic NAME [--data-size BYTES] [--keys N] (--rate N | --fill N)
 *
 * Keys are k0 to k(N-1) in turn; 0 keys means none. All records go to partition 0. Prints JSON when done. */
#include "tools.h"

#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct producer {
    rd_kafka_t *kafka;
    const char *topic;
    char *data, *stamp;
    size_t data_size;
    int64_t keys, sequence;
    uint64_t delivered, failed;
};

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
}

static void on_delivered(rd_kafka_t *kafka, const rd_kafka_message_t *m, void *opaque)
{
    struct producer *p = opaque;
    (void)kafka;
    if (!m->err)
        p->delivered++;
    else if (!p->failed++)
        fprintf(stderr, "bench_kafka: %s\n", rd_kafka_err2str(m->err));
}

static void setting(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char error[256];
    if (rd_kafka_conf_set(conf, name, value, error, sizeof(error)) != RD_KAFKA_CONF_OK)
        bench_fail("%s", error);
}

static void producer_open(struct producer *p, const char *servers, bool fill)
{
    char error[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    setting(conf, "bootstrap.servers", servers);
    setting(conf, "linger.ms", fill ? "50" : "0");
    setting(conf, "batch.num.messages", "10000");
    setting(conf, "queue.buffering.max.messages", "200000");
    setting(conf, "acks", fill ? "1" : "all");
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivered);
    rd_kafka_conf_set_opaque(conf, p);
    p->kafka = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof(error));
    if (!p->kafka)
        bench_fail("%s", error);
}

static void produce(struct producer *p)
{
    char key[32];
    int key_len = p->keys ? snprintf(key, sizeof(key), "k%" PRId64, p->sequence % p->keys) : 0;
    rd_kafka_resp_err_t error;
    stamp_write(p->stamp, (struct stamp){bench_now_ns(), ++p->sequence});
    do {
        error = rd_kafka_producev(p->kafka, RD_KAFKA_V_TOPIC(p->topic), RD_KAFKA_V_PARTITION(0),
                                  RD_KAFKA_V_KEY(p->keys ? key : NULL, (size_t)key_len),
                                  RD_KAFKA_V_VALUE(p->data, p->data_size),
                                  RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
        rd_kafka_poll(p->kafka, error == RD_KAFKA_RESP_ERR__QUEUE_FULL ? 10 : 0);
    } while (error == RD_KAFKA_RESP_ERR__QUEUE_FULL);
    if (error)
        bench_fail("%s", rd_kafka_err2str(error));
}

static void produce_at_rate(struct producer *p, double rate)
{
    int64_t interval = llround(1e9 / rate), next = bench_now_ns();
    while (!stopping) {
        struct timespec until = {next / BENCH_SECOND, next % BENCH_SECOND};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        produce(p);
        next += interval;
    }
}

int main(int argc, char **argv)
{
    struct producer p = {.topic = bench_arg(argc, argv, "topic", "bench"),
                         .keys = bench_arg_int(argc, argv, "keys", 0),
                         .data_size = (size_t)bench_arg_int(argc, argv, "data-size", 64)};
    int64_t fill = bench_arg_int(argc, argv, "fill", 0);
    double rate = bench_arg_number(argc, argv, "rate", 0);
    if (fill <= 0 && rate <= 0)
        bench_fail("--fill or --rate is needed");
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    p.data = malloc(p.data_size);
    if (!p.data)
        bench_fail("out of memory");
    p.stamp = stamped_object_init(p.data, p.data_size);
    producer_open(&p, bench_arg(argc, argv, "servers", "127.0.0.1:9092"), fill > 0);
    int64_t start = bench_now_ns();
    while (p.sequence < fill)
        produce(&p);
    if (rate > 0)
        produce_at_rate(&p, rate);
    rd_kafka_flush(p.kafka, 30000);
    double seconds = (double)(bench_now_ns() - start) / 1e9;
    printf("{\"event\":\"result\",\"seconds\":%.4f,\"sent\":%" PRId64 ",\"per_second\":%.1f,\"delivered\":%" PRIu64
           ",\"failed\":%" PRIu64 "}\n",
           seconds, p.sequence, (double)p.sequence / seconds, p.delivered, p.failed);
    rd_kafka_destroy(p.kafka);
    free(p.data);
    return 0;
}
