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

static void raise_event(struct link *l, enum event event)
{
    pthread_mutex_lock(&l->bridge->lock);
    l->events |= event;
    mqtt_link_wake(l->bridge);
    pthread_mutex_unlock(&l->bridge->lock);
}

static void raise_failed(struct link *l, int code, const char *text)
{
    pthread_mutex_lock(&l->bridge->lock);
    l->event_code = code;
    if (!*l->event_text) /* a TLS error says more */
        snprintf(l->event_text, sizeof l->event_text, "%s", text ? text : "");
    l->events |= EVENT_FAILED;
    mqtt_link_wake(l->bridge);
    pthread_mutex_unlock(&l->bridge->lock);
}

static struct broker_limits read_limits(MQTTProperties *p)
{
    struct broker_limits limits = mqtt_no_limits;
    if (MQTTProperties_hasProperty(p, MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE))
        limits.packet_bytes = (uint32_t)MQTTProperties_getNumericValue(p, MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE);
    if (MQTTProperties_hasProperty(p, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM))
        limits.inflight = (uint32_t)MQTTProperties_getNumericValue(p, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM);
    if (MQTTProperties_hasProperty(p, MQTTPROPERTY_CODE_MAXIMUM_QOS))
        limits.qos = (int)MQTTProperties_getNumericValue(p, MQTTPROPERTY_CODE_MAXIMUM_QOS);
    if (MQTTProperties_hasProperty(p, MQTTPROPERTY_CODE_RETAIN_AVAILABLE))
        limits.retain = MQTTProperties_getNumericValue(p, MQTTPROPERTY_CODE_RETAIN_AVAILABLE) != 0;
    if (MQTTProperties_hasProperty(p, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIERS_AVAILABLE))
        limits.subscription_ids =
            MQTTProperties_getNumericValue(p, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIERS_AVAILABLE) != 0;
    return limits;
}

static void raise_connected(struct link *l, bool session_present, struct broker_limits limits)
{
    pthread_mutex_lock(&l->bridge->lock);
    l->session_present = session_present;
    l->limits = limits;
    l->events = (l->events & ~(unsigned)EVENT_LOST) | EVENT_CONNECTED; /* what was lost was the one before */
    mqtt_link_wake(l->bridge);
    pthread_mutex_unlock(&l->bridge->lock);
}

static void on_connected5(void *link, MQTTAsync_successData5 *data)
{
    raise_connected(link, data->alt.connect.sessionPresent, read_limits(&data->properties));
}

static void on_connected(void *link, MQTTAsync_successData *data)
{
    raise_connected(link, data->alt.connect.sessionPresent, mqtt_no_limits);
}

static void on_connect_failed5(void *link, MQTTAsync_failureData5 *data)
{
    raise_failed(link, data->code, data->message);
}

static void on_connect_failed(void *link, MQTTAsync_failureData *data)
{
    raise_failed(link, data->code, data->message);
}

static void on_connection_lost(void *link, char *cause)
{
    (void)cause; /* always NULL */
    raise_event(link, EVENT_LOST);
}

static void on_server_disconnect(void *link, MQTTProperties *properties, enum MQTTReasonCodes code)
{
    struct link *l = link;
    (void)properties;
    pthread_mutex_lock(&l->bridge->lock);
    l->event_code = code;
    l->server_left = true;
    l->events |= EVENT_LOST; /* the library does not always say so itself */
    mqtt_link_wake(l->bridge);
    pthread_mutex_unlock(&l->bridge->lock);
}

static void on_disconnected5(void *link, MQTTAsync_successData5 *data)
{
    (void)data;
    raise_event(link, EVENT_DISCONNECTED);
}

static void on_disconnected(void *link, MQTTAsync_successData *data)
{
    (void)data;
    raise_event(link, EVENT_DISCONNECTED);
}

static int on_tls_error(const char *line, size_t len, void *link)
{
    struct link *l = link;
    pthread_mutex_lock(&l->bridge->lock);
    mqtt_tls_reason(line, len, l->event_text, sizeof l->event_text);
    pthread_mutex_unlock(&l->bridge->lock);
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

/* Under `clients_lock`. Once a process: it makes the library's locks, which its threads hold from then on. OpenSSL is set
 * up by the server. */
static void init_library(void)
{
    static bool done;
    MQTTAsync_init_options init = MQTTAsync_init_options_initializer;
    if (!done)
        MQTTAsync_global_init(&init);
    done = true;
}

static int client_create(struct link *l)
{
    const struct mqtt_options *o = &l->bridge->options;
    MQTTAsync_createOptions v3 = MQTTAsync_createOptions_initializer, v5 = MQTTAsync_createOptions_initializer5;
    MQTTAsync_createOptions c = o->v5 ? v5 : v3;
    c.MQTTVersion = o->v5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
    c.maxBufferedMessages = (int)o->max_inflight + PAHO_SPARE_MESSAGES;
    pthread_mutex_lock(&clients_lock);
    init_library();
    int rc = MQTTAsync_createWithOptions(&l->client, o->servers[0], l->client_id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &c);
    pthread_mutex_unlock(&clients_lock);
    if (rc != MQTTASYNC_SUCCESS)
        return rc;
    MQTTAsync_setCallbacks(l->client, l, on_connection_lost, mqtt_on_message, NULL);
    MQTTAsync_setDisconnected(l->client, l, on_server_disconnect);
    return 0;
}

/* The library copies all of it inside MQTTAsync_connect(). */
struct connect_parts {
    MQTTAsync_SSLOptions tls;
    MQTTAsync_willOptions will;
    MQTTProperties properties, will_properties;
};

static void fill_tls(struct link *l, struct connect_parts *parts)
{
    const struct mqtt_options *o = &l->bridge->options;
    parts->tls = (MQTTAsync_SSLOptions)MQTTAsync_SSLOptions_initializer;
    parts->tls.trustStore = o->ca_file;
    parts->tls.keyStore = o->cert_file;
    parts->tls.privateKey = o->key_file;
    parts->tls.enableServerCertAuth = o->verify;
    parts->tls.verify = o->verify;
    parts->tls.ssl_error_cb = on_tls_error;
    parts->tls.ssl_error_context = l;
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

/* A session that is not kept ends with its connection. */
static void fill_v5(struct link *l, MQTTAsync_connectOptions *c, struct connect_parts *parts)
{
    const struct mqtt_options *o = &l->bridge->options;
    if (l->role->keeps_session) {
        add_integer(&parts->properties, MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL, o->session_expiry_ms / 1000);
        add_integer(&parts->properties, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM,
                    o->receive_queue < UINT16_MAX ? o->receive_queue : UINT16_MAX);
    }
    c->cleanstart = !l->role->keeps_session || (o->clean_start && !l->was_connected);
    c->connectProperties = &parts->properties;
    c->willProperties = c->will ? &parts->will_properties : NULL;
    c->onSuccess5 = on_connected5;
    c->onFailure5 = on_connect_failed5;
}

static void fill_v3(struct link *l, MQTTAsync_connectOptions *c)
{
    c->MQTTVersion = MQTTVERSION_3_1_1;
    c->cleansession = !l->role->keeps_session || l->bridge->options.clean_start;
    c->onSuccess = on_connected;
    c->onFailure = on_connect_failed;
}

static const char *connect_with(struct link *l, const char *password)
{
    const struct mqtt_options *o = &l->bridge->options;
    MQTTAsync_connectOptions v3 = MQTTAsync_connectOptions_initializer, v5 = MQTTAsync_connectOptions_initializer5;
    MQTTAsync_connectOptions c = o->v5 ? v5 : v3;
    struct connect_parts parts = {0};

    if (o->tls)
        fill_tls(l, &parts);
    if (o->status_topic && l->role->carries_will) {
        fill_will(o, &parts);
        c.will = &parts.will;
    }
    if (o->v5)
        fill_v5(l, &c, &parts);
    else
        fill_v3(l, &c);
    c.context = l;
    c.keepAliveInterval = (int)(o->keepalive_ms / 1000);
    c.connectTimeout = (int)((o->connect_timeout_ms + 999) / 1000);
    c.maxInflight = (int)o->max_inflight;
    c.username = o->username;
    c.password = password;
    c.ssl = o->tls ? &parts.tls : NULL;
    c.serverURIcount = 1;
    c.serverURIs = (char *const *)&o->servers[l->server];
    int rc = MQTTAsync_connect(l->client, &c);
    MQTTProperties_free(&parts.properties);
    MQTTProperties_free(&parts.will_properties);
    return rc == MQTTASYNC_SUCCESS ? NULL : MQTTAsync_strerror(rc);
}

/* NULL, or what is wrong. The password is read for each attempt, so that it can be changed while the server runs. */
static const char *try_to_connect(struct link *l)
{
    const struct mqtt_options *o = &l->bridge->options;
    int rc = l->client ? MQTTASYNC_SUCCESS : client_create(l);
    if (rc != MQTTASYNC_SUCCESS)
        return MQTTAsync_strerror(rc);
    char *password = o->password_file ? mqtt_options_password(o) : NULL;
    const char *fault = o->password_file && !password ? "password_file is empty or cannot be read"
                                                      : connect_with(l, password);
    free(password);
    return fault;
}

void mqtt_client_connect(struct link *l)
{
    const char *fault = try_to_connect(l);
    if (fault)
        raise_failed(l, -1, fault);
}

void mqtt_client_disconnect(struct link *l, enum MQTTReasonCodes reason)
{
    MQTTAsync_disconnectOptions v3 = MQTTAsync_disconnectOptions_initializer;
    MQTTAsync_disconnectOptions v5 = MQTTAsync_disconnectOptions_initializer5;
    bool is_v5 = l->bridge->options.v5;
    MQTTAsync_disconnectOptions d = is_v5 ? v5 : v3;
    d.context = l;
    d.reasonCode = reason;
    d.onSuccess = is_v5 ? NULL : on_disconnected;
    d.onSuccess5 = is_v5 ? on_disconnected5 : NULL;
    if (MQTTAsync_disconnect(l->client, &d) != MQTTASYNC_SUCCESS)
        raise_event(l, EVENT_DISCONNECTED);
}

bool mqtt_client_is_connected(struct link *l)
{
    return MQTTAsync_isConnected(l->client);
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
void mqtt_client_no_delay(struct link *l)
{
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;
    if (!dir)
        return;
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            set_no_delay(atoi(entry->d_name), l->bridge->options.servers[l->server]);
    closedir(dir);
}

void mqtt_client_destroy(struct link *l)
{
    pthread_mutex_lock(&clients_lock);
    if (l->client)
        MQTTAsync_destroy(&l->client);
    pthread_mutex_unlock(&clients_lock);
}
