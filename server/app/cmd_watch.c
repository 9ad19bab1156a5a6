#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cli.h"
#include "http_client.h"

#define WAIT_S           30
#define BACKOFF_FIRST_MS 250
#define BACKOFF_LAST_MS  10000

struct watcher {
    struct http_client *client;
    const char *channel;
    bool json;
    bool from_begin;
    bool connected_once;
    char *epoch; /* of the newest publication known; NULL: no position yet */
    json_int_t offset;
    int backoff_ms; /* 0: the last poll worked */
};

static void set_position(struct watcher *w, const char *epoch, json_int_t offset)
{
    char *copy = xstrdup(epoch);
    free(w->epoch);
    w->epoch = copy;
    w->offset = offset;
}

/* EPOCH:OFFSET; the epoch may hold colons of its own. */
static bool parse_since(struct watcher *w, const char *text)
{
    if (strcmp(text, "begin") == 0) {
        w->from_begin = true;
        return true;
    }
    const char *colon = strrchr(text, ':');
    char *end;
    if (!colon || colon == text || colon[1] < '0' || colon[1] > '9')
        return false;
    long long offset = strtoll(colon + 1, &end, 10);
    if (*end)
        return false;
    char *epoch = bytes_dup((struct bytes){text, (size_t)(colon - text)});
    set_position(w, epoch, offset);
    free(epoch);
    return true;
}

/* Without a position the first poll learns where the channel stands, or gets all that is kept. */
static void append_target(struct buf *out, const struct watcher *w)
{
    buf_append_str(out, "/channels/");
    http_append_escaped(out, w->channel);
    if (w->epoch) {
        buf_append_str(out, "?since=");
        http_append_escaped(out, w->epoch);
        buf_printf(out, ":%lld&wait=%d", (long long)w->offset, WAIT_S);
    } else {
        buf_append_str(out, w->from_begin ? "?limit=1000000" : "?limit=1");
    }
    buf_append(out, "", 1);
}

static void print_publication(const struct watcher *w, const json_t *publication)
{
    const size_t flags = JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15);
    const json_t *data = json_object_get(publication, "data");
    const char *key = json_string_value(json_object_get(publication, "key"));
    char *text = json_dumps(w->json ? publication : data, flags);
    if (w->json)
        puts(text ? text : "null");
    else
        printf("%lld %s %s\n", (long long)json_integer_value(json_object_get(publication, "offset")), key ? key : "-",
               text ? text : "");
    free(text);
}

static void print_publications(const struct watcher *w, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        print_publication(w, json_array_get(list, i));
    fflush(stdout);
}

/* {"epoch":"x","offset":9,"recovered":true,"publications":[...]} */
static int take_reply(struct watcher *w, const json_t *root)
{
    const char *epoch;
    json_int_t offset;
    int recovered = 1;
    if (json_unpack((json_t *)root, "{s:s, s:I, s?b}", "epoch", &epoch, "offset", &offset, "recovered", &recovered) < 0)
        return -EPROTO;
    if (w->epoch && !recovered)
        fprintf(stderr, "crier watch: some publications after %s:%lld are lost\n", w->epoch, (long long)w->offset);
    if (w->epoch || w->from_begin)
        print_publications(w, json_object_get(root, "publications"));
    set_position(w, epoch, offset);
    return 0;
}

/* Returns 0, negative errno when another try may help, or the exit code. */
static int take_answer(struct watcher *w, const struct http_reply *reply)
{
    if (reply->status == 304)
        return 0;
    json_t *root = json_loadb(reply->body.data, reply->body.len, 0, NULL);
    const char *message = json_string_value(json_object_get(json_object_get(root, "error"), "message"));
    int r = -EPROTO;
    if (reply->status == 200 && root) {
        r = take_reply(w, root);
    } else if (reply->status >= 400 && reply->status < 500 && reply->status != 429) {
        fprintf(stderr, "crier watch: HTTP status %d: %s\n", reply->status, message ? message : "refused");
        r = CLI_FAULTS;
    }
    json_decref(root);
    return r;
}

static int poll_once(struct watcher *w)
{
    CLEANUP_BUF target = BUF_INIT;
    struct http_reply reply;
    append_target(&target, w);
    int r = http_client_request(w->client, "GET", target.data, BYTES_NULL, WAIT_S + 30, &reply);
    if (r < 0)
        return r;
    w->connected_once = true;
    r = take_answer(w, &reply);
    buf_done(&reply.body);
    return r;
}

static void back_off(struct watcher *w, int error)
{
    if (!w->backoff_ms)
        fprintf(stderr, "crier watch: %s, trying again\n", strerror(error));
    w->backoff_ms = w->backoff_ms ? 2 * w->backoff_ms : BACKOFF_FIRST_MS;
    if (w->backoff_ms > BACKOFF_LAST_MS)
        w->backoff_ms = BACKOFF_LAST_MS;
    int ms = w->backoff_ms / 2 + (int)(random() % (w->backoff_ms / 2)); /* many watchers do not come back at once */
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000l}, NULL);
}

static int watch(struct watcher *w)
{
    for (;;) {
        int r = poll_once(w);
        if (r > 0)
            return r;
        if (r == 0) {
            w->backoff_ms = 0;
        } else if (!w->connected_once) {
            fprintf(stderr, "crier watch: %s\n", strerror(-r));
            return CLI_UNAVAILABLE;
        } else {
            back_off(w, -r);
        }
    }
}

int cmd_watch(int argc, char **argv)
{
    struct cli_server_options o = {.run = CLI_RUN_OPTIONS_INIT};
    struct watcher w = {0};
    const char *since = NULL;
    const struct cli_option table[] = {
        CLI_SERVER_OPTIONS(&o),
        {"since", 0, CLI_TEXT, &since},
        {"json", 0, CLI_FLAG, &w.json},
    };
    int r = cli_parse(argc, argv, table, sizeof table / sizeof *table, &w.channel, 1);
    if (r)
        return r;
    if (since && !parse_since(&w, since)) {
        fputs("crier watch: --since is EPOCH:OFFSET or begin\n", stderr);
        return CLI_USAGE;
    }
    r = cli_open_server(&o, &w.client);
    if (r == 0)
        r = watch(&w);
    http_client_free(w.client);
    free(w.epoch);
    return r;
}
