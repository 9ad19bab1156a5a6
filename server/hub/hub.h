/* The hub: the one thread that owns channels, positions, history, presence and the bridges.
 *
 * Made on the main thread, run by hub_run() there; other threads reach it only by posting calls into its inbox. A call
 * is owned by the hub from hub_call_post() until its `done` runs on the thread of its origin. */
#ifndef CRIER_HUB_H
#define CRIER_HUB_H

#include <uv.h>

#include "config/config.h"
#include "hub/channel.h"
#include "hub/frame_deflate.h"
#include "util/error.h"
#include "util/inbox.h"
#include "util/turn_clock.h"

struct hub;
struct bridge_instance;
struct source;
struct relay;
struct publish_table;
struct resume;
struct log_read;

/* ---- calls from loop threads ---- */

struct hub_call {
    struct inbox_message message; /* first */
    struct hub_call *next; /* of those that wait for a source, or for the end of the turn */
    uint64_t wait_until_ms; /* 0: has not waited */
    struct inbox *origin;
    void (*run)(struct hub *hub, struct hub_call *call);   /* on the hub; calls hub_call_finish() now or later */
    void (*done)(struct hub_call *call, void *origin_owner); /* on the origin's thread; frees the call */
};

/* Oldest first. */
struct hub_call_list {
    struct hub_call *first, *last;
};

void hub_call_post(struct hub *hub, struct hub_call *call);
/* Hub thread. Without origin the call is done on the hub itself. */
void hub_call_finish(struct hub_call *call);
/* The same at the end of the turn: the answer does not overtake what the loops are sent of this turn's publications. */
void hub_call_finish_behind(struct hub *hub, struct hub_call *call);
void hub_finish_behind(struct hub *hub);

/* Lets a call run again when its source has caught up, or after HUB_WAIT_MS at most. False when it has waited already. */
#define HUB_WAIT_MS 5000
bool hub_call_wait(struct hub *hub, struct hub_call *call);
/* Runs the calls that wait; they may wait again. */
void hub_retry_waiting(struct hub *hub);

/* ---- what a loop offers to the hub ---- */

struct hub_loop {
    struct inbox *inbox;
    /* Loop thread: a block of frames for the peer given with the subscription. Takes the block's reference. */
    void (*on_block)(void *peer, struct frame_block *block);
    /* Loop thread, in order with the blocks: the channel counts under this epoch from now on. */
    void (*on_epoch)(void *peer, const char *epoch, int64_t position);
    /* Any thread: subscriptions of the peer. */
    size_t (*clients)(void *peer);
    _Atomic(int64_t) backlog_bytes; /* posted and not yet taken by the loop */
};

struct hub {
    uv_loop_t *loop;
    const struct config *config;
    struct inbox inbox;
    uv_prepare_t prepare; /* end of a turn */
    uv_timer_t sweep;
    uint64_t channel_sweep_ms; /* when channels are looked at next */
    uint64_t mirror_renew_ms;  /* when keys of subscribers are renewed next */
    uv_timer_t interval;  /* next channel with interval_ms */
    struct turn_clock turn;
    char node_id[64];
    int64_t started_ms;

    struct frame_deflate deflate;
    struct channel *channels; /* hash by name */
    struct channel *queued_first, *queued_last;

    struct bridge_instance *bridges;
    size_t bridge_count;
    struct source *sources;
    size_t source_count;
    struct relay *relays;
    size_t relay_count;
    struct publish_table *publishes;

    struct hub_loop *loops[LOOPS_MAX];
    size_t loop_count;
    bool paused;       /* the loops are too far behind: bridges wait */
    bool draining; /* publishes are refused */
    bool closing;  /* bridges are told nothing any more */
    struct hub_call_list waiting; /* calls that wait for a source to catch up */
    struct hub_call_list behind;  /* answers that wait for the end of the turn */
    struct resume *resumes;   /* wait for their turn to read */
    size_t reading;
    struct log_read *log_reads; /* the same for histories */
    size_t log_reads_waiting, log_reading;
    void (*on_closed)(struct hub *hub);
    size_t closing_bridges;
};

/* Reads the configuration, opens the bridges and subscribes the sources. 0, or negative errno with a reason. */
int hub_init(struct hub *hub, uv_loop_t *loop, const struct config *config, char *error, size_t error_size);
/* Before the loop thread starts. Returns its index. */
unsigned hub_add_loop(struct hub *hub, struct hub_loop *loop);
/* Stops consuming, flushes producers, commits; `on_closed` when all bridges are closed. Later publishes are refused. */
void hub_close(struct hub *hub, uint64_t deadline_ms, void (*on_closed)(struct hub *hub));
/* After on_closed, when no loop is left: closes its handles. The loop runs once more before hub_free(). */
void hub_done(struct hub *hub);
void hub_free(struct hub *hub);

/* Finds or makes; NULL with the reason when the name is malformed, its namespace is not configured or there are too
 * many channels. Hub thread. */
struct channel *hub_channel(struct hub *hub, struct bytes name, enum crier_error *ret_error);
struct channel *hub_channel_find(struct hub *hub, struct bytes name);
/* Queues for framing at the end of the turn. */
void hub_queue_channel(struct hub *hub, struct channel *c);
/* Tells a loop of the channel's new epoch. */
void hub_send_epoch(struct hub *hub, unsigned loop, void *peer, const struct channel *c);
/* Posts a block to a loop. */
void hub_send_block(struct hub *hub, unsigned loop, void *peer, struct frame_block *block);
/* NULL when ready, else appends the reasons as a JSON array of strings and returns false. */
bool hub_ready(struct hub *hub, struct buf *reasons);
/* True when the name may be a channel: letters, digits and _.:-#$,@~=!, 1 to limits.channel_name_bytes; nothing that
 * quotes, patterns or labels of metrics would have to escape. Any thread. */
CRIER_API bool channel_name_valid(const struct config *config, struct bytes name);
/* Fills `out` with a random epoch. */
void epoch_random(char out[CHANNEL_EPOCH_SIZE]);
/* The same on every node for the same partition of the same log. */
void epoch_of_partition(struct bytes seed, struct bytes topic, int32_t partition, char out[CHANNEL_EPOCH_SIZE]);

#endif
