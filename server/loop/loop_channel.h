/* A channel on one loop: per form a frame log and the cursors of its subscribers, and the passes that flush them.
 *
 * Loop thread only. A form is attached while the hub sends its blocks; it lingers for a while after its last subscriber
 * so that reconnects find it. */
#ifndef CRIER_LOOP_LOOP_CHANNEL_H
#define CRIER_LOOP_LOOP_CHANNEL_H

#include <uthash.h>

#include "auth/auth.h"
#include "config/config.h"
#include "hub/hub.h"
#include "hub/subscribe.h"
#include "loop/filter.h"
#include "loop/frame_index.h"
#include "loop/frame_log.h"
#include "loop/window.h"

struct loop;
struct session;
struct subscription;
struct view;

struct channel_form {
    struct loop_channel *channel;
    struct channel_form *sibling; /* next form of the channel */
    enum frame_form form;
    bool attached;       /* blocks come in */
    bool detaching;      /* the hub has been told to stop */
    bool numbered;       /* false: the hub has to be asked what the channel's shift and epoch are worth */
    unsigned calls;      /* under way to the hub */
    struct frame_log log;
    int64_t position;    /* of the channel, as of the newest block */
    uint64_t epoch_seq;  /* first frame under the channel's epoch: earlier ones have offsets of another numbering */
    int64_t epoch_offset; /* before that frame */
    uint64_t serial;     /* of the frame at the log's head: the same in all forms of the channels wire */
    uint64_t plain_from; /* frames from here on are for everyone as they are */
    uint64_t refused_to; /* below this are frames that the form could not carry: FRAME_NOT_JSON */
    struct filter *filters;
    struct frame_index index; /* of the frames at hand, for windows */
    struct filter *publications; /* the one that leaves out joins and leaves; NULL before the first of these */
    struct subscription **subscriptions;
    size_t count, capacity;
    size_t expected;     /* subscriptions with deltas that are going to come over */
    _Atomic(size_t) clients; /* = count, for the hub to read */
    uint64_t flushed_ms; /* begin of the last pass */
    uint64_t idle_since_ms;
    bool dirty, passing;
    size_t pass_at;      /* next subscriber of the pass */
    uint64_t pass_head;  /* newest frame when the pass began */
    struct channel_form *prev, *next; /* in one of the loop's three lists */
    struct frame_block *missed; /* items of the frames [missed_from, missed_to) of a log up to missed_head; NULL none */
    uint64_t missed_from, missed_to, missed_head;
    struct poll_waiter *waiters; /* long polls */
    struct view *view;           /* takes the blocks instead of the log; NULL none */
};

struct loop_channel {
    struct loop *loop;
    char *name;
    size_t name_len;
    const struct config_namespace *ns;
    char epoch[CHANNEL_EPOCH_SIZE];
    int shift;     /* what the channels wire adds to offsets */
    bool by_broker; /* offsets are those of one partition */
    struct channel_form *forms; /* those that were ever wanted */
    UT_hash_handle hh;
};

enum subscription_state {
    SUBSCRIPTION_ATTACHING, /* waits for the hub */
    SUBSCRIPTION_PAGING,    /* has a page of what it missed; asks for the next one when that is sent */
    SUBSCRIPTION_LIVE,
};

struct subscription {
    struct session *session;
    struct channel_form *form;
    uint64_t cursor;    /* next frame */
    int64_t sent;       /* channel offset of the last frame sent, for gap notices and restarts */
    size_t index;       /* in form->subscriptions */
    enum subscription_state state;
    bool quiet;         /* the client already knows of this subscription */
    bool positioned;    /* its client counts on offsets and cannot be told of a gap */
    bool announcing;    /* its wire is being told that it is live */
    bool ended;         /* while that went on: freed afterwards */
    bool cancelled;     /* unsubscribed while attaching: `session` is NULL, `session_key` says whose it was */
    bool joined;        /* is in the channel's presence */
    bool join_leave;    /* wants to hear of others' */
    bool deltas;        /* gets deltas as soon as it has what they are against */
    bool based;         /* it has */
    bool choosy;        /* does not simply get everything: has a filter or a window, or is about to go over to deltas */
    bool skipping;      /* waits to begin anew at the head, with a gap */
    bool renumbered;    /* while paging: the next page would be of another numbering */
    struct filter *filter; /* of the form; NULL: whatever tags */
    struct window *window; /* of a keyed channel with places; NULL: everything */
    uint64_t session_key;
};

#define REPLY_ITEMS_BYTES 65536 /* of recovered publications in a reply; more follow it as frames */

struct subscribe_request {
    struct bytes channel;
    const char *epoch; /* NULL: no position */
    int64_t offset;
    int64_t history;
    bool quiet;
    bool conflate;
    bool skip;       /* from the head on, whatever was missed */
    bool join_leave; /* joins and leaves as well, where the form has a flag for them */
    bool deltas;     /* where the namespace has them; not with a filter, which would break their chain */
    struct bytes filter; /* FilterNode; data NULL: none */
    enum channels_encoding filter_encoding;
    const struct geo_box *box; /* of a keyed channel: only what lies in it; NULL: everything. Not with deltas */
    bool shifted; /* `offset` is one of the channels wire */
    bool strict;  /* not recovered is a failure: nothing is handed over then */
    const char *info; /* raw JSON for the presence, of this subscription only; NULL none */
    enum auth_override presence; /* is listed among those who are there */
    enum auth_override joins;    /* others are told that it comes and goes */
    bool items; /* what was missed comes as items for the wire's reply, not as frames */
};

struct poll_waiter {
    struct poll_waiter *prev, *next;
    struct channel_form *form; /* NULL: does not wait */
    void (*fn)(struct poll_waiter *w, struct channel_form *f);
};

/* The channel on this loop, made if need be; NULL when its name or namespace is not allowed. */
struct loop_channel *loop_channel_get(struct loop *l, struct bytes name, enum crier_error *ret_error);
/* NULL when it was never wanted. */
struct channel_form *channel_form_find(const struct loop_channel *c, enum frame_form form);
/* The form, not necessarily attached yet. */
struct channel_form *channel_form_get(struct loop_channel *c, enum frame_form form);
static inline struct bytes channel_form_name(const struct channel_form *f)
{
    return (struct bytes){f->channel->name, f->channel->name_len};
}
/* Its clients of the channels wire are told no offsets. */
static inline bool channel_is_unnumbered(const struct loop_channel *c)
{
    return c->ns->keyed && c->ns->map == MAP_EPHEMERAL;
}
/* Any thread. */
size_t channel_form_clients(void *peer);
void channel_form_on_block(void *peer, struct frame_block *block);
/* The channel's numbering changed: what follows is under this epoch, from `position` on. */
void channel_form_on_epoch(void *peer, const char *epoch, int64_t position);
/* First frame above a position of the channel; false when the log does not reach it. */
bool channel_form_seek(const struct channel_form *f, const char *epoch, int64_t offset, uint64_t *ret_seq);
/* Asks the hub for the form from some position on; `r->call.done` calls channel_form_answered() before it looks at the
 * answer. */
void channel_form_ask(struct channel_form *f, struct hub_subscribe *r);
void channel_form_answered(struct channel_form *f, const struct hub_subscribe *r);
/* Lets the blocks of a form come, though nobody is subscribed in it. */
void channel_form_attach(struct channel_form *f);
/* Puts a subscription among those of its form, and takes it out again; passes under way reach everyone all the same. */
void channel_form_place(struct subscription *s);
void channel_form_displace(struct subscription *s);
/* Comes to its subscribers again in the next turn, with or without news. */
void channel_form_revisit(struct channel_form *f);
/* Calls `w->fn` once at the next block, unless stopped before. */
void channel_form_wait(struct channel_form *f, struct poll_waiter *w);
void channel_form_stop_waiting(struct poll_waiter *w); /* also when it does not wait */
/* Calls all that wait on this loop. */
void loop_channels_end_waiting(struct loop *l);

/* ---- subscription.c ---- */

/* Begins a subscription; `s` becomes live, or the session hears of the error. */
void subscription_start(struct subscription *s, const struct subscribe_request *request);
/* Removes the cursor; frees it now or, while the hub is asked, later. */
void subscription_end(struct subscription *s);
/* Ends all of a form, so that their clients come back with their positions. */
void subscriptions_resync(struct channel_form *f);
/* Goes on at its position in another form. */
void subscription_change_form(struct subscription *s, enum frame_form form);
enum restart {
    RESTART_BEHIND_LAST,    /* behind the last frame sent */
    RESTART_NEWEST_OF_KEYS, /* the same, but only the newest of each key */
    RESTART_AT_HEAD,        /* the rest is a gap */
};
/* Takes the cursor out and asks the hub to go on, in that form of the channel; with deltas in the one before these. */
void subscription_restart(struct subscription *s, struct channel_form *f, enum restart how);
/* Goes over to the form with deltas, at the same frame. False when that is not there yet. */
bool subscription_go_over(struct subscription *s);

/* ---- delivery.c ---- */

/* Sends what the cursor is behind, as far as the socket takes it. */
void subscription_flush(struct subscription *s);
/* Applies the namespace's policy when the cursor fell off the log. Returns false when the subscription ended, waits for
 * the hub, or its session takes no more. */
bool subscription_settle(struct subscription *s);
/* Adds what the cursor, which is on the log, is behind to `out`, up to `limit` bytes in all. */
void subscription_collect(struct subscription *s, struct buf *out, size_t limit);

/* ---- fanout.c ---- */

/* End of a turn: starts due passes and works on them for a bounded time. */
void loop_flush(struct loop *l);
/* Once a second: lets go of forms nobody uses. */
void loop_channels_sweep(struct loop *l, uint64_t now_ms);
void loop_channels_done(struct loop *l);

#endif
