#include "kafka_producer.h"

#include <inttypes.h>
#include <stdio.h>

static void on_delivered(rd_kafka_t *kafka, const rd_kafka_message_t *m, void *opaque)
{
    struct kafka_producer *p = opaque;
    (void)kafka;
    if (!m->err)
        p->delivered++;
    else if (!p->failed++)
        fprintf(stderr, "bench: Kafka: %s\n", rd_kafka_err2str(m->err));
}

static void setting(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char error[256];
    if (rd_kafka_conf_set(conf, name, value, error, sizeof(error)) != RD_KAFKA_CONF_OK)
        bench_fail("%s", error);
}

void kafka_producer_open(struct kafka_producer *p, const char *servers, const char *topic, bool fill)
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
    *p = (struct kafka_producer){.topic = topic, .start_ns = bench_now_ns()};
    p->kafka = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof(error));
    if (!p->kafka)
        bench_fail("%s", error);
}

void kafka_produce(struct kafka_producer *p, const struct kafka_record *r)
{
    rd_kafka_resp_err_t error;
    do {
        rd_kafka_headers_t *headers = r->header_name ? rd_kafka_headers_new(1) : NULL;
        if (headers)
            rd_kafka_header_add(headers, r->header_name, -1, r->header, (ssize_t)r->header_len);
        error = rd_kafka_producev(p->kafka, RD_KAFKA_V_TOPIC(p->topic), RD_KAFKA_V_PARTITION(0),
                                  RD_KAFKA_V_KEY(r->key, r->key_len), RD_KAFKA_V_VALUE((void *)r->data, r->data_len),
                                  RD_KAFKA_V_TIMESTAMP(r->time_ms), RD_KAFKA_V_HEADERS(headers),
                                  RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
        if (error && headers)
            rd_kafka_headers_destroy(headers);
        rd_kafka_poll(p->kafka, error == RD_KAFKA_RESP_ERR__QUEUE_FULL ? 10 : 0);
    } while (error == RD_KAFKA_RESP_ERR__QUEUE_FULL);
    if (error)
        bench_fail("%s", rd_kafka_err2str(error));
    p->sent++;
}

void kafka_producer_close(struct kafka_producer *p)
{
    rd_kafka_flush(p->kafka, 30000);
    double seconds = (double)(bench_now_ns() - p->start_ns) / 1e9;
    printf("{\"event\":\"result\",\"seconds\":%.4f,\"sent\":%" PRIu64 ",\"per_second\":%.1f,\"delivered\":%" PRIu64
           ",\"failed\":%" PRIu64 "}\n",
           seconds, p->sent, (double)p->sent / seconds, p->delivered, p->failed);
    rd_kafka_destroy(p->kafka);
}
