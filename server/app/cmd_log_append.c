#include "cmd_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "embedded/partition.h"
#include "embedded/record_set.h"
#include "util/clock.h"

enum { READ_BYTES = 1 << 18 };

struct append {
    struct cmdlog_target target;
    struct store_topic *topic;
    struct bytes key;
    struct cli_list headers;
    struct buf encoded; /* headers as stored */
    struct buf input;   /* not stored yet */
    struct buf printed; /* offsets of the open transaction */
    uint32_t round_robin;
    long long stored;
};

static int encode_headers(struct append *a)
{
    struct bridge_header headers[sizeof a->headers.items / sizeof *a->headers.items];
    for (size_t i = 0; i < a->headers.count; i++) {
        const char *text = a->headers.items[i], *equals = strchr(text, '=');
        if (!equals || equals == text) {
            fprintf(stderr, "crier log append: --header %s, allowed: NAME=VALUE\n", text);
            return CLI_USAGE;
        }
        headers[i] = (struct bridge_header){{text, (size_t)(equals - text)}, bytes_of(equals + 1)};
    }
    size_t size = emb_headers_size(headers, a->headers.count);
    buf_reserve(&a->encoded, size + 1);
    emb_headers_encode(headers, a->headers.count, a->encoded.data, NULL);
    a->encoded.len = size;
    return 0;
}

static int append_line(struct append *a, struct bytes line)
{
    struct store_topic *t = a->topic;
    int32_t partition = a->key.data ? emb_partition_of_key(a->key, t->partition_count)
                                    : (int32_t)(a->round_robin++ % (uint32_t)t->partition_count);
    struct store_record record = {
        .time_ms = clock_wall_ms(),
        .key = a->key,
        .headers = a->encoded.len ? buf_bytes(&a->encoded) : BYTES_NULL,
        .payload = line,
    };
    int64_t offset = 0;
    int r = line.len > STORE_RECORD_MAX ? -EMSGSIZE
                                        : store_append(a->target.store, &t->partitions[partition], &record, &offset);
    if (r == 0)
        buf_printf(&a->printed, "%d:%lld\n", partition, (long long)offset);
    return r;
}

/* The complete lines that have come, in one transaction; at the end also one without its end. */
static int append_lines(struct append *a, bool at_end)
{
    struct bytes rest = buf_bytes(&a->input);
    long long lines = 0;
    int r = 0;
    a->printed.len = 0;
    while (r == 0 && rest.len > 0) {
        const char *newline = memchr(rest.data, '\n', rest.len);
        if (!newline && !at_end)
            break;
        size_t len = newline ? (size_t)(newline - rest.data) : rest.len;
        if (lines++ == 0)
            r = store_begin(a->target.store);
        if (r == 0)
            r = append_line(a, (struct bytes){rest.data, len});
        rest.data += len + (newline ? 1 : 0);
        rest.len -= len + (newline ? 1 : 0);
    }
    if (lines == 0)
        return 0;
    if (r == 0)
        r = store_commit(a->target.store);
    else
        store_rollback(a->target.store);
    if (r < 0)
        return r;
    a->stored += lines;
    memmove(a->input.data, rest.data, rest.len);
    a->input.len = rest.len;
    fwrite(a->printed.data, 1, a->printed.len, stdout);
    return fflush(stdout) == EOF ? -EPIPE : 0;
}

static int append_input(struct append *a)
{
    for (;;) {
        buf_reserve(&a->input, READ_BYTES);
        ssize_t n = read(STDIN_FILENO, a->input.data + a->input.len, READ_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        a->input.len += (size_t)n;
        if (a->input.len > STORE_RECORD_MAX + READ_BYTES)
            return -EMSGSIZE; /* no line has ended for so long */
        int r = append_lines(a, n == 0);
        if (r < 0 || n == 0)
            return r;
    }
}

static int append(struct append *a, const char *name)
{
    int exit = encode_headers(a);
    if (exit == 0)
        exit = cmdlog_open(&a->target, true);
    if (exit)
        return exit;
    int r = store_topic_find(a->target.store, bytes_of(name), &a->topic);
    if (r == -ENOENT) {
        struct store_policy policy = emb_settings_policy(&a->target.settings, bytes_of(name));
        r = store_topic_ensure(a->target.store, bytes_of(name), &policy, &a->topic);
    }
    if (r == 0)
        r = append_input(a);
    if (r == -EMSGSIZE)
        fputs("crier log append: a line is longer than a record may be\n", stderr);
    else if (r < 0)
        cmdlog_failed(&a->target, "append", r);
    if (r < 0)
        fprintf(stderr, "crier log append: %lld lines are stored, not those after them\n", a->stored);
    return r < 0 ? CLI_FAULTS : 0;
}

int cmdlog_append(int argc, char **argv)
{
    struct append a = {.target = CMDLOG_TARGET_INIT};
    const char *name, *key = NULL;
    const struct cli_option options[] = {
        CMDLOG_TARGET_OPTIONS(&a.target),
        {"key", 0, CLI_TEXT, &key},
        {"header", 0, CLI_LIST, &a.headers},
    };
    int exit = cli_parse(argc, argv, options, sizeof options / sizeof *options, &name, 1);
    if (exit == 0) {
        a.key = bytes_of(key);
        exit = append(&a, name);
    }
    buf_done(&a.encoded);
    buf_done(&a.input);
    buf_done(&a.printed);
    cmdlog_done(&a.target);
    return exit;
}
