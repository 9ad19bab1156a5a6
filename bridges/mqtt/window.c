/* The window: publishes that the library has, bounded by max_inflight and the broker's limit.
 *
 * A publish of QoS 1 that was in the window when the connection broke goes out again on the next one, before all others
 * and in the old order, so subscribers see an order in which something may come twice. One of QoS 2 is not sent again,
 * because a second one would be a duplicate that the broker cannot recognise; nor is one of QoS 0. */
#include <stdio.h>
#include <stdlib.h>

#include "publish.h"

/* ---- library threads ---- */

/* Under the lock. */
static void leave_window(struct publish *p)
{
    TAILQ_REMOVE(&p->bridge->handed, p, entry);
    p->bridge->handed_count--;
}

/* Under the lock; `p` is in the window. What the broker refuses now it may have taken on the connection before. */
static void finish_locked(struct publish *p, enum bridge_outcome outcome, const char *reason)
{
    struct bridge *b = p->bridge;
    if (p->attempts > 1 && outcome != BRIDGE_STORED)
        outcome = BRIDGE_UNKNOWN;
    leave_window(p);
    publish_conclude(p, outcome, reason);
    if (b->closing || !TAILQ_EMPTY(&b->outgoing))
        mqtt_link_wake(b);
    if (p->farewell)
        b->farewell_stored = outcome == BRIDGE_STORED;
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

/* The library gave up without a word of the broker. `p` stays in the window; what becomes of it is decided when its
 * client is gone. */
static void leave_connection(struct publish *p)
{
    struct bridge *b = p->bridge;
    pthread_mutex_lock(&b->lock);
    b->publishing.events |= EVENT_LOST;
    mqtt_link_wake(b);
    pthread_mutex_unlock(&b->lock);
}

static void on_send_failed5(void *publish, MQTTAsync_failureData5 *data)
{
    char reason[96];
    if (data->reasonCode < MQTTREASONCODE_UNSPECIFIED_ERROR) {
        leave_connection(publish);
        return;
    }
    const char *text = MQTTReasonCode_toString(data->reasonCode);
    snprintf(reason, sizeof reason, "broker refused the message: %s (code %d)", text ? text : "?", data->reasonCode);
    finish(publish, data->reasonCode == MQTTREASONCODE_QUOTA_EXCEEDED ? BRIDGE_RETRYABLE : BRIDGE_REFUSED, reason);
}

static void on_send_failed(void *publish, MQTTAsync_failureData *data)
{
    (void)data;
    leave_connection(publish);
}

/* ---- worker ---- */

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
    return MQTTAsync_sendMessage(b->publishing.client, p->topic, &message, &response);
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

/* Under the lock. */
static void put_back(struct publish *p)
{
    struct bridge *b = p->bridge;
    leave_window(p);
    p->stage = PUBLISH_OUTGOING;
    TAILQ_INSERT_HEAD(&b->outgoing, p, entry);
    b->outgoing_count++;
}

/* Under the lock: the library would not take it, so nothing was sent now. */
static void handle_not_taken(struct publish *p, int rc)
{
    bool later = rc == MQTTASYNC_DISCONNECTED || rc == MQTTASYNC_MAX_BUFFERED_MESSAGES || rc == MQTTASYNC_NO_MORE_MSGIDS;
    if (!later || p->answered) {
        finish_locked(p, BRIDGE_REFUSED, MQTTAsync_strerror(rc));
        return;
    }
    p->attempts--;
    put_back(p);
}

/* The broker's limit is kept here: what the library holds back itself it looks at again once a second only. */
bool mqtt_window_has_room(const struct bridge *b)
{
    return b->handed_count < b->options.max_inflight && b->handed_count < b->publishing.limits.inflight;
}

/* What the broker can do is known only now. */
static void fit_status(const struct broker_limits *limits, struct publish *p)
{
    p->qos = limits->qos ? 1 : 0;
    p->retain = limits->retain;
}

/* A broker that was killed may know nothing of our subscriptions: until it does, nothing is published that should come
 * back by them. While we have left it with a session that is kept, it queues. */
bool mqtt_window_is_open(const struct bridge *b)
{
    enum phase receiving = b->receiving.phase;
    bool listens = receiving == PHASE_CONNECTED && mqtt_subscriptions_settled(b);
    bool has_left = receiving == PHASE_DISCONNECTING || receiving == PHASE_PARKED;
    return b->publishing.phase == PHASE_CONNECTED && (listens || has_left);
}

bool mqtt_window_send(struct bridge *b)
{
    struct publish *p = TAILQ_FIRST(&b->outgoing);
    if (!p || !mqtt_window_is_open(b) || !mqtt_window_has_room(b))
        return false;
    TAILQ_REMOVE(&b->outgoing, p, entry);
    b->outgoing_count--;
    TAILQ_INSERT_TAIL(&b->handed, p, entry);
    b->handed_count++;
    p->stage = PUBLISH_HANDED;
    p->attempts++;

    if (p->own)
        fit_status(&b->publishing.limits, p);
    const char *fault = limit_fault(&b->publishing.limits, p);
    if (fault) {
        finish_locked(p, BRIDGE_REFUSED, fault);
        return true;
    }
    pthread_mutex_unlock(&b->lock);
    int rc = send_publish(b, p);
    pthread_mutex_lock(&b->lock);
    if (rc == MQTTASYNC_SUCCESS)
        return true; /* `p` may be gone already */
    handle_not_taken(p, rc);
    return false;
}

void mqtt_window_take_back(struct bridge *b)
{
    struct publish *p;
    while ((p = TAILQ_LAST(&b->handed, publish_list)))
        if (p->qos == 1 && !p->answered)
            put_back(p);
        else
            finish_locked(p, BRIDGE_UNKNOWN, "connection lost before the acknowledgement");
}

void mqtt_window_status(struct bridge *b, const char *status)
{
    struct publish *p;
    while ((p = TAILQ_FIRST(&b->outgoing)) && p->own) { /* what was true before is not said any more */
        TAILQ_REMOVE(&b->outgoing, p, entry);
        b->outgoing_count--;
        publish_free(p);
    }
    p = xcalloc(1, sizeof *p);
    p->bridge = b;
    p->own = true;
    p->farewell = b->said_farewell;
    p->topic = xstrdup(b->options.status_topic);
    p->payload = xstrdup(status);
    p->payload_len = strlen(status);
    TAILQ_INSERT_HEAD(&b->outgoing, p, entry);
    b->outgoing_count++;
}
