#include "cmd_log.h"

#include <stdio.h>
#include <stdlib.h>

#include "utf8.h"
#include "util/clock.h"

enum { LOCK_WAIT_MS = 10000, TRIM_SLICE = 4096 };

/* ---- which file ---- */

static const struct config_bridge *first_embedded(const struct config *c)
{
    for (size_t i = 0; i < c->bridge_count; i++)
        if (strcmp(c->bridges[i].driver, "embedded") == 0)
            return &c->bridges[i];
    return NULL;
}

static int read_settings(struct cmdlog_target *t, const char *path, const struct config_bridge *b)
{
    char error[300];
    size_t n = b ? b->option_count : 0;
    struct bridge_option *options = xcalloc(n + 1, sizeof *options);
    for (size_t i = 0; i < n; i++)
        options[i] = (struct bridge_option){b->options[i].name, b->options[i].value};
    struct bridge_open open = {.name = "log", .servers = path, .options = options, .option_count = n};
    int r = emb_settings_read(&open, &t->settings, error, sizeof error);
    free(options);
    if (r < 0)
        fprintf(stderr, "crier log: %s\n", error);
    return r < 0 ? CLI_CONFIG : 0;
}

static int read_config(struct cmdlog_target *t)
{
    CLEANUP_BUF faults = BUF_INIT, notes = BUF_INIT;
    struct config *c = cli_load_config(&t->run, &faults, &notes);
    fwrite(buf_bytes(&faults).data, 1, faults.len, stderr);
    if (!c)
        return CLI_CONFIG;
    const struct config_bridge *b = first_embedded(c);
    int r = CLI_CONFIG;
    if (b)
        r = read_settings(t, b->servers, b);
    else
        fprintf(stderr, "crier log: %s has no bridge with driver = \"embedded\"; give --db FILE\n", t->run.config_path);
    config_free(c);
    return r;
}

int cmdlog_open(struct cmdlog_target *t, bool create)
{
    char error[400];
    int r = t->db ? read_settings(t, t->db, NULL) : read_config(t);
    if (r)
        return r;
    struct store_settings settings = {
        .path = t->settings.path,
        .create = create,
        .busy_timeout_ms = LOCK_WAIT_MS,
        .max_bytes = t->settings.max_bytes,
    };
    if (store_open(&settings, &t->store, error, sizeof error) == 0)
        return 0;
    fprintf(stderr, "crier log: %s\n", error);
    return CLI_FAULTS;
}

void cmdlog_done(struct cmdlog_target *t)
{
    store_close(t->store);
    emb_settings_done(&t->settings);
    t->store = NULL;
}

int cmdlog_failed(const struct cmdlog_target *t, const char *what, int error)
{
    const char *reason = store_reason(t->store);
    fprintf(stderr, "crier log: %s: %s\n", what, *reason ? reason : strerror(-error));
    return CLI_FAULTS;
}

struct store_topic *cmdlog_find_topic(struct cmdlog_target *t, const char *name, int *ret_exit)
{
    struct store_topic *topic;
    int r = store_topic_find(t->store, bytes_of(name), &topic);
    if (r == 0)
        return topic;
    if (r == -ENOENT)
        fprintf(stderr, "crier log: %s has no topic \"%s\"; crier log ls shows them\n", t->settings.path, name);
    else
        cmdlog_failed(t, name, r);
    *ret_exit = CLI_FAULTS;
    return NULL;
}

/* ---- where in it ---- */

static bool parse_number(const char *text, int64_t *ret_number)
{
    char *end;
    errno = 0;
    if (*text < '0' || *text > '9')
        return false;
    int64_t number = strtoll(text, &end, 10);
    if (*end || errno)
        return false;
    *ret_number = number;
    return true;
}

int cmdlog_parse_partition(const struct store_topic *t, const char *text, struct cmdlog_range *ret_range)
{
    int64_t number = 0;
    if (!text) {
        *ret_range = (struct cmdlog_range){0, t->partition_count - 1};
        return 0;
    }
    if (!parse_number(text, &number) || number >= t->partition_count) {
        fprintf(stderr, "crier log: --partition %s: topic \"%s\" has 0 to %d\n", text, t->name, t->partition_count - 1);
        return CLI_USAGE;
    }
    *ret_range = (struct cmdlog_range){(int32_t)number, (int32_t)number};
    return 0;
}

int cmdlog_parse_place(const char *option, const char *text, struct cmdlog_place *ret_place)
{
    struct cmdlog_place place = {.is_time = true};
    int64_t ago;
    if (parse_number(text, &place.value))
        place.is_time = false;
    else if (config_parse_duration(text, &ago) == 0)
        place.value = clock_wall_ms() - ago;
    else if (config_parse_time(text, &place.value) < 0) {
        fprintf(stderr, "crier log: --%s %s, allowed: an offset, a time like 2026-01-31T08:00:00Z or an age like 15m\n",
                option, text);
        return CLI_USAGE;
    }
    *ret_place = place;
    return 0;
}

int cmdlog_find_offset(struct cmdlog_target *t, struct store_partition *p, const struct cmdlog_place *place,
                       int64_t *ret_offset)
{
    if (place->is_time)
        return store_find_time(t->store, p, place->value, ret_offset);
    *ret_offset = place->value;
    return store_partition_load(t->store, p);
}

void cmdlog_put_text(struct buf *out, struct bytes text, const char *absent)
{
    bool valid = text.data && utf8_valid(text.data, text.len);
    if (!text.data)
        buf_append_str(out, absent);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        bool c1 = valid && c == 0xc2 && (unsigned char)text.data[i + 1] < 0xa0; /* control characters of two bytes */
        if (c < 0x20 || c == 0x7f || c == '\\' || c1 || (c >= 0x80 && !valid))
            buf_printf(out, "\\x%02x", c);
        else if (c >= 0x80 && c < 0xa0 && i > 0 && (unsigned char)text.data[i - 1] == 0xc2)
            buf_printf(out, "\\x%02x", c);
        else
            buf_append(out, &c, 1);
    }
}

/* ---- ls ---- */

struct listing {
    struct cmdlog_target *target;
    int error;
};

struct unit {
    const char *name;
    int64_t factor;
};

/* In the largest unit that gives a whole number, as it is written in the configuration. */
static void put_quantity(struct buf *out, int64_t value, const struct unit *units)
{
    while (value % units->factor != 0)
        units++;
    buf_printf(out, "%lld%s", (long long)(value / units->factor), units->name);
}

static void put_retention(struct buf *out, const struct store_topic *t)
{
    static const struct unit AGES[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
    static const struct unit SIZES[] = {{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}};
    if (t->compact)
        buf_append_str(out, "newest of each key");
    else if (!t->retention_ms && !t->retention_bytes)
        buf_append_str(out, "all");
    if (t->retention_ms)
        put_quantity(out, t->retention_ms, AGES);
    if (t->retention_ms && t->retention_bytes)
        buf_append_str(out, ", ");
    if (t->retention_bytes)
        put_quantity(out, t->retention_bytes, SIZES);
}

static void print_partition(const struct store_topic *t, const struct store_partition *p)
{
    CLEANUP_BUF name = BUF_INIT, keeps = BUF_INIT;
    /* An empty partition has no oldest and no newest record. */
    char oldest[24] = "-", newest[24] = "-";
    if (p->now.records > 0) {
        snprintf(oldest, sizeof oldest, "%lld", (long long)p->now.start);
        snprintf(newest, sizeof newest, "%lld", (long long)p->now.next - 1);
    }
    cmdlog_put_text(&name, bytes_of(t->name), "");
    buf_append(&name, "", 1);
    put_retention(&keeps, t);
    buf_append(&keeps, "", 1);
    printf("%-24s %9d %12lld %12s %12s %14lld  %s\n", name.data, p->number, (long long)p->now.records, oldest, newest,
           (long long)p->now.bytes, keeps.data);
}

static bool on_topic(void *arg, struct bytes name)
{
    struct listing *l = arg;
    struct store *s = l->target->store;
    struct store_topic *t;
    l->error = store_topic_find(s, name, &t);
    for (int32_t i = 0; l->error == 0 && i < t->partition_count; i++) {
        l->error = store_partition_load(s, &t->partitions[i]);
        if (l->error == 0)
            print_partition(t, &t->partitions[i]);
    }
    return l->error == 0;
}

static int cmdlog_ls(int argc, char **argv)
{
    struct cmdlog_target t = CMDLOG_TARGET_INIT;
    const struct cli_option options[] = {CMDLOG_TARGET_OPTIONS(&t)};
    int exit = cli_parse(argc, argv, options, sizeof options / sizeof *options, NULL, 0);
    if (exit == 0)
        exit = cmdlog_open(&t, false);
    if (exit == 0) {
        struct listing l = {.target = &t};
        printf("%-24s %9s %12s %12s %12s %14s  %s\n", "TOPIC", "PARTITION", "RECORDS", "OLDEST", "NEWEST", "BYTES",
               "KEEPS");
        int r = store_topics_each(t.store, false, on_topic, &l);
        if (r < 0 || l.error < 0)
            exit = cmdlog_failed(&t, "ls", r < 0 ? r : l.error);
    }
    cmdlog_done(&t);
    return exit;
}

/* ---- trim ---- */

static int trim_partition(struct cmdlog_target *t, struct store_partition *p, const struct cmdlog_place *before)
{
    int64_t offset, removed, total = 0;
    bool more = true;
    int r = cmdlog_find_offset(t, p, before, &offset);
    while (r == 0 && more) {
        r = store_trim(t->store, p, offset, TRIM_SLICE, &removed, &more);
        total += r == 0 ? removed : 0;
    }
    if (r == 0 || total > 0)
        printf("%s/%d: %lld records removed, begins at offset %lld\n", p->topic->name, p->number, (long long)total,
               (long long)p->now.start);
    return r < 0 ? cmdlog_failed(t, "trim", r) : 0;
}

static int trim(struct cmdlog_target *t, const char *name, const char *partition, const struct cmdlog_place *before)
{
    struct cmdlog_range range;
    int exit = 0;
    struct store_topic *topic = cmdlog_find_topic(t, name, &exit);
    if (topic)
        exit = cmdlog_parse_partition(topic, partition, &range);
    for (int32_t i = exit == 0 ? range.first : 1; exit == 0 && i <= range.last; i++)
        exit = trim_partition(t, &topic->partitions[i], before);
    return exit;
}

static int cmdlog_trim(int argc, char **argv)
{
    struct cmdlog_target t = CMDLOG_TARGET_INIT;
    const char *name, *before = NULL, *partition = NULL;
    const struct cli_option options[] = {
        CMDLOG_TARGET_OPTIONS(&t),
        {"before", 0, CLI_TEXT, &before},
        {"partition", 0, CLI_TEXT, &partition},
    };
    struct cmdlog_place place;
    int exit = cli_parse(argc, argv, options, sizeof options / sizeof *options, &name, 1);
    if (exit == 0 && !before) {
        fputs("crier log trim: --before is missing: the offset or time of the oldest record to keep\n", stderr);
        exit = CLI_USAGE;
    }
    if (exit == 0)
        exit = cmdlog_parse_place("before", before, &place);
    if (exit == 0)
        exit = cmdlog_open(&t, false);
    if (exit == 0)
        exit = trim(&t, name, partition, &place);
    cmdlog_done(&t);
    return exit;
}

/* ---- the command ---- */

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} COMMANDS[] = {
    {"ls", cmdlog_ls},
    {"cat", cmdlog_cat},
    {"append", cmdlog_append},
    {"trim", cmdlog_trim},
};

int cmd_log(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < sizeof COMMANDS / sizeof *COMMANDS; i++) {
        char full_name[32];
        if (strcmp(COMMANDS[i].name, name) != 0)
            continue;
        snprintf(full_name, sizeof full_name, "crier log %s", name);
        argv[1] = full_name;
        return COMMANDS[i].run(argc - 1, argv + 1);
    }
    fprintf(stderr, "crier log: '%s' is none of ls, cat, append, trim; crier log --help tells more\n", name);
    return CLI_USAGE;
}
