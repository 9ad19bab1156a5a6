/* The mqtt driver's inside: a bridge is two MQTT connections, one that receives and one that publishes.
 *
 * The receiving one keeps its session at the broker, so that nothing is lost while it is away; it carries the last will.
 * The publishing one begins with nothing each time, in the library and at the broker: the library sends what is left in
 * a session from memory that it has freed, so what was on its way is sent again from the bridge's own lists.
 *
 * Three kinds of thread meet here. The hub thread calls the driver and gets every answer. The bridge's own worker makes
 * every call into the client library, because the library holds one lock for the whole process while it resolves names,
 * handshakes or runs a callback, and the hub must never wait for that. The library's threads run the callbacks, with
 * that lock held: they take `lock` or the inbox only, and never wait except in the inbox. Whoever holds `lock` does not
 * call the library.
 *
 * A bridge is freed on the hub thread after the worker ended and its mailbox closed. */
#ifndef CRIER_BRIDGES_MQTT_DRIVER_H
#define CRIER_BRIDGES_MQTT_DRIVER_H

#include <MQTTAsync.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "bridge.h"
#include "inbox.h"
#include "options.h"

#define MQTT_REASON_SIZE 256

/* One item of the mailbox; its handler runs on the hub thread and owns it. */
struct mail {
    struct mpsc_node node;
    void (*handle)(struct bridge *b, struct mail *m);
};

enum phase {
    PHASE_WAITING,       /* for the next attempt */
    PHASE_CONNECTING,    /* the library is at it */
    PHASE_CONNECTED,
    PHASE_DISCONNECTING, /* because the hub is behind */
    PHASE_PARKED,        /* until the hub has caught up; the broker queues meanwhile */
    PHASE_ENDED,
};

/* What the library's threads report; several may be set when the worker looks. */
enum event {
    EVENT_CONNECTED = 1 << 0,
    EVENT_FAILED = 1 << 1,
    EVENT_LOST = 1 << 2,
    EVENT_DISCONNECTED = 1 << 3,
};

/* What the broker said in CONNACK; without a word from it everything is allowed. */
struct broker_limits {
    uint32_t packet_bytes;
    uint32_t inflight; /* Receive Maximum */
    int qos;
    bool retain, subscription_ids;
};

TAILQ_HEAD(publish_list, publish);
TAILQ_HEAD(subscription_list, bridge_source_sub);

/* One connection. The two of a bridge differ by their role. */
struct link {
    struct bridge *bridge;
    const struct link_role *role;
    char *client_id;

    /* hub thread */
    enum bridge_state state;
    char reason[MQTT_REASON_SIZE];

    /* under the bridge's `lock` */
    enum phase phase;
    unsigned events;
    int event_code;                    /* of EVENT_FAILED, or the broker's reason to disconnect */
    char event_text[MQTT_REASON_SIZE];
    bool session_present;
    bool server_left;                  /* event_code is from the broker's DISCONNECT */
    struct broker_limits limits;

    /* worker */
    MQTTAsync client;
    size_t server; /* index of the next attempt */
    uint64_t attempt_at_ms, backoff_ms, connected_at_ms, checked_at_ms, phase_since_ms;
    bool was_connected, tuned, told_ready;
};

struct bridge {
    /* hub thread */
    const struct bridge_host_ops *host_ops;
    void *host;
    char *name;
    uv_loop_t *loop;
    struct bridge_mailbox mailbox;
    uv_timer_t expiry;
    uint64_t publish_timeout_ms;
    size_t publish_queue;
    struct publish_list pending; /* not yet answered, oldest first */
    size_t pending_count;
    enum bridge_state told_state;
    char told_reason[MQTT_REASON_SIZE];
    bool told;
    char epoch[33];
    int handles_open;

    /* fixed after open() */
    struct mqtt_options options;
    pthread_t worker;

    /* any thread */
    struct inbox inbox;
    struct mail inbox_mail;
    atomic_bool overrun; /* the hub was behind for too long: the receiving connection leaves */

    /* under `lock` */
    pthread_mutex_t lock;
    pthread_cond_t wake; /* the worker */
    unsigned wakes;
    struct link receiving, publishing;
    bool closing;
    uint64_t close_at_ms;
    struct publish_list outgoing; /* to be given to the library; what was on its way before comes first */
    struct publish_list handed;   /* given to it, no answer yet */
    size_t outgoing_count, handed_count;
    struct subscription_list subscriptions; /* the hub appends, others read */
    bool said_farewell, farewell_stored;
};

struct bridge_source_sub {
    TAILQ_ENTRY(bridge_source_sub) entry;
    /* fixed */
    struct bridge *bridge;
    void *cookie;
    char *filter; /* as topics are matched */
    char *wire;   /* as the broker gets it: with $share/GROUP/ where shared */
    int qos;
    uint32_t id; /* MQTT 5 subscription identifier */
    /* under bridge->lock */
    enum { SUB_WANTED, SUB_ASKED, SUB_SETTLED } stage;
    /* hub thread */
    bool paused, assigned, caught_up;
    char fault[MQTT_REASON_SIZE]; /* refused, or granted with a lower QoS; empty when all is well */
    struct message **ready;       /* routed here, not yet handed over; from `ready_start` */
    size_t ready_start, ready_count, ready_capacity;
};

/* driver.c: from any thread to the hub thread. */
void mqtt_mail(struct bridge *b, struct mail *m);
/* Any thread. Reports a connection's state; the hub side merges it with the other's and that of the subscriptions. */
void mqtt_report_state(struct link *l, enum bridge_state state, const char *reason);
/* Hub thread. Tells the host when something changed. */
void mqtt_refresh_state(struct bridge *b);
/* Hub thread: the worker has ended. */
void mqtt_handle_ended(struct bridge *b, struct mail *m);

/* link.c: the worker. */
int mqtt_link_start(struct bridge *b);
/* Under `lock`. */
void mqtt_link_wake(struct bridge *b);

/* phase.c: worker, under `lock`, which it leaves for the library's calls. */
void mqtt_links_init(struct bridge *b);
/* Does one thing of what a connection's phase and events ask for. False: there was nothing to do. */
bool mqtt_link_step(struct link *l);
/* When to look again without being woken. */
uint64_t mqtt_link_wake_ms(const struct link *l);

/* event.c: worker, under `lock`. */
void mqtt_link_enter(struct link *l, enum phase phase);
void mqtt_link_attempt(struct link *l);
bool mqtt_link_handle_events(struct link *l);
void mqtt_link_handle_disconnected(struct link *l);

/* What the two connections do differently. */
struct link_role {
    const char *what;    /* before the reason of its state; NULL: nothing */
    bool keeps_session;  /* else client and session are made anew for each connection */
    bool carries_will;
    void (*on_connected)(struct link *l);
    void (*on_lost)(struct link *l);
    bool (*is_ready)(const struct link *l); /* connected, and all that belongs to it */
    bool (*work)(struct link *l); /* while connected; false: nothing to do now */
    bool (*is_full)(const struct link *l); /* there is work, but the library does not take it just now */
    bool (*may_end)(const struct link *l); /* while the bridge closes */
    bool (*take_leave)(struct link *l);    /* last words before the end; false: there are none */
};

/* connect.c: worker, without `lock`. */
extern const struct broker_limits mqtt_no_limits;
/* Makes the client where there is none. An event follows. */
void mqtt_client_connect(struct link *l);
/* `reason`: MQTT 5 reason code, 0 or MQTTREASONCODE_DISCONNECT_WITH_WILL_MESSAGE. */
void mqtt_client_disconnect(struct link *l, enum MQTTReasonCodes reason);
bool mqtt_client_is_connected(struct link *l);
void mqtt_client_no_delay(struct link *l);
/* Sends DISCONNECT where connected; no callback runs afterwards. */
void mqtt_client_destroy(struct link *l);

/* publish.c: hub thread */
void mqtt_publish(struct bridge *b, const struct bridge_message *m, void *cookie);
void mqtt_on_expiry(uv_timer_t *timer);
/* After the library was shut down: answers and frees everything. */
void mqtt_publish_abandon(struct bridge *b);

/* window.c: worker, under `lock` */
/* Publishes may go out: what comes back by a subscription of ours is not missed. */
bool mqtt_window_is_open(const struct bridge *b);
/* One more may be given to the library. */
bool mqtt_window_has_room(const struct bridge *b);
/* Leaves `lock` for the library's calls. False: nothing could be done now. */
bool mqtt_window_send(struct bridge *b);
/* The connection broke and its client is gone: what was on its way is sent again first, in its order. */
void mqtt_window_take_back(struct bridge *b);
/* A message of the driver's own, at the head of the queue: nobody is told of its outcome. */
void mqtt_window_status(struct bridge *b, const char *status);

/* subscribe.c */
int mqtt_subscribe(struct bridge *b, const struct bridge_subscription *s, void *cookie,
                   struct bridge_source_sub **ret_sub);
void mqtt_pause(struct bridge_source_sub *s);
void mqtt_resume(struct bridge_source_sub *s);
/* Worker, under `lock`, which it leaves for the library's calls. */
bool mqtt_subscribe_pending(struct bridge *b);
/* Worker, under `lock`: the broker knows nothing of us. */
void mqtt_subscribe_again(struct bridge *b);
/* Under `lock`: the broker has answered each of them. */
bool mqtt_subscriptions_settled(const struct bridge *b);
/* First subscription that does not work as asked, or NULL. */
const struct bridge_source_sub *mqtt_subscription_fault(const struct bridge *b);
void mqtt_subscriptions_free(struct bridge *b);

/* receive.c */
int mqtt_on_message(void *link, char *topic, int topic_length, MQTTAsync_message *message);
/* Hub thread. Routes what is in the inbox, then hands it over. */
void mqtt_deliver(struct bridge *b);
/* The same, also to subscriptions that are paused: what the broker believes delivered must not stay behind. */
void mqtt_deliver_all(struct bridge *b);

#endif
