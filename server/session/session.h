/* A session: one connected client of whatever wire, with its subscriptions and what is still to be sent to it.
 *
 * Belongs to its loop and is used on that thread only; it lives from the accepted upgrade to the closed connection. Other
 * threads name it by its key. */
#ifndef CRIER_SESSION_SESSION_H
#define CRIER_SESSION_SESSION_H

#include <uthash.h>

#include "crier/crier.h"
#include "loop/loop.h"
#include "session/outbox.h"

#define SESSION_ID_SIZE 20

struct dispatch;
struct session;
struct viewer;

/* What a wire does when the engine has news for its client. Any thread calls none of these. */
struct wire_ops {
    /* The subscription is live; the result's block follows by itself. */
    void (*subscribed)(struct session *s, struct subscription *sub, const struct hub_subscribe *result);
    void (*subscribe_failed)(struct session *s, struct bytes channel, enum crier_error error, const char *detail);
    /* Offsets `first` to `last` were lost for this client; live again from there. */
    void (*gap)(struct session *s, struct bytes channel, int64_t first, int64_t last);
    /* The server ended the subscription; code 2500: subscribe again with the last position. */
    void (*unsubscribed)(struct session *s, struct bytes channel, int code, const char *reason);
    /* A message from a module or the server API. */
    void (*send)(struct session *s, uint32_t type, enum crier_codec codec, struct bytes payload);
    /* Answers to a request, with the id that it carried. */
    void (*reply)(struct session *s, uint32_t type, struct bytes id, enum crier_codec codec, struct bytes payload);
    void (*reply_error)(struct session *s, struct bytes id, enum crier_error error, const char *message);
    void (*reply_ok)(struct session *s, struct bytes id);
    void (*reply_stored)(struct session *s, struct bytes id, int32_t partition, int64_t offset, const char *epoch);
    /* The time that session_wake_in() was given is over; may be NULL. */
    void (*wake)(struct session *s, uint64_t now_ms);
    /* An order of the server API to subscribe (session/dispatch.h); NULL: session_subscribe(). */
    void (*server_subscribe)(struct session *s, const struct dispatch *d);
    /* The session's time is set anew, 0 without end; and what others see of it, data NULL: as it was. NULL: no such. */
    void (*refresh)(struct session *s, int64_t expire_at_s, struct bytes info);
    /* What the session calls itself where it has no connection of its own; NULL: it has none such. */
    const char *(*secret)(const struct session *s);
    void (*free)(struct session *s); /* the wire's own state */
};

struct outbox_item;
struct deferred_subscribe;

/* A client that has not spoken yet may speak text: what modules subscribe it to starts with its first message, or after
 * this time in the form it has by default. */
#define SESSION_DECIDE_MS 300

struct session {
    /* What each delivery needs, in one cache line. */
    struct ws_conn *conn;
    struct outbox_item *outbox_first, *outbox_last; /* not empty only while the socket takes no more */
    struct viewer *viewers; /* its boxes in views */
    struct loop *loop;
    enum frame_form form;
    uint32_t subscription_count;
    bool closing;
    bool held; /* publications wait: the client would not know yet what they belong to */
    bool form_known;  /* the client has spoken, or said it in the query */
    bool form_assumed; /* it has been silent for SESSION_DECIDE_MS: binary until it speaks */
    bool deflated;     /* it takes compressed frames */

    uint64_t key;
    const struct wire_ops *wire;
    void *wire_state;
    uint32_t subscription_capacity;
    uint32_t cancelled; /* subscriptions given up before the hub's answer: they count until it comes */
    struct subscription **subscriptions;
    size_t outbox_bytes;
    char *user;   /* "" anonymous */
    char *claims; /* JSON object; NULL none */
    char *info;   /* raw JSON of the token, shown by presence and beside publications; NULL none */
    char *name;   /* shown by presence beside the user; NULL none */
    char *query;  /* of the request that opened it, raw; NULL none */
    void **module_data; /* by module; NULL before the first */
    struct deferred_subscribe *deferred;
    struct session *undecided_prev, *undecided_next; /* in the loop's list while something is deferred */
    uint64_t decide_at_ms;
    struct session *wake_prev, *wake_next; /* in a slot of the loop's wheel while wake_at_ms is not 0 */
    uint64_t wake_at_ms;
    UT_hash_handle hh;
    char id[SESSION_ID_SIZE];
};

struct session *session_new(struct loop *l, const struct wire_ops *wire, const char *user, const char *claims);
/* After the connection is gone (or never was): ends the subscriptions and frees. */
void session_free(struct session *s);
struct session *session_find(struct loop *l, uint64_t key);

/* The form in which publications are framed for it; `form` is what it speaks. */
static inline enum frame_form session_frames(const struct session *s)
{
    return frame_form_deflated(s->form, s->deflated);
}

void session_close(struct session *s, int code, const char *reason);
static inline bool session_can_write(const struct session *s)
{
    return !s->closing && s->conn && !ws_blocked(s->conn);
}
/* Publications, too. */
static inline bool session_can_send(const struct session *s)
{
    return !s->held && session_can_write(s);
}
/* A pass over a thousand sessions finds none of them in the cache: each is loaded in four steps while the kernel is at work
 * for those before it. `next`: those still to come, `left` pointers to structs with a `session`. */
#define sessions_prefetch(next, left)                                                                                  \
    do {                                                                                                               \
        size_t left_ = (left);                                                                                         \
        if (left_ > 4)                                                                                                 \
            __builtin_prefetch((next)[4]);                                                                             \
        if (left_ > 3)                                                                                                 \
            __builtin_prefetch((next)[3]->session);                                                                    \
        if (left_ > 2 && (next)[2]->session)                                                                           \
            __builtin_prefetch((next)[2]->session->conn);                                                              \
        if (left_ > 1 && (next)[1]->session && (next)[1]->session->conn)                                               \
            ws_prefetch((next)[1]->session->conn);                                                                     \
    } while (0)

/* Checks rights, limits and duplicates; answers through the wire. */
void session_subscribe(struct session *s, const struct subscribe_request *request);
/* False when there is no such subscription. */
bool session_unsubscribe(struct session *s, struct bytes channel);
struct subscription *session_subscription(struct session *s, struct bytes channel);
/* Changes the form: subscriptions go on at their positions in the new one. */
void session_set_form(struct session *s, enum frame_form form);
/* Starts what was deferred by sessions whose time is up; returns when to come again, 0 never. */
uint64_t sessions_decide(struct loop *l, uint64_t now_ms);
/* Calls the wire's wake() after this time, to the second; a later call replaces an earlier one. 0 takes it back. */
void session_wake_in(struct session *s, uint64_t ms);
/* Once a second. */
void sessions_wake(struct loop *l, uint64_t now_ms);
/* Ends a subscription. */
void session_forget(struct session *s, struct subscription *sub);
/* Takes it out of the session's list only. */
void session_remove(struct session *s, struct subscription *sub);
/* The hub answered one that the session, if it still is there, had cancelled. */
void session_answered(struct loop *l, uint64_t key);

#endif
