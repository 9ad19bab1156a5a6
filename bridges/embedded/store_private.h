/* Shared by the files of the store: the connection, its prepared statements and how a failure is kept.
 *
 * Statements are prepared at first use and finalised by store_close(). */
#ifndef CRIER_EMBEDDED_STORE_PRIVATE_H
#define CRIER_EMBEDDED_STORE_PRIVATE_H

#include <sqlite3.h>

#include "embedded/store.h"

/* A record's row id is its partition's slot and its offset, so that one integer key orders them all. */
enum { STORE_OFFSET_BITS = 44 };
#define STORE_OFFSET_MAX (((int64_t)1 << STORE_OFFSET_BITS) - 1)
#define STORE_SLOT_MAX (INT64_MAX >> STORE_OFFSET_BITS)
/* The WAL file is cut to this when it begins anew. */
#define STORE_WAL_BYTES "67108864"
/* Every so many offsets a mark keeps the largest time so far: finding a time reads at most that many records. */
enum { STORE_MARK_EVERY = 1024 };
/* What a record costs besides its bytes, for retention by size. */
enum { STORE_RECORD_OVERHEAD = 24 };

#define STORE_STATEMENTS(X)                                                                                            \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                                        \
    X(COMMIT, "COMMIT")                                                                                                \
    X(DATA_VERSION, "PRAGMA data_version")                                                                             \
    X(PROBE, "INSERT INTO meta(name, value) VALUES('probe', ?1) "                                                      \
             "ON CONFLICT(name) DO UPDATE SET value = excluded.value")                                                 \
    X(TOPIC_FIND, "SELECT id, uuid, partitions, retention_bytes, retention_ms, compact FROM topics WHERE name = ?1")   \
    X(TOPIC_COUNT, "SELECT count(*) FROM topics")                                                                      \
    X(TOPIC_INSERT, "INSERT INTO topics(name, uuid, partitions, retention_bytes, retention_ms, compact, created_ms) "  \
                    "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)")                                                              \
    X(TOPIC_POLICY, "UPDATE topics SET retention_bytes = ?2, retention_ms = ?3, compact = ?4 WHERE id = ?1")           \
    X(TOPIC_NAMES, "SELECT name FROM topics ORDER BY name")                                                            \
    X(TOPIC_CLEANABLE, "SELECT name FROM topics WHERE retention_bytes > 0 OR retention_ms > 0 OR compact "             \
                       "ORDER BY name")                                                                                \
    X(PARTITION_INSERT, "INSERT INTO partitions(topic, partition, start, next, bytes, records, max_time, cleaned) "    \
                        "VALUES(?1, ?2, 1, 1, 0, 0, 0, 1)")                                                            \
    X(PARTITION_SLOTS, "SELECT slot FROM partitions WHERE topic = ?1 ORDER BY partition")                              \
    X(PARTITION_LOAD, "SELECT start, next, bytes, records, max_time, cleaned FROM partitions WHERE slot = ?1")         \
    X(PARTITION_SAVE, "UPDATE partitions SET start = ?2, next = ?3, bytes = ?4, records = ?5, max_time = ?6, "         \
                      "cleaned = ?7 WHERE slot = ?1")                                                                  \
    X(RECORD_INSERT, "INSERT INTO records(id, time, key, headers, payload) VALUES(?1, ?2, ?3, ?4, ?5)")                \
    X(RECORD_RANGE, "SELECT id, time, key, headers, payload FROM records WHERE id BETWEEN ?1 AND ?2 ORDER BY id "      \
                    "LIMIT ?3")                                                                                        \
    X(RECORD_SIZES, "SELECT id, time, ifnull(length(key), 0) + ifnull(length(headers), 0) + "                          \
                    "ifnull(length(payload), 0), key FROM records WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3")    \
    X(RECORD_TIME, "SELECT id FROM records WHERE id BETWEEN ?1 AND ?2 AND time >= ?3 ORDER BY id LIMIT 1")             \
    X(RECORD_FIRST, "SELECT id FROM records WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT 1")                           \
    X(RECORD_RIPE, "SELECT id FROM records WHERE id = ?1 AND time <= ?2")                                              \
    X(RECORD_DELETE_RANGE, "DELETE FROM records WHERE id BETWEEN ?1 AND ?2")                                           \
    X(MARK_INSERT, "INSERT INTO marks(id, max_time) VALUES(?1, ?2)")                                                   \
    X(MARK_FIND, "SELECT id FROM marks WHERE id BETWEEN ?1 AND ?2 AND max_time < ?3 ORDER BY id DESC LIMIT 1")         \
    X(MARK_DELETE_RANGE, "DELETE FROM marks WHERE id BETWEEN ?1 AND ?2")                                               \
    X(KEY_FIND, "SELECT id FROM keys WHERE slot = ?1 AND key = ?2")                                                    \
    X(KEY_PUT, "INSERT INTO keys(slot, key, id, tombstone_ms) VALUES(?1, ?2, ?3, ?4) "                                 \
               "ON CONFLICT(slot, key) DO UPDATE SET id = excluded.id, tombstone_ms = excluded.tombstone_ms")          \
    X(KEY_DELETE, "DELETE FROM keys WHERE slot = ?1 AND key = ?2 AND id = ?3")                                         \
    X(KEY_TOMBSTONES, "SELECT id, key FROM keys WHERE slot = ?1 AND tombstone_ms < ?2 LIMIT ?3")                       \
    X(POSITION_GET, "SELECT next FROM positions WHERE grp = ?1 AND slot = ?2")                                         \
    X(POSITION_SET, "INSERT INTO positions(grp, slot, next) VALUES(?1, ?2, ?3) "                                       \
                    "ON CONFLICT(grp, slot) DO UPDATE SET next = excluded.next")                                       \
    X(MEMBER_RENEW, "INSERT INTO members(grp, topic, member, expires_ms) VALUES(?1, ?2, ?3, ?4) "                      \
                    "ON CONFLICT(grp, topic, member) DO UPDATE SET expires_ms = excluded.expires_ms")                  \
    X(MEMBER_EXPIRE, "DELETE FROM members WHERE grp = ?1 AND topic = ?2 AND (expires_ms < ?3 OR expires_ms > ?4)")     \
    X(MEMBER_PLACE, "SELECT count(*) FILTER (WHERE member < ?3), count(*) FROM members WHERE grp = ?1 AND topic = ?2") \
    X(MEMBER_LEAVE, "DELETE FROM members WHERE grp = ?1 AND topic = ?2 AND member = ?3")                               \
    X(LEASE_TAKE, "INSERT INTO leases(grp, slot, member, expires_ms) VALUES(?1, ?2, ?3, ?5) "                          \
                  "ON CONFLICT(grp, slot) DO UPDATE SET member = excluded.member, expires_ms = excluded.expires_ms "   \
                  "WHERE member = excluded.member OR expires_ms < ?4 OR expires_ms > 2 * ?5 - ?4")                     \
    X(LEASE_RELEASE, "DELETE FROM leases WHERE grp = ?1 AND slot = ?2 AND member = ?3")

enum store_statement {
#define X(id, sql) ST_##id,
    STORE_STATEMENTS(X)
#undef X
        ST_COUNT
};

struct topic_entry; /* hash entry of the topics by name */

struct store {
    sqlite3 *db;
    sqlite3_stmt *statements[ST_COUNT];
    struct topic_entry *topics;
    struct store_partition *touched; /* by the open transaction */
    int64_t data_version;
    int wal_frames;
    int wal_frames_left; /* by the last checkpoint, when it could not move all */
    struct store_settings settings;
    uint64_t busy_since_ms;
    char reason[256];
};

/* Keeps the reason and gives the errno of the SQLite code `rc`; 0 for OK, ROW and DONE. */
int store_fail(struct store *s, int rc);
/* Keeps `reason` and gives `error` back. */
int store_refuse(struct store *s, int error, const char *reason);
/* Reset, with `format` bound: i int64_t, t const char *, b struct bytes as blob, n struct bytes as text. Puts the
 * errno into *ret_error and gives NULL where it cannot be prepared. */
sqlite3_stmt *store_bind(struct store *s, enum store_statement id, int *ret_error, const char *format, ...);
/* Binds and runs a statement that gives no rows. */
int store_run(struct store *s, enum store_statement id, const char *format, ...);
/* One row's first column, or -ENOENT. */
int store_get(struct store *s, int64_t *ret_value, enum store_statement id, const char *format, ...);
/* Runs a bound statement that gives no rows. */
int store_finish(struct store *s, sqlite3_stmt *st);
struct bytes store_column(sqlite3_stmt *st, int column);
/* Loads the partition's counters at its first use in the open transaction; they are written at the commit. */
int store_touch(struct store *s, struct store_partition *p);
/* Frees the topics known so far. */
void store_topics_done(struct store *s);

static inline int64_t store_id(const struct store_partition *p, int64_t offset)
{
    return p->slot << STORE_OFFSET_BITS | offset;
}

static inline int64_t store_offset(int64_t id)
{
    return id & STORE_OFFSET_MAX;
}

#endif
