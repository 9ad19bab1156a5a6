/* The embedded log's storage: offsets, transactions, times, retention, compaction, groups, damaged files. */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "embedded/partition.h"
#include "embedded/record_set.h"
#include "embedded/store.h"

static char folder[64];
static char path[96];

static int remove_entry(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(name);
}

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/crier-store-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/a/b/log.db", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static struct store *open_with(struct store_settings settings)
{
    struct store *s;
    char error[300] = "";
    settings.path = path;
    settings.create = true;
    int r = store_open(&settings, &s, error, sizeof error);
    if (r < 0)
        print_error("%s\n", error);
    assert_int_equal(r, 0);
    return s;
}

static struct store *open_store(void)
{
    return open_with((struct store_settings){.busy_timeout_ms = 1000});
}

static struct store_topic *topic_with(struct store *s, const char *name, struct store_policy policy)
{
    struct store_topic *t;
    if (policy.partitions == 0)
        policy.partitions = 1;
    assert_int_equal(store_topic_ensure(s, bytes_of(name), &policy, &t), 0);
    return t;
}

static struct store_partition *partition_of(struct store *s, const char *name)
{
    return &topic_with(s, name, (struct store_policy){0})->partitions[0];
}

static int64_t append_in(struct store *s, struct store_partition *p, int64_t time_ms, const char *key,
                         const char *payload)
{
    int64_t offset = -1;
    struct store_record r = {.time_ms = time_ms, .key = bytes_of(key), .payload = bytes_of(payload)};
    assert_int_equal(store_append(s, p, &r, &offset), 0);
    return offset;
}

static int64_t append(struct store *s, struct store_partition *p, int64_t time_ms, const char *key, const char *payload)
{
    assert_int_equal(store_begin(s), 0);
    int64_t offset = append_in(s, p, time_ms, key, payload);
    assert_int_equal(store_commit(s), 0);
    return offset;
}

/* "OFFSET=PAYLOAD " of every record. */
static bool on_text(void *arg, const struct store_record *r)
{
    buf_printf(arg, "%lld=%.*s ", (long long)r->offset, r->payload.data ? (int)r->payload.len : 1,
               r->payload.data ? r->payload.data : "-");
    return true;
}

static void assert_content(struct store *s, const struct store_partition *p, const char *expected)
{
    CLEANUP_BUF text = BUF_INIT;
    assert_int_equal(store_read(s, p, 0, INT64_MAX, 1000, on_text, &text), 0);
    buf_append(&text, "", 1);
    assert_string_equal(text.data, expected);
}

static bool on_count(void *arg, const struct store_record *r)
{
    (void)r;
    ++*(int *)arg;
    return true;
}

static int count(struct store *s, const struct store_partition *p)
{
    int n = 0;
    assert_int_equal(store_read(s, p, 0, INT64_MAX, 1000000, on_count, &n), 0);
    return n;
}

/* ---- offsets and transactions ---- */

static void offsets_start_at_one_and_are_never_used_again(void **state)
{
    (void)state;
    struct store *s = open_store();
    struct store_partition *p = partition_of(s, "t");
    int64_t removed;
    bool more;
    for (int i = 1; i <= 5; i++)
        assert_int_equal(append(s, p, 1, NULL, "x"), i);
    assert_int_equal(store_trim(s, p, INT64_MAX, 100, &removed, &more), 0);
    assert_int_equal(removed, 5);
    assert_false(more);
    assert_int_equal(p->now.start, 6);
    assert_int_equal(p->now.bytes, 0);
    store_close(s);

    s = open_store();
    p = partition_of(s, "t");
    assert_int_equal(append(s, p, 1, NULL, "y"), 6);
    assert_content(s, p, "6=y ");
    store_close(s);
}

static void partitions_count_for_themselves(void **state)
{
    (void)state;
    struct store *s = open_store();
    struct store_topic *t = topic_with(s, "t", (struct store_policy){.partitions = 3});
    assert_int_equal(append(s, &t->partitions[0], 1, NULL, "a"), 1);
    assert_int_equal(append(s, &t->partitions[2], 1, NULL, "b"), 1);
    assert_int_equal(append(s, &t->partitions[2], 1, NULL, "c"), 2);
    assert_content(s, &t->partitions[0], "1=a ");
    assert_content(s, &t->partitions[1], "");
    assert_content(s, &t->partitions[2], "1=b 2=c ");
    store_close(s);
}

static void a_rolled_back_transaction_leaves_nothing(void **state)
{
    (void)state;
    struct store *s = open_store();
    struct store_partition *p = partition_of(s, "t");
    append(s, p, 1, NULL, "a");
    assert_int_equal(store_begin(s), 0);
    assert_int_equal(append_in(s, p, 9, NULL, "b"), 2);
    store_rollback(s);
    assert_int_equal(p->now.next, 2);
    assert_int_equal(p->now.records, 1);
    assert_int_equal(append(s, p, 1, NULL, "c"), 2);
    assert_content(s, p, "1=a 2=c ");
    store_close(s);
}

static void a_topic_keeps_its_identity_and_a_new_file_has_another(void **state)
{
    (void)state;
    char first[33];
    struct store *s = open_store();
    struct store_topic *t = topic_with(s, "t", (struct store_policy){.partitions = 2});
    assert_string_not_equal(t->uuid, topic_with(s, "u", (struct store_policy){0})->uuid);
    memcpy(first, t->uuid, sizeof first);
    assert_int_equal(strlen(first), 32);
    store_close(s);
    s = open_store();
    t = topic_with(s, "t", (struct store_policy){.partitions = 7});
    assert_string_equal(t->uuid, first);
    assert_int_equal(t->partition_count, 2); /* of new topics only */
    store_close(s);
    assert_int_equal(unlink(path), 0);
    s = open_store();
    assert_string_not_equal(topic_with(s, "t", (struct store_policy){0})->uuid, first);
    store_close(s);
}

static void names_of_topics_are_checked(void **state)
{
    (void)state;
    struct store *s = open_store();
    struct store_topic *t;
    struct store_policy policy = {.partitions = 1};
    char long_name[251];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[250] = 0;
    assert_int_equal(store_topic_ensure(s, bytes_of(""), &policy, &t), -EINVAL);
    assert_int_equal(store_topic_ensure(s, bytes_of(long_name), &policy, &t), -EINVAL);
    assert_int_equal(store_topic_ensure(s, BYTES_LIT("a\0b"), &policy, &t), -EINVAL);
    assert_int_equal(store_topic_find(s, BYTES_LIT("a"), &t), -ENOENT);
    store_close(s);
}

static void two_connections_number_one_sequence(void **state)
{
    (void)state;
    struct store *a = open_store(), *b = open_store();
    struct store_partition *pa = partition_of(a, "t"), *pb = partition_of(b, "t");
    bool changed;
    assert_int_equal(append(a, pa, 1, NULL, "1"), 1);
    assert_int_equal(store_changed(a, &changed), 0);
    assert_int_equal(append(b, pb, 1, NULL, "2"), 2);
    assert_int_equal(store_changed(a, &changed), 0);
    assert_true(changed);
    assert_int_equal(append(a, pa, 1, NULL, "3"), 3);
    assert_int_equal(store_changed(a, &changed), 0);
    assert_false(changed);
    assert_content(b, pb, "1=1 2=2 3=3 ");
    store_close(a);
    store_close(b);
}

static void a_lock_that_stays_is_busy_after_the_timeout(void **state)
{
    (void)state;
    struct store *a = open_store(), *b = open_with((struct store_settings){.busy_timeout_ms = 50});
    assert_int_equal(store_begin(a), 0);
    assert_int_equal(store_begin(b), -EBUSY);
    assert_non_null(strstr(store_reason(b), "another process"));
    store_rollback(a);
    assert_int_equal(store_begin(b), 0);
    store_close(b);
    store_close(a);
}

/* ---- times ---- */

static void a_time_is_found_where_times_ascend_and_where_not(void **state)
{
    (void)state;
    struct store *s = open_store();
    struct store_partition *p = partition_of(s, "t");
    int64_t offset;
    assert_int_equal(store_begin(s), 0);
    for (int i = 1; i <= 5000; i++)
        append_in(s, p, i % 100 == 0 ? 1 : i * 10, NULL, "x"); /* every hundredth claims to be old */
    assert_int_equal(store_commit(s), 0);
    const struct {
        int64_t time_ms, offset;
    } cases[] = {{0, 1}, {1, 1}, {10, 1}, {11, 2}, {25000, 2501}, {24990, 2499}, {49990, 4999}, {49991, 5001}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(store_find_time(s, p, cases[i].time_ms, &offset), 0);
        assert_int_equal(offset, cases[i].offset);
    }
    store_close(s);
}

/* ---- retention ---- */

static void retention_by_age_stops_at_the_first_young_record(void **state)
{
    (void)state;
    struct store *s = open_store();
    struct store_topic *t = topic_with(s, "t", (struct store_policy){.retention_ms = 100});
    struct store_partition *p = &t->partitions[0];
    for (int i = 1; i <= 6; i++)
        append(s, p, i * 100, NULL, "x");
    bool more;
    assert_int_equal(store_retain(s, p, 450, 100, &more), 0);
    assert_false(more);
    assert_int_equal(p->now.start, 4);
    assert_content(s, p, "4=x 5=x 6=x ");
    assert_int_equal(store_retain(s, p, 100000, 2, &more), 0);
    assert_true(more); /* a slice at a time */
    assert_content(s, p, "6=x ");
    assert_int_equal(store_retain(s, p, 100000, 2, &more), 0);
    assert_int_equal(p->now.start, 7);
    assert_int_equal(p->now.next, 7);
    assert_int_equal(append(s, p, 1, NULL, "z"), 7);
    store_close(s);
}

static void retention_by_size_keeps_the_newest(void **state)
{
    (void)state;
    struct store *s = open_store();
    struct store_topic *t = topic_with(s, "t", (struct store_policy){.retention_bytes = 5000});
    struct store_partition *p = &t->partitions[0];
    char payload[101];
    memset(payload, 'p', 100);
    payload[100] = 0;
    assert_int_equal(store_begin(s), 0);
    for (int i = 1; i <= 3000; i++)
        append_in(s, p, i, NULL, payload);
    assert_int_equal(store_commit(s), 0);
    bool more = true;
    while (more)
        assert_int_equal(store_retain(s, p, 0, 500, &more), 0);
    assert_true(p->now.bytes <= 5000);
    assert_true(p->now.bytes > 5000 - 200);
    assert_int_equal(count(s, p), p->now.records);
    assert_int_equal(p->now.start, 3001 - p->now.records);
    int64_t offset; /* the marks of what went are gone, those left still lead there */
    assert_int_equal(store_find_time(s, p, 5, &offset), 0);
    assert_int_equal(offset, p->now.start);
    store_close(s);
}

static void a_changed_retention_reaches_an_existing_topic(void **state)
{
    (void)state;
    struct store *s = open_store();
    topic_with(s, "t", (struct store_policy){0});
    store_close(s);
    s = open_store();
    topic_with(s, "t", (struct store_policy){.retention_ms = 5});
    store_close(s);
    s = open_store();
    struct store_topic *t;
    assert_int_equal(store_topic_find(s, BYTES_LIT("t"), &t), 0);
    assert_int_equal(t->retention_ms, 5);
    store_close(s);
}

/* ---- compaction ---- */

static void compact_all(struct store *s, struct store_partition *p, int64_t now, int64_t lag, int64_t tombstone,
                        size_t limit)
{
    bool more = true;
    for (int i = 0; more; i++) {
        assert_true(i < 1000);
        assert_int_equal(store_compact(s, p, now, lag, tombstone, limit, &more), 0);
    }
}

static void compaction_keeps_the_newest_of_each_key(void **state)
{
    (void)state;
    struct store *s = open_store();
    struct store_partition *p = &topic_with(s, "t", (struct store_policy){.compact = true})->partitions[0];
    append(s, p, 10, "a", "1");
    append(s, p, 20, "b", "2");
    append(s, p, 30, "a", "3");
    append(s, p, 40, NULL, "4");
    append(s, p, 50, "b", "5");
    append(s, p, 60, "", "6"); /* an empty key is a key */
    append(s, p, 70, "", "7");
    compact_all(s, p, 70, 30, 1000, 2); /* those of the last 30 ms do not count yet */
    assert_content(s, p, "2=2 3=3 4=4 5=5 6=6 7=7 ");
    compact_all(s, p, 1000, 30, 10000, 2);
    assert_content(s, p, "3=3 4=4 5=5 7=7 ");
    assert_int_equal(p->now.records, 4);
    assert_int_equal(p->now.start, 1); /* nothing was cut off: what went was superseded */
    append(s, p, 80, "a", "8");
    compact_all(s, p, 1000, 30, 10000, 100);
    assert_content(s, p, "4=4 5=5 7=7 8=8 ");
    bool more = true;
    assert_int_equal(store_compact(s, p, 1000, 30, 10000, 100, &more), 0);
    assert_false(more);
    store_close(s);
}

static void a_tombstone_deletes_its_key_and_later_itself(void **state)
{
    (void)state;
    struct store *s = open_store();
    struct store_partition *p = &topic_with(s, "t", (struct store_policy){.compact = true})->partitions[0];
    append(s, p, 10, "a", "1");
    append(s, p, 20, "b", "2");
    append(s, p, 30, "a", NULL);
    append(s, p, 40, "b", NULL);
    append(s, p, 50, "b", "5"); /* came back */
    compact_all(s, p, 100, 0, 1000, 100);
    assert_content(s, p, "3=- 5=5 ");
    compact_all(s, p, 1031, 0, 1000, 100);
    assert_content(s, p, "5=5 ");
    append(s, p, 60, "a", "6");
    compact_all(s, p, 2000, 0, 1000, 100);
    assert_content(s, p, "5=5 6=6 ");
    assert_int_equal(p->now.records, 2);
    store_close(s);
}

static void a_trimmed_key_may_come_again(void **state)
{
    (void)state;
    struct store *s = open_store();
    struct store_partition *p = &topic_with(s, "t", (struct store_policy){.compact = true})->partitions[0];
    int64_t removed;
    bool more;
    append(s, p, 10, "a", "1");
    append(s, p, 20, "b", "2");
    compact_all(s, p, 100, 0, 1000, 100);
    assert_int_equal(store_trim(s, p, 2, 100, &removed, &more), 0);
    assert_int_equal(removed, 1);
    append(s, p, 30, "a", "3");
    compact_all(s, p, 100, 0, 1000, 100);
    assert_content(s, p, "2=2 3=3 ");
    assert_int_equal(p->now.records, 2);
    store_close(s);
}

/* ---- a full disk ---- */

static void a_full_file_refuses_and_takes_again_after_a_trim(void **state)
{
    (void)state;
    struct store *s = open_with((struct store_settings){.max_bytes = 256 << 10});
    struct store_partition *p = partition_of(s, "t");
    static char payload[4001];
    memset(payload, 'p', 4000);
    struct store_record record = {.time_ms = 1, .payload = bytes_of(payload)};
    int64_t offset = 0, stored = 0;
    int r = 0;
    while (r == 0 && stored < 1000) {
        assert_int_equal(store_begin(s), 0);
        r = store_append(s, p, &record, &offset);
        r = r == 0 ? store_commit(s) : r;
        stored += r == 0;
    }
    store_rollback(s);
    assert_int_equal(r, -ENOSPC);
    assert_in_range(stored, 20, 64);
    assert_non_null(strstr(store_reason(s), "full"));
    assert_int_equal(p->now.next, stored + 1);
    assert_int_equal(count(s, p), stored);
    int64_t removed;
    bool more;
    assert_int_equal(store_trim(s, p, 10, 100, &removed, &more), 0);
    assert_int_equal(append(s, p, 1, NULL, "again"), stored + 1);
    assert_int_equal(store_probe(s), 0);
    store_close(s);
}

/* ---- groups ---- */

static void positions_belong_to_group_and_partition(void **state)
{
    (void)state;
    struct store *s = open_store();
    struct store_topic *t = topic_with(s, "t", (struct store_policy){.partitions = 2});
    int64_t next = -1;
    assert_int_equal(store_position_get(s, "g", &t->partitions[0], &next), -ENOENT);
    assert_int_equal(store_position_set(s, "g", &t->partitions[0], 5), 0);
    assert_int_equal(store_position_set(s, "g", &t->partitions[0], 6), 0);
    assert_int_equal(store_position_set(s, "h", &t->partitions[0], 9), 0);
    store_close(s);
    s = open_store();
    t = topic_with(s, "t", (struct store_policy){0});
    assert_int_equal(store_position_get(s, "g", &t->partitions[0], &next), 0);
    assert_int_equal(next, 6);
    assert_int_equal(store_position_get(s, "g", &t->partitions[1], &next), -ENOENT);
    store_close(s);
}

static void a_lease_is_one_members_until_it_expires(void **state)
{
    (void)state;
    struct store *s = open_store();
    struct store_topic *t = topic_with(s, "t", (struct store_policy){0});
    struct store_partition *p = &t->partitions[0];
    bool mine;
    assert_int_equal(store_lease_take(s, "g", p, "a", 1000, 2000, &mine), 0);
    assert_true(mine);
    assert_int_equal(store_lease_take(s, "g", p, "b", 1500, 2500, &mine), 0);
    assert_false(mine);
    assert_int_equal(store_lease_take(s, "other", p, "b", 1500, 2500, &mine), 0);
    assert_true(mine);
    assert_int_equal(store_lease_take(s, "g", p, "a", 1900, 2900, &mine), 0); /* renewed */
    assert_int_equal(store_lease_take(s, "g", p, "b", 2100, 3100, &mine), 0);
    assert_false(mine);
    assert_int_equal(store_lease_take(s, "g", p, "b", 2901, 3901, &mine), 0); /* "a" fell silent */
    assert_true(mine);
    assert_int_equal(store_lease_take(s, "g", p, "a", 2902, 3902, &mine), 0);
    assert_false(mine);
    assert_int_equal(store_lease_release(s, "g", p, "b"), 0);
    assert_int_equal(store_lease_take(s, "g", p, "a", 2903, 3903, &mine), 0);
    assert_true(mine);
    /* The clock was set back by an hour: a lease that far ahead is worth nothing. */
    assert_int_equal(store_lease_take(s, "g", p, "b", 500, 1500, &mine), 0);
    assert_true(mine);
    store_close(s);
}

static void members_know_their_place(void **state)
{
    (void)state;
    struct store *s = open_store();
    struct store_topic *t = topic_with(s, "t", (struct store_policy){0});
    int32_t place = -1, members = -1;
    assert_int_equal(store_member_renew(s, "g", t, "m2", 1000, 2000, &place, &members), 0);
    assert_true(place == 0 && members == 1);
    assert_int_equal(store_member_renew(s, "g", t, "m1", 1000, 2000, &place, &members), 0);
    assert_true(place == 0 && members == 2);
    assert_int_equal(store_member_renew(s, "g", t, "m2", 1500, 2500, &place, &members), 0);
    assert_true(place == 1 && members == 2);
    assert_int_equal(store_member_renew(s, "g", t, "m2", 2100, 3100, &place, &members), 0); /* m1 is gone */
    assert_true(place == 0 && members == 1);
    assert_int_equal(store_member_leave(s, "g", t, "m2"), 0);
    assert_int_equal(store_member_renew(s, "g", t, "m3", 2100, 3100, &place, &members), 0);
    assert_true(place == 0 && members == 1);
    store_close(s);
}

/* ---- files that are none of ours ---- */

static int try_open(bool create, char *error, size_t error_size)
{
    struct store *s;
    struct store_settings settings = {.path = path, .create = create, .busy_timeout_ms = 50};
    int r = store_open(&settings, &s, error, error_size);
    if (r == 0)
        store_close(s);
    return r;
}

static void write_file(const char *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), len);
    close(fd);
}

static void execute(const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void what_is_no_log_is_refused_and_left_alone(void **state)
{
    (void)state;
    char error[300], text[] = "this is not a database, but long enough to be mistaken for one by a careless eye: it "
                              "has more bytes than the header of a database";
    snprintf(path, sizeof path, "%s/log.db", folder);
    assert_int_equal(try_open(false, error, sizeof error), -ENOENT);
    assert_non_null(strstr(error, "No such file"));

    write_file(text, sizeof text);
    assert_int_equal(try_open(true, error, sizeof error), -EBADMSG);
    assert_non_null(strstr(error, path));
    assert_non_null(strstr(error, "not a log"));

    assert_int_equal(unlink(path), 0);
    execute("CREATE TABLE theirs(x)");
    assert_int_equal(try_open(true, error, sizeof error), -EBADMSG);
    assert_non_null(strstr(error, "not a log"));
    assert_int_equal(unlink(path), 0); /* no WAL was made of it */
    char wal[120];
    snprintf(wal, sizeof wal, "%s-wal", path);
    assert_int_equal(access(wal, F_OK), -1);

    store_close(open_store());
    execute("PRAGMA user_version = 99");
    assert_int_equal(try_open(true, error, sizeof error), -EBADMSG);
    assert_non_null(strstr(error, "version"));
}

static void a_damaged_file_is_refused_at_open(void **state)
{
    (void)state;
    char error[300];
    struct store *s = open_store();
    struct store_partition *p = partition_of(s, "t");
    for (int i = 0; i < 10; i++)
        append(s, p, 1, NULL, "x");
    store_close(s);
    execute("UPDATE partitions SET next = 5"); /* the next append would use offset 5 again */
    assert_int_equal(try_open(true, error, sizeof error), -EBADMSG);
    assert_non_null(strstr(error, "damaged"));
    execute("UPDATE partitions SET next = 11");
    assert_int_equal(try_open(true, error, sizeof error), 0);
    assert_int_equal(truncate(path, 5000), 0);
    assert_int_equal(try_open(true, error, sizeof error), -EBADMSG);
}

static void a_folder_that_cannot_be_made_is_named(void **state)
{
    (void)state;
    char error[300];
    snprintf(path, sizeof path, "%s/file", folder);
    write_file("x", 1);
    snprintf(path, sizeof path, "%s/file/log.db", folder);
    assert_int_equal(try_open(true, error, sizeof error), -ENOTDIR);
    assert_non_null(strstr(error, "cannot create the folder"));
}

/* A record's number in the file has 19 bits for its partition; here all but three are taken. */
static void the_number_of_partitions_is_bounded(void **state)
{
    (void)state;
    store_close(open_store());
    execute("INSERT INTO partitions VALUES((1 << 19) - 4, 99, 0, 1, 1, 0, 0, 0, 1)");
    struct store *s = open_store();
    struct store_topic *t;
    assert_int_equal(store_topic_ensure(s, BYTES_LIT("four"), &(struct store_policy){.partitions = 4}, &t), -EMFILE);
    assert_int_equal(store_topic_find(s, BYTES_LIT("four"), &t), -ENOENT);
    t = topic_with(s, "three", (struct store_policy){.partitions = 3});
    assert_int_equal(append(s, &t->partitions[2], 1, NULL, "x"), 1);
    assert_content(s, &t->partitions[2], "1=x ");
    store_close(s);
}

/* ---- pure parts ---- */

static void keys_go_where_kafkas_clients_send_them(void **state)
{
    (void)state;
    const struct {
        const char *key;
        int32_t hash;
    } cases[] = {
        {"21", -973932308},
        {"foobar", -790332482},
        {"a-little-bit-long-string", -985981536},
        {"a-little-bit-longer-string", -1486304829},
        {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
        {"abc", 479470107},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal((int32_t)emb_partition_murmur2(bytes_of(cases[i].key)), cases[i].hash);
        assert_int_equal(emb_partition_of_key(bytes_of(cases[i].key), 7), (cases[i].hash & 0x7fffffff) % 7);
    }
}

static void headers_survive_and_damaged_ones_do_not_mislead(void **state)
{
    (void)state;
    const struct bridge_header in[] = {
        {BYTES_LIT("a"), BYTES_LIT("1")}, {BYTES_LIT(""), BYTES_LIT("")}, {BYTES_LIT("none"), BYTES_NULL}};
    char encoded[64];
    size_t size = emb_headers_size(in, 3);
    assert_true(size <= sizeof encoded);
    emb_headers_encode(in, 3, encoded, NULL);
    struct bridge_header out[3];
    assert_int_equal(emb_headers_decode((struct bytes){encoded, size}, out, 3), 3);
    for (int i = 0; i < 3; i++) {
        assert_true(bytes_eq(in[i].name, out[i].name));
        assert_true(bytes_eq(in[i].value, out[i].value));
        assert_int_equal(in[i].value.data == NULL, out[i].value.data == NULL);
    }
    for (size_t cut = 1; cut < size; cut++) { /* in a buffer of its own, so that a read beyond it is seen */
        char *copy = xmalloc(cut);
        memcpy(copy, encoded, cut);
        ssize_t n = emb_headers_decode((struct bytes){copy, cut}, out, 3);
        assert_true(n == -EBADMSG || (n >= 0 && n < 3));
        free(copy);
    }
    assert_int_equal(emb_headers_decode(BYTES_NULL, out, 3), 0);
    assert_int_equal(emb_headers_decode(BYTES_LIT("\xff\xff\xff\xff\xff\xff\xff\xfe...."), out, 3), -EBADMSG);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(offsets_start_at_one_and_are_never_used_again),
        TEST(partitions_count_for_themselves),
        TEST(a_rolled_back_transaction_leaves_nothing),
        TEST(a_topic_keeps_its_identity_and_a_new_file_has_another),
        TEST(names_of_topics_are_checked),
        TEST(two_connections_number_one_sequence),
        TEST(a_lock_that_stays_is_busy_after_the_timeout),
        TEST(a_time_is_found_where_times_ascend_and_where_not),
        TEST(retention_by_age_stops_at_the_first_young_record),
        TEST(retention_by_size_keeps_the_newest),
        TEST(a_changed_retention_reaches_an_existing_topic),
        TEST(compaction_keeps_the_newest_of_each_key),
        TEST(a_tombstone_deletes_its_key_and_later_itself),
        TEST(a_trimmed_key_may_come_again),
        TEST(a_full_file_refuses_and_takes_again_after_a_trim),
        TEST(positions_belong_to_group_and_partition),
        TEST(a_lease_is_one_members_until_it_expires),
        TEST(members_know_their_place),
        TEST(what_is_no_log_is_refused_and_left_alone),
        TEST(a_damaged_file_is_refused_at_open),
        TEST(a_folder_that_cannot_be_made_is_named),
        TEST(the_number_of_partitions_is_bounded),
        cmocka_unit_test(keys_go_where_kafkas_clients_send_them),
        cmocka_unit_test(headers_survive_and_damaged_ones_do_not_mislead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
