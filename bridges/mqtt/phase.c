/* The phases of a connection, and what its role makes of them. Each phase has a step that does one thing and says
 * whether there may be more to do. */
#include <stdio.h>

#include "driver.h"
#include "util/clock.h"

#define PARKED_POLL_MS 20
#define DISCONNECT_LIMIT_MS 3000
#define CONNECT_GRACE_MS 10000 /* above connect_timeout, in case the library never reports */
#define FAREWELL_MS 500
#define CHECK_MS 3000          /* how often the library is asked whether it is still connected */
#define FIRST_ATTEMPT_MS 100   /* the hub subscribes first: a session that was kept delivers as soon as it is back */
#define NEVER_MS (UINT64_MAX / 2)

/* ---- the receiving connection ---- */

/* The first time the hub is new also to a session that was kept: retained messages are its first values, and the session
 * may know the filters with other options. */
static void on_receiving_connected(struct link *l)
{
    struct bridge *b = l->bridge;
    atomic_store(&b->overrun, false);
    if (!l->session_present || !l->was_connected)
        mqtt_subscribe_again(b);
    if (b->options.status_topic)
        mqtt_window_status(b, "online");
}

static void on_receiving_lost(struct link *l)
{
    (void)l; /* the session goes on */
}

static bool receiving_is_ready(const struct link *l)
{
    return mqtt_subscriptions_settled(l->bridge);
}

static void leave_broker(struct link *l, enum MQTTReasonCodes reason)
{
    mqtt_link_enter(l, PHASE_DISCONNECTING);
    pthread_mutex_unlock(&l->bridge->lock);
    mqtt_client_disconnect(l, reason);
    pthread_mutex_lock(&l->bridge->lock);
}

static bool receive(struct link *l)
{
    if (atomic_load(&l->bridge->overrun) && !l->bridge->closing) {
        leave_broker(l, MQTTREASONCODE_SUCCESS);
        return true;
    }
    return mqtt_subscribe_pending(l->bridge);
}

static bool receiving_is_full(const struct link *l)
{
    (void)l;
    return false;
}

/* Last, so that the will does not speak up before "offline" was said. */
static bool receiving_may_end(const struct link *l)
{
    return l->bridge->publishing.phase == PHASE_ENDED;
}

/* Where the other connection could not say "offline", the will does. */
static bool leave_with_will(struct link *l)
{
    struct bridge *b = l->bridge;
    if (!b->options.status_topic || !b->options.v5 || b->farewell_stored)
        return false;
    leave_broker(l, MQTTREASONCODE_DISCONNECT_WITH_WILL_MESSAGE);
    return true;
}

static const struct link_role receiving_role = {
    .keeps_session = true,
    .carries_will = true,
    .on_connected = on_receiving_connected,
    .on_lost = on_receiving_lost,
    .is_ready = receiving_is_ready,
    .work = receive,
    .is_full = receiving_is_full,
    .may_end = receiving_may_end,
    .take_leave = leave_with_will,
};

/* ---- the publishing connection ---- */

static void on_publishing_connected(struct link *l)
{
    (void)l; /* what waits goes out by itself */
}

/* Only a client that is gone cannot send, nor call back, for what it was given. */
static void on_publishing_lost(struct link *l)
{
    pthread_mutex_unlock(&l->bridge->lock);
    mqtt_client_destroy(l);
    pthread_mutex_lock(&l->bridge->lock);
    mqtt_window_take_back(l->bridge);
}

static bool publishing_is_ready(const struct link *l)
{
    (void)l;
    return true;
}

static bool publish(struct link *l)
{
    return mqtt_window_send(l->bridge);
}

static bool publishing_is_full(const struct link *l)
{
    const struct bridge *b = l->bridge;
    return !TAILQ_EMPTY(&b->outgoing) && mqtt_window_is_open(b) && mqtt_window_has_room(b);
}

/* What is left to send gets its time. */
static bool publishing_may_end(const struct link *l)
{
    const struct bridge *b = l->bridge;
    return (TAILQ_EMPTY(&b->outgoing) && TAILQ_EMPTY(&b->handed)) || clock_mono_ms() >= b->close_at_ms;
}

static bool say_farewell(struct link *l)
{
    struct bridge *b = l->bridge;
    uint64_t farewell_until = clock_mono_ms() + FAREWELL_MS;
    if (!b->options.status_topic || b->said_farewell)
        return false;
    b->said_farewell = true;
    if (b->close_at_ms < farewell_until)
        b->close_at_ms = farewell_until;
    mqtt_window_status(b, "offline");
    return true;
}

static const struct link_role publishing_role = {
    .what = "publishing connection",
    .on_connected = on_publishing_connected,
    .on_lost = on_publishing_lost,
    .is_ready = publishing_is_ready,
    .work = publish,
    .is_full = publishing_is_full,
    .may_end = publishing_may_end,
    .take_leave = say_farewell,
};

/* ---- the phases ---- */

static bool end_if_closing(struct link *l)
{
    if (!l->bridge->closing || !l->role->may_end(l))
        return false;
    mqtt_link_enter(l, PHASE_ENDED);
    mqtt_link_wake(l->bridge); /* the other one may wait for this */
    return true;
}

static bool step_waiting(struct link *l)
{
    if (end_if_closing(l))
        return true;
    if (clock_mono_ms() < l->attempt_at_ms)
        return false;
    mqtt_link_attempt(l);
    return true;
}

static bool step_connecting(struct link *l)
{
    if (end_if_closing(l))
        return true;
    if (clock_mono_ms() - l->phase_since_ms < l->bridge->options.connect_timeout_ms + CONNECT_GRACE_MS)
        return false;
    l->event_code = -1;
    snprintf(l->event_text, sizeof l->event_text, "no answer");
    l->events |= EVENT_FAILED;
    return true;
}

static bool step_closing(struct link *l)
{
    return l->role->may_end(l) && (l->role->take_leave(l) || end_if_closing(l));
}

static void tune_socket(struct link *l)
{
    l->tuned = true;
    pthread_mutex_unlock(&l->bridge->lock);
    mqtt_client_no_delay(l);
    pthread_mutex_lock(&l->bridge->lock);
}

/* The library can close a connection without a word. */
static void check_connection(struct link *l)
{
    l->checked_at_ms = clock_mono_ms();
    pthread_mutex_unlock(&l->bridge->lock);
    bool connected = mqtt_client_is_connected(l);
    pthread_mutex_lock(&l->bridge->lock);
    if (!connected)
        l->events |= EVENT_LOST;
}

static bool step_connected(struct link *l)
{
    if (!l->tuned) {
        tune_socket(l);
        return true;
    }
    if (!l->told_ready && l->role->is_ready(l)) {
        l->told_ready = true;
        mqtt_report_state(l, BRIDGE_READY, NULL);
    }
    if (clock_mono_ms() - l->checked_at_ms >= CHECK_MS) {
        check_connection(l);
        return true;
    }
    return l->role->work(l) || (l->bridge->closing && step_closing(l));
}

static bool step_disconnecting(struct link *l)
{
    if (clock_mono_ms() - l->phase_since_ms < DISCONNECT_LIMIT_MS)
        return false;
    mqtt_link_handle_disconnected(l);
    return true;
}

static bool step_parked(struct link *l)
{
    if (end_if_closing(l))
        return true;
    if (!l->bridge->closing && !inbox_is_relieved(&l->bridge->inbox))
        return false;
    l->backoff_ms = 0;
    l->attempt_at_ms = 0;
    mqtt_link_enter(l, PHASE_WAITING);
    return true;
}

static bool step_ended(struct link *l)
{
    (void)l;
    return false;
}

static uint64_t attempt_time(const struct link *l)
{
    return l->attempt_at_ms;
}

static uint64_t connect_limit(const struct link *l)
{
    return l->phase_since_ms + l->bridge->options.connect_timeout_ms + CONNECT_GRACE_MS;
}

static uint64_t disconnect_limit(const struct link *l)
{
    return l->phase_since_ms + DISCONNECT_LIMIT_MS;
}

static uint64_t parked_time(const struct link *l)
{
    (void)l;
    return clock_mono_ms() + PARKED_POLL_MS;
}

/* What the library would not take just now is offered again soon. */
static uint64_t idle_time(const struct link *l)
{
    return clock_mono_ms() + (l->role->is_full(l) ? PARKED_POLL_MS : CHECK_MS);
}

static uint64_t never(const struct link *l)
{
    (void)l;
    return NEVER_MS;
}

static const struct {
    bool (*step)(struct link *l);
    uint64_t (*wake_ms)(const struct link *l);
} phase_table[] = {
    [PHASE_WAITING] = {step_waiting, attempt_time},
    [PHASE_CONNECTING] = {step_connecting, connect_limit},
    [PHASE_CONNECTED] = {step_connected, idle_time},
    [PHASE_DISCONNECTING] = {step_disconnecting, disconnect_limit},
    [PHASE_PARKED] = {step_parked, parked_time},
    [PHASE_ENDED] = {step_ended, never},
};

bool mqtt_link_step(struct link *l)
{
    return mqtt_link_handle_events(l) || phase_table[l->phase].step(l);
}

uint64_t mqtt_link_wake_ms(const struct link *l)
{
    return phase_table[l->phase].wake_ms(l);
}

static void link_init(struct bridge *b, struct link *l, const struct link_role *role)
{
    l->bridge = b;
    l->role = role;
    l->limits = mqtt_no_limits;
    l->attempt_at_ms = clock_mono_ms() + FIRST_ATTEMPT_MS;
}

void mqtt_links_init(struct bridge *b)
{
    link_init(b, &b->receiving, &receiving_role);
    link_init(b, &b->publishing, &publishing_role);
    b->receiving.client_id = xstrdup(b->options.client_id);
    struct buf id = BUF_INIT;
    buf_printf(&id, "%s-publish", b->options.client_id);
    buf_append(&id, "", 1);
    b->publishing.client_id = buf_take(&id);
}
