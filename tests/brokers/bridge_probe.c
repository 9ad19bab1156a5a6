/* Runs one driver without the engine: commands come as JSON lines on standard input, every call that the driver makes
 * to its host goes out as a JSON line on standard output.
 *
 * In JSON a string stands for bytes: one character U+0000 to U+00FF a byte, so that any payload survives; null stands
 * for "absent". Usage: bridge_probe DRIVER.so [--servers S] [--node N] [--publish-timeout MS] [--publish-queue N]
 * [--log LEVEL] [--check] [-o NAME=VALUE]...; the commands are in the table at the end. */
#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "bridge.h"
#include "util/clock.h"

#define OPTIONS_MAX 64
#define HEADERS_MAX 32
#define OUT_LIMIT (64 * 1024)

/* What a cookie of the driver points to: a subscription, a publish or a read, with the name the test gave it. */
struct ticket {
    char *id;
    struct bridge_source_sub *sub;
    bool quiet, auto_ack;
    uint64_t expect, records, bytes, first_ns;
    uint64_t spin_ns; /* burnt for each record: a host that has work to do */
    uint64_t *expect_publishes; /* shared by the publishes of one `repeat` */
    struct ticket *next;
};

static const struct bridge_ops *ops;
static struct bridge *bridge;
static struct ticket *subscriptions;
static struct buf out, in;
static uv_loop_t *loop;
static uv_pipe_t input;
static bool closing;

static void flush_out(void)
{
    if (out.len)
        fwrite(out.data, 1, out.len, stdout);
    fflush(stdout);
    out.len = 0;
}

static void append_bytes(struct buf *b, struct bytes s)
{
    if (!s.data) {
        buf_append_str(b, "null");
        return;
    }
    buf_append(b, "\"", 1);
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c >= 0x80)
            buf_printf(b, "\\u%04x", c);
        else
            buf_append_json_escaped(b, (struct bytes){s.data + i, 1});
    }
    buf_append(b, "\"", 1);
}

static void event_begin(const char *name, const struct ticket *t)
{
    buf_printf(&out, "{\"event\":\"%s\"", name);
    if (t) {
        buf_append_str(&out, ",\"id\":");
        append_bytes(&out, bytes_of(t->id));
    }
}

static void event_text(const char *key, struct bytes value)
{
    buf_printf(&out, ",\"%s\":", key);
    append_bytes(&out, value);
}

static void event_number(const char *key, int64_t value)
{
    buf_printf(&out, ",\"%s\":%" PRId64, key, value);
}

static void event_end(void)
{
    buf_append_str(&out, "}\n");
    if (out.len > OUT_LIMIT || closing)
        flush_out();
}

static void append_record(const struct bridge_record *r)
{
    event_text("topic", r->topic);
    event_number("partition", r->partition);
    event_number("offset", r->offset);
    event_number("time_ms", r->time_ms);
    event_text("key", r->key);
    event_text("payload", r->payload);
    buf_append_str(&out, ",\"headers\":[");
    for (size_t i = 0; i < r->header_count; i++) {
        buf_append_str(&out, i ? ",[" : "[");
        append_bytes(&out, r->headers[i].name);
        buf_append(&out, ",", 1);
        append_bytes(&out, r->headers[i].value);
        buf_append(&out, "]", 1);
    }
    buf_printf(&out, "],\"retained\":%s", r->retained ? "true" : "false");
}

/* ---- calls of the driver ---- */

static void on_state(void *host, enum bridge_state state, const char *reason)
{
    static const char *const names[] = {"connecting", "ready", "degraded", "failed"};
    (void)host;
    event_begin("state", NULL);
    event_text("state", bytes_of(names[state]));
    event_text("reason", bytes_of(reason));
    event_end();
}

static void on_assigned(void *cookie, struct bytes topic, int32_t partition, int32_t partitions, struct bytes seed,
                        int64_t oldest, int64_t end)
{
    event_begin("assigned", cookie);
    event_text("topic", topic);
    event_number("partition", partition);
    event_number("partitions", partitions);
    event_text("seed", seed);
    event_number("oldest", oldest);
    event_number("end", end);
    event_end();
}

static void on_revoked(void *cookie, struct bytes topic, int32_t partition)
{
    event_begin("revoked", cookie);
    event_text("topic", topic);
    event_number("partition", partition);
    event_end();
}

static void count_records(struct ticket *t, const struct bridge_record *records, size_t count)
{
    if (!t->records)
        t->first_ns = clock_mono_ns();
    for (size_t i = 0; i < count; i++)
        t->bytes += records[i].payload.len;
    t->records += count;
    if (!t->expect || t->records < t->expect)
        return;
    uint64_t ms = (clock_mono_ns() - t->first_ns) / 1000000;
    event_begin("counted", t);
    event_number("records", (int64_t)t->records);
    event_number("bytes", (int64_t)t->bytes);
    event_number("ms", (int64_t)ms);
    event_end();
    t->expect = 0;
}

static void on_records(void *cookie, const struct bridge_record *records, size_t count)
{
    struct ticket *t = cookie;
    count_records(t, records, count);
    for (uint64_t until = clock_mono_ns() + t->spin_ns * count; t->spin_ns && clock_mono_ns() < until;)
        ;
    for (size_t i = 0; i < count && !t->quiet; i++) {
        event_begin("record", t);
        append_record(&records[i]);
        event_end();
    }
    for (size_t i = 0; i < count && t->auto_ack; i++)
        ops->ack(t->sub, records[i].topic, records[i].partition, records[i].offset);
}

static void on_caught_up(void *cookie)
{
    event_begin("caught_up", cookie);
    event_number("records", (int64_t)((struct ticket *)cookie)->records);
    event_end();
}

static void ticket_free(struct ticket *t)
{
    if (t->expect_publishes && --*t->expect_publishes == 0)
        free(t->expect_publishes);
    free(t->id);
    free(t);
}

static void on_published(void *cookie, const struct bridge_receipt *receipt)
{
    static const char *const names[] = {"stored", "retryable", "refused", "unknown"};
    struct ticket *t = cookie;
    bool last = t->expect_publishes && *t->expect_publishes == 1;
    if (!t->quiet || last || receipt->outcome != BRIDGE_STORED) {
        event_begin("published", t);
        event_text("outcome", bytes_of(names[receipt->outcome]));
        event_number("partition", receipt->partition);
        event_number("offset", receipt->offset);
        event_text("reason", bytes_of(receipt->reason));
        event_end();
    }
    if (last) {
        event_begin("all_published", t);
        event_end();
    }
    ticket_free(t);
}

static void on_read(void *cookie, const struct bridge_read_result *result)
{
    struct ticket *t = cookie;
    for (size_t i = 0; i < result->count; i++) {
        t->records++;
        if (t->quiet)
            continue;
        event_begin("read_record", t);
        append_record(&result->records[i]);
        event_end();
    }
    if (!result->last)
        return;
    event_begin("read", t);
    event_number("count", (int64_t)t->records);
    event_number("error", result->error);
    event_number("oldest", result->oldest_offset);
    event_number("end", result->end_offset);
    buf_printf(&out, ",\"complete\":%s", result->complete ? "true" : "false");
    event_number("us", (int64_t)(clock_mono_ns() - t->first_ns) / 1000);
    event_end();
    ticket_free(t);
}

static void on_closed(void *host)
{
    (void)host;
    bridge = NULL;
    event_begin("closed", NULL);
    event_end();
    if (!uv_is_closing((uv_handle_t *)&input))
        uv_close((uv_handle_t *)&input, NULL);
}

static const struct bridge_host_ops host_ops = {
    .on_state = on_state,
    .on_assigned = on_assigned,
    .on_revoked = on_revoked,
    .on_records = on_records,
    .on_caught_up = on_caught_up,
    .on_published = on_published,
    .on_read = on_read,
    .on_closed = on_closed,
};

/* ---- commands ---- */

/* Characters U+0000 to U+00FF of a JSON string as bytes; absent for null and for a missing member. */
static struct bytes json_bytes(const json_t *object, const char *key, struct buf *storage)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value))
        return BYTES_NULL;
    const char *text = json_string_value(value);
    size_t len = json_string_length(value), start = storage->len;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        char byte = (char)c;
        if (c >= 0x80 && i + 1 < len)
            byte = (char)((c << 6) | (text[++i] & 0x3f));
        buf_append(storage, &byte, 1);
    }
    buf_append(storage, "", 1);
    return (struct bytes){storage->data + start, storage->len - start - 1};
}

static int64_t json_number(const json_t *object, const char *key, int64_t otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

static const char *json_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static bool json_flag(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

static void complain(const char *what, int error)
{
    event_begin("error", NULL);
    event_text("message", bytes_of(what));
    event_number("error", error);
    event_end();
}

static struct ticket *ticket_new(const json_t *command)
{
    struct ticket *t = xcalloc(1, sizeof *t);
    const char *id = json_text(command, "id");
    t->id = xstrdup(id ? id : "");
    t->quiet = json_flag(command, "quiet");
    return t;
}

static struct ticket *subscription_find(const json_t *command)
{
    const char *id = json_text(command, "id");
    for (struct ticket *t = subscriptions; t; t = t->next)
        if (id && strcmp(t->id, id) == 0)
            return t;
    complain("no such subscription", -ENOENT);
    return NULL;
}

static enum bridge_start start_of(const char *name)
{
    static const char *const names[] = {"latest", "earliest", "time", "group"};
    for (int i = 0; name && i < 4; i++)
        if (strcmp(name, names[i]) == 0)
            return (enum bridge_start)i;
    return BRIDGE_FROM_LATEST;
}

static void handle_subscribe(const json_t *command)
{
    struct ticket *t = ticket_new(command);
    t->auto_ack = json_flag(command, "ack") && ops->ack;
    t->expect = (uint64_t)json_number(command, "expect", 0);
    t->spin_ns = (uint64_t)json_number(command, "spin_ns", 0);
    const struct bridge_subscription s = {
        .topic = json_text(command, "topic"),
        .shared = json_text(command, "group") != NULL,
        .group = json_text(command, "group"),
        .from = start_of(json_text(command, "from")),
        .time_ms = json_number(command, "time_ms", 0),
        .qos = (int)json_number(command, "qos", 1),
    };
    int r = ops->subscribe(bridge, &s, t, &t->sub);
    if (r < 0) {
        complain("subscribe failed", r);
        ticket_free(t);
        return;
    }
    t->next = subscriptions;
    subscriptions = t;
}

static size_t read_headers(const json_t *command, struct bridge_header *headers, struct buf *storage)
{
    const json_t *list = json_object_get(command, "headers");
    size_t n = json_array_size(list) < HEADERS_MAX ? json_array_size(list) : HEADERS_MAX;
    for (size_t i = 0; i < n; i++) {
        const json_t *pair = json_array_get(list, i);
        json_t *named = json_pack("{s:O, s:O}", "name", json_array_get(pair, 0), "value", json_array_get(pair, 1));
        headers[i].name = json_bytes(named, "name", storage);
        headers[i].value = json_bytes(named, "value", storage);
        json_decref(named);
    }
    return n;
}

/* With `repeat` the payload is followed by the number of the message and filled with dots to `size` bytes. */
static void handle_publish(const json_t *command)
{
    CLEANUP_BUF storage = BUF_INIT;
    buf_reserve(&storage, 4 * 1024 * 1024); /* views into it must not move */
    struct bridge_header headers[HEADERS_MAX];
    struct bridge_message m = {
        .topic = json_bytes(command, "topic", &storage),
        .key = json_bytes(command, "key", &storage),
        .payload = json_bytes(command, "payload", &storage),
        .headers = headers,
        .time_ms = json_number(command, "time_ms", 0),
        .qos = (int)json_number(command, "qos", 1),
        .retain = json_flag(command, "retain"),
    };
    m.header_count = read_headers(command, headers, &storage);
    uint64_t repeat = (uint64_t)json_number(command, "repeat", 0);
    uint64_t size = (uint64_t)json_number(command, "size", 0);
    if (!repeat) {
        ops->publish(bridge, &m, ticket_new(command));
        return;
    }
    uint64_t *left = xmalloc(sizeof *left);
    *left = repeat;
    struct bytes prefix = m.payload;
    CLEANUP_BUF body = BUF_INIT;
    for (uint64_t i = 0; i < repeat; i++) {
        struct ticket *t = ticket_new(command);
        t->expect_publishes = left;
        body.len = 0;
        buf_append_bytes(&body, prefix);
        buf_printf(&body, "%" PRIu64, i);
        while (body.len < size)
            buf_append(&body, ".", 1);
        m.payload = buf_bytes(&body);
        ops->publish(bridge, &m, t);
    }
}

static void handle_read(const json_t *command)
{
    struct ticket *t = ticket_new(command);
    t->first_ns = clock_mono_ns();
    const struct bridge_read r = {
        .topic = json_text(command, "topic"),
        .partition = (int32_t)json_number(command, "partition", 0),
        .from_offset = json_number(command, "from", 0),
        .to_offset = json_number(command, "to", INT64_MAX),
        .limit = (size_t)json_number(command, "limit", 100),
        .limit_total = (size_t)json_number(command, "limit_total", 1000000),
    };
    if (ops->read_back) {
        ops->read_back(bridge, &r, t);
        return;
    }
    complain("this driver cannot read back", -ENOTSUP);
    ticket_free(t);
}

static void handle_pause(const json_t *command)
{
    struct ticket *t = subscription_find(command);
    if (t && ops->pause)
        ops->pause(t->sub);
}

static void handle_resume(const json_t *command)
{
    struct ticket *t = subscription_find(command);
    if (t && ops->resume)
        ops->resume(t->sub);
}

static void handle_ack(const json_t *command)
{
    struct ticket *t = subscription_find(command);
    if (t && ops->ack)
        ops->ack(t->sub, bytes_of(json_text(command, "topic")), (int32_t)json_number(command, "partition", 0),
                 json_number(command, "offset", -1));
}

static void handle_stats(const json_t *command)
{
    (void)command;
    struct bridge_stats stats = {.lag = -1};
    ops->stats(bridge, &stats);
    event_begin("stats", NULL);
    event_number("lag", stats.lag);
    event_number("pending", (int64_t)stats.pending);
    event_end();
}

static void handle_close(const json_t *command)
{
    closing = true;
    uv_read_stop((uv_stream_t *)&input);
    ops->close(bridge, (uint64_t)json_number(command, "deadline_ms", 5000));
}

static const struct {
    const char *name;
    void (*handle)(const json_t *command);
} commands[] = {
    {"subscribe", handle_subscribe}, /* id topic [from time_ms group qos quiet expect spin_ns ack] */
    {"publish", handle_publish},     /* id topic [key payload headers time_ms qos retain repeat size quiet] */
    {"read", handle_read},           /* id topic partition from [to limit limit_total quiet] */
    {"pause", handle_pause},         /* id */
    {"resume", handle_resume},       /* id */
    {"ack", handle_ack},             /* id topic partition offset */
    {"stats", handle_stats},
    {"close", handle_close}, /* [deadline_ms] */
};

static void run_command(const char *line, size_t len)
{
    json_error_t error;
    json_t *command = json_loadb(line, len, JSON_ALLOW_NUL, &error);
    const char *name = json_text(command, "cmd");
    size_t i = 0, n = sizeof commands / sizeof *commands;
    while (i < n && (!name || strcmp(name, commands[i].name) != 0))
        i++;
    if (i < n)
        commands[i].handle(command);
    else
        complain(command ? "unknown command" : error.text, -EINVAL);
    json_decref(command);
}

static void run_lines(void)
{
    size_t start = 0;
    char *end;
    while (!closing && start < in.len && (end = memchr(in.data + start, '\n', in.len - start))) {
        size_t len = (size_t)(end - in.data) - start;
        run_command(in.data + start, len);
        start += len + 1;
    }
    memmove(in.data, in.data + start, in.len - start);
    in.len -= start;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    (void)handle;
    buf_reserve(&in, suggested);
    *ret = uv_buf_init(in.data + in.len, (unsigned)suggested);
}

static void on_input(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    (void)stream;
    (void)b;
    if (n < 0) {
        handle_close(NULL);
        return;
    }
    in.len += (size_t)n;
    run_lines();
}

static void on_before_wait(uv_prepare_t *prepare)
{
    (void)prepare;
    flush_out();
}

/* ---- start ---- */

static const char *argument(int argc, char **argv, int *i)
{
    if (*i + 1 >= argc) {
        fprintf(stderr, "bridge_probe: %s needs a value\n", argv[*i]);
        exit(64);
    }
    return argv[++*i];
}

static enum log_level level_of(const char *name)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    for (int i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0)
            return (enum log_level)i;
    return LOG_LEVEL_INFO;
}

static bool parse(int argc, char **argv, struct bridge_open *open, struct bridge_option *options)
{
    bool check = false;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--check") == 0) {
            check = true;
            continue;
        }
        const char *name = argv[i], *value = argument(argc, argv, &i);
        if (strcmp(name, "--servers") == 0)
            open->servers = value;
        else if (strcmp(name, "--node") == 0)
            open->node_id = value;
        else if (strcmp(name, "--publish-timeout") == 0)
            open->publish_timeout_ms = strtoull(value, NULL, 10);
        else if (strcmp(name, "--publish-queue") == 0)
            open->publish_queue = strtoull(value, NULL, 10);
        else if (strcmp(name, "--log") == 0)
            log_setup(level_of(value), LOG_FORMAT_TEXT);
        else if (strcmp(name, "-o") == 0 && strchr(value, '=') && open->option_count < OPTIONS_MAX)
            options[open->option_count++] = (struct bridge_option){
                strndup(value, (size_t)(strchr(value, '=') - value)), strchr(value, '=') + 1};
    }
    return check;
}

static const struct bridge_ops *load(const char *path)
{
    /* Stays loaded, so that leak reports can name its functions. */
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    bridge_entry_fn entry = library ? (bridge_entry_fn)dlsym(library, BRIDGE_ENTRY) : NULL;
    if (!entry)
        fprintf(stderr, "bridge_probe: %s\n", dlerror());
    if (library)
        dlclose(library);
    return entry ? entry() : NULL;
}

static void options_free(struct bridge_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free((char *)options[i].name);
}

static int report_failure(const char *what, int error, const char *message)
{
    event_begin(what, NULL);
    event_number("error", error);
    event_text("message", bytes_of(message));
    event_end();
    flush_out();
    return error < 0 ? 1 : 0;
}

static void subscriptions_free(void)
{
    while (subscriptions) {
        struct ticket *t = subscriptions;
        subscriptions = t->next;
        ticket_free(t);
    }
}

static int check(struct bridge_open *open)
{
    char error[512] = "";
    int r = ops->check ? ops->check(open, error, sizeof error) : 0;
    return report_failure("checked", r, error);
}

static int run(struct bridge_open *open)
{
    char error[512] = "";
    uv_prepare_t before_wait;
    loop = open->loop = uv_default_loop();
    uv_prepare_init(loop, &before_wait);
    uv_prepare_start(&before_wait, on_before_wait);
    uv_unref((uv_handle_t *)&before_wait);
    int r = ops->open(open, &bridge, error, sizeof error);
    if (r == 0) {
        uv_pipe_init(loop, &input, 0);
        uv_pipe_open(&input, 0);
        uv_read_start((uv_stream_t *)&input, on_alloc, on_input);
    }
    uv_run(loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&before_wait, NULL);
    uv_run(loop, UV_RUN_DEFAULT);
    int left = uv_loop_close(loop);
    if (r < 0)
        return report_failure("open_failed", r, error);
    if (left < 0)
        return report_failure("handles_left", left, uv_strerror(left));
    flush_out();
    return 0;
}

int main(int argc, char **argv)
{
    struct bridge_option options[OPTIONS_MAX];
    struct bridge_open open = {
        .name = "probe", .servers = "127.0.0.1", .node_id = "probe", .options = options,
        .publish_timeout_ms = 10000, .publish_queue = 100000, .host_ops = &host_ops, .host = &open,
    };
    if (argc < 2 || !(ops = load(argv[1])))
        return 64;
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    int result = parse(argc, argv, &open, options) ? check(&open) : run(&open);
    subscriptions_free();
    options_free(options, open.option_count);
    buf_done(&in);
    buf_done(&out);
    return result;
}
