/* The embedded driver's inside: what the hub thread and the store thread own and how they hand things over.
 *
 * Commands go to the store thread (emb_worker_send), mails to the hub thread (bridge_mailbox_send); each belongs to its
 * receiver from then on. Fields are grouped by the thread that may touch them. A bridge owns its subscriptions; both
 * are freed after the store thread has ended. */
#ifndef CRIER_EMBEDDED_DRIVER_H
#define CRIER_EMBEDDED_DRIVER_H

#include <pthread.h>

#include "bridge.h"
#include "embedded/record_set.h"
#include "embedded/settings.h"
#include "embedded/store.h"

#define CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer) - offsetof(type, member)))

enum {
    CHUNK_RECORDS = 512,          /* records handed over in one call */
    CHUNK_BYTES = 1 << 20,        /* a chunk read from the file ends after the record that passes this */
    FEED_IN_FLIGHT = 4,           /* chunks read for a subscription that the hub has not taken yet */
    READ_IN_FLIGHT = 2,           /* the same for a read_back */
    BATCH_RECORDS = 8192,         /* publishes stored in one transaction */
    BATCH_BYTES = 8 << 20,
    TICK_MS = 100,                /* has another process appended? */
    SLOW_TICK_MS = 1000,          /* group positions, leases, retention, retries */
    CLEAN_RECORDS = 4096,         /* removed in one transaction */
    CLEAN_TOPICS = 64,            /* looked at in one slow tick */
    LEASE_MS = 10000,             /* after this a silent member's partitions go to the others */
    LEAVE_MS = 5000,              /* a partition is given away after this, acknowledged or not */
};

struct worker;
struct bridge;
struct bridge_source_sub;

struct command {
    struct mpsc_node node;
    void (*run)(struct worker *w, struct command *c);
    bool after_publishes; /* publishes sent before are stored before it runs */
    struct command *next; /* in the sender's list */
};

struct mail {
    struct mpsc_node node;
    void (*deliver)(struct bridge *b, struct mail *m);
};

/* ---- publishing ---- */

enum publish_stage { PUBLISH_QUEUED, PUBLISH_TAKEN, PUBLISH_EXPIRED };

/* One allocation: the struct, views of the headers, then the bytes. */
struct publish {
    struct command command;
    _Atomic(int) stage; /* the store thread takes it, or the hub thread gives it up */
    /* hub thread */
    void *cookie;
    uint64_t deadline_ms;
    bool answered;
    struct publish *pending_prev, *pending_next;
    /* store thread, then hub thread */
    struct publish *next; /* in the batch */
    struct store_topic *store_topic;
    int32_t partition;
    enum bridge_outcome outcome; /* not STORED before it was tried: leave it alone */
    const char *refusal;         /* NULL: the batch's reason */
    struct bytes topic;
    struct store_record record;
    size_t size; /* of the bytes */
    size_t header_count;
    struct bridge_header headers[];
};

/* Publishes that were stored in one transaction. */
struct batch {
    struct mail mail;
    struct publish *head, *tail;
    size_t count, bytes;
    unsigned refs; /* hub thread: itself and the events that point to its records */
    char reason[256];
};

/* ---- subscriptions ---- */

enum event_kind { EVENT_ASSIGNED, EVENT_REVOKED, EVENT_RECORDS, EVENT_CAUGHT_UP };

/* Something for a subscription's owner, in order. One with records read from the file returns to the store thread as a
 * command: that is the credit for the next. */
struct event {
    struct mail mail;
    struct command command;
    enum event_kind kind;
    bool credit;
    struct bridge_source_sub *sub;
    struct event *next; /* in a list of its thread */
    int32_t partition;
    int64_t oldest, end;
    struct record_set set;
    struct batch *batch; /* holds what the set points to; NULL: the set itself does */
};

struct feed_partition {
    struct store_partition *store;
    int64_t next;      /* offset of the next record to hand over */
    int64_t target;    /* caught up from here */
    int64_t committed; /* shared: the group's position as stored */
    int64_t leaving_since_ms; /* shared: not read any more, given away when acknowledged; 0 not leaving */
    bool owned;
    /* Within emb_share_tick(): what holds after its commit. */
    bool plan_owned;
    int64_t plan_next, plan_committed;
};

struct bridge_source_sub {
    struct command command;
    struct bridge *bridge;
    void *cookie;
    char *topic, *group; /* group NULL: not shared */
    char member[33];
    enum bridge_start from;
    int64_t time_ms;
    atomic_bool paused; /* written by the hub thread */
    /* hub thread */
    struct bridge_source_sub *next;
    struct event *held_head, *held_tail;
    struct mail flush;
    bool flush_sent;
    /* Highest acknowledged offset a partition; made by the store thread before the first record. */
    _Atomic(int64_t) *acked;
    char uuid[33]; /* of the topic; written by the store thread before the first event */
    int32_t partition_count;
    /* store thread */
    struct bridge_source_sub *next_feed;
    struct store_topic *store_topic; /* NULL: not started */
    struct feed_partition *partitions;
    int32_t turn; /* partition that is read next */
    int in_flight;
    bool stuck;   /* reading failed; tried again at the next slow tick */
    bool settled; /* has its partitions, where shared: has asked for them once */
    bool caught_up;
};

/* ---- reading back ---- */

struct read_job {
    struct command command;
    void *cookie;
    char *topic;
    int32_t partition;
    int64_t next, to;
    size_t limit, left;
    /* store thread */
    struct read_job *next_job;
    struct store_partition *store;
    int64_t end;
    int in_flight;
    bool overtaken; /* retention removed records that were still to be read */
    bool finished;
};

struct read_event {
    struct mail mail;
    struct command command;
    struct read_job *job;
    void *cookie;
    struct record_set set;
    struct bridge_read_result result;
};

/* ---- the two threads ---- */

struct worker {
    struct bridge *bridge;
    pthread_t thread;
    struct mpsc inbox;
    int wake_fd;
    atomic_bool awake;
    atomic_bool give_up; /* do not wait for another process's lock any longer */
    _Atomic(int64_t) lag;
    /* store thread */
    struct settings settings;
    struct store *store; /* NULL: could not be opened so far */
    struct batch *batch; /* being collected */
    uint32_t round_robin;
    struct bridge_source_sub *feeds;
    struct read_job *reads, *reads_last;
    uint64_t tick_at_ms, slow_tick_at_ms;
    bool closing;
    enum bridge_state state;
    char reason[256];
    struct cleaner {
        struct store_topic *topics[CLEAN_TOPICS];
        int count, at;
        int32_t partition;
        char after[STORE_TOPIC_NAME_MAX + 1]; /* the next round goes on behind this topic */
    } cleaner;
};

struct bridge {
    char *name;
    const struct bridge_host_ops *host_ops;
    void *host;
    struct worker worker;
    /* hub thread */
    struct bridge_mailbox mailbox;
    uv_timer_t timer;
    uv_check_t turn_end;
    struct command *returns; /* to the store thread at the end of the loop's turn */
    struct bridge_source_sub *subs;
    struct publish *pending_head, *pending_tail; /* not answered, oldest first */
    uint64_t pending;
    bool stopped;       /* the store thread has ended */
    size_t outstanding; /* publishes that the store thread has, answered or not */
    size_t publish_queue;
    uint64_t publish_timeout_ms;
    bool closing;
    uint64_t close_deadline_ms;
    int handles; /* open uv handles */
};

/* worker.c: the store thread */
int emb_worker_open(struct worker *w, int64_t wait_ms, char *error, size_t error_size);
int emb_worker_start(struct worker *w);
void emb_worker_send(struct worker *w, struct command *c);
void emb_worker_wake(struct worker *w);
/* Of the store thread: says how the bridge is, where that changed. */
void emb_worker_state(struct worker *w, enum bridge_state state, const char *reason);
void emb_worker_mail(struct worker *w, struct mail *m, void (*deliver)(struct bridge *, struct mail *));
/* Reports a failure of the store, or that it works again (error 0). */
void emb_worker_report(struct worker *w, int error);

/* writer.c: group commit; store thread */
void emb_writer_take(struct worker *w, struct publish *p);
bool emb_writer_is_full(const struct worker *w);
void emb_writer_flush(struct worker *w);
/* publisher.c: publishes on the hub thread */
void emb_publisher_publish(struct bridge *b, const struct bridge_message *m, void *cookie);
void emb_publisher_deliver(struct bridge *b, struct mail *m);
void emb_publisher_expire(struct bridge *b, uint64_t now_ms);
/* Answers all that wait with BRIDGE_UNKNOWN. */
void emb_publisher_give_up(struct bridge *b);
void emb_batch_unref(struct batch *b);

/* feed.c: subscriptions on the store thread */
void emb_feed_add(struct worker *w, struct command *c);
/* True: call again at once. */
bool emb_feeds_step(struct worker *w);
/* Those that could not be started so far, and those that could not read. */
bool emb_feeds_are_stuck(const struct worker *w);
void emb_feeds_start(struct worker *w);
/* The batch is stored: events of its records for the subscriptions that are up to date, first one of a list. */
struct event *emb_feeds_collect(struct worker *w, struct batch *b);
void emb_feeds_send(struct worker *w, struct event *events);
/* Another process has changed the file. */
void emb_feeds_reload(struct worker *w);
/* Of a partition, or NULL for one about the whole subscription. */
void emb_feed_event(struct worker *w, struct bridge_source_sub *f, enum event_kind kind,
                    const struct feed_partition *p);
/* Where a subscription without a position begins. */
int emb_feed_start_offset(struct worker *w, const struct bridge_source_sub *f, struct store_partition *p,
                          int64_t *ret_next);
/* share.c: groups; store thread */
int emb_share_tick(struct worker *w);
void emb_share_leave(struct worker *w);
/* source.c: subscriptions on the hub thread */
void emb_source_deliver(struct bridge *b, struct mail *m);
void emb_source_flush(struct bridge *b, struct mail *m);
void emb_source_free(struct bridge_source_sub *s);
void emb_event_free(struct event *e);

/* reader.c: read_back; store thread, then hub thread */
void emb_reader_add(struct worker *w, struct command *c);
bool emb_readers_step(struct worker *w);
void emb_readers_cancel(struct worker *w);

/* cleaner.c: retention and compaction; store thread */
void emb_cleaner_tick(struct worker *w);
bool emb_cleaner_step(struct worker *w);

/* embedded.c */
/* Looks at the deadlines of publishes as long as there are any. */
void emb_bridge_watch(struct bridge *b);
void emb_bridge_return(struct bridge *b, struct command *c);
void emb_bridge_stopped(struct bridge *b, struct mail *m);

#endif
