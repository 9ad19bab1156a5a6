/* The contract between the hub and a driver: one driver a kind of broker, one bridge a configured connection.
 *
 * Threads. Every function of `struct bridge_ops` is called on the hub thread and must not block. Every function of
 * `struct bridge_host_ops` must be called on the hub thread. A driver whose library has threads of its own hands over
 * through `struct bridge_mailbox` below; a driver that can poll registers its handles on `bridge_open.loop`.
 *
 * Lifetimes. Views (`struct bytes`) in a record or message are valid during the call only. A bridge is freed by the
 * driver after close() reported on_closed; until then each publish and each read gets exactly one answer.
 *
 * A driver includes this header and server/util, never the hub. What a broker cannot do is declared in `caps`; the
 * configuration is refused where it asks for more. */
#ifndef CRIER_BRIDGE_H
#define CRIER_BRIDGE_H

#include <uv.h>

#include "util/bytes.h"
#include "util/log.h"
#include "util/mpsc.h"
#include "util/wakeup.h"

#define BRIDGE_ABI 1

enum bridge_caps {
    BRIDGE_ORDERED = 1 << 0,    /* records of one partition come in the order of their positions */
    BRIDGE_REPLAYABLE = 1 << 1, /* read_back() works */
    BRIDGE_ACKED = 1 << 2,      /* a publish is answered after the broker has stored it */
    BRIDGE_KEYED = 1 << 3,      /* records have keys that decide their partition */
    BRIDGE_PAUSABLE = 1 << 4,   /* pause() stops the flow without loss */
    BRIDGE_HEADERS = 1 << 5,    /* records carry headers */
    BRIDGE_POSITIONED = 1 << 6, /* records have a position that stays the same for all readers and over restarts */
    BRIDGE_SHARED = 1 << 7,     /* mode = "shared": a consumer group divides the records */
    BRIDGE_WILDCARDS = 1 << 8,  /* a source's topic may be a pattern */
    BRIDGE_RETAINED = 1 << 9,   /* the broker hands the newest record of a topic to a new subscriber */
    BRIDGE_TOMBSTONES = 1 << 10, /* a record without payload deletes its key */
    BRIDGE_FROM_ZERO = 1 << 11,  /* the first record of a log has position 0 */
};

struct bridge_header {
    struct bytes name, value;
};

struct bridge_record {
    struct bytes topic;   /* the actual topic, also where the source is a pattern */
    int32_t partition;    /* 0 where the broker has none */
    int64_t offset;       /* position in the partition; -1 where the broker has none */
    int64_t time_ms;      /* of the record, milliseconds since 1970 UTC; 0 unknown */
    struct bytes key;     /* data NULL: no key */
    struct bytes payload; /* data NULL: tombstone */
    const struct bridge_header *headers;
    size_t header_count;
    bool retained; /* MQTT: given because of a new subscription */
};

enum bridge_state {
    BRIDGE_CONNECTING, /* never connected so far, or reconnecting */
    BRIDGE_READY,
    BRIDGE_DEGRADED, /* works in part; the reason says which */
    BRIDGE_FAILED    /* will not recover by itself (bad credentials, bad option) */
};

enum bridge_start {
    BRIDGE_FROM_LATEST,
    BRIDGE_FROM_EARLIEST,
    BRIDGE_FROM_TIME,  /* first record at or after `time_ms` */
    BRIDGE_FROM_GROUP, /* shared mode: the group's committed position, else `latest` */
};

struct bridge_subscription {
    const char *topic; /* or a pattern, where the driver has BRIDGE_WILDCARDS */
    bool shared;
    const char *group; /* shared only */
    enum bridge_start from;
    int64_t time_ms;
    int qos; /* MQTT: 0-2; others ignore it */
};

/* A publish, or a record of a relay or dead letter. */
struct bridge_message {
    struct bytes topic;
    struct bytes key; /* data NULL: no key */
    struct bytes payload;
    const struct bridge_header *headers;
    size_t header_count;
    int64_t time_ms; /* 0: now */
    int qos;         /* MQTT */
    bool retain;     /* MQTT */
};

enum bridge_outcome {
    BRIDGE_STORED,    /* acknowledged by the broker */
    BRIDGE_RETRYABLE, /* surely not stored; a retry may succeed */
    BRIDGE_REFUSED,   /* surely not stored; a retry will fail again */
    BRIDGE_UNKNOWN    /* no answer in time: stored or not */
};

struct bridge_receipt {
    enum bridge_outcome outcome;
    int32_t partition; /* -1 unknown */
    int64_t offset;    /* -1 unknown */
    const char *reason; /* for outcomes other than STORED; valid during the call */
};

struct bridge_read {
    const char *topic;
    int32_t partition;
    int64_t from_offset; /* first wanted */
    int64_t to_offset;   /* last wanted, inclusive; INT64_MAX: to the end as of now */
    size_t limit;        /* records a call of on_read at most; the driver ends the read after limit_total */
    size_t limit_total;
};

struct bridge_read_result {
    const struct bridge_record *records; /* ascending; holes in the offsets are normal */
    size_t count;
    bool last;             /* no further on_read for this read */
    int error;             /* 0 or negative errno; only with last */
    int64_t oldest_offset; /* oldest the broker still has; -1 unknown */
    int64_t end_offset;    /* one past the newest as of the read; -1 unknown */
    bool complete;         /* with last: everything in [from, to] that exists was handed over */
};

struct bridge_stats {
    int64_t lag;      /* records not yet received, summed over subscriptions; -1 unknown */
    uint64_t pending; /* publishes not yet answered */
};

struct bridge;            /* the driver's */
struct bridge_source_sub; /* the driver's: one subscription */

/* What the hub offers to a driver. `cookie` is the value given with the call that it answers. */
struct bridge_host_ops {
    /* Once at open and at each change. `reason` is one line for people, NULL for none. */
    void (*on_state)(void *host, enum bridge_state state, const char *reason);
    /* Before the first record of a partition and after each reassignment. `epoch_seed` names the incarnation of the
     * log (e.g. cluster id + topic id): the same as long as offsets mean the same records. `oldest` and `end` as known,
     * else -1. `partitions` = number of partitions of the topic. */
    void (*on_assigned)(void *cookie, struct bytes topic, int32_t partition, int32_t partitions, struct bytes epoch_seed,
                        int64_t oldest, int64_t end);
    void (*on_revoked)(void *cookie, struct bytes topic, int32_t partition);
    /* Records in order per partition. The hub has taken them when the call returns; it asks for pause() when it has
     * too much. */
    void (*on_records)(void *cookie, const struct bridge_record *records, size_t count);
    /* Once a subscription: everything that was in the topic when the subscription started has been handed over.
     * Drivers without positions call it when the broker confirmed the subscription. */
    void (*on_caught_up)(void *cookie);
    void (*on_published)(void *cookie, const struct bridge_receipt *receipt);
    void (*on_read)(void *cookie, const struct bridge_read_result *result);
    /* After close(): no other call follows and the bridge is freed. */
    void (*on_closed)(void *host);
};

struct bridge_option {
    const char *name, *value; /* from `options = { ... }`, as the client library names them */
};

struct bridge_open {
    const char *name;    /* of the bridge, for log lines */
    const char *servers; /* comma list or path, as configured; never NULL */
    const char *node_id; /* of this process: for client ids */
    const struct bridge_option *options;
    size_t option_count;
    uint64_t publish_timeout_ms; /* after this a publish is answered BRIDGE_UNKNOWN or BRIDGE_RETRYABLE */
    size_t publish_queue;        /* publishes pending at most; more are answered BRIDGE_RETRYABLE at once */
    uv_loop_t *loop;             /* the hub's */
    const struct bridge_host_ops *host_ops;
    void *host;
};

struct bridge_ops {
    int abi; /* BRIDGE_ABI */
    const char *name;
    const char *summary; /* one line for `crier drivers` */
    const char *package; /* Debian package of the client library */
    unsigned caps;
    const char *const *option_names; /* NULL-terminated list of accepted options; NULL: the library's own names, checked at open() */

    /* Checks options and starts connecting; does not wait. On failure returns negative errno and writes a reason of one
     * line into `error` (what is wrong, what is allowed). */
    int (*open)(const struct bridge_open *open, struct bridge **ret_bridge, char *error, size_t error_size);
    /* Checks the same without opening anything, for `crier check`. NULL: nothing to check. */
    int (*check)(const struct bridge_open *open, char *error, size_t error_size);
    /* Also before the connection is there: the driver subscribes when it can, again after each reconnect, and goes on
     * after the last record handed over where the broker can do that. */
    int (*subscribe)(struct bridge *b, const struct bridge_subscription *s, void *cookie,
                     struct bridge_source_sub **ret_sub);
    /* Copies what it needs. on_published() follows exactly once, never from inside this call. */
    void (*publish)(struct bridge *b, const struct bridge_message *m, void *cookie);
    /* Every record of the partition up to and including `offset` is in the channels: a shared subscription may commit.
     * NULL where there is nothing to commit. */
    void (*ack)(struct bridge_source_sub *s, struct bytes topic, int32_t partition, int64_t offset);
    /* All partitions of a subscription. NULL without BRIDGE_PAUSABLE. */
    void (*pause)(struct bridge_source_sub *s);
    void (*resume)(struct bridge_source_sub *s);
    /* NULL without BRIDGE_REPLAYABLE. on_read() follows at least once, the last one with `last`. */
    void (*read_back)(struct bridge *b, const struct bridge_read *r, void *cookie);
    void (*stats)(struct bridge *b, struct bridge_stats *ret);
    /* Stops consuming, commits, lets pending publishes finish until `deadline_ms` from now, answers the rest with
     * BRIDGE_UNKNOWN, then on_closed(). */
    void (*close)(struct bridge *b, uint64_t deadline_ms);
};

/* Every driver's shared object exports this one symbol; the embedded one is linked in as bridge_embedded_ops. */
#define BRIDGE_ENTRY "crier_bridge_ops"
typedef const struct bridge_ops *(*bridge_entry_fn)(void);
extern const struct bridge_ops bridge_embedded_ops;

/* Hand-over from a library's thread to the hub thread. */
struct bridge_mailbox {
    struct mpsc queue;
    struct wakeup wake;
    void (*on_mail)(struct bridge_mailbox *m, struct mpsc_node *node);
    void (*on_closed)(struct bridge_mailbox *m);
};

/* Hub thread. `on_mail` is called on the hub thread for each node, which it owns from then on. */
CRIER_API int bridge_mailbox_init(struct bridge_mailbox *m, uv_loop_t *loop,
                                  void (*on_mail)(struct bridge_mailbox *, struct mpsc_node *));
/* Any thread. */
CRIER_API void bridge_mailbox_send(struct bridge_mailbox *m, struct mpsc_node *node);
/* Hub thread, when no sender is left; delivers what is still queued, then calls on_closed from the loop. */
CRIER_API void bridge_mailbox_close(struct bridge_mailbox *m, void (*on_closed)(struct bridge_mailbox *m));

/* Option value by name, or NULL. */
CRIER_API const char *bridge_option_get(const struct bridge_open *open, const char *name);

#endif
