/* A producer of records for one Kafka topic, all in partition 0.
 *
 * Caller's memory from kafka_producer_open() to kafka_producer_close(); what is produced is copied. */
#ifndef BENCH_KAFKA_PRODUCER_H
#define BENCH_KAFKA_PRODUCER_H

#include "tools.h"

#include <librdkafka/rdkafka.h>

struct kafka_producer {
    rd_kafka_t *kafka;
    const char *topic;
    int64_t start_ns;
    uint64_t sent, delivered, failed;
};

struct kafka_record {
    const char *key; /* NULL: none */
    const void *data;
    size_t key_len, data_len;
    int64_t time_ms;         /* 0: now */
    const char *header_name; /* NULL: no header */
    const void *header;
    size_t header_len;
};

/* `fill`: as much as goes; otherwise each record at once, acknowledged by all. */
void kafka_producer_open(struct kafka_producer *p, const char *servers, const char *topic, bool fill);
/* Waits while the queue is full. */
void kafka_produce(struct kafka_producer *p, const struct kafka_record *r);
/* Waits for the acknowledgements and prints what was done as {"event":"result",...}. */
void kafka_producer_close(struct kafka_producer *p);

#endif
