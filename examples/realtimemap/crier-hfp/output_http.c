/* Batches of publications to the server API of a crier: one request at a time over one connection. What the request
 * before did not take waits in the next one. */
#include "output.h"

#include "app/http_client.h"
#include "hfp.h"
#include "util/base64.h"
#include "utf8.h"
#include "util/clock.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BATCH_BYTES      (256 * 1024) /* a quarter of what a server takes by default */
#define BATCH_COUNT      2000
#define ANSWER_TIMEOUT_S 15
#define RETRY_MIN_MS     250
#define RETRY_MAX_MS     5000
#define KEY_BYTES        512

struct http_output {
    struct output base;
    struct http_client *client;
    const char *channel;
    bool reliable, away;
    uint64_t run, number; /* names a message for all its attempts */
    struct buf body;
    size_t count; /* messages in the body */
    uint64_t retry_at_ms, retry_ms;
    int verdict; /* -EACCES once the server does not accept the key */
};

static void begin_batch(struct http_output *h)
{
    h->body.len = 0;
    h->count = 0;
}

static void append_member(struct buf *out, const char *name, struct bytes value)
{
    buf_printf(out, "\"%s\":", name);
    buf_append_json_string(out, value);
}

/* A payload that is no JSON is still to be delivered: it is for the server to put it aside. */
static void append_payload(struct buf *out, struct bytes payload)
{
    json_t *value = json_loadb(payload.data, payload.len, JSON_DECODE_ANY, NULL);
    if (value) {
        buf_append_str(out, ",\"data\":");
        buf_append_bytes(out, payload);
    } else {
        buf_append_str(out, ",\"b64data\":\"");
        base64_append(out, payload);
        buf_append_str(out, "\"");
    }
    json_decref(value);
}

static void append_message(struct http_output *h, const struct output_message *m)
{
    struct buf *b = &h->body;
    buf_append_str(b, h->count++ ? ",{\"publish\":{" : "{\"commands\":[{\"publish\":{");
    append_member(b, "channel", bytes_of(h->channel));
    if (m->vehicle.data) {
        buf_append_str(b, ",");
        append_member(b, "key", m->vehicle);
    }
    if (h->reliable)
        buf_printf(b, ",\"idempotency_key\":\"%llx-%llu\"", (unsigned long long)h->run, (unsigned long long)h->number);
    h->number++;
    buf_append_str(b, ",\"tags\":{");
    append_member(b, "topic", m->topic);
    buf_append_str(b, "}");
    append_payload(b, m->payload);
    buf_append_str(b, "}}");
}

/* ---- answers ---- */

/* A batch of the moment is of no use later. */
static void drop_batch(struct http_output *h)
{
    h->base.counts.lost += h->count;
    begin_batch(h);
}

static int retry_later(struct http_output *h, const char *reason)
{
    if (!h->away)
        fprintf(stderr, "crier-hfp: the server is away (%s); trying again\n", reason);
    h->away = true;
    h->retry_ms = h->retry_ms ? h->retry_ms * 2 : RETRY_MIN_MS;
    if (h->retry_ms > RETRY_MAX_MS)
        h->retry_ms = RETRY_MAX_MS;
    h->retry_at_ms = clock_mono_ms() + h->retry_ms;
    if (!h->reliable)
        drop_batch(h);
    return -EAGAIN;
}

/* {"replies":[{"publish":{..}},{"error":{"code","message"}},..]} */
static void count_replies(struct http_output *h, const json_t *replies)
{
    size_t i;
    const json_t *reply;
    json_array_foreach(replies, i, reply)
    {
        const json_t *error = json_object_get(reply, "error");
        if (!error) {
            h->base.counts.sent++;
            continue;
        }
        const char *message = json_string_value(json_object_get(error, "message"));
        output_refuse(&h->base, 1, message ? message : "no reason given");
    }
}

static int read_answer(struct http_output *h, const struct http_reply *reply)
{
    char status[32];
    snprintf(status, sizeof status, "HTTP status %d", reply->status);
    if (reply->status == 401 || reply->status == 403) {
        fprintf(stderr, "crier-hfp: the server does not accept the API key\n");
        return h->verdict = -EACCES;
    }
    if (reply->status == 400 || reply->status == 413) { /* would be the same the next time */
        output_refuse(&h->base, h->count, status);
        begin_batch(h);
        return 0;
    }
    if (reply->status != 200)
        return retry_later(h, status);
    json_t *root = json_loadb(reply->body.data, reply->body.len, 0, NULL);
    const json_t *replies = json_object_get(root, "replies");
    bool sound = json_array_size(replies) == h->count;
    if (sound) {
        count_replies(h, replies);
        begin_batch(h);
    }
    json_decref(root);
    if (!sound)
        return retry_later(h, "an answer that is none");
    if (h->away)
        fprintf(stderr, "crier-hfp: the server is back\n");
    h->base.counts.connected = true;
    h->away = false;
    h->retry_ms = 0;
    return 0;
}

static int http_flush(struct output *o)
{
    struct http_output *h = (struct http_output *)o;
    struct http_reply reply;
    if (h->verdict || h->count == 0)
        return h->verdict;
    if (h->away && clock_mono_ms() < h->retry_at_ms) {
        if (!h->reliable)
            drop_batch(h);
        return -EAGAIN;
    }
    buf_append_str(&h->body, "]}");
    int r = http_client_request(h->client, "POST", "/api/batch", buf_bytes(&h->body), ANSWER_TIMEOUT_S, &reply);
    h->body.len -= 2;
    if (r < 0)
        return retry_later(h, strerror(-r));
    r = read_answer(h, &reply);
    buf_done(&reply.body);
    return r;
}

static int http_send(struct output *o, const struct output_message *m)
{
    struct http_output *h = (struct http_output *)o;
    int r = h->verdict;
    if (h->body.len >= BATCH_BYTES || h->count >= BATCH_COUNT || (h->away && !h->reliable))
        r = h->count ? http_flush(o) : h->away && clock_mono_ms() < h->retry_at_ms ? -EAGAIN : r;
    if (r == 0 && !utf8_valid(m->topic.data, m->topic.len))
        output_refuse(o, 1, "a topic is not UTF-8");
    else if (r == 0)
        append_message(h, m);
    return r;
}

static void http_close(struct output *o, struct output_counts *ret_counts)
{
    struct http_output *h = (struct http_output *)o;
    http_flush(o);
    drop_batch(h);
    *ret_counts = h->base.counts;
    http_client_free(h->client);
    buf_done(&h->body);
    free(h);
}

static const struct output_ops http_ops = {http_send, http_flush, http_close};

static int read_key(const char *path, char key[KEY_BYTES])
{
    key[0] = 0;
    FILE *f = path ? fopen(path, "r") : NULL;
    if (path && (!f || !fgets(key, KEY_BYTES, f))) {
        fprintf(stderr, "crier-hfp: --api-key-file: %s: %s\n", path, f ? "nothing in it" : strerror(errno));
        if (f)
            fclose(f);
        return TOOL_NO_INPUT;
    }
    if (f)
        fclose(f);
    key[strcspn(key, "\r\n")] = 0;
    return 0;
}

int output_new_http(const struct tool_options *options, bool reliable, struct output **ret)
{
    char error[200], key[KEY_BYTES];
    int r = read_key(options->api_key_file, key);
    if (r)
        return r;
    struct http_client *client = http_client_new(options->to, *key ? key : NULL, error, sizeof error);
    if (!client) {
        fprintf(stderr, "crier-hfp: --to: %s\n", error);
        return TOOL_USAGE;
    }
    struct http_output *h = xcalloc(1, sizeof *h);
    *h = (struct http_output){
        .base.ops = &http_ops, .client = client, .channel = options->channel, .reliable = reliable};
    h->run = clock_mono_ns() ^ (uint64_t)getpid() << 44;
    *ret = &h->base;
    return 0;
}
