/* A loop thread: one uv loop, one network side, and all sessions and cursors of its connections.
 *
 * Created on the main thread, run on its own; everything in it is used on its own thread only, except the inbox. */
#ifndef CRIER_LOOP_LOOP_H
#define CRIER_LOOP_LOOP_H

#include <pthread.h>
#include <uthash.h>
#include <uv.h>

#include "hub/hub.h"
#include "loop/loop_channel.h"
#include "net/net.h"
#include "util/inbox.h"
#include "util/turn_clock.h"

struct engine;
struct session;
struct views;

#define LOOP_WHEEL 64 /* seconds; who wants more goes round again */

struct loop {
    struct engine *engine;
    unsigned index;
    uv_loop_t uv;
    pthread_t thread;
    struct inbox inbox;
    struct hub_loop port; /* what the hub knows of this loop */
    struct net *net; /* NULL when it has ended, before the loop does */
    uv_prepare_t prepare; /* end of a turn: flush passes */
    uv_idle_t more;       /* passes are not finished: go on in the next turn */
    uv_timer_t gather;    /* next channel whose gathering ends */
    uv_timer_t sweep;
    struct turn_clock turn;
    uint64_t judge_until_ns; /* filters of this turn's passes; those outside of passes come again in one */

    struct loop_channel *channels; /* hash by name */
    struct channel_form *dirty;     /* got blocks; the end of the turn decides */
    struct channel_form *gathering; /* wait for the end of their gather_ms */
    struct channel_form *passing;   /* being flushed */
    uint64_t gather_due_ms;         /* of the first of those that gather; 0 none */
    struct frame_deflate deflate;
    struct buf scratch;            /* gathers frames of several channels for one send */

    struct views *views;

    struct session *sessions;      /* hash by key */
    struct session *undecided;     /* see SESSION_DECIDE_MS; oldest first */
    uv_timer_t decide;
    struct session *wheel[LOOP_WHEEL]; /* those that want to be woken, by the second it is due */
    uint64_t wheel_second;
    bool drained;
    uint64_t next_session;
};

int loop_init(struct loop *l, struct engine *engine, unsigned index, char *error, size_t error_size);
int loop_start(struct loop *l);
/* Any thread. */
void loop_post(struct loop *l, struct inbox_message *m);
/* Loop thread: looks at the undecided sessions after this time. */
void loop_decide_in(struct loop *l, uint64_t ms);
/* Any thread: closes the sessions, spread over `spread_ms`; 0 cuts them. engine->on_loop_drained runs on the hub then. */
void loop_drain(struct loop *l, uint64_t spread_ms);
/* Any thread: handshakes that begin from now on use this certificate. Takes a reference of its own. */
void loop_use_certificate(struct loop *l, struct net_certificate *c);
/* Hub thread, after that: ends the thread and waits for it. */
void loop_end(struct loop *l);
void loop_done(struct loop *l);

#endif
