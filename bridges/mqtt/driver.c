/* The mqtt driver: the functions that the hub calls, all on the hub thread. */
#include "driver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "util/clock.h"

/* ---- mailbox and state ---- */

void mqtt_mail(struct bridge *b, struct mail *m)
{
    bridge_mailbox_send(&b->mailbox, &m->node);
}

static void on_mail(struct bridge_mailbox *mailbox, struct mpsc_node *node)
{
    struct bridge *b = (struct bridge *)((char *)mailbox - offsetof(struct bridge, mailbox));
    struct mail *m = (struct mail *)((char *)node - offsetof(struct mail, node));
    m->handle(b, m);
}

static void handle_inbox(struct bridge *b, struct mail *m)
{
    (void)m; /* part of the bridge */
    mqtt_deliver(b);
}

/* The connection whose state says more about the bridge. */
static const struct link *telling_link(const struct bridge *b)
{
    static const int weight[] = {
        [BRIDGE_READY] = 0, [BRIDGE_DEGRADED] = 1, [BRIDGE_CONNECTING] = 2, [BRIDGE_FAILED] = 3};
    const struct link *r = &b->receiving, *p = &b->publishing;
    return weight[p->state] > weight[r->state] ? p : r;
}

void mqtt_refresh_state(struct bridge *b)
{
    const struct bridge_source_sub *faulty = mqtt_subscription_fault(b);
    const struct link *l = telling_link(b);
    enum bridge_state state = l->state;
    char reason[MQTT_REASON_SIZE];
    bool names_role = l->role->what && *l->reason;
    snprintf(reason, sizeof reason, "%s%s%.230s", names_role ? l->role->what : "", names_role ? ": " : "", l->reason);
    if (state == BRIDGE_READY && faulty) {
        state = BRIDGE_DEGRADED;
        snprintf(reason, sizeof reason, "%.100s: %.140s", faulty->wire, faulty->fault);
    }
    if (b->told && b->told_state == state && strcmp(b->told_reason, reason) == 0)
        return;
    b->told = true;
    b->told_state = state;
    memcpy(b->told_reason, reason, sizeof reason);
    b->host_ops->on_state(b->host, state, *reason ? b->told_reason : NULL);
}

struct state_mail {
    struct mail mail;
    struct link *link;
    enum bridge_state state;
    char reason[MQTT_REASON_SIZE];
};

static void handle_state(struct bridge *b, struct mail *m)
{
    struct state_mail *s = (struct state_mail *)m;
    s->link->state = s->state;
    memcpy(s->link->reason, s->reason, sizeof s->link->reason);
    free(s);
    mqtt_refresh_state(b);
}

void mqtt_report_state(struct link *l, enum bridge_state state, const char *reason)
{
    struct state_mail *s = xcalloc(1, sizeof *s);
    s->mail.handle = handle_state;
    s->link = l;
    s->state = state;
    snprintf(s->reason, sizeof s->reason, "%s", reason ? reason : "");
    mqtt_mail(l->bridge, &s->mail);
}

/* ---- open ---- */

/* MQTT has no positions, so no two runs of the process mean the same by theirs. */
static void choose_epoch(char out[33])
{
    unsigned char seed[16];
    if (getrandom(seed, sizeof seed, 0) != (ssize_t)sizeof seed) {
        uint64_t now[2] = {clock_mono_ns(), (uint64_t)clock_wall_ms()};
        memcpy(seed, now, sizeof seed);
    }
    for (size_t i = 0; i < sizeof seed; i++)
        snprintf(out + 2 * i, 3, "%02x", seed[i]);
}

static void init_lock(struct bridge *b)
{
    pthread_condattr_t attr;
    pthread_mutex_init(&b->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&b->wake, &attr);
    pthread_condattr_destroy(&attr);
}

static struct bridge *bridge_new(const struct bridge_open *open)
{
    struct bridge *b = xcalloc(1, sizeof *b);
    b->host_ops = open->host_ops;
    b->host = open->host;
    b->name = xstrdup(open->name);
    b->loop = open->loop;
    b->publish_timeout_ms = open->publish_timeout_ms;
    b->publish_queue = open->publish_queue;
    b->inbox_mail.handle = handle_inbox;
    TAILQ_INIT(&b->pending);
    TAILQ_INIT(&b->outgoing);
    TAILQ_INIT(&b->handed);
    TAILQ_INIT(&b->subscriptions);
    choose_epoch(b->epoch);
    init_lock(b);
    return b;
}

static void bridge_free(struct bridge *b)
{
    mqtt_subscriptions_free(b);
    inbox_done(&b->inbox);
    free(b->receiving.client_id);
    free(b->publishing.client_id);
    mqtt_options_done(&b->options);
    pthread_cond_destroy(&b->wake);
    pthread_mutex_destroy(&b->lock);
    free(b->name);
    free(b);
}

static void on_handle_closed(struct bridge *b)
{
    if (--b->handles_open > 0)
        return;
    const struct bridge_host_ops *ops = b->host_ops;
    void *host = b->host;
    bool opened = b->told;
    bridge_free(b);
    if (opened)
        ops->on_closed(host);
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_handle_closed(handle->data);
}

static void on_mailbox_closed(struct bridge_mailbox *mailbox)
{
    on_handle_closed((struct bridge *)((char *)mailbox - offsetof(struct bridge, mailbox)));
}

static void close_handles(struct bridge *b)
{
    uv_close((uv_handle_t *)&b->expiry, on_timer_closed);
    bridge_mailbox_close(&b->mailbox, on_mailbox_closed);
}

static int mqtt_open(const struct bridge_open *open, struct bridge **ret_bridge, char *error, size_t error_size)
{
    struct mqtt_options options;
    int r = mqtt_options_read(&options, open, error, error_size);
    if (r < 0)
        return r;
    struct bridge *b = bridge_new(open);
    b->options = options;
    inbox_init(&b->inbox, options.receive_queue);
    mqtt_links_init(b);
    r = bridge_mailbox_init(&b->mailbox, b->loop, on_mail);
    if (r < 0) {
        snprintf(error, error_size, "event loop: %s", uv_strerror(r));
        bridge_free(b);
        return r;
    }
    uv_timer_init(b->loop, &b->expiry);
    b->expiry.data = b;
    b->handles_open = 2;
    r = mqtt_link_start(b);
    if (r < 0) {
        snprintf(error, error_size, "cannot start a thread: %s", strerror(-r));
        close_handles(b);
        return r;
    }
    *ret_bridge = b;
    return 0;
}

static int mqtt_check(const struct bridge_open *open, char *error, size_t error_size)
{
    struct mqtt_options options;
    int r = mqtt_options_read(&options, open, error, error_size);
    if (r == 0)
        mqtt_options_done(&options);
    return r;
}

/* ---- close ---- */

void mqtt_handle_ended(struct bridge *b, struct mail *m)
{
    free(m);
    pthread_join(b->worker, NULL);
    mqtt_deliver_all(b);
    mqtt_publish_abandon(b);
    close_handles(b);
}

/* Until the connection is down the broker may hand over more, and takes what we acknowledge for delivered; so records
 * go on to the hub until on_closed(). */
static void mqtt_close(struct bridge *b, uint64_t deadline_ms)
{
    b->told = true;
    inbox_open_wide(&b->inbox);
    pthread_mutex_lock(&b->lock);
    b->closing = true;
    b->close_at_ms = clock_mono_ms() + deadline_ms;
    mqtt_link_wake(b);
    pthread_mutex_unlock(&b->lock);
}

static void mqtt_stats(struct bridge *b, struct bridge_stats *ret)
{
    *ret = (struct bridge_stats){.lag = -1, .pending = b->pending_count};
}

static const struct bridge_ops ops = {
    .abi = BRIDGE_ABI,
    .name = "mqtt",
    .summary = "MQTT 5 and 3.1.1 (paho): QoS, retained messages, wildcards, shared subscriptions, TLS, WebSocket",
    .package = "libpaho-mqtt1.3",
    .caps = BRIDGE_ORDERED | BRIDGE_ACKED | BRIDGE_PAUSABLE | BRIDGE_HEADERS | BRIDGE_SHARED | BRIDGE_WILDCARDS |
            BRIDGE_RETAINED | BRIDGE_TOMBSTONES,
    .option_names = mqtt_option_names,
    .open = mqtt_open,
    .check = mqtt_check,
    .subscribe = mqtt_subscribe,
    .publish = mqtt_publish,
    .pause = mqtt_pause,
    .resume = mqtt_resume,
    .stats = mqtt_stats,
    .close = mqtt_close,
};

CRIER_API const struct bridge_ops *crier_bridge_ops(void);

const struct bridge_ops *crier_bridge_ops(void)
{
    return &ops;
}
