/* Publishing: hub to library and the broker's answer back.
 *
 * A publish waits in `outgoing` until it is given to the library, then in `handed` until the library reports its end,
 * then it goes to the hub as mail and is freed there. What never left `outgoing` was surely not sent; what timed out in
 * `handed` may have been stored, so its outcome is unknown, and the struct stays until the library lets go of it. */
#include <stdio.h>
#include <stdlib.h>

#include "driver.h"
#include "properties.h"
#include "topic.h"
#include "util/clock.h"

#define PACKET_LIMIT 268435455u /* MQTT's own */
#define PACKET_OVERHEAD 32u     /* fixed header, lengths, packet id, alias room */
#define EXPIRY_GRACE_MS 10

enum publish_stage { PUBLISH_OUTGOING, PUBLISH_HANDED, PUBLISH_DONE };

struct publish {
    struct mail mail;
    struct bridge *bridge;
    TAILQ_ENTRY(publish) pending; /* hub thread */
    TAILQ_ENTRY(publish) entry;   /* outgoing or handed; under the lock */
    enum publish_stage stage;     /* under the lock */
    bool has_slot;                /* under the lock */
    bool answered;                /* under the lock: the hub has its answer */
    bool own;                     /* status message of the driver */
    void *cookie;
    uint64_t deadline_ms;
    char *topic, *payload;
    size_t payload_len, size;
    int qos;
    bool retain;
    MQTTProperties properties;
    enum bridge_outcome outcome;
    char reason[96];
};

static void publish_free(struct publish *p)
{
    MQTTProperties_free(&p->properties);
    free(p->topic);
    free(p->payload);
    free(p);
}

/* ---- hub thread ---- */

static void answer(struct bridge *b, struct publish *p, enum bridge_outcome outcome, const char *reason)
{
    const struct bridge_receipt receipt = {
        .outcome = outcome, .partition = -1, .offset = -1, .reason = outcome == BRIDGE_STORED ? NULL : reason};
    TAILQ_REMOVE(&b->pending, p, pending);
    b->pending_count--;
    b->host_ops->on_published(p->cookie, &receipt);
}

static void handle_published(struct bridge *b, struct mail *m)
{
    struct publish *p = (struct publish *)m;
    if (!p->answered)
        answer(b, p, p->outcome, p->reason);
    publish_free(p);
}

/* Under the lock, or before anyone else knows of `p`. */
static void conclude(struct publish *p, enum bridge_outcome outcome, const char *reason)
{
    p->stage = PUBLISH_DONE;
    p->outcome = outcome;
    snprintf(p->reason, sizeof p->reason, "%s", reason ? reason : "");
}

static const char *message_fault(struct bridge *b, const struct bridge_message *m)
{
    if (b->pending_count > b->publish_queue)
        return "publish queue is full";
    if (m->payload.len > PACKET_LIMIT)
        return "payload is larger than an MQTT packet";
    return mqtt_topic_fault(m->topic);
}

static struct publish *publish_new(struct bridge *b, const struct bridge_message *m, void *cookie)
{
    struct publish *p = xcalloc(1, sizeof *p);
    p->mail.handle = handle_published;
    p->bridge = b;
    p->cookie = cookie;
    p->qos = m->qos < 0 || m->qos > 2 ? (int)b->options.qos : m->qos;
    p->retain = m->retain;
    p->deadline_ms = clock_mono_ms() + b->publish_timeout_ms;
    return p;
}

/* Copies what the library needs. NULL, or what is wrong with it. MQTT 3.1.1 has no place for headers. */
static const char *publish_fill(struct bridge *b, struct publish *p, const struct bridge_message *m)
{
    p->topic = bytes_dup(m->topic);
    p->payload = bytes_dup(m->payload);
    p->payload_len = m->payload.len;
    p->size = PACKET_OVERHEAD + m->topic.len + m->payload.len;
    if (!b->options.v5)
        return NULL;
    const char *fault = mqtt_properties_add(&p->properties, m->headers, m->header_count);
    p->size += (size_t)p->properties.length;
    return fault;
}

static void start_expiry(struct bridge *b)
{
    if (!uv_is_active((uv_handle_t *)&b->expiry))
        uv_timer_start(&b->expiry, mqtt_on_expiry, b->publish_timeout_ms, 0);
}

void mqtt_publish(struct bridge *b, const struct bridge_message *m, void *cookie)
{
    struct publish *p = publish_new(b, m, cookie);
    TAILQ_INSERT_TAIL(&b->pending, p, pending);
    b->pending_count++;
    start_expiry(b);

    const char *fault = message_fault(b, m);
    bool full = b->pending_count > b->publish_queue;
    if (!fault)
        fault = publish_fill(b, p, m);
    pthread_mutex_lock(&b->lock);
    if (fault) {
        conclude(p, full ? BRIDGE_RETRYABLE : BRIDGE_REFUSED, fault);
    } else if (b->closing) {
        conclude(p, BRIDGE_RETRYABLE, "bridge is closing");
    } else if (b->phase != PHASE_CONNECTED && b->outgoing_count >= b->options.max_buffered) {
        conclude(p, BRIDGE_RETRYABLE, "not connected, and max_buffered publishes wait already");
    } else {
        TAILQ_INSERT_TAIL(&b->outgoing, p, entry);
        b->outgoing_count++;
        mqtt_link_wake(b);
    }
    bool concluded = p->stage == PUBLISH_DONE;
    pthread_mutex_unlock(&b->lock);
    if (concluded)
        mqtt_mail(b, &p->mail);
}

/* What is known of a publish whose time is over; one that was never sent leaves its list. */
static enum publish_stage expire(struct bridge *b, struct publish *p)
{
    pthread_mutex_lock(&b->lock);
    enum publish_stage stage = p->stage;
    if (stage == PUBLISH_OUTGOING) {
        TAILQ_REMOVE(&b->outgoing, p, entry);
        b->outgoing_count--;
    }
    p->answered = stage == PUBLISH_HANDED;
    pthread_mutex_unlock(&b->lock);
    return stage;
}

static void expire_one(struct bridge *b, struct publish *p)
{
    enum publish_stage stage = expire(b, p);
    if (stage == PUBLISH_OUTGOING) {
        answer(b, p, BRIDGE_RETRYABLE, "not sent: no connection, or the broker takes no more");
        publish_free(p);
    } else if (stage == PUBLISH_HANDED) {
        answer(b, p, BRIDGE_UNKNOWN, "sent, but not acknowledged in time");
    } /* else its mail is on the way */
}

/* All publishes have the same time, so the oldest is the next to expire. */
void mqtt_on_expiry(uv_timer_t *timer)
{
    struct bridge *b = timer->data;
    uint64_t now = clock_mono_ms();
    for (struct publish *p = TAILQ_FIRST(&b->pending), *next; p && p->deadline_ms <= now; p = next) {
        next = TAILQ_NEXT(p, pending);
        expire_one(b, p);
    }
    struct publish *oldest = TAILQ_FIRST(&b->pending);
    if (oldest)
        uv_timer_start(timer, mqtt_on_expiry,
                       oldest->deadline_ms > now ? oldest->deadline_ms - now : EXPIRY_GRACE_MS, 0);
}

static void free_list(struct publish_list *list)
{
    struct publish *p;
    while ((p = TAILQ_FIRST(list))) {
        TAILQ_REMOVE(list, p, entry);
        publish_free(p);
    }
}

/* No other thread is left, and the mail of concluded ones was handled before. */
void mqtt_publish_abandon(struct bridge *b)
{
    struct publish *p;
    while ((p = TAILQ_FIRST(&b->pending))) {
        if (p->stage == PUBLISH_OUTGOING)
            answer(b, p, BRIDGE_RETRYABLE, "not sent before the bridge was closed");
        else
            answer(b, p, BRIDGE_UNKNOWN, "sent, but not acknowledged before the bridge was closed");
    }
    free_list(&b->outgoing);
    free_list(&b->handed);
}

/* ---- worker and library threads ---- */

/* Under the lock: gives the slot of a handed publish back. */
static void release_slot(struct bridge *b, struct publish *p)
{
    if (p->has_slot)
        b->slots_used--;
    p->has_slot = false;
}

/* Under the lock; `p` is on the handed list. */
static void finish_locked(struct publish *p, enum bridge_outcome outcome, const char *reason)
{
    struct bridge *b = p->bridge;
    TAILQ_REMOVE(&b->handed, p, entry);
    release_slot(b, p);
    conclude(p, outcome, reason);
    if (b->closing || !TAILQ_EMPTY(&b->outgoing))
        mqtt_link_wake(b);
    if (p->own)
        publish_free(p);
    else
        mqtt_mail(b, &p->mail);
}

static void finish(struct publish *p, enum bridge_outcome outcome, const char *reason)
{
    struct bridge *b = p->bridge;
    pthread_mutex_lock(&b->lock);
    finish_locked(p, outcome, reason);
    pthread_mutex_unlock(&b->lock);
}

/* 16 (no matching subscribers) comes here too: the broker has taken the message. */
static void on_sent5(void *publish, MQTTAsync_successData5 *data)
{
    (void)data;
    finish(publish, BRIDGE_STORED, NULL);
}

static void on_sent(void *publish, MQTTAsync_successData *data)
{
    (void)data;
    finish(publish, BRIDGE_STORED, NULL);
}

static void on_send_failed5(void *publish, MQTTAsync_failureData5 *data)
{
    char reason[96];
    if (data->reasonCode < MQTTREASONCODE_UNSPECIFIED_ERROR) {
        finish(publish, BRIDGE_UNKNOWN, "connection lost before the acknowledgement");
        return;
    }
    const char *text = MQTTReasonCode_toString(data->reasonCode);
    snprintf(reason, sizeof reason, "broker refused the message: %s (code %d)", text ? text : "?", data->reasonCode);
    finish(publish, data->reasonCode == MQTTREASONCODE_QUOTA_EXCEEDED ? BRIDGE_RETRYABLE : BRIDGE_REFUSED, reason);
}

static void on_send_failed(void *publish, MQTTAsync_failureData *data)
{
    (void)data;
    finish(publish, BRIDGE_UNKNOWN, "connection lost before the acknowledgement");
}

static int send_publish(struct bridge *b, struct publish *p)
{
    MQTTAsync_message message = MQTTAsync_message_initializer;
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    message.payload = p->payload;
    message.payloadlen = (int)p->payload_len;
    message.qos = p->qos;
    message.retained = p->retain;
    message.properties = p->properties;
    response.context = p;
    if (b->options.v5) {
        response.onSuccess5 = on_sent5;
        response.onFailure5 = on_send_failed5;
    } else {
        response.onSuccess = on_sent;
        response.onFailure = on_send_failed;
    }
    return MQTTAsync_sendMessage(b->client, p->topic, &message, &response);
}

static const char *limit_fault(const struct broker_limits *limits, const struct publish *p)
{
    if (p->size > limits->packet_bytes)
        return "message is larger than the broker allows";
    if (p->qos > limits->qos)
        return "the broker does not support this QoS";
    if (p->retain && !limits->retain)
        return "the broker does not support retained messages";
    return NULL;
}

/* Under the lock: the library would not take it. Nothing was sent. */
static void take_back(struct bridge *b, struct publish *p, int rc)
{
    bool later = rc == MQTTASYNC_DISCONNECTED || rc == MQTTASYNC_MAX_BUFFERED_MESSAGES || rc == MQTTASYNC_NO_MORE_MSGIDS;
    if (!later || p->answered) {
        finish_locked(p, BRIDGE_REFUSED, MQTTAsync_strerror(rc));
        return;
    }
    TAILQ_REMOVE(&b->handed, p, entry);
    release_slot(b, p);
    p->stage = PUBLISH_OUTGOING;
    TAILQ_INSERT_HEAD(&b->outgoing, p, entry);
    b->outgoing_count++;
}

/* The broker's limit is kept here: what the library holds back itself it looks at again once a second only. */
bool mqtt_publish_has_slot(const struct bridge *b)
{
    return b->slots_used < b->options.max_inflight && b->slots_used < b->limits.inflight;
}

bool mqtt_publish_pending(struct bridge *b)
{
    struct publish *p = TAILQ_FIRST(&b->outgoing);
    if (!p || !mqtt_publish_has_slot(b))
        return false;
    TAILQ_REMOVE(&b->outgoing, p, entry);
    b->outgoing_count--;
    TAILQ_INSERT_TAIL(&b->handed, p, entry);
    p->stage = PUBLISH_HANDED;
    p->has_slot = true;
    b->slots_used++;

    const char *fault = limit_fault(&b->limits, p);
    if (fault) {
        finish_locked(p, BRIDGE_REFUSED, fault);
        return true;
    }
    pthread_mutex_unlock(&b->lock);
    int rc = send_publish(b, p);
    pthread_mutex_lock(&b->lock);
    if (rc == MQTTASYNC_SUCCESS)
        return true; /* `p` may be gone already */
    take_back(b, p, rc);
    return false;
}

/* The library forgets a QoS 0 message whose write was cut off by the loss of the connection: it would keep its slot
 * for ever. */
void mqtt_publish_reconnected(struct bridge *b)
{
    struct publish *p;
    TAILQ_FOREACH(p, &b->handed, entry)
        if (p->qos == 0)
            release_slot(b, p);
}

void mqtt_publish_status(struct bridge *b, const char *status)
{
    struct publish *p = xcalloc(1, sizeof *p);
    p->bridge = b;
    p->own = true;
    p->topic = xstrdup(b->options.status_topic);
    p->payload = xstrdup(status);
    p->payload_len = strlen(status);
    p->qos = b->limits.qos ? 1 : 0;
    p->retain = b->limits.retain;
    TAILQ_INSERT_HEAD(&b->outgoing, p, entry);
    b->outgoing_count++;
}
