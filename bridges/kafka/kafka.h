/* The kafka driver: parts that its files share.
 *
 * Everything below lives on the hub thread, except what a job's `work` touches: that runs on a lane, works on the
 * copies inside the job and on librdkafka handles only, and comes back to the hub thread as `done`. All memory that a
 * uv handle or a librdkafka callback can still reach stays until the bridge itself is freed, after on_closed(). */
#ifndef CRIER_BRIDGE_KAFKA_H
#define CRIER_BRIDGE_KAFKA_H

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "bridge.h"

#define BATCH_RECORDS 1024      /* handed over in one loop turn at most */
#define TOPIC_NAME_LIMIT 249    /* Kafka's own */
#define METADATA_TIMEOUT_MS 2000
#define OFFSETS_TIMEOUT_MS 3000
#define REASON_SIZE 256

enum role { ROLE_PRODUCER, ROLE_FANOUT, ROLE_GROUP, ROLE_READER, ROLE_COUNT };

/* ---- lane.c: a thread that runs blocking calls one after the other ---- */

struct job {
    struct mpsc_node node; /* first: on the way back it travels through the bridge's mailbox */
    struct job *next;
    void (*work)(struct job *job); /* on the lane's thread */
    void (*done)(struct job *job); /* on the hub thread; owns the job */
};

struct lane {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    struct job *head, **tail;
    bool stopping;
    struct bridge_mailbox *mailbox;
};

int lane_start(struct lane *lane, struct bridge_mailbox *mailbox);
void lane_submit(struct lane *lane, struct job *job);
/* Joins the thread; no job may be left. */
void lane_stop(struct lane *lane);

/* ---- watch.c: a librdkafka queue on the loop ---- */

struct watch {
    struct bridge *bridge;
    rd_kafka_queue_t *queue;
    int fd;
    uv_poll_t poll;
    uv_idle_t idle; /* runs while there is more than one turn's share */
    bool (*drain)(struct watch *watch); /* one turn's share; true: there may be more */
    bool open, paused;
    struct watch *next;
};

int watch_open(struct watch *watch, struct bridge *b, rd_kafka_queue_t *queue, bool (*drain)(struct watch *watch));
void watch_drain(struct watch *watch);
void watch_pause(struct watch *watch);
void watch_resume(struct watch *watch);
/* Accepts one that is not open. The queue is the caller's. */
void watch_close(struct watch *watch);

/* ---- options.c ---- */

/* NULL with a reason in `error`. `topic` decides the member id of a group; other roles give NULL. */
rd_kafka_conf_t *options_conf(const struct bridge_open *open, enum role role, const char *group, bool earliest,
                              const char *topic, char *error, size_t error_size);
/* 0 or -EINVAL. */
int options_check(const struct bridge_open *open, char *error, size_t error_size);

/* ---- sockets.c ---- */

struct sockets {
    pthread_mutex_t lock;
    int *fds;
    size_t count;
    bool cut;
};

/* The opaque of `conf` has to be the client that `s` is in. It lives until the handle is destroyed. */
void sockets_init(struct sockets *s, rd_kafka_conf_t *conf);
void sockets_done(struct sockets *s);
/* Any thread. Ends every connection of the handle, and lets it make no other. */
void sockets_cut(struct sockets *s);

/* ---- client.c: one librdkafka handle ---- */

struct client {
    struct bridge *bridge;
    enum role role;
    rd_kafka_t *rk;
    rd_kafka_queue_t *main_queue;
    struct watch main_watch;
    rd_kafka_event_t *reports; /* producer: delivery reports not yet answered */
    struct sub *group;         /* ROLE_GROUP: its subscription */
    struct sockets sockets;
    struct client *next;
};

struct client *client_open(struct bridge *b, enum role role, const char *group, bool earliest, const char *topic,
                           char *error, size_t error_size);
/* Stops watching and destroys the librdkafka handle on its lane, with what subscriptions and readers hold of it. */
void client_retire(struct client *client);
/* After that, or when it was never opened. */
void client_free(struct client *client);
/* Errors, log lines and answers to commits; the producer's delivery reports have a drain of their own. */
void client_handle_event(struct client *client, rd_kafka_event_t *event);

/* ---- records.c ---- */

/* The records of one turn; one a bridge, as handing over is synchronous. */
struct batch {
    struct bridge_record records[BATCH_RECORDS];
    rd_kafka_message_t *messages[BATCH_RECORDS];
    size_t count;
    struct bridge_header *headers;
    size_t header_count, header_capacity;
};

/* False when the headers of `message` do not fit any more: hand over what is there first. */
bool batch_add(struct batch *batch, struct bytes topic, const rd_kafka_message_t *message);
static inline void batch_clear(struct batch *batch)
{
    batch->count = batch->header_count = 0;
}

/* ---- flow.c: librdkafka stops fetching when a queue is full and looks again only once a second ---- */

struct flow {
    uint64_t messages_limit, bytes_limit; /* where librdkafka stops */
    uint64_t messages, bytes;             /* taken since it was last woken */
    int peak;                             /* longest queue since then */
    bool waking;
};

void flow_init(struct flow *flow, rd_kafka_t *rk);
/* After a turn that took this much: true when the broker threads should be woken, see flow_wake(). */
bool flow_is_due(struct flow *flow, rd_kafka_queue_t *queue, size_t messages, size_t bytes);
/* Takes the list of partitions: their leaders are asked something, which makes librdkafka look at its queues again. */
void flow_wake(struct flow *flow, struct client *client, rd_kafka_topic_partition_list_t *take);

/* ---- topic.c: what the broker knows about a topic, asked on a lane ---- */

struct partition_info {
    bool known; /* the numbers below are there */
    int64_t oldest, end;
    int64_t at; /* offset for the wanted time; `end` when nothing is that new; -1 not asked */
};

struct topic_query {
    struct job job;
    struct bridge *bridge;
    void *owner;
    rd_kafka_t *rk;
    rd_kafka_topic_t *rkt;
    char topic[TOPIC_NAME_LIMIT + 1];
    int32_t only;        /* one partition, or -1 for all */
    bool metadata_known; /* partition_count is set already */
    bool want_time;
    int64_t time_ms;
    rd_kafka_resp_err_t error; /* of the topic as a whole */
    char *cluster_id;
    int32_t partition_count;
    struct partition_info *partitions; /* partition_count of them */
};

/* `done` gets the job inside a topic_query; topic_query_free() is its business. */
struct topic_query *topic_query_new(struct bridge *b, void *owner, rd_kafka_t *rk, rd_kafka_topic_t *rkt,
                                    void (*done)(struct job *job));
void topic_query_free(struct topic_query *query);
bool topic_name_valid(struct bytes name);
bool topic_error_is_unknown(rd_kafka_resp_err_t error);

/* ---- subscriptions: sub.c, fanout.c, group.c ---- */

struct partition {
    bool started;      /* fetched (fan-out) or assigned to us (group) */
    bool behind;       /* has not yet reached `goal` */
    bool restart;      /* the broker refused our position: look for a new one */
    bool end_is_lower; /* seen once: the log ends before our position */
    int64_t next;      /* offset of the next record we expect */
    int64_t next_asked; /* `next` when the topic was last asked for */
    int64_t goal;      /* end when the subscription started */
    int64_t end;       /* as last heard */
    int64_t acked;     /* group: all up to this is done; -1 nothing */
    int64_t committed; /* group: `acked` as last sent to the broker */
};

/* A change of the assignment, kept until the records before it are handed over. */
struct rebalance {
    struct rebalance *next;
    bool assign, lost;
    rd_kafka_topic_partition_list_t *list;
};

struct bridge_source_sub {
    int unused; /* the hub's view; struct sub begins with it */
};

struct sub {
    struct bridge_source_sub handle;
    struct bridge *bridge;
    void *cookie;
    char *topic, *group;
    bool shared;
    enum bridge_start from;
    int64_t time_ms;
    struct client *client;
    rd_kafka_topic_t *rkt;
    rd_kafka_queue_t *queue;
    struct watch watch;
    char *seed; /* cluster id ":" topic */

    struct partition *partitions; /* by id */
    int32_t partition_count;
    bool discovered;       /* the topic was seen once */
    int32_t initial_count; /* partitions that were there from the start; later ones start at their beginning */
    bool missing;          /* the broker says there is no such topic */
    uint64_t missing_since_ms;
    bool asking;      /* a topic query is under way */
    uint64_t ask_at_ms;
    bool caught_up, paused;
    struct flow flow;
    char problem[REASON_SIZE]; /* why the bridge is degraded because of this subscription, or "" */
    bool fatal;                /* and that stays */

    /* group */
    bool subscribed, assigning, had_assignment;
    struct rebalance *rebalances, **rebalances_tail;
    rd_kafka_queue_t *close_queue;
    uint64_t acked_since_commit;
    struct sub *next;
};

int sub_open(struct bridge *b, const struct bridge_subscription *s, void *cookie, struct bridge_source_sub **ret_sub);
/* Asks for the topic when that is due. */
void sub_tick(struct sub *sub, uint64_t now_ms);
void sub_ask_now(struct sub *sub);
void sub_set_problem(struct sub *sub, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* librdkafka has given this handle up. */
void sub_set_fatal(struct sub *sub, const char *text);
struct partition *sub_partition(struct sub *sub, int32_t id);
/* Makes room for partitions 0 to count-1. */
void sub_grow(struct sub *sub, int32_t count);
void sub_announce(struct sub *sub, int32_t id, int64_t oldest, int64_t end);
/* `position` was reached: everything before it is handed over or does not exist. */
void sub_reached(struct sub *sub, int32_t id, int64_t position);
void sub_check_caught_up(struct sub *sub);
/* Drain function of both kinds: hands over one batch, then looks after errors. */
bool sub_drain(struct watch *watch);
int64_t sub_lag(struct sub *sub);
void sub_free(struct sub *sub);

int fanout_open(struct sub *sub, char *error, size_t error_size);
/* The topic is there: start what is not started, look after the rest. */
void fanout_found(struct sub *sub, const struct topic_query *query);
/* The topic has been gone for a while. */
void fanout_lost(struct sub *sub);

int group_open(struct sub *sub, char *error, size_t error_size);
void group_found(struct sub *sub);
void group_process(struct sub *sub);
void group_ack(struct sub *sub, int32_t partition, int64_t offset);
void group_commit(struct sub *sub);
void group_commit_done(struct sub *sub, rd_kafka_event_t *event);
void group_set_paused(struct sub *sub, bool paused);
void group_close_begin(struct sub *sub);
/* True when the group has been left. */
bool group_close_done(struct sub *sub);

/* ---- producer.c ---- */

struct answer {
    void *cookie;
    enum bridge_outcome outcome;
    const char *reason; /* a constant */
};

void producer_publish(struct bridge *b, const struct bridge_message *m, void *cookie);
bool producer_drain(struct watch *watch);
/* After a fatal error: a new handle takes over, the old one answers what it still has. */
void producer_replace(struct bridge *b);
/* Retires replaced handles that have answered everything. */
void producer_tick(struct bridge *b);

/* ---- reader.c ---- */

/* One a topic and handle, kept: librdkafka keeps asking for the leaders of these. */
struct reader_topic {
    rd_kafka_topic_t *rkt;
    int32_t partition_count; /* as of `fresh_until_ms` */
    uint64_t fresh_until_ms;
    struct reader_topic *next;
};

struct reader {
    struct bridge *bridge;
    struct client *client;
    struct flow flow;
    struct reader_topic *topics; /* handles that librdkafka knows the leaders of */
    rd_kafka_queue_t *queue;
    struct watch watch;
    struct reader *next;
};

TAILQ_HEAD(read_list, read);

void reader_read(struct bridge *b, const struct bridge_read *r, void *cookie);
void reader_tick(struct bridge *b, uint64_t now_ms);
void reader_cancel_all(struct bridge *b);
void reader_free(struct reader *reader);

/* ---- state.c ---- */

#define LOG_KINDS 16

/* How often a kind of library log line may appear: once in LOG_QUIET_MS. */
struct log_quiet {
    char kind[32];
    uint64_t until_ms, suppressed;
};

/* Reports to the host when the state or, at a moderate pace, its reason has changed. */
void state_update(struct bridge *b);
void state_tick(struct bridge *b, uint64_t now_ms);
/* Looks at once whether the brokers answer. */
void state_suspect(struct bridge *b);
/* One log line of a kind in a while. */
void state_note(struct bridge *b, enum log_level level, const char *kind, const char *text);
/* An error event of a handle. */
void state_error(struct client *client, rd_kafka_event_t *event);
void state_log(struct bridge *b, rd_kafka_event_t *event);

/* ---- kafka.c ---- */

struct bridge {
    char *name, *servers, *node_id;
    struct bridge_option *options;
    struct bridge_open open; /* refers to the copies above */
    uv_loop_t *loop;
    const struct bridge_host_ops *host_ops;
    void *host;

    struct bridge_mailbox mailbox;
    struct lane control, reading;
    size_t jobs, handles; /* under way; open uv handles */
    uv_timer_t timer;
    uv_idle_t later; /* answers publishes that failed inside publish() */
    struct watch *watches;
    struct client *clients;
    struct client *producer;
    struct sub *subs;
    struct reader *readers;
    struct read_list waiting_reads, active_reads;
    size_t active_read_count;
    struct batch batch;

    uint64_t pending;
    struct answer *answers;
    size_t answer_count, answer_capacity;

    char *cluster_id;
    bool asking, answering, answered_once;
    uint64_t ask_at_ms;
    char failure[REASON_SIZE];    /* will not recover by itself */
    char last_error[REASON_SIZE];
    bool state_told;
    enum bridge_state state;
    char reason[REASON_SIZE];
    uint64_t reason_at_ms;
    struct log_quiet quiet[LOG_KINDS];

    uint64_t commit_at_ms;
    enum { CLOSE_NOT, CLOSE_BEGIN, CLOSE_DRAINING, CLOSE_DESTROYING, CLOSE_HANDLES } closing;
    uint64_t close_deadline_ms;
    atomic_bool stopping; /* the lanes ask nothing any more: brokers that are away would make the close long */
    bool cut; /* the time to close is over: what is not answered is purged, and connections end */
};

static inline struct lane *client_lane(struct client *client)
{
    return client->role == ROLE_READER ? &client->bridge->reading : &client->bridge->control;
}

/* Counts the job as under way until its `done`. A job that was submitted before close() still reports `done`. */
void bridge_submit(struct bridge *b, struct lane *lane, struct job *job);
void bridge_handle_closed(uv_handle_t *handle);

#define CONTAINER(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#endif
