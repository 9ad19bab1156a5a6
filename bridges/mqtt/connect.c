/* The library's client: options of a connection, and the callbacks that tell the worker how it went. */
#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "driver.h"
#include "reason.h"

#define WILL_DELAY_S 10
#define PAHO_SPARE_MESSAGES 16

/* The library starts its threads with the first client of a process and ends them with the last. */
static pthread_mutex_t clients_lock = PTHREAD_MUTEX_INITIALIZER;

const struct broker_limits mqtt_no_limits = {UINT32_MAX, UINT16_MAX, 2, true, true};

/* ---- library threads ---- */

static void raise_event(struct bridge *b, enum event event)
{
    pthread_mutex_lock(&b->lock);
    b->events |= event;
    mqtt_link_wake(b);
    pthread_mutex_unlock(&b->lock);
}

static void raise_failed(struct bridge *b, int code, const char *text)
{
    pthread_mutex_lock(&b->lock);
    b->event_code = code;
    if (!*b->event_text) /* a TLS error says more */
        snprintf(b->event_text, sizeof b->event_text, "%s", text ? text : "");
    b->events |= EVENT_FAILED;
    mqtt_link_wake(b);
    pthread_mutex_unlock(&b->lock);
}

static struct broker_limits read_limits(MQTTProperties *p)
{
    struct broker_limits l = mqtt_no_limits;
    if (MQTTProperties_hasProperty(p, MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE))
        l.packet_bytes = (uint32_t)MQTTProperties_getNumericValue(p, MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE);
    if (MQTTProperties_hasProperty(p, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM))
        l.inflight = (uint32_t)MQTTProperties_getNumericValue(p, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM);
    if (MQTTProperties_hasProperty(p, MQTTPROPERTY_CODE_MAXIMUM_QOS))
        l.qos = (int)MQTTProperties_getNumericValue(p, MQTTPROPERTY_CODE_MAXIMUM_QOS);
    if (MQTTProperties_hasProperty(p, MQTTPROPERTY_CODE_RETAIN_AVAILABLE))
        l.retain = MQTTProperties_getNumericValue(p, MQTTPROPERTY_CODE_RETAIN_AVAILABLE) != 0;
    if (MQTTProperties_hasProperty(p, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIERS_AVAILABLE))
        l.subscription_ids =
            MQTTProperties_getNumericValue(p, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIERS_AVAILABLE) != 0;
    return l;
}

static void raise_connected(struct bridge *b, bool session_present, struct broker_limits limits)
{
    pthread_mutex_lock(&b->lock);
    b->session_present = session_present;
    b->limits = limits;
    b->events = (b->events & ~(unsigned)EVENT_LOST) | EVENT_CONNECTED; /* what was lost was the one before */
    mqtt_link_wake(b);
    pthread_mutex_unlock(&b->lock);
}

static void on_connected5(void *bridge, MQTTAsync_successData5 *data)
{
    raise_connected(bridge, data->alt.connect.sessionPresent, read_limits(&data->properties));
}

static void on_connected(void *bridge, MQTTAsync_successData *data)
{
    raise_connected(bridge, data->alt.connect.sessionPresent, mqtt_no_limits);
}

static void on_connect_failed5(void *bridge, MQTTAsync_failureData5 *data)
{
    raise_failed(bridge, data->code, data->message);
}

static void on_connect_failed(void *bridge, MQTTAsync_failureData *data)
{
    raise_failed(bridge, data->code, data->message);
}

static void on_connection_lost(void *bridge, char *cause)
{
    (void)cause; /* always NULL */
    raise_event(bridge, EVENT_LOST);
}

static void on_server_disconnect(void *bridge, MQTTProperties *properties, enum MQTTReasonCodes code)
{
    struct bridge *b = bridge;
    (void)properties;
    pthread_mutex_lock(&b->lock);
    b->event_code = code;
    b->server_left = true;
    b->events |= EVENT_LOST; /* the library does not always say so itself */
    mqtt_link_wake(b);
    pthread_mutex_unlock(&b->lock);
}

static void on_disconnected5(void *bridge, MQTTAsync_successData5 *data)
{
    (void)data;
    raise_event(bridge, EVENT_DISCONNECTED);
}

static void on_disconnected(void *bridge, MQTTAsync_successData *data)
{
    (void)data;
    raise_event(bridge, EVENT_DISCONNECTED);
}

static int on_tls_error(const char *line, size_t len, void *bridge)
{
    struct bridge *b = bridge;
    pthread_mutex_lock(&b->lock);
    mqtt_tls_reason(line, len, b->event_text, sizeof b->event_text);
    pthread_mutex_unlock(&b->lock);
    return 1;
}

/* ---- worker ---- */

static void add_integer(MQTTProperties *list, enum MQTTPropertyCodes code, uint64_t value)
{
    MQTTProperty p = {.identifier = code};
    if (code == MQTTPROPERTY_CODE_RECEIVE_MAXIMUM)
        p.value.integer2 = (unsigned short)value;
    else
        p.value.integer4 = (unsigned)value;
    MQTTProperties_add(list, &p);
}

/* The library copies all of it inside MQTTAsync_connect(). */
struct connect_parts {
    MQTTAsync_SSLOptions tls;
    MQTTAsync_willOptions will;
    MQTTProperties properties, will_properties;
};

static void fill_tls(struct bridge *b, struct connect_parts *parts)
{
    const struct mqtt_options *o = &b->options;
    parts->tls = (MQTTAsync_SSLOptions)MQTTAsync_SSLOptions_initializer;
    parts->tls.trustStore = o->ca_file;
    parts->tls.keyStore = o->cert_file;
    parts->tls.privateKey = o->key_file;
    parts->tls.enableServerCertAuth = o->verify;
    parts->tls.verify = o->verify;
    parts->tls.ssl_error_cb = on_tls_error;
    parts->tls.ssl_error_context = b;
}

static void fill_will(const struct mqtt_options *o, struct connect_parts *parts)
{
    parts->will = (MQTTAsync_willOptions)MQTTAsync_willOptions_initializer;
    parts->will.topicName = o->status_topic;
    parts->will.message = "offline";
    parts->will.retained = 1;
    parts->will.qos = 1;
    add_integer(&parts->will_properties, MQTTPROPERTY_CODE_WILL_DELAY_INTERVAL, WILL_DELAY_S);
}

static void fill_v5(struct bridge *b, MQTTAsync_connectOptions *c, struct connect_parts *parts)
{
    const struct mqtt_options *o = &b->options;
    add_integer(&parts->properties, MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL, o->session_expiry_ms / 1000);
    add_integer(&parts->properties, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM,
                o->receive_queue < UINT16_MAX ? o->receive_queue : UINT16_MAX);
    c->cleanstart = o->clean_start && !b->was_connected;
    c->connectProperties = &parts->properties;
    c->willProperties = o->status_topic ? &parts->will_properties : NULL;
    c->onSuccess5 = on_connected5;
    c->onFailure5 = on_connect_failed5;
}

static void fill_v3(struct bridge *b, MQTTAsync_connectOptions *c)
{
    c->MQTTVersion = MQTTVERSION_3_1_1;
    c->cleansession = b->options.clean_start;
    c->onSuccess = on_connected;
    c->onFailure = on_connect_failed;
}

static const char *connect_with(struct bridge *b, const char *password)
{
    const struct mqtt_options *o = &b->options;
    MQTTAsync_connectOptions v3 = MQTTAsync_connectOptions_initializer, v5 = MQTTAsync_connectOptions_initializer5;
    MQTTAsync_connectOptions c = o->v5 ? v5 : v3;
    struct connect_parts parts = {0};

    if (o->tls)
        fill_tls(b, &parts);
    if (o->status_topic)
        fill_will(o, &parts);
    if (o->v5)
        fill_v5(b, &c, &parts);
    else
        fill_v3(b, &c);
    c.context = b;
    c.keepAliveInterval = (int)(o->keepalive_ms / 1000);
    c.connectTimeout = (int)((o->connect_timeout_ms + 999) / 1000);
    c.maxInflight = (int)o->max_inflight;
    c.username = o->username;
    c.password = password;
    c.ssl = o->tls ? &parts.tls : NULL;
    c.will = o->status_topic ? &parts.will : NULL;
    c.serverURIcount = 1;
    c.serverURIs = (char *const *)&o->servers[b->server];
    int rc = MQTTAsync_connect(b->client, &c);
    MQTTProperties_free(&parts.properties);
    MQTTProperties_free(&parts.will_properties);
    return rc == MQTTASYNC_SUCCESS ? NULL : MQTTAsync_strerror(rc);
}

/* The password is read for each attempt, so that it can be changed while the server runs. */
void mqtt_client_connect(struct bridge *b)
{
    char *password = b->options.password_file ? mqtt_options_password(&b->options) : NULL;
    const char *fault = b->options.password_file && !password ? "password_file is empty or cannot be read"
                                                              : connect_with(b, password);
    free(password);
    if (fault)
        raise_failed(b, -1, fault);
}

void mqtt_client_disconnect(struct bridge *b)
{
    MQTTAsync_disconnectOptions v3 = MQTTAsync_disconnectOptions_initializer;
    MQTTAsync_disconnectOptions v5 = MQTTAsync_disconnectOptions_initializer5;
    MQTTAsync_disconnectOptions d = b->options.v5 ? v5 : v3;
    d.context = b;
    d.onSuccess = b->options.v5 ? NULL : on_disconnected;
    d.onSuccess5 = b->options.v5 ? on_disconnected5 : NULL;
    if (MQTTAsync_disconnect(b->client, &d) != MQTTASYNC_SUCCESS)
        raise_event(b, EVENT_DISCONNECTED);
}

bool mqtt_client_is_connected(struct bridge *b)
{
    return MQTTAsync_isConnected(b->client);
}

static void set_no_delay(int fd, const char *server)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    int on = 1, port = atoi(strrchr(server, ':') + 1);
    if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0)
        return;
    in_port_t of_peer = peer.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&peer)->sin6_port
                        : peer.ss_family == AF_INET ? ((struct sockaddr_in *)&peer)->sin_port
                                                    : 0;
    if (of_peer == htons((uint16_t)port))
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* The library leaves Nagle's algorithm on and its socket hidden: each small packet that follows another one would wait
 * for the broker's delayed acknowledgement, 40 ms. So it is switched off for what is connected to the broker's port;
 * should that include a socket of someone else, nothing but its timing changes. */
void mqtt_client_no_delay(struct bridge *b)
{
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;
    if (!dir)
        return;
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            set_no_delay(atoi(entry->d_name), b->options.servers[b->server]);
    closedir(dir);
}

int mqtt_client_create(struct bridge *b)
{
    MQTTAsync_createOptions v3 = MQTTAsync_createOptions_initializer, v5 = MQTTAsync_createOptions_initializer5;
    MQTTAsync_createOptions c = b->options.v5 ? v5 : v3;
    MQTTAsync_init_options init = MQTTAsync_init_options_initializer;
    c.MQTTVersion = b->options.v5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
    c.maxBufferedMessages = (int)b->options.max_inflight + PAHO_SPARE_MESSAGES;
    pthread_mutex_lock(&clients_lock);
    MQTTAsync_global_init(&init); /* OpenSSL is set up by the server */
    int rc = MQTTAsync_createWithOptions(&b->client, b->options.servers[0], b->options.client_id,
                                         MQTTCLIENT_PERSISTENCE_NONE, NULL, &c);
    pthread_mutex_unlock(&clients_lock);
    if (rc != MQTTASYNC_SUCCESS)
        return rc;
    MQTTAsync_setCallbacks(b->client, b, on_connection_lost, mqtt_on_message, NULL);
    MQTTAsync_setDisconnected(b->client, b, on_server_disconnect);
    return 0;
}

void mqtt_client_destroy(struct bridge *b)
{
    pthread_mutex_lock(&clients_lock);
    if (b->client)
        MQTTAsync_destroy(&b->client);
    pthread_mutex_unlock(&clients_lock);
}

