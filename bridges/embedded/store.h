/* The embedded log's storage: topics, partitions, records and group positions in one SQLite file in WAL mode.
 *
 * A store is used by one thread at a time; several processes may have the same file open. Topics and partitions found
 * belong to the store and live as long as it does. Functions return 0 or a negative errno (-ENOSPC full, -EBUSY locked
 * by another process, -EBADMSG damaged, -EIO); store_reason() has the words for people.
 *
 * Offsets start at 1 and are never used again, whatever is removed. A commit returns after fsync of the WAL. */
#ifndef CRIER_EMBEDDED_STORE_H
#define CRIER_EMBEDDED_STORE_H

#include <errno.h>

#include "util/bytes.h"

struct store;

struct store_settings {
    const char *path;
    bool create; /* the file and its folder, where they are missing */
    int64_t busy_timeout_ms;
    int64_t max_bytes; /* of the file; 0: as far as the disk reaches */
    /* Asked while another process has the lock; true ends the wait. NULL: only the timeout ends it. */
    bool (*give_up)(void *arg);
    void *give_up_arg;
};

int store_open(const struct store_settings *settings, struct store **ret_store, char *error, size_t error_size);
/* Accepts NULL. An open transaction is rolled back. */
void store_close(struct store *s);
void store_set_wait(struct store *s, int64_t busy_timeout_ms, bool (*give_up)(void *arg), void *arg);
/* 32 hexadecimal digits of the kernel's random source. */
void store_uuid(char ret_uuid[33]);
/* Of the last failure; valid until the next call. */
const char *store_reason(const struct store *s);
/* True when another connection has changed the file since the last call. */
int store_changed(struct store *s, bool *ret_changed);
/* Moves the WAL into the database file when it is long; a shorter one counts as long when `idle`. */
void store_checkpoint(struct store *s, bool idle);
/* Other processes have written much, and this one nothing that would have led to a checkpoint. */
bool store_wal_is_long(const struct store *s);
/* Writes and syncs a few bytes: does writing work again? How long is the WAL? */
int store_probe(struct store *s);

/* ---- topics ---- */

enum { STORE_TOPIC_NAME_MAX = 249, STORE_PARTITIONS_MAX = 1024, STORE_TOPICS_MAX = 10000 };
#define STORE_RECORD_MAX ((size_t)64 << 20) /* key, headers and payload together */

struct store_counters {
    int64_t start; /* oldest offset kept; `next` when there is none */
    int64_t next;  /* offset of the next record */
    int64_t bytes, records;
    int64_t max_time_ms; /* of all records so far */
    int64_t cleaned;     /* compaction has seen everything below */
};

struct store_partition {
    struct store_topic *topic;
    int64_t slot; /* number of the partition in the file */
    int32_t number;
    struct store_counters now;  /* as of the last store_partition_load() or transaction that touched it */
    struct store_counters undo; /* before the open transaction */
    bool touched;               /* in the open transaction */
    struct store_partition *next_touched;
};

struct store_topic {
    char *name;
    char uuid[33]; /* names the incarnation: a topic made anew gets a new one */
    int64_t id;
    int32_t partition_count;
    int64_t retention_bytes, retention_ms; /* 0: no limit; per partition */
    bool compact;
    bool ensured; /* has the policy it should have */
    struct store_partition *partitions;
};

struct store_policy {
    int32_t partitions; /* of new topics only */
    int64_t retention_bytes, retention_ms;
    bool compact;
};

/* -ENOENT when there is none. */
int store_topic_find(struct store *s, struct bytes name, struct store_topic **ret_topic);
/* Creates a missing one, else gives it the retention and compaction of `policy`. Not inside a transaction. */
int store_topic_ensure(struct store *s, struct bytes name, const struct store_policy *policy,
                       struct store_topic **ret_topic);
/* Names in order, for `fn` returning false to stop. `cleanable`: only those with retention or compaction. */
int store_topics_each(struct store *s, bool cleanable, bool (*fn)(void *arg, struct bytes name), void *arg);
int store_partition_load(struct store *s, struct store_partition *p);

/* ---- records ---- */

struct store_record {
    int64_t offset;
    int64_t time_ms;
    struct bytes key;     /* data NULL: none */
    struct bytes headers; /* as emb_headers_encode() made it; data NULL: none */
    struct bytes payload; /* data NULL: tombstone */
};

int store_begin(struct store *s);
/* Inside a transaction. */
int store_append(struct store *s, struct store_partition *p, const struct store_record *r, int64_t *ret_offset);
/* After a failure everything since store_begin() is undone; -EIO: perhaps not, after a crash it may be there. */
int store_commit(struct store *s);
void store_rollback(struct store *s);

/* Records of [from, to] in order, at most `limit`, while `fn` returns true; views are valid during the call of `fn`. */
int store_read(struct store *s, const struct store_partition *p, int64_t from, int64_t to, size_t limit,
               bool (*fn)(void *arg, const struct store_record *r), void *arg);
/* Offset of the first record at or after `time_ms`, else the partition's end. */
int store_find_time(struct store *s, struct store_partition *p, int64_t time_ms, int64_t *ret_offset);

/* ---- removing, a slice of at most `limit` records a call in a transaction of its own; ret_more: call again ---- */

int store_trim(struct store *s, struct store_partition *p, int64_t before, size_t limit, int64_t *ret_removed,
               bool *ret_more);
int store_retain(struct store *s, struct store_partition *p, int64_t now_ms, size_t limit, bool *ret_more);
/* Deletes records whose key has a newer one that is older than `lag_ms`, and tombstones older than `tombstone_ms`. */
int store_compact(struct store *s, struct store_partition *p, int64_t now_ms, int64_t lag_ms, int64_t tombstone_ms,
                  size_t limit, bool *ret_more);

/* ---- groups: positions and leases; inside a transaction ---- */

/* -ENOENT when the group has no position there. */
int store_position_get(struct store *s, const char *group, const struct store_partition *p, int64_t *ret_next);
int store_position_set(struct store *s, const char *group, const struct store_partition *p, int64_t next);
/* Says that `member` is alive until `expires_ms` and forgets those that are not; its place among them all. */
int store_member_renew(struct store *s, const char *group, const struct store_topic *t, const char *member,
                       int64_t now_ms, int64_t expires_ms, int32_t *ret_place, int32_t *ret_members);
int store_member_leave(struct store *s, const char *group, const struct store_topic *t, const char *member);
/* Takes or renews the lease of a partition; *ret_mine false when another member holds it. */
int store_lease_take(struct store *s, const char *group, const struct store_partition *p, const char *member,
                     int64_t now_ms, int64_t expires_ms, bool *ret_mine);
int store_lease_release(struct store *s, const char *group, const struct store_partition *p, const char *member);

#endif
