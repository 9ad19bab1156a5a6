/* One MQTT 5 connection through the paho library, which connects again by itself. Its threads call back here; a window
 * of unfinished messages keeps its queue short. */
#include "output.h"

#include "util/clock.h"

#include <MQTTAsync.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define WINDOW           1000 /* messages that the library has and has not finished */
#define SESSION_S        300
#define DRAIN_MS         5000
#define FAREWELL_MS      2000
#define FIRST_ATTEMPT_MS 3000

struct mqtt_output {
    struct output base;
    MQTTAsync client;
    int qos;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned unfinished;
    bool connected, away, disconnected;
};

/* ---- library threads ---- */

static void on_connected(void *output, char *cause)
{
    struct mqtt_output *m = output;
    (void)cause;
    pthread_mutex_lock(&m->lock);
    if (m->away)
        fprintf(stderr, "crier-hfp: the broker is back\n");
    /* What has no acknowledgement to come was lost with the connection before. */
    if (m->qos == 0)
        m->unfinished = 0;
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
    set_away(output, data->message                    ? data->message
                     : MQTTAsync_strerror(data->code) ? MQTTAsync_strerror(data->code)
                                                      : "refused");
}

static void finish(struct mqtt_output *m, bool sent)
{
    pthread_mutex_lock(&m->lock);
    m->unfinished -= m->unfinished > 0;
    m->base.counts.sent += sent;
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
}

static void on_sent(void *output, MQTTAsync_successData5 *data)
{
    (void)data;
    finish(output, true);
}

static void on_not_sent(void *output, MQTTAsync_failureData5 *data)
{
    (void)data;
    finish(output, false);
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

/* ---- our thread ---- */

static bool may_send(struct mqtt_output *m)
{
    pthread_mutex_lock(&m->lock);
    bool free = m->connected && m->unfinished < WINDOW;
    m->unfinished += free;
    pthread_mutex_unlock(&m->lock);
    return free;
}

static int mqtt_send(struct output *o, const struct output_message *message)
{
    struct mqtt_output *m = (struct mqtt_output *)o;
    if (!may_send(m))
        return -EAGAIN;
    MQTTAsync_message out = MQTTAsync_message_initializer;
    MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;
    char *topic = bytes_dup(message->topic);
    out.payload = (void *)message->payload.data;
    out.payloadlen = (int)message->payload.len;
    out.qos = m->qos;
    options.context = m;
    options.onSuccess5 = on_sent;
    options.onFailure5 = on_not_sent;
    int rc = MQTTAsync_sendMessage(m->client, topic, &out, &options);
    free(topic);
    if (rc == MQTTASYNC_SUCCESS)
        return 0;
    finish(m, false);
    return -EAGAIN;
}

static int mqtt_flush(struct output *o)
{
    (void)o;
    return 0;
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

static bool is_drained(const struct mqtt_output *m)
{
    return m->unfinished == 0 || !m->connected;
}

static bool is_disconnected(const struct mqtt_output *m)
{
    return m->disconnected || !m->connected;
}

static bool is_decided(const struct mqtt_output *m)
{
    return m->connected || m->away;
}

static void mqtt_close(struct output *o, struct output_counts *ret_counts)
{
    struct mqtt_output *m = (struct mqtt_output *)o;
    MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer5;
    MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL};
    wait_for(m, is_drained, DRAIN_MS);
    options.context = m;
    options.onSuccess5 = on_disconnected;
    options.timeout = FAREWELL_MS;
    MQTTProperties_add(&options.properties, &expiry); /* 0: the broker forgets the session */
    if (MQTTAsync_disconnect(m->client, &options) == MQTTASYNC_SUCCESS)
        wait_for(m, is_disconnected, FAREWELL_MS);
    MQTTProperties_free(&options.properties);
    MQTTAsync_destroy(&m->client); /* its threads are done with us now */
    *ret_counts = m->base.counts;
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
    MQTTProperties properties = MQTTProperties_initializer;
    MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL, .value.integer4 = SESSION_S};
    MQTTProperties_add(&properties, &expiry);
    options.context = m;
    options.onFailure5 = on_connect_failed;
    options.connectProperties = &properties;
    options.cleanstart = 0;
    options.keepAliveInterval = 20;
    options.automaticReconnect = 1;
    options.minRetryInterval = 1;
    options.maxRetryInterval = 8;
    options.maxInflight = WINDOW;
    int rc = MQTTAsync_connect(m->client, &options);
    MQTTProperties_free(&properties);
    return rc;
}

int output_new_mqtt(const struct tool_options *options, bool reliable, struct output **ret)
{
    (void)reliable; /* that is what --qos says here */
    struct mqtt_output *m = xcalloc(1, sizeof *m);
    m->base.ops = &mqtt_ops;
    m->qos = options->qos;
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
