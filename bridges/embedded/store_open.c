#include "embedded/store_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/clock.h"

enum {
    SCHEMA_VERSION = 1,
    APPLICATION_ID = 0x63726c67, /* "crlg", for file(1) */
    PAGE_BYTES = 4096,
};

static const char SCHEMA[] =
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, uuid TEXT NOT NULL,"
    " partitions INTEGER NOT NULL, retention_bytes INTEGER NOT NULL, retention_ms INTEGER NOT NULL,"
    " compact INTEGER NOT NULL, created_ms INTEGER NOT NULL) STRICT;"
    "CREATE TABLE partitions(slot INTEGER PRIMARY KEY, topic INTEGER NOT NULL, partition INTEGER NOT NULL,"
    " start INTEGER NOT NULL, next INTEGER NOT NULL, bytes INTEGER NOT NULL, records INTEGER NOT NULL,"
    " max_time INTEGER NOT NULL, cleaned INTEGER NOT NULL, UNIQUE(topic, partition)) STRICT;"
    "CREATE TABLE records(id INTEGER PRIMARY KEY, time INTEGER NOT NULL, key BLOB, headers BLOB, payload BLOB) STRICT;"
    "CREATE TABLE marks(id INTEGER PRIMARY KEY, max_time INTEGER NOT NULL) STRICT;"
    "CREATE TABLE keys(slot INTEGER NOT NULL, key BLOB NOT NULL, id INTEGER NOT NULL, tombstone_ms INTEGER,"
    " PRIMARY KEY(slot, key)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX keys_tombstones ON keys(slot, tombstone_ms) WHERE tombstone_ms IS NOT NULL;"
    "CREATE TABLE positions(grp TEXT NOT NULL, slot INTEGER NOT NULL, next INTEGER NOT NULL,"
    " PRIMARY KEY(grp, slot)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE members(grp TEXT NOT NULL, topic INTEGER NOT NULL, member TEXT NOT NULL,"
    " expires_ms INTEGER NOT NULL, PRIMARY KEY(grp, topic, member)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE leases(grp TEXT NOT NULL, slot INTEGER NOT NULL, member TEXT NOT NULL,"
    " expires_ms INTEGER NOT NULL, PRIMARY KEY(grp, slot)) STRICT, WITHOUT ROWID;";

/* SQLite waits in steps; ours can be cut short, so that a locked log does not hold up a stop. */
static int on_busy(void *arg, int calls)
{
    struct store *s = arg;
    uint64_t now = clock_mono_ms();
    if (calls == 0)
        s->busy_since_ms = now;
    if ((int64_t)(now - s->busy_since_ms) >= s->settings.busy_timeout_ms)
        return 0;
    if (s->settings.give_up && s->settings.give_up(s->settings.give_up_arg))
        return 0;
    usleep(calls < 5 ? 1000 : 5000);
    return 1;
}

static int on_wal_commit(void *arg, sqlite3 *db, const char *name, int frames)
{
    (void)db, (void)name;
    struct store *s = arg;
    s->wal_frames = frames;
    return SQLITE_OK;
}

static int pragma_get(struct store *s, const char *sql, int64_t *ret_value)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW)
        *ret_value = sqlite3_column_int64(st, 0);
    int r = store_fail(s, rc);
    sqlite3_finalize(st);
    return r;
}

static int execute(struct store *s, const char *sql)
{
    return store_fail(s, sqlite3_exec(s->db, sql, NULL, NULL, NULL));
}

static int setup_connection(struct store *s)
{
    /* secure_delete (a default of Debian) would write zeros over all that retention removes. */
    int r = execute(s, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;"
                       "PRAGMA journal_size_limit = " STORE_WAL_BYTES "; PRAGMA cache_size = -16384;"
                       "PRAGMA temp_store = MEMORY; PRAGMA secure_delete = OFF;");
    if (r < 0)
        return r;
    sqlite3_wal_hook(s->db, on_wal_commit, s);
    if (s->settings.max_bytes > 0) {
        char sql[64];
        snprintf(sql, sizeof sql, "PRAGMA max_page_count = %lld", (long long)(s->settings.max_bytes / PAGE_BYTES + 1));
        r = execute(s, sql);
    }
    return r;
}

/* Whose file is it? Asked before anything is changed in it. */
static int check_identity(struct store *s, bool *ret_empty)
{
    int64_t id = 0, version = 0, tables = 0;
    int r = pragma_get(s, "SELECT count(*) FROM sqlite_master", &tables);
    if (r == 0)
        r = pragma_get(s, "PRAGMA application_id", &id);
    if (r == 0)
        r = pragma_get(s, "PRAGMA user_version", &version);
    if (r < 0)
        return r;
    *ret_empty = tables == 0;
    if (tables == 0 && s->settings.create)
        return 0;
    if (id != APPLICATION_ID)
        return store_refuse(s, -EBADMSG, "the file is a database, but not a log of crier");
    if (version != SCHEMA_VERSION)
        return store_refuse(s, -EBADMSG, "the file was written by another version of crier");
    return 0;
}

/* An empty file gets the tables. Two processes may come here at once: the second finds them. */
static int setup_schema(struct store *s)
{
    bool empty = false;
    int r = execute(s, "BEGIN IMMEDIATE");
    if (r == 0)
        r = check_identity(s, &empty);
    if (r == 0 && empty) {
        char sql[128];
        snprintf(sql, sizeof sql, "PRAGMA application_id = %d; PRAGMA user_version = %d;", APPLICATION_ID,
                 SCHEMA_VERSION);
        r = execute(s, SCHEMA);
        if (r == 0)
            r = execute(s, sql);
    }
    if (r == 0)
        r = execute(s, "COMMIT");
    if (r < 0 && !sqlite3_get_autocommit(s->db))
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return r;
}

/* A partition whose newest record lies beyond its end would use offsets twice. */
static int check_ends(struct store *s)
{
    int64_t wrong = 0;
    int r = pragma_get(s,
                       "SELECT count(*) FROM partitions p WHERE p.next <= (SELECT max(r.id) & 17592186044415 FROM "
                       "records r WHERE r.id BETWEEN p.slot << 44 AND (p.slot << 44) + 17592186044415)",
                       &wrong);
    if (r == 0 && wrong > 0)
        r = store_refuse(s, -EBADMSG, "the file is damaged (records beyond the end of their partition)");
    return r;
}

/* ---- files ---- */

static int sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return r;
}

static void cut_last_part(char *path)
{
    char *slash = strrchr(path, '/');
    if (!slash)
        strcpy(path, ".");
    else
        slash[slash == path] = 0;
}

/* mkdir -p, each new entry synced into its folder: the log must be found again after a power loss. */
static int make_folder(const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0)
        return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
    char *parent = xstrdup(path);
    cut_last_part(parent);
    int r = strcmp(parent, path) == 0 ? -ENOENT : make_folder(parent);
    if (r == 0 && mkdir(path, 0750) < 0 && errno != EEXIST)
        r = -errno;
    if (r == 0)
        r = sync_folder(parent);
    free(parent);
    return r;
}

static int prepare_place(const struct store_settings *settings, char *folder, char *error, size_t error_size)
{
    cut_last_part(folder);
    int r = settings->create ? make_folder(folder) : 0;
    if (r < 0)
        snprintf(error, error_size, "%s: cannot create the folder: %s", folder, strerror(-r));
    else if (!settings->create && access(settings->path, F_OK) < 0)
        snprintf(error, error_size, "%s: %s", settings->path, strerror(-(r = -errno)));
    return r;
}

static int open_database(struct store *s)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (s->settings.create ? SQLITE_OPEN_CREATE : 0);
    int r = store_fail(s, sqlite3_open_v2(s->settings.path, &s->db, flags, NULL));
    if (r < 0)
        return r;
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_handler(s->db, on_busy, s);
    bool empty = false, changed = false;
    r = check_identity(s, &empty);
    if (r == 0)
        r = setup_connection(s);
    if (r == 0 && empty)
        r = setup_schema(s);
    if (r == 0)
        r = check_ends(s);
    if (r == 0)
        r = store_changed(s, &changed);
    return r;
}

int store_open(const struct store_settings *settings, struct store **ret_store, char *error, size_t error_size)
{
    char *folder = xstrdup(settings->path);
    int r = prepare_place(settings, folder, error, error_size);
    if (r == 0) {
        struct store *s = xcalloc(1, sizeof *s);
        s->settings = *settings;
        s->settings.path = xstrdup(settings->path);
        r = open_database(s);
        if (r == 0 && settings->create)
            r = sync_folder(folder);
        if (r == 0) {
            *ret_store = s;
        } else {
            snprintf(error, error_size, "%s: %s", settings->path, *s->reason ? s->reason : strerror(-r));
            store_close(s);
        }
    }
    free(folder);
    return r;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    store_rollback(s);
    for (size_t i = 0; i < ST_COUNT; i++)
        sqlite3_finalize(s->statements[i]);
    store_topics_done(s);
    sqlite3_close(s->db);
    free((char *)s->settings.path);
    free(s);
}

