/* Publishing, the hub's side: a publish is checked, copied and queued, and answered exactly once. */
#include "publish.h"

#include <stdio.h>
#include <stdlib.h>

#include "properties.h"
#include "topic.h"
#include "util/clock.h"

#define PACKET_LIMIT 268435455u /* MQTT's own */
#define PACKET_OVERHEAD 32u     /* fixed header, lengths, packet id, alias room */
#define EXPIRY_GRACE_MS 10

void publish_free(struct publish *p)
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

void publish_conclude(struct publish *p, enum bridge_outcome outcome, const char *reason)
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
        publish_conclude(p, full ? BRIDGE_RETRYABLE : BRIDGE_REFUSED, fault);
    } else if (b->closing) {
        publish_conclude(p, BRIDGE_RETRYABLE, "bridge is closing");
    } else if (!mqtt_window_is_open(b) && b->outgoing_count >= b->options.max_buffered) {
        publish_conclude(p, BRIDGE_RETRYABLE, "not connected, and max_buffered publishes wait already");
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

/* A publish whose time is over. One that the library does not have leaves its list. */
static void expire(struct bridge *b, struct publish *p)
{
    pthread_mutex_lock(&b->lock);
    enum publish_stage stage = p->stage;
    bool tried = p->attempts > 0;
    if (stage == PUBLISH_OUTGOING) {
        TAILQ_REMOVE(&b->outgoing, p, entry);
        b->outgoing_count--;
    }
    p->answered = stage == PUBLISH_HANDED;
    pthread_mutex_unlock(&b->lock);
    if (stage == PUBLISH_DONE)
        return; /* its mail is on the way */
    if (tried)
        answer(b, p, BRIDGE_UNKNOWN, "sent, but not acknowledged in time");
    else
        answer(b, p, BRIDGE_RETRYABLE, "not sent: no connection, or the broker takes no more");
    if (stage == PUBLISH_OUTGOING)
        publish_free(p);
}

/* All publishes have the same time, so the oldest is the next to expire. */
void mqtt_on_expiry(uv_timer_t *timer)
{
    struct bridge *b = timer->data;
    uint64_t now = clock_mono_ms();
    for (struct publish *p = TAILQ_FIRST(&b->pending), *next; p && p->deadline_ms <= now; p = next) {
        next = TAILQ_NEXT(p, pending);
        expire(b, p);
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
        if (!p->attempts)
            answer(b, p, BRIDGE_RETRYABLE, "not sent before the bridge was closed");
        else
            answer(b, p, BRIDGE_UNKNOWN, "sent, but not acknowledged before the bridge was closed");
    }
    free_list(&b->outgoing);
    free_list(&b->handed);
}
