#include <stdlib.h>

#include "kafka.h"

#define HEADERS_START 4096

static void headers_reserve(struct batch *batch, size_t count)
{
    if (batch->header_capacity >= count)
        return;
    batch->header_capacity = count > HEADERS_START ? count : HEADERS_START;
    batch->headers = xrealloc(batch->headers, batch->header_capacity * sizeof *batch->headers);
}

static void copy_headers(struct batch *batch, struct bridge_record *record, const rd_kafka_headers_t *headers,
                         size_t count)
{
    struct bridge_header *out = batch->headers + batch->header_count;
    for (size_t i = 0; i < count; i++) {
        const char *name;
        const void *value;
        size_t size;
        if (rd_kafka_header_get_all(headers, i, &name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR)
            break;
        out[record->header_count++] = (struct bridge_header){bytes_of(name), {value, size}};
    }
    record->headers = out;
    batch->header_count += record->header_count;
}

static int64_t time_of(const rd_kafka_message_t *message)
{
    rd_kafka_timestamp_type_t type;
    int64_t time_ms = rd_kafka_message_timestamp(message, &type);
    return type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE || time_ms < 0 ? 0 : time_ms;
}

bool batch_add(struct batch *batch, struct bytes topic, const rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers = NULL;
    size_t count = 0;
    if (rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR)
        count = rd_kafka_header_cnt(headers);
    if (count > batch->header_capacity - batch->header_count) {
        if (batch->count)
            return false; /* records of this batch point into the array */
        headers_reserve(batch, count);
    }
    struct bridge_record *record = &batch->records[batch->count++];
    *record = (struct bridge_record){
        .topic = topic,
        .partition = message->partition,
        .offset = message->offset,
        .time_ms = time_of(message),
        .key = {message->key, message->key ? message->key_len : 0},
        .payload = {message->payload, message->payload ? message->len : 0},
    };
    if (count)
        copy_headers(batch, record, headers, count);
    return true;
}
