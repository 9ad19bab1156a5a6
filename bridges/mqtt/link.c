/* The worker: keeps the connection, and makes every call into the library.
 *
 * It sleeps under the lock until the hub or the library wants something, or a time has come. Each phase has a step that
 * does one thing and says whether there may be more to do. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "driver.h"
#include "reason.h"
#include "util/clock.h"

#define STABLE_MS 5000           /* a connection that lasted so long starts its back-off anew */
#define WILL_DELAY_S 10
#define PARKED_POLL_MS 20
#define DISCONNECT_LIMIT_MS 3000
#define CONNECT_GRACE_MS 10000   /* above connect_timeout, in case the library never reports */
#define FAREWELL_MS 500
#define IDLE_MS 60000
#define FIRST_ATTEMPT_MS 100     /* the hub subscribes first: a session that was kept delivers as soon as it is back */
#define PAHO_SPARE_MESSAGES 16

/* The library starts its threads with the first client of a process and ends them with the last. */
static pthread_mutex_t clients_lock = PTHREAD_MUTEX_INITIALIZER;

void mqtt_link_wake(struct bridge *b)
{
    pthread_cond_signal(&b->wake);
}

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

static const struct broker_limits no_limits = {UINT32_MAX, 2, true, true};

static struct broker_limits read_limits(MQTTProperties *p)
{
    struct broker_limits l = no_limits;
    if (MQTTProperties_hasProperty(p, MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE))
        l.packet_bytes = (uint32_t)MQTTProperties_getNumericValue(p, MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE);
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
    b->events |= EVENT_CONNECTED;
    mqtt_link_wake(b);
    pthread_mutex_unlock(&b->lock);
}

static void on_connected5(void *bridge, MQTTAsync_successData5 *data)
{
    raise_connected(bridge, data->alt.connect.sessionPresent, read_limits(&data->properties));
}

static void on_connected(void *bridge, MQTTAsync_successData *data)
{
    raise_connected(bridge, data->alt.connect.sessionPresent, no_limits);
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

/* ---- connecting ---- */

static void enter(struct bridge *b, enum phase phase)
{
    b->phase = phase;
    b->phase_since_ms = clock_mono_ms();
}

/* Doubles up to the limit; the wait is a random part between half of it and all of it, so that the clients of a broker
 * that restarts do not come back all at once. */
static uint64_t next_wait_ms(struct bridge *b)
{
    uint64_t base = b->backoff_ms ? b->backoff_ms * 2 : b->options.reconnect_min_ms, random = 0;
    if (base > b->options.reconnect_max_ms)
        base = b->options.reconnect_max_ms;
    b->backoff_ms = base;
    if (getrandom(&random, sizeof random, 0) < 0)
        random = clock_mono_ns();
    return base / 2 + random % (base / 2 + 1);
}

/* Every server of the list gets its turn before there is a wait. */
static void schedule_attempt(struct bridge *b)
{
    enter(b, PHASE_WAITING);
    b->server = (b->server + 1) % b->options.server_count;
    b->attempt_at_ms = clock_mono_ms() + (b->server == 0 ? next_wait_ms(b) : 0);
}

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

static int connect_now(struct bridge *b)
{
    const struct mqtt_options *o = &b->options;
    MQTTAsync_connectOptions v3 = MQTTAsync_connectOptions_initializer, v5 = MQTTAsync_connectOptions_initializer5;
    MQTTAsync_connectOptions c = o->v5 ? v5 : v3;
    struct connect_parts parts = {0};
    char *password = o->password_file ? mqtt_options_password(o) : NULL;
    if (o->password_file && !password)
        return -errno;

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
    free(password);
    return rc;
}

static void start_connecting(struct bridge *b)
{
    enter(b, PHASE_CONNECTING);
    b->events = 0;
    b->event_text[0] = 0;
    b->server_left = false;
    pthread_mutex_unlock(&b->lock);
    int rc = connect_now(b);
    if (rc != MQTTASYNC_SUCCESS)
        raise_failed(b, -1, b->options.password_file && rc == -ENOENT ? "password_file cannot be read"
                                                                      : MQTTAsync_strerror(rc));
    pthread_mutex_lock(&b->lock);
}

/* ---- what happened ---- */

static void handle_connected(struct bridge *b)
{
    enter(b, PHASE_CONNECTED);
    b->connected_at_ms = b->phase_since_ms;
    atomic_store(&b->overrun, false);
    mqtt_publish_reconnected(b);
    /* The first time also with a session: the hub is new, retained messages are its first values, and the session may
     * know the filters with other options. */
    if (!b->session_present || !b->was_connected)
        mqtt_subscribe_again(b);
    b->was_connected = true;
    if (b->options.status_topic)
        mqtt_publish_status(b, "online");
    mqtt_report_state(b, BRIDGE_READY, NULL);
}

static void handle_failed(struct bridge *b)
{
    char reason[MQTT_REASON_SIZE];
    const char *server = b->options.servers[b->server];
    bool tls_said_why = b->options.tls && strstr(b->event_text, "certificate");
    if (b->event_code > 0)
        snprintf(reason, sizeof reason, "%.80s: connection refused: %s", server,
                 mqtt_connect_reason(b->event_code, b->options.v5));
    else
        snprintf(reason, sizeof reason, "%.80s: cannot connect: %.150s", server,
                 *b->event_text ? b->event_text : "network error");
    bool hopeless = tls_said_why || (b->event_code > 0 && mqtt_connect_is_hopeless(b->event_code));
    mqtt_report_state(b, hopeless ? BRIDGE_FAILED : BRIDGE_CONNECTING, reason);
    schedule_attempt(b);
}

static void handle_lost(struct bridge *b)
{
    char reason[MQTT_REASON_SIZE];
    const char *server = b->options.servers[b->server];
    if (b->server_left)
        snprintf(reason, sizeof reason, "%.80s: disconnected by the broker: %s", server,
                 mqtt_disconnect_reason(b->event_code));
    else
        snprintf(reason, sizeof reason, "%.80s: connection lost", server);
    mqtt_report_state(b, BRIDGE_CONNECTING, reason);
    if (clock_mono_ms() - b->connected_at_ms >= STABLE_MS)
        b->backoff_ms = 0;
    b->server = b->options.server_count - 1; /* the next attempt is at the first of the list */
    schedule_attempt(b);
}

static void handle_disconnected(struct bridge *b)
{
    enter(b, PHASE_PARKED);
    mqtt_report_state(b, BRIDGE_DEGRADED, "receive_queue is full: disconnected until it is half empty");
}

/* In the order in which they can happen to one connection. */
static bool handle_events(struct bridge *b)
{
    unsigned events = b->events;
    b->events = 0;
    if ((events & EVENT_CONNECTED) && b->phase == PHASE_CONNECTING)
        handle_connected(b);
    if ((events & EVENT_FAILED) && b->phase == PHASE_CONNECTING)
        handle_failed(b);
    if ((events & EVENT_DISCONNECTED) && b->phase == PHASE_DISCONNECTING)
        handle_disconnected(b);
    if ((events & EVENT_LOST) && b->phase == PHASE_CONNECTED)
        handle_lost(b);
    if ((events & EVENT_LOST) && b->phase == PHASE_DISCONNECTING)
        handle_disconnected(b);
    return events != 0;
}

/* ---- the phases ---- */

/* Closing: what is left to send gets its time. */
static bool has_unsent(const struct bridge *b)
{
    return !TAILQ_EMPTY(&b->outgoing) || !TAILQ_EMPTY(&b->handed);
}

static bool may_end(struct bridge *b)
{
    return b->closing && (!has_unsent(b) || clock_mono_ms() >= b->close_at_ms);
}

static bool step_waiting(struct bridge *b)
{
    if (may_end(b)) {
        enter(b, PHASE_ENDED);
        return true;
    }
    if (clock_mono_ms() < b->attempt_at_ms)
        return false;
    start_connecting(b);
    return true;
}

static bool step_connecting(struct bridge *b)
{
    if (may_end(b)) {
        enter(b, PHASE_ENDED);
        return true;
    }
    if (clock_mono_ms() - b->phase_since_ms < b->options.connect_timeout_ms + CONNECT_GRACE_MS)
        return false;
    b->event_code = -1;
    snprintf(b->event_text, sizeof b->event_text, "no answer");
    b->events |= EVENT_FAILED;
    return true;
}

static void leave_broker(struct bridge *b)
{
    MQTTAsync_disconnectOptions v3 = MQTTAsync_disconnectOptions_initializer;
    MQTTAsync_disconnectOptions v5 = MQTTAsync_disconnectOptions_initializer5;
    MQTTAsync_disconnectOptions d = b->options.v5 ? v5 : v3;
    d.context = b;
    d.onSuccess = b->options.v5 ? NULL : on_disconnected;
    d.onSuccess5 = b->options.v5 ? on_disconnected5 : NULL;
    enter(b, PHASE_DISCONNECTING);
    pthread_mutex_unlock(&b->lock);
    int rc = MQTTAsync_disconnect(b->client, &d);
    if (rc != MQTTASYNC_SUCCESS)
        raise_event(b, EVENT_DISCONNECTED);
    pthread_mutex_lock(&b->lock);
}

static bool step_closing(struct bridge *b)
{
    if (!may_end(b))
        return false;
    if (b->options.status_topic && !b->said_farewell) {
        uint64_t farewell_until = clock_mono_ms() + FAREWELL_MS;
        b->said_farewell = true;
        if (b->close_at_ms < farewell_until)
            b->close_at_ms = farewell_until;
        mqtt_publish_status(b, "offline");
        return true;
    }
    enter(b, PHASE_ENDED);
    return true;
}

static bool step_connected(struct bridge *b)
{
    if (atomic_load(&b->overrun) && !b->closing) {
        leave_broker(b);
        return true;
    }
    if (mqtt_subscribe_pending(b) || mqtt_publish_pending(b))
        return true;
    return b->closing && step_closing(b);
}

static bool step_disconnecting(struct bridge *b)
{
    if (clock_mono_ms() - b->phase_since_ms < DISCONNECT_LIMIT_MS)
        return false;
    handle_disconnected(b);
    return true;
}

static bool step_parked(struct bridge *b)
{
    if (!b->closing && !inbox_is_relieved(&b->inbox))
        return false;
    b->backoff_ms = 0;
    b->attempt_at_ms = 0;
    enter(b, PHASE_WAITING);
    return true;
}

static uint64_t attempt_time(const struct bridge *b)
{
    return b->attempt_at_ms;
}

static uint64_t connect_limit(const struct bridge *b)
{
    return b->phase_since_ms + b->options.connect_timeout_ms + CONNECT_GRACE_MS;
}

static uint64_t disconnect_limit(const struct bridge *b)
{
    return b->phase_since_ms + DISCONNECT_LIMIT_MS;
}

static uint64_t parked_time(const struct bridge *b)
{
    (void)b;
    return clock_mono_ms() + PARKED_POLL_MS;
}

static uint64_t idle_time(const struct bridge *b)
{
    /* What the library would not take just now is offered again soon. */
    bool full = !TAILQ_EMPTY(&b->outgoing) && b->slots_used < b->options.max_inflight;
    return clock_mono_ms() + (full ? PARKED_POLL_MS : IDLE_MS);
}

static const struct {
    bool (*step)(struct bridge *b);
    uint64_t (*wake_ms)(const struct bridge *b); /* when to look again without being woken */
} phase_table[] = {
    [PHASE_WAITING] = {step_waiting, attempt_time},
    [PHASE_CONNECTING] = {step_connecting, connect_limit},
    [PHASE_CONNECTED] = {step_connected, idle_time},
    [PHASE_DISCONNECTING] = {step_disconnecting, disconnect_limit},
    [PHASE_PARKED] = {step_parked, parked_time},
};

static void sleep_until(struct bridge *b, uint64_t at_ms)
{
    if (b->closing && b->close_at_ms < at_ms)
        at_ms = b->close_at_ms;
    struct timespec t = {(time_t)(at_ms / 1000), (long)(at_ms % 1000) * 1000000};
    pthread_cond_timedwait(&b->wake, &b->lock, &t);
}

/* ---- the thread ---- */

static int create_client(struct bridge *b)
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

/* Sends DISCONNECT where connected; no callback runs afterwards. */
static void destroy_client(struct bridge *b)
{
    pthread_mutex_lock(&clients_lock);
    if (b->client)
        MQTTAsync_destroy(&b->client);
    pthread_mutex_unlock(&clients_lock);
}

static void *run(void *bridge)
{
    struct bridge *b = bridge;
    struct mail *ended = xcalloc(1, sizeof *ended);
    ended->handle = mqtt_handle_ended;

    mqtt_report_state(b, BRIDGE_CONNECTING, NULL);
    int rc = create_client(b);
    if (rc)
        mqtt_report_state(b, BRIDGE_FAILED, MQTTAsync_strerror(rc));
    pthread_mutex_lock(&b->lock);
    /* Without a client only close() ends this. */
    b->attempt_at_ms = rc ? UINT64_MAX / 2 : clock_mono_ms() + FIRST_ATTEMPT_MS;
    while (b->phase != PHASE_ENDED)
        if (!handle_events(b) && !phase_table[b->phase].step(b) && !b->events)
            sleep_until(b, phase_table[b->phase].wake_ms(b));
    pthread_mutex_unlock(&b->lock);
    destroy_client(b);
    mqtt_mail(b, ended);
    return NULL;
}

/* Signals are the main thread's; the library's threads inherit the mask. */
int mqtt_link_start(struct bridge *b)
{
    sigset_t all, before;
    b->limits = no_limits;
    b->server = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&b->worker, NULL, run, b);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -r;
}
