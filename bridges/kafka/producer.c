#include <stdlib.h>

#include "kafka.h"

#define REPORTS_A_TURN 1024

/* ---- answers that are known before librdkafka was asked ---- */

static void on_later(uv_idle_t *idle)
{
    struct bridge *b = idle->data;
    struct answer *answers = b->answers;
    size_t count = b->answer_count;
    b->answers = NULL;
    b->answer_count = b->answer_capacity = 0;
    uv_idle_stop(idle);
    for (size_t i = 0; i < count; i++) {
        struct bridge_receipt receipt = {answers[i].outcome, -1, -1, answers[i].reason};
        b->pending--;
        b->host_ops->on_published(answers[i].cookie, &receipt);
    }
    free(answers);
}

static void answer_later(struct bridge *b, void *cookie, enum bridge_outcome outcome, const char *reason)
{
    if (b->answer_count == b->answer_capacity) {
        b->answer_capacity = b->answer_capacity ? b->answer_capacity * 2 : 64;
        b->answers = xrealloc(b->answers, b->answer_capacity * sizeof *b->answers);
    }
    b->answers[b->answer_count++] = (struct answer){cookie, outcome, reason};
    b->pending++;
    uv_idle_start(&b->later, on_later);
}

/* ---- errors ---- */

/* A retry of these fails again; whatever is not here may work later. */
static bool is_refusal(rd_kafka_resp_err_t error)
{
    static const rd_kafka_resp_err_t refusals[] = {
        RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,        RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE,
        RD_KAFKA_RESP_ERR_INVALID_RECORD,            RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE,
        RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP,         RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS,
        RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION,           RD_KAFKA_RESP_ERR_POLICY_VIOLATION,
        RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
        RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,     RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
        RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION,        RD_KAFKA_RESP_ERR__INVALID_ARG,
        RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT, RD_KAFKA_RESP_ERR__AUTHENTICATION,
    };
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (refusals[i] == error)
            return true;
    return false;
}

static enum bridge_outcome outcome_of(struct bridge *b, const rd_kafka_message_t *message)
{
    if (!message->err)
        return BRIDGE_STORED;
    if (b->closing && rd_kafka_message_status(message) != RD_KAFKA_MSG_STATUS_PERSISTED)
        return BRIDGE_UNKNOWN; /* the contract of close() */
    switch (rd_kafka_message_status(message)) {
    case RD_KAFKA_MSG_STATUS_PERSISTED:
        return BRIDGE_STORED;
    case RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED:
        return BRIDGE_UNKNOWN;
    default:
        return is_refusal(message->err) ? BRIDGE_REFUSED : BRIDGE_RETRYABLE;
    }
}

/* ---- publish ---- */

static rd_kafka_headers_t *make_headers(const struct bridge_message *m)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(m->header_count);
    for (size_t i = 0; i < m->header_count; i++) {
        const struct bridge_header *h = &m->headers[i];
        rd_kafka_header_add(headers, h->name.data, (ssize_t)h->name.len, h->value.data, (ssize_t)h->value.len);
    }
    return headers;
}

static rd_kafka_resp_err_t produce(struct bridge *b, const struct bridge_message *m, void *cookie)
{
    char topic[TOPIC_NAME_LIMIT + 1];
    memcpy(topic, m->topic.data, m->topic.len);
    topic[m->topic.len] = 0;
    rd_kafka_headers_t *headers = m->header_count ? make_headers(m) : NULL;
    rd_kafka_vu_t values[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = topic},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {(void *)m->payload.data, m->payload.len}},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {(void *)m->key.data, m->key.len}},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = m->time_ms},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = cookie},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers}, /* last: left out when there are none */
    };
    size_t count = sizeof values / sizeof *values - (headers ? 0 : 1);
    rd_kafka_error_t *error = rd_kafka_produceva(b->producer->rk, values, count);
    if (!error)
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    if (headers)
        rd_kafka_headers_destroy(headers);
    return code;
}

void producer_publish(struct bridge *b, const struct bridge_message *m, void *cookie)
{
    if (b->closing) {
        answer_later(b, cookie, BRIDGE_RETRYABLE, "the bridge is closing");
    } else if (!topic_name_valid(m->topic)) {
        answer_later(b, cookie, BRIDGE_REFUSED, "not a Kafka topic name: letters, digits, . _ - and at most 249");
    } else if (b->pending >= b->open.publish_queue) {
        answer_later(b, cookie, BRIDGE_RETRYABLE, "too many publishes wait for the broker");
    } else {
        rd_kafka_resp_err_t error = produce(b, m, cookie);
        if (!error)
            b->pending++;
        else
            answer_later(b, cookie, is_refusal(error) ? BRIDGE_REFUSED : BRIDGE_RETRYABLE, rd_kafka_err2str(error));
    }
}

/* ---- delivery reports ---- */

static void answer(struct bridge *b, const rd_kafka_message_t *message)
{
    struct bridge_receipt receipt = {.outcome = outcome_of(b, message), .partition = -1, .offset = -1};
    if (receipt.outcome == BRIDGE_STORED) {
        receipt.partition = message->partition;
        receipt.offset = message->offset >= 0 ? message->offset : -1;
    } else {
        receipt.reason = rd_kafka_err2str(message->err);
    }
    b->pending--;
    b->host_ops->on_published(message->_private, &receipt);
}

/* One event may carry the reports of a whole batch: it is kept over turns. */
static size_t answer_some(struct client *client, size_t limit)
{
    const rd_kafka_message_t *message;
    size_t count = 0;
    while (count < limit && (message = rd_kafka_event_message_next(client->reports))) {
        answer(client->bridge, message);
        count++;
    }
    if (count < limit) {
        rd_kafka_event_destroy(client->reports);
        client->reports = NULL;
    }
    return count;
}

static bool take_event(struct client *client)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(client->main_queue, 0);
    if (!event)
        return false;
    if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR) {
        client->reports = event;
        return true;
    }
    client_handle_event(client, event);
    rd_kafka_event_destroy(event);
    return true;
}

bool producer_drain(struct watch *watch)
{
    struct client *client = CONTAINER(watch, struct client, main_watch);
    size_t left = REPORTS_A_TURN;
    bool more = true;
    while (left > 0 && (client->reports || (more = take_event(client))))
        left -= client->reports ? answer_some(client, left) : 1;
    return more;
}

void producer_replace(struct bridge *b)
{
    char error[REASON_SIZE];
    struct client *client = client_open(b, ROLE_PRODUCER, NULL, false, NULL, error, sizeof error);
    if (!client) {
        log_error("kafka producer lost", LOG_STR("bridge", b->name), LOG_STR("reason", error));
        return;
    }
    rd_kafka_purge(b->producer->rk,
                   RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
    b->producer = client;
}

void producer_tick(struct bridge *b)
{
    for (struct client *client = b->clients; client; client = client->next)
        if (client->role == ROLE_PRODUCER && client != b->producer && client->rk && !client->reports &&
            rd_kafka_outq_len(client->rk) == 0)
            client_retire(client);
}
