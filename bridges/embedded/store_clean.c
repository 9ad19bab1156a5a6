#include "embedded/store_private.h"

#include <stdlib.h>

/* Records at the start of a partition that are to go. */
struct head {
    int64_t records, bytes;
    int64_t last; /* offset */
    bool more;    /* the limit ended the look, not a record to keep */
};

static int64_t row_bytes(sqlite3_stmt *sizes)
{
    return sqlite3_column_int64(sizes, 2) + STORE_RECORD_OVERHEAD;
}

/* Looks at up to `limit` records from the start: those below `before`, those that make the partition larger than
 * `max_bytes`, those older than `oldest_ms`. */
static int look_at_head(struct store *s, const struct store_partition *p, int64_t before, int64_t max_bytes,
                        int64_t oldest_ms, size_t limit, struct head *h)
{
    int r;
    sqlite3_stmt *st = store_bind(s, ST_RECORD_SIZES, &r, "iii", store_id(p, p->now.start),
                                  store_id(p, STORE_OFFSET_MAX), (int64_t)limit);
    if (!st)
        return r;
    *h = (struct head){.last = -1};
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        int64_t offset = store_offset(sqlite3_column_int64(st, 0));
        if (offset >= before && p->now.bytes - h->bytes <= max_bytes && sqlite3_column_int64(st, 1) >= oldest_ms)
            break;
        h->records++;
        h->bytes += row_bytes(st);
        h->last = offset;
    }
    r = store_fail(s, rc);
    sqlite3_reset(st);
    h->more = rc == SQLITE_DONE && h->records == (int64_t)limit;
    return r;
}

/* The keys of a compacted topic name their newest record; those of removed ones go with them. */
static int forget_keys(struct store *s, const struct store_partition *p, int64_t last)
{
    int r = 0;
    sqlite3_stmt *st = store_bind(s, ST_RECORD_SIZES, &r, "iii", store_id(p, p->now.start), store_id(p, last),
                                  (int64_t)-1);
    if (!st)
        return r;
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW && r == 0)
        if (sqlite3_column_type(st, 3) != SQLITE_NULL)
            r = store_run(s, ST_KEY_DELETE, "ibi", p->slot, store_column(st, 3), sqlite3_column_int64(st, 0));
    if (r == 0)
        r = store_fail(s, rc);
    sqlite3_reset(st);
    return r;
}

static int64_t first_kept(struct store *s, const struct store_partition *p, int64_t from, int *ret_error)
{
    int64_t id = 0;
    int r = store_get(s, &id, ST_RECORD_FIRST, "ii", store_id(p, from), store_id(p, STORE_OFFSET_MAX));
    *ret_error = r == -ENOENT ? 0 : r;
    return r == 0 ? store_offset(id) : p->now.next;
}

static int remove_head(struct store *s, struct store_partition *p, const struct head *h)
{
    int64_t first = store_id(p, 0), last = store_id(p, h->last);
    int r = p->topic->compact ? forget_keys(s, p, h->last) : 0;
    if (r == 0)
        r = store_run(s, ST_RECORD_DELETE_RANGE, "ii", first, last);
    if (r == 0)
        r = store_run(s, ST_MARK_DELETE_RANGE, "ii", first, last);
    p->now.records -= h->records;
    p->now.bytes -= h->bytes;
    p->now.start = h->last + 1;
    return r;
}

static int clean_head(struct store *s, struct store_partition *p, int64_t before, int64_t max_bytes, int64_t oldest_ms,
                      size_t limit, struct head *h)
{
    int r = store_begin(s);
    if (r == 0)
        r = store_touch(s, p);
    if (r == 0)
        r = look_at_head(s, p, before, max_bytes, oldest_ms, limit, h);
    if (r == 0 && h->records > 0)
        r = remove_head(s, p, h);
    if (r == 0 && before != INT64_MIN && !h->more && p->now.start < before)
        p->now.start = before < p->now.next ? before : p->now.next;
    if (r == 0 && before == INT64_MIN && h->records > 0)
        p->now.start = first_kept(s, p, p->now.start, &r);
    if (r == 0)
        return store_commit(s);
    store_rollback(s);
    return r;
}

int store_trim(struct store *s, struct store_partition *p, int64_t before, size_t limit, int64_t *ret_removed,
               bool *ret_more)
{
    struct head h = {0};
    int r = clean_head(s, p, before, INT64_MAX, INT64_MIN, limit, &h);
    if (r < 0)
        return r;
    *ret_removed = h.records;
    *ret_more = h.more;
    return 0;
}

int store_retain(struct store *s, struct store_partition *p, int64_t now_ms, size_t limit, bool *ret_more)
{
    const struct store_topic *t = p->topic;
    int64_t max_bytes = t->retention_bytes > 0 ? t->retention_bytes : INT64_MAX;
    int64_t oldest_ms = t->retention_ms > 0 ? now_ms - t->retention_ms : INT64_MIN;
    struct head h = {0};
    int r = store_partition_load(s, p);
    /* A look at the first record alone, outside a transaction: mostly there is nothing to remove. */
    if (r == 0)
        r = look_at_head(s, p, INT64_MIN, max_bytes, oldest_ms, 1, &h);
    if (r == 0 && h.records > 0)
        r = clean_head(s, p, INT64_MIN, max_bytes, oldest_ms, limit, &h);
    if (r == 0)
        *ret_more = h.records > 0 && h.more;
    return r;
}

/* ---- compaction ---- */

struct compaction {
    struct store *s;
    struct store_partition *p;
    int64_t newest_ms; /* records younger than this still wait */
    size_t seen;
    int error;
};

/* Deletes one record in the middle; -ENOENT where it has gone already. */
static int remove_one(struct store *s, struct store_partition *p, int64_t id)
{
    int r;
    sqlite3_stmt *st = store_bind(s, ST_RECORD_SIZES, &r, "iii", id, id, (int64_t)1);
    if (!st)
        return r;
    int rc = sqlite3_step(st);
    int64_t bytes = rc == SQLITE_ROW ? row_bytes(st) : 0;
    r = store_fail(s, rc);
    sqlite3_reset(st);
    if (r < 0 || rc != SQLITE_ROW)
        return r;
    p->now.records--;
    p->now.bytes -= bytes;
    return store_run(s, ST_RECORD_DELETE_RANGE, "ii", id, id);
}

static int supersede(struct compaction *c, const struct store_record *r)
{
    int64_t older = 0;
    int error = store_get(c->s, &older, ST_KEY_FIND, "ib", c->p->slot, r->key);
    if (error == 0)
        error = remove_one(c->s, c->p, older);
    if (error < 0 && error != -ENOENT)
        return error;
    int64_t id = store_id(c->p, r->offset);
    if (r->payload.data)
        return store_run(c->s, ST_KEY_PUT, "ibib", c->p->slot, r->key, id, BYTES_NULL);
    return store_run(c->s, ST_KEY_PUT, "ibii", c->p->slot, r->key, id, r->time_ms);
}

static bool on_compact_row(void *arg, const struct store_record *r)
{
    struct compaction *c = arg;
    if (r->time_ms > c->newest_ms)
        return false;
    if (r->key.data)
        c->error = supersede(c, r);
    c->p->now.cleaned = r->offset + 1;
    c->seen++;
    return c->error == 0;
}

/* One tombstone a step: deleting under a running SELECT would leave out rows. */
static int remove_tombstone(struct store *s, struct store_partition *p, int64_t oldest_ms, bool *ret_found)
{
    int r;
    sqlite3_stmt *st = store_bind(s, ST_KEY_TOMBSTONES, &r, "iii", p->slot, oldest_ms, (int64_t)1);
    if (!st)
        return r;
    int rc = sqlite3_step(st);
    *ret_found = rc == SQLITE_ROW;
    r = store_fail(s, rc);
    if (rc == SQLITE_ROW) {
        int64_t id = sqlite3_column_int64(st, 0);
        char *key = bytes_dup(store_column(st, 1));
        struct bytes view = {key, (size_t)sqlite3_column_bytes(st, 1)};
        sqlite3_reset(st);
        r = remove_one(s, p, id);
        if (r == 0)
            r = store_run(s, ST_KEY_DELETE, "ibi", p->slot, view, id);
        free(key);
    }
    sqlite3_reset(st);
    return r;
}

static int compact_slice(struct compaction *c, int64_t oldest_tombstone_ms, size_t limit)
{
    int r = store_read(c->s, c->p, c->p->now.cleaned, STORE_OFFSET_MAX, limit, on_compact_row, c);
    if (r == 0)
        r = c->error;
    bool found = true;
    for (size_t i = 0; r == 0 && found && i < limit; i++)
        r = remove_tombstone(c->s, c->p, oldest_tombstone_ms, &found);
    return r;
}

/* Is anything to be done? Read only, so that a quiet topic costs no transaction. */
static int compaction_due(struct store *s, struct store_partition *p, int64_t newest_ms, int64_t oldest_ms,
                          bool *ret_due)
{
    int64_t id = 0;
    int r = store_partition_load(s, p);
    if (r == 0)
        r = store_get(s, &id, ST_KEY_TOMBSTONES, "iii", p->slot, oldest_ms, (int64_t)1);
    *ret_due = r == 0;
    if (r != -ENOENT || p->now.cleaned >= p->now.next)
        return r == -ENOENT ? 0 : r;
    r = store_get(s, &id, ST_RECORD_FIRST, "ii", store_id(p, p->now.cleaned), store_id(p, STORE_OFFSET_MAX));
    if (r == 0)
        r = store_get(s, &id, ST_RECORD_RIPE, "ii", id, newest_ms);
    *ret_due = r == 0;
    return r == -ENOENT ? 0 : r;
}

int store_compact(struct store *s, struct store_partition *p, int64_t now_ms, int64_t lag_ms, int64_t tombstone_ms,
                  size_t limit, bool *ret_more)
{
    struct compaction c = {.s = s, .p = p, .newest_ms = now_ms - lag_ms};
    bool due = false;
    int r = compaction_due(s, p, c.newest_ms, now_ms - tombstone_ms, &due);
    if (r < 0 || !due) {
        *ret_more = false;
        return r;
    }
    r = store_begin(s);
    if (r == 0)
        r = store_touch(s, p);
    if (r == 0)
        r = compact_slice(&c, now_ms - tombstone_ms, limit);
    if (r < 0)
        store_rollback(s);
    else
        r = store_commit(s);
    if (r == 0)
        *ret_more = c.seen == limit;
    return r;
}
