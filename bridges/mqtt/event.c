/* From one attempt to connect to the next: what the library reported about a connection, and what follows from it. */
#include <stdio.h>
#include <sys/random.h>

#include "driver.h"
#include "reason.h"
#include "util/clock.h"

#define STABLE_MS 5000 /* a connection that lasted so long starts its back-off anew */

void mqtt_link_enter(struct link *l, enum phase phase)
{
    l->phase = phase;
    l->phase_since_ms = clock_mono_ms();
}

/* Doubles up to the limit; the wait is a random part between half of it and all of it, so that the clients of a broker
 * that restarts do not come back all at once. */
static uint64_t next_wait_ms(struct link *l)
{
    const struct mqtt_options *o = &l->bridge->options;
    uint64_t base = l->backoff_ms ? l->backoff_ms * 2 : o->reconnect_min_ms, random = 0;
    if (base > o->reconnect_max_ms)
        base = o->reconnect_max_ms;
    l->backoff_ms = base;
    if (getrandom(&random, sizeof random, 0) < 0)
        random = clock_mono_ns();
    return base / 2 + random % (base / 2 + 1);
}

/* Every server of the list gets its turn before there is a wait. */
static void schedule_attempt(struct link *l)
{
    mqtt_link_enter(l, PHASE_WAITING);
    l->server = (l->server + 1) % l->bridge->options.server_count;
    l->attempt_at_ms = clock_mono_ms() + (l->server == 0 ? next_wait_ms(l) : 0);
}

void mqtt_link_attempt(struct link *l)
{
    mqtt_link_enter(l, PHASE_CONNECTING);
    l->events = 0;
    l->event_text[0] = 0;
    l->server_left = false;
    pthread_mutex_unlock(&l->bridge->lock);
    mqtt_client_connect(l);
    pthread_mutex_lock(&l->bridge->lock);
}

static void handle_connected(struct link *l)
{
    mqtt_link_enter(l, PHASE_CONNECTED);
    l->connected_at_ms = l->checked_at_ms = l->phase_since_ms;
    l->tuned = l->told_ready = false;
    l->role->on_connected(l);
    l->was_connected = true;
}

/* The library has one sentence for everything that can go wrong below MQTT. */
static const char *failure_text(const struct link *l)
{
    if (strcmp(l->event_text, "TCP/TLS connect failure") == 0 || !*l->event_text)
        return l->bridge->options.tls ? "refused, unreachable, or not TLS" : "refused or unreachable";
    return l->event_text;
}

static void handle_failed(struct link *l)
{
    const struct mqtt_options *o = &l->bridge->options;
    char reason[MQTT_REASON_SIZE];
    const char *server = o->servers[l->server];
    bool tls_said_why = o->tls && strstr(l->event_text, "certificate");
    if (l->event_code > 0)
        snprintf(reason, sizeof reason, "%.80s: connection refused: %s", server,
                 mqtt_connect_reason(l->event_code, o->v5));
    else
        snprintf(reason, sizeof reason, "%.80s: cannot connect: %.150s", server, failure_text(l));
    bool hopeless = tls_said_why || (l->event_code > 0 && mqtt_connect_is_hopeless(l->event_code));
    mqtt_report_state(l, hopeless ? BRIDGE_FAILED : BRIDGE_CONNECTING, reason);
    schedule_attempt(l);
}

static void handle_lost(struct link *l)
{
    char reason[MQTT_REASON_SIZE];
    const char *server = l->bridge->options.servers[l->server];
    if (l->server_left)
        snprintf(reason, sizeof reason, "%.80s: disconnected by the broker: %s", server,
                 mqtt_disconnect_reason(l->event_code));
    else
        snprintf(reason, sizeof reason, "%.80s: connection lost", server);
    mqtt_report_state(l, BRIDGE_CONNECTING, reason);
    l->role->on_lost(l);
    if (clock_mono_ms() - l->connected_at_ms >= STABLE_MS)
        l->backoff_ms = 0;
    l->server = l->bridge->options.server_count - 1; /* the next attempt is at the first of the list */
    schedule_attempt(l);
}

void mqtt_link_handle_disconnected(struct link *l)
{
    mqtt_link_enter(l, PHASE_PARKED);
    if (!l->bridge->closing)
        mqtt_report_state(l, BRIDGE_DEGRADED, "receive_queue is full: disconnected until it is half empty");
}

/* In the order in which they can happen to one connection. */
bool mqtt_link_handle_events(struct link *l)
{
    unsigned events = l->events;
    l->events = 0;
    if ((events & EVENT_CONNECTED) && l->phase == PHASE_CONNECTING)
        handle_connected(l);
    if ((events & EVENT_FAILED) && l->phase == PHASE_CONNECTING)
        handle_failed(l);
    if ((events & EVENT_DISCONNECTED) && l->phase == PHASE_DISCONNECTING)
        mqtt_link_handle_disconnected(l);
    if ((events & EVENT_LOST) && l->phase == PHASE_CONNECTED)
        handle_lost(l);
    if ((events & EVENT_LOST) && l->phase == PHASE_DISCONNECTING)
        mqtt_link_handle_disconnected(l);
    return events != 0;
}
