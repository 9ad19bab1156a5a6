#include "cmd_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "embedded/record_set.h"
#include "utf8.h"
#include "util/base64.h"

enum { FOLLOW_US = 100000, SLICE_BYTES = 1 << 20 };

struct cat {
    struct cmdlog_target target;
    struct store_topic *topic;
    struct cmdlog_range range;
    struct cmdlog_place since;
    bool json, follow;
    int64_t left; /* records still to print */
    int64_t *next; /* offset a partition */
    int32_t partition;
    struct buf lines; /* of a slice */
};

/* ---- one record ---- */

static void put_json(struct buf *out, const char *name, struct bytes value)
{
    if (!value.data) {
        buf_printf(out, "\"%s\":null", name);
    } else if (utf8_valid(value.data, value.len)) {
        buf_printf(out, "\"%s\":", name);
        buf_append_json_string(out, value);
    } else {
        buf_printf(out, "\"%s_base64\":\"", name);
        base64_append(out, value);
        buf_append_str(out, "\"");
    }
}

static void put_headers_json(struct buf *out, struct bytes encoded)
{
    ssize_t n = emb_headers_decode(encoded, NULL, 0);
    struct bridge_header *headers = xcalloc(n > 0 ? (size_t)n : 1, sizeof *headers);
    if (n > 0)
        emb_headers_decode(encoded, headers, (size_t)n);
    buf_append_str(out, "\"headers\":[");
    for (ssize_t i = 0; i < n; i++) {
        buf_append_str(out, i ? ",{" : "{");
        put_json(out, "name", headers[i].name);
        buf_append_str(out, ",");
        put_json(out, "value", headers[i].value);
        buf_append_str(out, "}");
    }
    buf_append_str(out, "]");
    free(headers);
}

static void put_record_json(struct cat *c, const struct store_record *r)
{
    struct buf *out = &c->lines;
    buf_append_str(out, "{");
    put_json(out, "topic", bytes_of(c->topic->name));
    buf_printf(out, ",\"partition\":%d,\"offset\":%lld,\"time_ms\":%lld,", c->partition, (long long)r->offset,
               (long long)r->time_ms);
    put_json(out, "key", r->key);
    buf_append_str(out, ",");
    put_headers_json(out, r->headers);
    buf_append_str(out, ",");
    put_json(out, "payload", r->payload);
    buf_append_str(out, "}\n");
}

static void put_record_text(struct cat *c, const struct store_record *r)
{
    time_t seconds = (time_t)(r->time_ms / 1000);
    struct tm tm;
    char date[32];
    gmtime_r(&seconds, &tm);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    buf_printf(&c->lines, "%d:%lld\t%s.%03dZ\t", c->partition, (long long)r->offset, date, (int)(r->time_ms % 1000));
    cmdlog_put_text(&c->lines, r->key, "-");
    buf_append_str(&c->lines, "\t");
    cmdlog_put_text(&c->lines, r->payload, "(deleted)");
    buf_append_str(&c->lines, "\n");
}

static bool on_record(void *arg, const struct store_record *r)
{
    struct cat *c = arg;
    if (c->json)
        put_record_json(c, r);
    else
        put_record_text(c, r);
    c->next[c->partition] = r->offset + 1;
    return --c->left > 0 && c->lines.len < SLICE_BYTES;
}

/* ---- all of them ---- */

static int print_partition(struct cat *c)
{
    struct store *s = c->target.store;
    struct store_partition *p = &c->topic->partitions[c->partition];
    int r = store_partition_load(s, p);
    int64_t before = -1;
    while (r == 0 && c->left > 0 && c->next[c->partition] > before && !ferror(stdout)) {
        before = c->next[c->partition];
        r = store_read(s, p, before, p->now.next - 1, CMDLOG_SLICE, on_record, c);
        /* After the read: who pages through the output must not keep the server from clearing its WAL. */
        fwrite(buf_bytes(&c->lines).data, 1, c->lines.len, stdout);
        c->lines.len = 0;
    }
    return r;
}

static int print_all(struct cat *c)
{
    int r = 0;
    for (c->partition = c->range.first; r == 0 && c->partition <= c->range.last; c->partition++)
        r = print_partition(c);
    if (fflush(stdout) == EOF || ferror(stdout))
        return -EPIPE;
    return r;
}

static int follow(struct cat *c)
{
    int r = 0;
    while (r == 0 && c->left > 0) {
        bool changed = false;
        usleep(FOLLOW_US);
        r = store_changed(c->target.store, &changed);
        if (r == 0 && changed)
            r = print_all(c);
    }
    return r;
}

static int print(struct cat *c)
{
    int r = 0;
    for (int32_t i = c->range.first; r == 0 && i <= c->range.last; i++)
        r = cmdlog_find_offset(&c->target, &c->topic->partitions[i], &c->since, &c->next[i]);
    if (r == 0)
        r = print_all(c);
    if (r == 0 && c->follow)
        r = follow(c);
    if (r == -EPIPE) {
        fputs("crier log cat: cannot write to standard output\n", stderr);
        return CLI_FAULTS;
    }
    return r < 0 ? cmdlog_failed(&c->target, "cat", r) : 0;
}

static int cat(struct cat *c, const char *name, const char *partition)
{
    int exit = cmdlog_open(&c->target, false);
    if (exit)
        return exit;
    c->topic = cmdlog_find_topic(&c->target, name, &exit);
    if (!c->topic)
        return exit;
    exit = cmdlog_parse_partition(c->topic, partition, &c->range);
    if (exit)
        return exit;
    c->next = xcalloc((size_t)c->topic->partition_count, sizeof *c->next);
    return print(c);
}

static bool read_limit(struct cat *c, const char *text)
{
    char *end;
    c->left = strtoll(text, &end, 10);
    if (c->left > 0 && !*end)
        return true;
    fprintf(stderr, "crier log cat: --limit %s, allowed: a number of records from 1\n", text);
    return false;
}

int cmdlog_cat(int argc, char **argv)
{
    struct cat c = {.target = CMDLOG_TARGET_INIT, .left = INT64_MAX};
    const char *name, *since = NULL, *limit = NULL, *partition = NULL;
    const struct cli_option options[] = {
        CMDLOG_TARGET_OPTIONS(&c.target),
        {"partition", 0, CLI_TEXT, &partition},
        {"since", 0, CLI_TEXT, &since},
        {"limit", 0, CLI_TEXT, &limit},
        {"follow", 0, CLI_FLAG, &c.follow},
        {"json", 0, CLI_FLAG, &c.json},
    };
    int exit = cli_parse(argc, argv, options, sizeof options / sizeof *options, &name, 1);
    if (exit == 0 && since)
        exit = cmdlog_parse_place("since", since, &c.since);
    if (exit == 0 && limit && !read_limit(&c, limit))
        exit = CLI_USAGE;
    if (exit == 0)
        exit = cat(&c, name, partition);
    free(c.next);
    buf_done(&c.lines);
    cmdlog_done(&c.target);
    return exit;
}
