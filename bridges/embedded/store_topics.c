#include "embedded/store_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <uthash.h>

#include "util/clock.h"

struct topic_entry {
    struct store_topic topic; /* topic.name is the key */
    UT_hash_handle hh;
};

static void topic_entry_free(struct topic_entry *e)
{
    free(e->topic.partitions);
    free(e->topic.name);
    free(e);
}

void store_topics_done(struct store *s)
{
    struct topic_entry *e, *next;
    HASH_ITER(hh, s->topics, e, next)
    {
        HASH_DEL(s->topics, e);
        topic_entry_free(e);
    }
}

static int load_slots(struct store *s, struct store_topic *t)
{
    int r;
    sqlite3_stmt *st = store_bind(s, ST_PARTITION_SLOTS, &r, "i", t->id);
    if (!st)
        return r;
    int32_t n = 0;
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW && n < t->partition_count) {
        t->partitions[n] = (struct store_partition){.topic = t, .slot = sqlite3_column_int64(st, 0), .number = n};
        n++;
    }
    r = store_fail(s, rc);
    sqlite3_reset(st);
    if (r == 0 && n < t->partition_count)
        r = store_refuse(s, -EBADMSG, "the file is damaged (a topic without its partitions)");
    return r;
}

static int read_topic(struct store *s, struct bytes name, struct store_topic *t)
{
    int r;
    sqlite3_stmt *st = store_bind(s, ST_TOPIC_FIND, &r, "n", name);
    if (!st)
        return r;
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        t->id = sqlite3_column_int64(st, 0);
        snprintf(t->uuid, sizeof t->uuid, "%s", (const char *)sqlite3_column_text(st, 1));
        t->partition_count = sqlite3_column_int(st, 2);
        t->retention_bytes = sqlite3_column_int64(st, 3);
        t->retention_ms = sqlite3_column_int64(st, 4);
        t->compact = sqlite3_column_int(st, 5) != 0;
    }
    r = rc == SQLITE_DONE ? -ENOENT : store_fail(s, rc);
    sqlite3_reset(st);
    return r;
}

int store_topic_find(struct store *s, struct bytes name, struct store_topic **ret_topic)
{
    struct topic_entry *e;
    HASH_FIND(hh, s->topics, name.data, name.len, e);
    if (!e) {
        e = xcalloc(1, sizeof *e);
        int r = read_topic(s, name, &e->topic);
        if (r == 0) {
            e->topic.name = bytes_dup(name);
            e->topic.partitions = xcalloc((size_t)e->topic.partition_count, sizeof *e->topic.partitions);
            r = load_slots(s, &e->topic);
        }
        if (r < 0) {
            topic_entry_free(e);
            return r;
        }
        HASH_ADD_KEYPTR(hh, s->topics, e->topic.name, name.len, e);
    }
    *ret_topic = &e->topic;
    return 0;
}

void store_uuid(char ret_uuid[33])
{
    unsigned char raw[16];
    while (getrandom(raw, sizeof raw, 0) != sizeof raw)
        ;
    for (size_t i = 0; i < sizeof raw; i++)
        snprintf(ret_uuid + 2 * i, 3, "%02x", raw[i]);
}

static int insert_topic(struct store *s, struct bytes name, const struct store_policy *policy)
{
    char uuid[33];
    store_uuid(uuid);
    int64_t topics = 0;
    int r = store_get(s, &topics, ST_TOPIC_COUNT, "");
    if (r == 0 && topics >= STORE_TOPICS_MAX)
        return store_refuse(s, -EMFILE, "the log has as many topics as it may have");
    if (r == 0)
        r = store_run(s, ST_TOPIC_INSERT, "ntiiiii", name, uuid, (int64_t)policy->partitions, policy->retention_bytes,
                      policy->retention_ms, (int64_t)policy->compact, clock_wall_ms());
    int64_t id = sqlite3_last_insert_rowid(s->db);
    for (int64_t i = 0; r == 0 && i < policy->partitions; i++)
        r = store_run(s, ST_PARTITION_INSERT, "ii", id, i);
    if (r == 0 && sqlite3_last_insert_rowid(s->db) > STORE_SLOT_MAX)
        return store_refuse(s, -EMFILE, "the log has as many partitions as it may have");
    return r;
}

static int create_topic(struct store *s, struct bytes name, const struct store_policy *policy)
{
    struct store_topic ignored = {0};
    int r = store_begin(s);
    if (r == 0)
        r = read_topic(s, name, &ignored); /* another process may have been quicker */
    if (r == -ENOENT)
        r = insert_topic(s, name, policy);
    if (r == 0)
        return store_commit(s);
    store_rollback(s);
    return r;
}

static int apply_policy(struct store *s, struct store_topic *t, const struct store_policy *policy)
{
    t->ensured = true;
    if (t->retention_bytes == policy->retention_bytes && t->retention_ms == policy->retention_ms &&
        t->compact == policy->compact)
        return 0;
    int r = store_run(s, ST_TOPIC_POLICY, "iiii", t->id, policy->retention_bytes, policy->retention_ms,
                      (int64_t)policy->compact);
    if (r == 0) {
        t->retention_bytes = policy->retention_bytes;
        t->retention_ms = policy->retention_ms;
        t->compact = policy->compact;
    }
    return r;
}

int store_topic_ensure(struct store *s, struct bytes name, const struct store_policy *policy,
                       struct store_topic **ret_topic)
{
    if (name.len == 0 || name.len > STORE_TOPIC_NAME_MAX || memchr(name.data, 0, name.len))
        return store_refuse(s, -EINVAL, "a topic's name has 1 to 249 bytes, none of them zero");
    int r = store_topic_find(s, name, ret_topic);
    if (r == 0)
        return apply_policy(s, *ret_topic, policy);
    if (r == -ENOENT)
        r = create_topic(s, name, policy);
    if (r == 0)
        r = store_topic_find(s, name, ret_topic);
    return r < 0 ? r : apply_policy(s, *ret_topic, policy);
}

int store_topics_each(struct store *s, bool cleanable, bool (*fn)(void *arg, struct bytes name), void *arg)
{
    int r;
    sqlite3_stmt *st = store_bind(s, cleanable ? ST_TOPIC_CLEANABLE : ST_TOPIC_NAMES, &r, "");
    if (!st)
        return r;
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW && fn(arg, store_column(st, 0)))
        ;
    r = store_fail(s, rc);
    sqlite3_reset(st);
    return r;
}

int store_partition_load(struct store *s, struct store_partition *p)
{
    int r;
    sqlite3_stmt *st = store_bind(s, ST_PARTITION_LOAD, &r, "i", p->slot);
    if (!st)
        return r;
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        p->now = (struct store_counters){
            .start = sqlite3_column_int64(st, 0),
            .next = sqlite3_column_int64(st, 1),
            .bytes = sqlite3_column_int64(st, 2),
            .records = sqlite3_column_int64(st, 3),
            .max_time_ms = sqlite3_column_int64(st, 4),
            .cleaned = sqlite3_column_int64(st, 5),
        };
    }
    r = store_fail(s, rc);
    sqlite3_reset(st);
    if (rc == SQLITE_DONE)
        r = store_refuse(s, -EBADMSG, "the file is damaged (a partition is missing)");
    return r;
}
