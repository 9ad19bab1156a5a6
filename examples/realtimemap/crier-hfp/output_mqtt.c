/* One MQTT 5 connection through the paho library, which connects again by itself. Its threads call back here.
 *
 * Each message stays in a window until it is finished: written with QoS 0, acknowledged with QoS 1. After a reconnect
 * the unfinished ones are sent again from here, in order, or dropped; the library's own session is not used, because it
 * may send damaged packets from it. */
#include "output.h"

#include "util/clock.h"

#include <MQTTAsync.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define WINDOW           1000
#define DRAIN_MS         5000
#define FAREWELL_MS      2000
#define FIRST_ATTEMPT_MS 3000

struct slot {
    struct mqtt_output *output;
    struct buf payload;
    char *topic;
    bool finished;
};

struct mqtt_output {
    struct output base;
    MQTTAsync client;
    int qos;
    bool reliable;
    pthread_mutex_t lock; /* over all that follows */
    pthread_cond_t changed;
    struct slot window[WINDOW];
    uint64_t head, tail; /* messages that left the window, and that ever entered it */
    bool connected, away, disconnected, interrupted;
};

static struct slot *slot_at(struct mqtt_output *m, uint64_t number)
{
    return &m->window[number % WINDOW];
}

/* ---- library threads ---- */

static void on_connected(void *output, char *cause)
{
    struct mqtt_output *m = output;
    (void)cause;
    pthread_mutex_lock(&m->lock);
    if (m->away)
        fprintf(stderr, "crier-hfp: the broker is back\n");
    m->interrupted = m->base.counts.connected;
    m->connected = m->base.counts.connected = true;
    m->away = false;
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
}

static void set_away(struct mqtt_output *m, const char *reason)
{
    pthread_mutex_lock(&m->lock);
    if (!m->away)
        fprintf(stderr, "crier-hfp: the broker is away (%s); trying again\n", reason);
    m->away = true;
    m->connected = false;
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
}

static void on_lost(void *output, char *cause)
{
    set_away(output, cause ? cause : "connection lost");
}

static void on_connect_failed(void *output, MQTTAsync_failureData5 *data)
{
    const char *text = data->message ? data->message : MQTTAsync_strerror(data->code);
    set_away(output, text ? text : "refused");
}

static void on_sent(void *slot, MQTTAsync_successData5 *data)
{
    struct slot *s = slot;
    struct mqtt_output *m = s->output;
    (void)data;
    pthread_mutex_lock(&m->lock);
    m->base.counts.sent += !s->finished;
    s->finished = true;
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
}

static void on_disconnected(void *output, MQTTAsync_successData5 *data)
{
    struct mqtt_output *m = output;
    (void)data;
    pthread_mutex_lock(&m->lock);
    m->disconnected = true;
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
}

static int on_message(void *output, char *topic, int topic_len, MQTTAsync_message *message)
{
    (void)output, (void)topic_len;
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    return 1;
}

/* ---- our thread; only it moves the ends of the window ---- */

/* Return codes that another attempt may change. */
static bool is_passing(int rc)
{
    return rc == MQTTASYNC_DISCONNECTED || rc == MQTTASYNC_MAX_BUFFERED_MESSAGES || rc == MQTTASYNC_NO_MORE_MSGIDS ||
           rc == MQTTASYNC_OPERATION_INCOMPLETE;
}

/* 0, -EAGAIN, or -EINVAL for what the library does not take. */
static int hand_over(struct mqtt_output *m, struct slot *s)
{
    MQTTAsync_message out = MQTTAsync_message_initializer;
    MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;
    out.payload = s->payload.data;
    out.payloadlen = (int)s->payload.len;
    out.qos = m->qos;
    options.context = s;
    options.onSuccess5 = on_sent;
    int rc = MQTTAsync_sendMessage(m->client, s->topic, &out, &options);
    return rc == MQTTASYNC_SUCCESS ? 0 : is_passing(rc) ? -EAGAIN : -EINVAL;
}

/* Lets go of what is finished at the front. True: there is room, and the broker is there. */
static bool has_room(struct mqtt_output *m)
{
    pthread_mutex_lock(&m->lock);
    for (; m->head < m->tail && slot_at(m, m->head)->finished; m->head++) {
        free(slot_at(m, m->head)->topic);
        buf_done(&slot_at(m, m->head)->payload);
    }
    bool room = m->connected && m->tail - m->head < WINDOW;
    pthread_mutex_unlock(&m->lock);
    return room;
}

static bool is_finished(struct mqtt_output *m, struct slot *s)
{
    pthread_mutex_lock(&m->lock);
    bool finished = s->finished;
    pthread_mutex_unlock(&m->lock);
    return finished;
}

/* What was on its way when the connection broke. */
static int send_again(struct mqtt_output *m)
{
    int r = 0;
    for (uint64_t n = m->head; r == 0 && m->reliable && n < m->tail; n++)
        if (!is_finished(m, slot_at(m, n)))
            r = hand_over(m, slot_at(m, n));
    pthread_mutex_lock(&m->lock);
    for (uint64_t n = m->head; !m->reliable && n < m->tail; n++) {
        m->base.counts.lost += !slot_at(m, n)->finished;
        slot_at(m, n)->finished = true;
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

/* Makes up for a connection that broke. */
static int resume(struct mqtt_output *m)
{
    pthread_mutex_lock(&m->lock);
    bool interrupted = m->interrupted;
    m->interrupted = false;
    pthread_mutex_unlock(&m->lock);
    int r = interrupted ? send_again(m) : 0;
    if (r) {
        pthread_mutex_lock(&m->lock);
        m->interrupted = true;
        pthread_mutex_unlock(&m->lock);
    }
    return r;
}

static int mqtt_flush(struct output *o)
{
    struct mqtt_output *m = (struct mqtt_output *)o;
    if (resume(m) < 0)
        return -EAGAIN;
    has_room(m);
    return m->reliable && m->head < m->tail ? -EAGAIN : 0;
}

static int mqtt_send(struct output *o, const struct output_message *message)
{
    struct mqtt_output *m = (struct mqtt_output *)o;
    if (resume(m) < 0 || !has_room(m))
        return -EAGAIN;
    /* A broker closes the connection for such a topic, again and again. */
    if (memchr(message->topic.data, '#', message->topic.len) || memchr(message->topic.data, '+', message->topic.len)) {
        output_refuse(o, 1, "a topic has # or +");
        return 0;
    }
    struct slot *s = slot_at(m, m->tail);
    *s = (struct slot){.output = m, .topic = bytes_dup(message->topic)};
    buf_append_bytes(&s->payload, message->payload);
    int r = hand_over(m, s);
    if (r == 0) {
        m->tail++;
        return 0;
    }
    free(s->topic);
    buf_done(&s->payload);
    if (r == -EINVAL)
        output_refuse(o, 1, "the MQTT library does not take a message");
    return r == -EINVAL ? 0 : r;
}

static void wait_for(struct mqtt_output *m, bool (*reached)(const struct mqtt_output *m), int ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ms / 1000;
    pthread_mutex_lock(&m->lock);
    while (!reached(m) && pthread_cond_timedwait(&m->changed, &m->lock, &until) == 0)
        ;
    pthread_mutex_unlock(&m->lock);
}

static bool is_decided(const struct mqtt_output *m)
{
    return m->connected || m->away;
}

static bool is_disconnected(const struct mqtt_output *m)
{
    return m->disconnected || !m->connected;
}

static bool is_drained(const struct mqtt_output *m)
{
    bool drained = true;
    for (uint64_t n = m->head; drained && n < m->tail; n++)
        drained = m->window[n % WINDOW].finished;
    return drained || m->interrupted || (!m->connected && !m->reliable);
}

static void drain(struct mqtt_output *m)
{
    uint64_t end_ms = clock_mono_ms() + DRAIN_MS;
    for (uint64_t now = end_ms - DRAIN_MS; now < end_ms && m->head < m->tail; now = clock_mono_ms()) {
        wait_for(m, is_drained, (int)(end_ms - now + 999));
        resume(m);
        if (!has_room(m) && !m->reliable)
            break;
    }
    m->base.counts.lost += m->tail - m->head;
}

static void mqtt_close(struct output *o, struct output_counts *ret_counts)
{
    struct mqtt_output *m = (struct mqtt_output *)o;
    MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer5;
    drain(m);
    options.context = m;
    options.onSuccess5 = on_disconnected;
    options.timeout = FAREWELL_MS;
    if (MQTTAsync_disconnect(m->client, &options) == MQTTASYNC_SUCCESS)
        wait_for(m, is_disconnected, FAREWELL_MS);
    MQTTAsync_destroy(&m->client); /* its threads are done with us now */
    *ret_counts = m->base.counts;
    for (; m->head < m->tail; m->head++) {
        free(slot_at(m, m->head)->topic);
        buf_done(&slot_at(m, m->head)->payload);
    }
    pthread_cond_destroy(&m->changed);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

static const struct output_ops mqtt_ops = {mqtt_send, mqtt_flush, mqtt_close};

static int create_client(struct mqtt_output *m, const char *to)
{
    MQTTAsync_createOptions options = MQTTAsync_createOptions_initializer5;
    char id[64], uri[256];
    snprintf(id, sizeof id, "crier-hfp-%d-%08x", (int)getpid(), (unsigned)clock_mono_ns());
    snprintf(uri, sizeof uri, "tcp://%s", to + strlen("mqtt://"));
    options.allowDisconnectedSendAtAnyTime = 0;
    return MQTTAsync_createWithOptions(&m->client, uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &options);
}

static int start_connecting(struct mqtt_output *m)
{
    MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer5;
    options.context = m;
    options.onFailure5 = on_connect_failed;
    options.cleanstart = 1;
    options.keepAliveInterval = 20;
    options.automaticReconnect = 1;
    options.minRetryInterval = 1;
    options.maxRetryInterval = 8;
    options.maxInflight = WINDOW;
    return MQTTAsync_connect(m->client, &options);
}

int output_new_mqtt(const struct tool_options *options, bool reliable, struct output **ret)
{
    struct mqtt_output *m = xcalloc(1, sizeof *m);
    m->base.ops = &mqtt_ops;
    m->qos = options->qos;
    m->reliable = reliable;
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->changed, NULL);
    int rc = create_client(m, options->to);
    if (rc == MQTTASYNC_SUCCESS) {
        MQTTAsync_setCallbacks(m->client, m, on_lost, on_message, NULL);
        MQTTAsync_setConnected(m->client, m, on_connected);
        rc = start_connecting(m);
    }
    if (rc != MQTTASYNC_SUCCESS) {
        fprintf(stderr, "crier-hfp: --to: %s: %s\n", options->to, MQTTAsync_strerror(rc));
        MQTTAsync_destroy(&m->client);
        free(m);
        return TOOL_USAGE;
    }
    wait_for(m, is_decided, FIRST_ATTEMPT_MS);
    *ret = &m->base;
    return 0;
}
