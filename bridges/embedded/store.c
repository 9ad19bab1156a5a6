#include "embedded/store_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "util/clock.h"

enum {
    WAL_FRAMES_IDLE = 1000, /* checkpointed when nothing else is to be done */
    WAL_FRAMES_BUSY = 4000, /* checkpointed between two transactions */
    WAL_BYTES_LONG = 80 << 20, /* more than STORE_WAL_BYTES, which it has when it begins anew */
};

static const char *const SQL[ST_COUNT] = {
#define X(id, sql) [ST_##id] = sql,
    STORE_STATEMENTS(X)
#undef X
};

/* ---- failures ---- */

static const struct {
    int code; /* primary result code */
    int error;
    const char *text;
} FAILURES[] = {
    {SQLITE_FULL, ENOSPC, "the disk is full or max_bytes is reached"}, /* first: see no_room */
    {SQLITE_BUSY, EBUSY, "another process has the log locked"},
    {SQLITE_LOCKED, EBUSY, "another process has the log locked"},
    {SQLITE_CORRUPT, EBADMSG, "the file is damaged"},
    {SQLITE_NOTADB, EBADMSG, "the file is not a log of crier"},
    {SQLITE_READONLY, EROFS, "the file cannot be written"},
    {SQLITE_CANTOPEN, EACCES, "the file cannot be opened"},
    {SQLITE_PERM, EACCES, "the file cannot be opened"},
    {SQLITE_TOOBIG, EMSGSIZE, "the record is too large"},
    {SQLITE_NOMEM, ENOMEM, "out of memory"},
    {SQLITE_IOERR, EIO, "the disk reports an error"},
};

int store_fail(struct store *s, int rc)
{
    if (rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE)
        return 0;
    for (size_t i = 0; i < sizeof FAILURES / sizeof *FAILURES; i++) {
        if (FAILURES[i].code != (rc & 0xff))
            continue;
        /* SQLite calls a full disk an I/O error where it cannot make its shared memory larger. */
        bool no_room = rc == SQLITE_IOERR_SHMSIZE ||
                       (FAILURES[i].code == SQLITE_IOERR && sqlite3_system_errno(s->db) == ENOSPC);
        int error = no_room ? ENOSPC : FAILURES[i].error;
        snprintf(s->reason, sizeof s->reason, "%s (%s)", no_room ? FAILURES[0].text : FAILURES[i].text,
                 sqlite3_errmsg(s->db));
        return -error;
    }
    snprintf(s->reason, sizeof s->reason, "the log failed (%s)", sqlite3_errmsg(s->db));
    return -EIO;
}

int store_refuse(struct store *s, int error, const char *reason)
{
    snprintf(s->reason, sizeof s->reason, "%s", reason);
    return error;
}

const char *store_reason(const struct store *s)
{
    return s->reason;
}

/* ---- statements ---- */

static sqlite3_stmt *statement_get(struct store *s, enum store_statement id, int *ret_error)
{
    if (!s->statements[id]) {
        int rc = sqlite3_prepare_v3(s->db, SQL[id], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[id], NULL);
        if (rc != SQLITE_OK) {
            *ret_error = store_fail(s, rc);
            return NULL;
        }
    }
    return s->statements[id];
}

static void bind_blob(sqlite3_stmt *st, int at, struct bytes b)
{
    if (b.data)
        sqlite3_bind_blob64(st, at, b.data, b.len, SQLITE_STATIC);
    else
        sqlite3_bind_null(st, at);
}

static void bind_all(sqlite3_stmt *st, const char *format, va_list args)
{
    for (int at = 1; *format; format++, at++) {
        if (*format == 'i') {
            sqlite3_bind_int64(st, at, va_arg(args, int64_t));
        } else if (*format == 't') {
            sqlite3_bind_text(st, at, va_arg(args, const char *), -1, SQLITE_STATIC);
        } else if (*format == 'n') {
            struct bytes b = va_arg(args, struct bytes);
            sqlite3_bind_text64(st, at, b.data, b.len, SQLITE_STATIC, SQLITE_UTF8);
        } else {
            bind_blob(st, at, va_arg(args, struct bytes));
        }
    }
}

sqlite3_stmt *store_bind(struct store *s, enum store_statement id, int *ret_error, const char *format, ...)
{
    sqlite3_stmt *st = statement_get(s, id, ret_error);
    if (!st)
        return NULL;
    va_list args;
    va_start(args, format);
    bind_all(st, format, args);
    va_end(args);
    return st;
}

int store_finish(struct store *s, sqlite3_stmt *st)
{
    int rc = sqlite3_step(st);
    int r = store_fail(s, rc);
    sqlite3_reset(st);
    return r;
}

int store_run(struct store *s, enum store_statement id, const char *format, ...)
{
    int r;
    sqlite3_stmt *st = statement_get(s, id, &r);
    if (!st)
        return r;
    va_list args;
    va_start(args, format);
    bind_all(st, format, args);
    va_end(args);
    return store_finish(s, st);
}

int store_get(struct store *s, int64_t *ret_value, enum store_statement id, const char *format, ...)
{
    int r;
    sqlite3_stmt *st = statement_get(s, id, &r);
    if (!st)
        return r;
    va_list args;
    va_start(args, format);
    bind_all(st, format, args);
    va_end(args);
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        *ret_value = sqlite3_column_int64(st, 0);
    r = rc == SQLITE_DONE ? -ENOENT : store_fail(s, rc);
    sqlite3_reset(st);
    return r;
}

struct bytes store_column(sqlite3_stmt *st, int column)
{
    if (sqlite3_column_type(st, column) == SQLITE_NULL)
        return BYTES_NULL;
    const char *data = sqlite3_column_blob(st, column);
    return (struct bytes){data ? data : "", (size_t)sqlite3_column_bytes(st, column)};
}

int store_changed(struct store *s, bool *ret_changed)
{
    int64_t version = 0;
    int r = store_get(s, &version, ST_DATA_VERSION, "");
    if (r < 0)
        return r;
    *ret_changed = version != s->data_version;
    s->data_version = version;
    return 0;
}

void store_checkpoint(struct store *s, bool idle)
{
    if (s->wal_frames < s->wal_frames_left)
        s->wal_frames_left = 0; /* the WAL has begun anew */
    if (s->wal_frames - s->wal_frames_left < (idle ? WAL_FRAMES_IDLE : WAL_FRAMES_BUSY))
        return;
    int frames = 0, moved = 0;
    int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &frames, &moved);
    /* One that got nowhere (a reader elsewhere, a full disk) is tried again after as many new frames. */
    s->wal_frames_left = rc == SQLITE_OK && frames == moved ? 0 : s->wal_frames;
    if (s->wal_frames_left == 0)
        s->wal_frames = 0;
}

void store_set_wait(struct store *s, int64_t busy_timeout_ms, bool (*give_up)(void *arg), void *arg)
{
    s->settings.busy_timeout_ms = busy_timeout_ms;
    s->settings.give_up = give_up;
    s->settings.give_up_arg = arg;
}

bool store_wal_is_long(const struct store *s)
{
    struct stat st;
    CLEANUP_BUF name = BUF_INIT;
    buf_printf(&name, "%s-wal%c", s->settings.path, 0);
    return stat(name.data, &st) == 0 && st.st_size > WAL_BYTES_LONG;
}

int store_probe(struct store *s)
{
    int r = store_begin(s);
    if (r == 0)
        r = store_run(s, ST_PROBE, "i", clock_wall_ms());
    if (r == 0)
        return store_commit(s);
    store_rollback(s);
    return r;
}
