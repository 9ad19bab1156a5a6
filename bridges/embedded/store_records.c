#include "embedded/store_private.h"

/* ---- transactions ---- */

int store_begin(struct store *s)
{
    return store_run(s, ST_BEGIN, "");
}

int store_touch(struct store *s, struct store_partition *p)
{
    if (p->touched)
        return 0;
    int r = store_partition_load(s, p);
    if (r < 0)
        return r;
    p->undo = p->now;
    p->touched = true;
    p->next_touched = s->touched;
    s->touched = p;
    return 0;
}

static void forget_touched(struct store *s)
{
    for (struct store_partition *p = s->touched; p; p = p->next_touched)
        p->touched = false;
    s->touched = NULL;
}

void store_rollback(struct store *s)
{
    for (struct store_partition *p = s->touched; p; p = p->next_touched)
        p->now = p->undo;
    forget_touched(s);
    /* A full disk makes SQLite roll back by itself. */
    if (s->db && !sqlite3_get_autocommit(s->db))
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

int store_commit(struct store *s)
{
    int r = 0;
    for (struct store_partition *p = s->touched; p && r == 0; p = p->next_touched)
        r = store_run(s, ST_PARTITION_SAVE, "iiiiiii", p->slot, p->now.start, p->now.next, p->now.bytes,
                      p->now.records, p->now.max_time_ms, p->now.cleaned);
    if (r == 0)
        r = store_run(s, ST_COMMIT, "");
    if (r < 0)
        store_rollback(s);
    forget_touched(s);
    return r;
}

/* ---- appending ---- */

int store_append(struct store *s, struct store_partition *p, const struct store_record *r, int64_t *ret_offset)
{
    int error = store_touch(s, p);
    if (error < 0)
        return error;
    if (p->now.next > STORE_OFFSET_MAX)
        return store_refuse(s, -EOVERFLOW, "the partition has used all its offsets");
    error = store_run(s, ST_RECORD_INSERT, "iibbb", store_id(p, p->now.next), r->time_ms, r->key, r->headers,
                      r->payload);
    if (error < 0)
        return error;
    if (r->time_ms > p->now.max_time_ms)
        p->now.max_time_ms = r->time_ms;
    if (p->now.next % STORE_MARK_EVERY == 0)
        error = store_run(s, ST_MARK_INSERT, "ii", store_id(p, p->now.next), p->now.max_time_ms);
    if (error < 0)
        return error;
    p->now.records++;
    p->now.bytes += (int64_t)(r->key.len + r->headers.len + r->payload.len) + STORE_RECORD_OVERHEAD;
    *ret_offset = p->now.next++;
    return 0;
}

/* ---- reading ---- */

static int64_t clamp_offset(int64_t offset)
{
    return offset < 0 ? 0 : offset > STORE_OFFSET_MAX ? STORE_OFFSET_MAX : offset;
}

int store_read(struct store *s, const struct store_partition *p, int64_t from, int64_t to, size_t limit,
               bool (*fn)(void *arg, const struct store_record *r), void *arg)
{
    int error;
    sqlite3_stmt *st = store_bind(s, ST_RECORD_RANGE, &error, "iii", store_id(p, clamp_offset(from)),
                                  store_id(p, clamp_offset(to)), (int64_t)limit);
    if (!st)
        return error;
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct store_record r = {
            .offset = store_offset(sqlite3_column_int64(st, 0)),
            .time_ms = sqlite3_column_int64(st, 1),
            .key = store_column(st, 2),
            .headers = store_column(st, 3),
            .payload = store_column(st, 4),
        };
        if (!fn(arg, &r))
            break;
    }
    error = store_fail(s, rc);
    sqlite3_reset(st);
    return error;
}

/* A mark's time is the largest up to its offset, so the first record at or after `time_ms` lies behind the last mark
 * with a smaller one, also where times do not ascend. */
int store_find_time(struct store *s, struct store_partition *p, int64_t time_ms, int64_t *ret_offset)
{
    int64_t id = store_id(p, 0), last = store_id(p, STORE_OFFSET_MAX);
    int r = store_partition_load(s, p);
    if (r == 0)
        r = store_get(s, &id, ST_MARK_FIND, "iii", id, last, time_ms);
    if (r == 0 || r == -ENOENT)
        r = store_get(s, &id, ST_RECORD_TIME, "iii", id + 1, last, time_ms);
    if (r == 0)
        *ret_offset = store_offset(id);
    else if (r == -ENOENT)
        *ret_offset = p->now.next;
    return r == -ENOENT ? 0 : r;
}
