/* The worker: keeps the connection, and is the only one to call into the library.
 *
 * It sleeps under the lock until the hub or the library wants something, or a time has come. Each phase has a step that
 * does one thing and says whether there may be more to do. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "driver.h"
#include "reason.h"
#include "util/clock.h"

#define STABLE_MS 5000           /* a connection that lasted so long starts its back-off anew */
#define PARKED_POLL_MS 20
#define DISCONNECT_LIMIT_MS 3000
#define CONNECT_GRACE_MS 10000   /* above connect_timeout, in case the library never reports */
#define FAREWELL_MS 500
#define CHECK_MS 3000            /* how often the library is asked whether it is still connected */
#define FIRST_ATTEMPT_MS 100     /* the hub subscribes first: a session that was kept delivers as soon as it is back */

void mqtt_link_wake(struct bridge *b)
{
    pthread_cond_signal(&b->wake);
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

static void start_connecting(struct bridge *b)
{
    enter(b, PHASE_CONNECTING);
    b->events = 0;
    b->event_text[0] = 0;
    b->server_left = false;
    pthread_mutex_unlock(&b->lock);
    mqtt_client_connect(b);
    pthread_mutex_lock(&b->lock);
}

/* ---- what happened ---- */

static void handle_connected(struct bridge *b)
{
    enter(b, PHASE_CONNECTED);
    b->connected_at_ms = b->checked_at_ms = b->phase_since_ms;
    b->tuned = false;
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

/* The library has one sentence for everything that can go wrong below MQTT. */
static const char *failure_text(const struct bridge *b)
{
    if (strcmp(b->event_text, "TCP/TLS connect failure") == 0 || !*b->event_text)
        return b->options.tls ? "refused, unreachable, or not TLS" : "refused or unreachable";
    return b->event_text;
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
        snprintf(reason, sizeof reason, "%.80s: cannot connect: %.150s", server, failure_text(b));
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
    enter(b, PHASE_DISCONNECTING);
    pthread_mutex_unlock(&b->lock);
    mqtt_client_disconnect(b);
    pthread_mutex_lock(&b->lock);
}

static void tune_socket(struct bridge *b)
{
    b->tuned = true;
    pthread_mutex_unlock(&b->lock);
    mqtt_client_no_delay(b);
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

/* The library can close a connection without a word. */
static void check_connection(struct bridge *b)
{
    b->checked_at_ms = clock_mono_ms();
    pthread_mutex_unlock(&b->lock);
    bool connected = mqtt_client_is_connected(b);
    pthread_mutex_lock(&b->lock);
    if (!connected)
        b->events |= EVENT_LOST;
}

static bool step_connected(struct bridge *b)
{
    if (atomic_load(&b->overrun) && !b->closing) {
        leave_broker(b);
        return true;
    }
    if (!b->tuned) {
        tune_socket(b);
        return true;
    }
    if (clock_mono_ms() - b->checked_at_ms >= CHECK_MS) {
        check_connection(b);
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
    bool full = !TAILQ_EMPTY(&b->outgoing) && mqtt_publish_has_slot(b);
    return clock_mono_ms() + (full ? PARKED_POLL_MS : CHECK_MS);
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

static void *run(void *bridge)
{
    struct bridge *b = bridge;
    struct mail *ended = xcalloc(1, sizeof *ended);
    ended->handle = mqtt_handle_ended;

    mqtt_report_state(b, BRIDGE_CONNECTING, NULL);
    int rc = mqtt_client_create(b);
    if (rc)
        mqtt_report_state(b, BRIDGE_FAILED, MQTTAsync_strerror(rc));
    pthread_mutex_lock(&b->lock);
    /* Without a client only close() ends this. */
    b->attempt_at_ms = rc ? UINT64_MAX / 2 : clock_mono_ms() + FIRST_ATTEMPT_MS;
    while (b->phase != PHASE_ENDED)
        if (!handle_events(b) && !phase_table[b->phase].step(b) && !b->events)
            sleep_until(b, phase_table[b->phase].wake_ms(b));
    pthread_mutex_unlock(&b->lock);
    mqtt_client_destroy(b);
    mqtt_mail(b, ended);
    return NULL;
}

/* Signals are the main thread's; the library's threads inherit the mask. */
int mqtt_link_start(struct bridge *b)
{
    sigset_t all, before;
    b->limits = mqtt_no_limits;
    b->server = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&b->worker, NULL, run, b);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -r;
}
