/* Subscriptions: what the hub wants, what the broker granted. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "driver.h"
#include "topic.h"

#define ID_MAX 268435455u /* of a subscription identifier */

/* What a SUBACK said, on its way to the hub thread. */
struct grant {
    struct mail mail;
    struct bridge_source_sub *sub;
    bool granted;
    char fault[MQTT_REASON_SIZE];
};

/* ---- hub thread ---- */

static bool id_is_taken(const struct bridge *b, uint32_t id)
{
    const struct bridge_source_sub *s;
    TAILQ_FOREACH(s, &b->subscriptions, entry)
        if (s->id == id)
            return true;
    return false;
}

/* FNV-1a of the filter, so that a session that outlives the process still names the same subscription. */
static uint32_t choose_id(const struct bridge *b, const char *wire)
{
    uint32_t hash = 2166136261u;
    for (const char *c = wire; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    uint32_t id = hash % ID_MAX + 1;
    while (id_is_taken(b, id))
        id = id % ID_MAX + 1;
    return id;
}

static const char *subscription_problem(const struct bridge_subscription *s)
{
    if (strncmp(s->topic, "$share/", 7) == 0)
        return "write the filter without $share/GROUP/ and set mode = \"shared\" and group";
    if (s->from == BRIDGE_FROM_EARLIEST || s->from == BRIDGE_FROM_TIME)
        return "MQTT has no past records: from must be \"latest\"";
    if (s->shared && (!s->group || !*s->group || strpbrk(s->group, "/+#") || !mqtt_text_is_valid(bytes_of(s->group))))
        return "group must not be empty nor contain / + #";
    return mqtt_filter_fault(bytes_of(s->topic));
}

static char *wire_filter(const struct bridge_subscription *s)
{
    struct buf wire = BUF_INIT;
    if (s->shared)
        buf_printf(&wire, "$share/%s/", s->group);
    buf_append_str(&wire, s->topic);
    buf_append(&wire, "", 1);
    return buf_take(&wire);
}

int mqtt_subscribe(struct bridge *b, const struct bridge_subscription *s, void *cookie,
                   struct bridge_source_sub **ret_sub)
{
    const char *problem = subscription_problem(s);
    if (problem) {
        log_error("subscription is not possible", LOG_STR("bridge", b->name), LOG_STR("topic", s->topic),
                  LOG_STR("reason", problem));
        return -EINVAL;
    }
    struct bridge_source_sub *sub = xcalloc(1, sizeof *sub);
    sub->bridge = b;
    sub->cookie = cookie;
    sub->filter = xstrdup(s->topic);
    sub->wire = wire_filter(s);
    sub->qos = s->qos < 0 || s->qos > 2 ? (int)b->options.qos : s->qos;
    sub->id = choose_id(b, sub->wire);
    pthread_mutex_lock(&b->lock);
    TAILQ_INSERT_TAIL(&b->subscriptions, sub, entry);
    mqtt_link_wake(b);
    pthread_mutex_unlock(&b->lock);
    *ret_sub = sub;
    return 0;
}

void mqtt_pause(struct bridge_source_sub *s)
{
    s->paused = true;
}

static void handle_resumed(struct bridge *b, struct mail *m)
{
    free(m);
    mqtt_deliver(b);
}

/* From the loop, so that the hub is not entered from inside its own call. */
void mqtt_resume(struct bridge_source_sub *s)
{
    s->paused = false;
    struct mail *m = xcalloc(1, sizeof *m);
    m->handle = handle_resumed;
    mqtt_mail(s->bridge, m);
}

static void handle_grant(struct bridge *b, struct mail *m)
{
    struct grant *g = (struct grant *)m;
    struct bridge_source_sub *s = g->sub;
    memcpy(s->fault, g->fault, sizeof s->fault);
    if (*s->fault)
        log_warn("subscription is not as asked for", LOG_STR("bridge", b->name), LOG_STR("topic", s->wire),
                 LOG_STR("reason", s->fault));
    if (g->granted && !s->assigned) {
        s->assigned = true;
        b->host_ops->on_assigned(s->cookie, bytes_of(s->filter), 0, 1, bytes_of(b->epoch), -1, -1);
    }
    if (g->granted && !s->caught_up) {
        s->caught_up = true;
        b->host_ops->on_caught_up(s->cookie);
    }
    free(g);
    mqtt_refresh_state(b);
}

const struct bridge_source_sub *mqtt_subscription_fault(const struct bridge *b)
{
    const struct bridge_source_sub *s;
    TAILQ_FOREACH(s, &b->subscriptions, entry)
        if (*s->fault)
            return s;
    return NULL;
}

void mqtt_subscriptions_free(struct bridge *b)
{
    struct bridge_source_sub *s;
    while ((s = TAILQ_FIRST(&b->subscriptions))) {
        TAILQ_REMOVE(&b->subscriptions, s, entry);
        free(s->filter);
        free(s->wire);
        free(s->ready);
        free(s);
    }
}

/* ---- worker and library threads ---- */

static void settle(struct bridge_source_sub *s, int stage)
{
    pthread_mutex_lock(&s->bridge->lock);
    s->stage = stage;
    mqtt_link_wake(s->bridge); /* asks again, or lets publishes go */
    pthread_mutex_unlock(&s->bridge->lock);
}

static struct grant *grant_new(struct bridge_source_sub *s, bool granted)
{
    struct grant *g = xcalloc(1, sizeof *g);
    g->mail.handle = handle_grant;
    g->sub = s;
    g->granted = granted;
    return g;
}

static void report_granted(struct bridge_source_sub *s, int qos)
{
    struct grant *g = grant_new(s, true);
    if (qos < s->qos)
        snprintf(g->fault, sizeof g->fault, "the broker granted QoS %d instead of %d", qos, s->qos);
    settle(s, SUB_SETTLED);
    mqtt_mail(s->bridge, &g->mail);
}

static void report_refused(struct bridge_source_sub *s, int code, const char *text)
{
    struct grant *g = grant_new(s, false);
    snprintf(g->fault, sizeof g->fault, "the broker refused the subscription: %s (code %d)", text, code);
    settle(s, SUB_SETTLED);
    mqtt_mail(s->bridge, &g->mail);
}

static void on_subscribed5(void *sub, MQTTAsync_successData5 *data)
{
    report_granted(sub, data->reasonCode);
}

static void on_subscribed(void *sub, MQTTAsync_successData *data)
{
    report_granted(sub, data->alt.qos);
}

/* Without a code of the broker the connection went away; the subscription is asked for again. */
static void on_subscribe_failed5(void *sub, MQTTAsync_failureData5 *data)
{
    const char *text = MQTTReasonCode_toString(data->reasonCode);
    if (data->reasonCode >= MQTTREASONCODE_UNSPECIFIED_ERROR)
        report_refused(sub, data->reasonCode, text ? text : "?");
    else
        settle(sub, SUB_WANTED);
}

static void on_subscribe_failed(void *sub, MQTTAsync_failureData *data)
{
    if (data->code == MQTT_BAD_SUBSCRIBE)
        report_refused(sub, data->code, "not allowed, or an invalid filter");
    else
        settle(sub, SUB_WANTED);
}

static int send_subscribe(struct bridge *b, struct bridge_source_sub *s, bool with_id)
{
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    MQTTProperty id = {.identifier = MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER, .value.integer4 = s->id};
    response.context = s;
    if (b->options.v5) {
        response.onSuccess5 = on_subscribed5;
        response.onFailure5 = on_subscribe_failed5;
        if (with_id)
            MQTTProperties_add(&response.properties, &id);
    } else {
        response.onSuccess = on_subscribed;
        response.onFailure = on_subscribe_failed;
    }
    int rc = MQTTAsync_subscribe(b->receiving.client, s->wire, s->qos, &response);
    MQTTProperties_free(&response.properties);
    return rc;
}

bool mqtt_subscribe_pending(struct bridge *b)
{
    struct bridge_source_sub *s;
    bool with_id = b->receiving.limits.subscription_ids;
    TAILQ_FOREACH(s, &b->subscriptions, entry)
        if (s->stage == SUB_WANTED)
            break;
    if (!s)
        return false;
    s->stage = SUB_ASKED;
    pthread_mutex_unlock(&b->lock);
    int rc = send_subscribe(b, s, with_id);
    if (rc != MQTTASYNC_SUCCESS && rc != MQTTASYNC_DISCONNECTED)
        report_refused(s, rc, MQTTAsync_strerror(rc));
    pthread_mutex_lock(&b->lock);
    if (rc == MQTTASYNC_DISCONNECTED)
        s->stage = SUB_WANTED;
    return rc == MQTTASYNC_SUCCESS;
}

void mqtt_subscribe_again(struct bridge *b)
{
    struct bridge_source_sub *s;
    TAILQ_FOREACH(s, &b->subscriptions, entry)
        s->stage = SUB_WANTED;
}

bool mqtt_subscriptions_settled(const struct bridge *b)
{
    const struct bridge_source_sub *s;
    TAILQ_FOREACH(s, &b->subscriptions, entry)
        if (s->stage != SUB_SETTLED)
            return false;
    return true;
}
