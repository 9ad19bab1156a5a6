#include "publish.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>
#include <utlist.h>

#include "hub/source.h"
#include "util/clock.h"
#include "util/metrics.h"
#include "util/template.h"
#include "util/trace.h"

#define REMEMBER_MS (5 * 60 * 1000)
#define REMEMBER_MAX 65536

/* A message id of a channel: being published (with everyone who waits for it), or done. */
struct remembered {
    bool done;
    bool seen; /* came back by the source before the broker's answer */
    struct hub_publish *waiters;
    int32_t partition;
    int64_t offset;
    char epoch[CHANNEL_EPOCH_SIZE];
    uint64_t expires_ms;
    struct remembered *prev, *next; /* oldest first */
    UT_hash_handle hh;
    size_t key_len;
    char key[]; /* channel NUL id */
};

struct sink {
    const struct config_sink *config;
    struct bridge_instance *bridge;
    struct template *topic, *key;
};

struct publish_table {
    struct hub *hub;
    struct sink *sinks;
    size_t sink_count;
    struct remembered *by_key, *list;
    size_t count, pending;
};

/* One publish on its way to the broker. */
struct operation {
    struct bridge_publisher publisher; /* first */
    struct publish_table *table;
    struct sink *sink;
    struct hub_publish *publish;
    struct remembered *remembered; /* NULL without message id */
    struct buf topic;
};

/* ---- the call ---- */

static void run_publish(struct hub *hub, struct hub_call *call);

struct hub_publish *hub_publish_new(struct inbox *origin, struct bytes channel, struct bytes payload,
                                    void (*done)(struct hub_call *call, void *owner))
{
    struct hub_publish *p = xcalloc(1, sizeof *p);
    p->call.origin = origin;
    p->call.run = run_publish;
    p->call.done = done;
    p->channel = bytes_dup(channel);
    p->tombstone = payload.data == NULL;
    buf_append_bytes(&p->payload, payload);
    p->offset = p->partition = -1;
    p->began_ns = clock_mono_ns();
    return p;
}

void hub_publish_set_trace(struct hub_publish *p, struct bytes traceparent)
{
    char next[TRACEPARENT_SIZE];
    if (!p->traceparent && traceparent_next(traceparent, next))
        p->traceparent = xstrdup(next);
}

void hub_publish_free(struct hub_publish *p)
{
    free(p->channel);
    buf_done(&p->payload);
    buf_done(&p->key);
    free(p->message_id);
    free(p->user);
    free(p->traceparent);
    free(p);
}

static void finish(struct hub_publish *p, enum crier_error error, const char *detail)
{
    p->error = error;
    snprintf(p->detail, sizeof p->detail, "%s", detail ? detail : "");
    if (error == CRIER_ERR_UNKNOWN_OUTCOME)
        metric_add(M_PUBLISHES_UNKNOWN, 1);
    else if (error != CRIER_OK)
        metric_add(M_PUBLISHES_FAILED, 1);
    metric_observe(H_PUBLISH_LATENCY_MS, (clock_mono_ns() - p->began_ns) / 1000000u);
    hub_call_finish(&p->call);
}

/* ---- message ids ---- */

static struct remembered *find_remembered(struct publish_table *t, struct bytes channel, struct bytes id)
{
    CLEANUP_BUF key = BUF_INIT;
    struct remembered *r;
    buf_append_bytes(&key, channel);
    buf_append(&key, "", 1);
    buf_append_bytes(&key, id);
    HASH_FIND(hh, t->by_key, key.data, key.len, r);
    return r;
}

static void forget(struct publish_table *t, struct remembered *r)
{
    HASH_DEL(t->by_key, r);
    DL_DELETE(t->list, r);
    t->count--;
    free(r);
}

static struct remembered *remember(struct publish_table *t, struct bytes channel, struct bytes id)
{
    while (t->count >= REMEMBER_MAX && t->list->done)
        forget(t, t->list);
    struct remembered *r = xcalloc(1, sizeof *r + channel.len + 1 + id.len);
    r->key_len = channel.len + 1 + id.len;
    memcpy(r->key, channel.data, channel.len);
    memcpy(r->key + channel.len + 1, id.data, id.len);
    r->expires_ms = clock_mono_ms() + REMEMBER_MS;
    HASH_ADD_KEYPTR(hh, t->by_key, r->key, r->key_len, r);
    DL_APPEND(t->list, r);
    t->count++;
    return r;
}

static void copy_result(struct hub_publish *p, const struct remembered *r)
{
    p->partition = r->partition;
    p->offset = r->offset;
    memcpy(p->epoch, r->epoch, sizeof p->epoch);
}

/* Answers everyone who waits for the same message id. */
static void settle(struct publish_table *t, struct remembered *r, enum crier_error error, const char *detail)
{
    struct hub_publish *p, *next;
    LL_FOREACH_SAFE2(r->waiters, p, next, next_waiter)
    {
        if (error == CRIER_OK)
            copy_result(p, r);
        finish(p, error, detail);
    }
    r->waiters = NULL;
    r->done = error == CRIER_OK;
    if (!r->done)
        forget(t, r);
}

void publish_note_stored(struct hub *hub, const struct channel *c, struct bytes message_id, int32_t partition,
                         int64_t offset)
{
    if (!message_id.data || message_id.len == 0)
        return;
    struct remembered *r = find_remembered(hub->publishes, c->frame.name, message_id);
    if (r && !r->done) { /* its own answer is still to come; should that be "unknown", this knows better */
        r->seen = true;
        r->partition = partition;
        r->offset = offset;
        memcpy(r->epoch, c->epoch, sizeof r->epoch);
    }
    if (r)
        return;
    r = remember(hub->publishes, c->frame.name, message_id);
    r->done = true;
    r->partition = partition;
    r->offset = offset;
    memcpy(r->epoch, c->epoch, sizeof r->epoch);
}

void publish_table_sweep(struct publish_table *t, uint64_t now_ms)
{
    while (t->list && t->list->done && t->list->expires_ms < now_ms)
        forget(t, t->list);
}

/* ---- sinks ---- */

static bool sink_matches(const char *pattern, struct bytes channel)
{
    size_t len = strlen(pattern);
    if (len && pattern[len - 1] == '*')
        return channel.len >= len - 1 && memcmp(channel.data, pattern, len - 1) == 0;
    return bytes_eq_str(channel, pattern);
}

const struct config_sink *sink_of_channel(const struct config *config, struct bytes channel)
{
    for (size_t i = 0; i < config->sink_count; i++)
        if (sink_matches(config->sinks[i].channel, channel))
            return &config->sinks[i];
    return NULL;
}

static struct sink *find_sink(struct publish_table *t, struct bytes channel)
{
    for (size_t i = 0; i < t->sink_count; i++)
        if (sink_matches(t->sinks[i].config->channel, channel))
            return &t->sinks[i];
    return NULL;
}

static const char *epoch_of(struct hub *hub, struct bridge_instance *bridge, struct bytes topic, int32_t partition)
{
    for (size_t i = 0; i < hub->source_count; i++) {
        struct source *s = &hub->sources[i];
        if (s->bridge != bridge)
            continue;
        for (struct partition *p = s->partitions; p; p = p->hh.next)
            if (p->number == partition && bytes_eq_str(topic, p->topic))
                return p->epoch;
    }
    return "";
}

static enum crier_error error_of(enum bridge_outcome outcome)
{
    static const enum crier_error errors[] = {
        [BRIDGE_STORED] = CRIER_OK,
        [BRIDGE_RETRYABLE] = CRIER_ERR_BROKER_UNAVAILABLE,
        [BRIDGE_REFUSED] = CRIER_ERR_BROKER_REFUSED,
        [BRIDGE_UNKNOWN] = CRIER_ERR_UNKNOWN_OUTCOME,
    };
    return errors[outcome];
}

static void on_published(struct bridge_publisher *publisher, const struct bridge_receipt *receipt)
{
    struct operation *op = (struct operation *)publisher;
    struct publish_table *t = op->table;
    enum crier_error error = error_of(receipt->outcome);
    const char *epoch = "";

    t->pending--;
    metric_add(M_PUBLISHES_PENDING, -1);
    if (error == CRIER_OK) {
        op->sink->bridge->acks++;
        epoch = epoch_of(t->hub, op->sink->bridge, buf_bytes(&op->topic), receipt->partition);
    } else {
        op->sink->bridge->errors++;
    }
    struct hub_publish *p = op->publish;
    p->partition = receipt->partition;
    p->offset = receipt->offset;
    snprintf(p->epoch, sizeof p->epoch, "%s", epoch);
    if (op->remembered && op->remembered->seen) {
        settle(t, op->remembered, CRIER_OK, NULL);
    } else if (op->remembered) {
        op->remembered->partition = receipt->partition;
        op->remembered->offset = receipt->offset;
        memcpy(op->remembered->epoch, p->epoch, sizeof p->epoch);
        settle(t, op->remembered, error, receipt->reason);
    } else {
        finish(p, error, receipt->reason);
    }
    buf_done(&op->topic);
    free(op);
}

static size_t collect_headers(const struct hub_publish *p, struct bridge_header headers[2])
{
    size_t n = 0;
    if (p->message_id)
        headers[n++] = (struct bridge_header){BYTES_LIT(PUBLISH_ID_HEADER), bytes_of(p->message_id)};
    if (p->traceparent)
        headers[n++] = (struct bridge_header){BYTES_LIT("traceparent"), bytes_of(p->traceparent)};
    return n;
}

static void publish_to_sink(struct publish_table *t, struct sink *sink, struct hub_publish *p)
{
    struct template_input in = {
        .channel = bytes_of(p->channel),
        .user = p->user ? bytes_of(p->user) : BYTES_NULL,
        .key = p->has_key ? buf_bytes(&p->key) : BYTES_NULL,
        .payload = buf_bytes(&p->payload),
    };
    CLEANUP_BUF key = BUF_INIT;
    struct operation *op = xcalloc(1, sizeof *op);
    if (template_expand(sink->topic, &in, &op->topic) < 0 ||
        (!p->has_key && sink->key && template_expand(sink->key, &in, &key) < 0)) {
        buf_done(&op->topic);
        free(op);
        finish(p, CRIER_ERR_BAD_REQUEST, "the message lacks a field that the sink's template needs");
        return;
    }
    op->publisher.on_published = on_published;
    op->table = t;
    op->sink = sink;
    op->publish = p;
    if (p->message_id) {
        op->remembered = remember(t, bytes_of(p->channel), bytes_of(p->message_id));
        LL_PREPEND2(op->remembered->waiters, p, next_waiter);
    }
    struct bridge_header headers[2];
    const struct bridge_message m = {
        .topic = buf_bytes(&op->topic),
        .key = p->has_key ? buf_bytes(&p->key) : sink->key ? buf_bytes(&key) : BYTES_NULL,
        .payload = p->tombstone ? BYTES_NULL : buf_bytes(&p->payload),
        .headers = headers,
        .header_count = bridge_instance_can(sink->bridge, BRIDGE_HEADERS) ? collect_headers(p, headers) : 0,
        .qos = (int)sink->config->qos,
        .retain = sink->config->retain,
    };
    t->pending++;
    metric_add(M_PUBLISHES_PENDING, 1);
    sink->bridge->ops->publish(sink->bridge->bridge, &m, op);
}

/* A channel with neither sink nor source is kept by this node alone. */
static void publish_here(struct publish_table *t, struct hub_publish *p)
{
    enum crier_error error;
    struct channel *c = hub_channel(t->hub, bytes_of(p->channel), &error);
    if (!c) {
        finish(p, error, NULL);
        return;
    }
    if (c->numbering == NUMBERED_NOT_YET)
        channel_number_here(c);
    const struct publication_parts parts = {
        .offset = c->top + 1,
        .time_ms = clock_wall_ms(),
        .key = p->has_key ? buf_bytes(&p->key) : BYTES_NULL,
        .payload = p->tombstone ? BYTES_NULL : buf_bytes(&p->payload),
    };
    channel_append(c, publication_new(&parts));
    p->partition = 0;
    p->offset = c->top;
    memcpy(p->epoch, c->epoch, sizeof p->epoch);
    if (p->message_id)
        publish_note_stored(t->hub, c, bytes_of(p->message_id), 0, c->top);
    finish(p, CRIER_OK, NULL);
}

static enum crier_error refuse(struct publish_table *t, const struct hub_publish *p, const struct sink *sink,
                               const char **ret_detail)
{
    struct bytes channel = bytes_of(p->channel);
    *ret_detail = NULL;
    if (t->hub->draining)
        return CRIER_ERR_SHUTTING_DOWN;
    if (!channel_name_valid(t->hub->config, channel))
        return CRIER_ERR_BAD_REQUEST;
    if (!config_namespace_of(t->hub->config, channel))
        return CRIER_ERR_UNKNOWN_CHANNEL;
    if (!sink && source_of_channel(t->hub, channel)) {
        *ret_detail = "the channel is fed by a source and has no sink";
        return CRIER_ERR_NOT_AVAILABLE;
    }
    if (p->tombstone && !p->has_key)
        return CRIER_ERR_BAD_REQUEST;
    if (t->pending >= (size_t)t->hub->config->limits.pending_publishes) {
        *ret_detail = "too many publishes wait for the broker";
        return CRIER_ERR_BUSY;
    }
    return CRIER_OK;
}

static void run_publish(struct hub *hub, struct hub_call *call)
{
    struct hub_publish *p = (struct hub_publish *)call;
    struct publish_table *t = hub->publishes;
    struct sink *sink = find_sink(t, bytes_of(p->channel));
    const struct config_namespace *ns = config_namespace_of(hub->config, bytes_of(p->channel));
    const char *detail;

    /* JSON clients cannot send "no payload": in a keyed channel null deletes the key. */
    if (ns && ns->keyed && p->has_key && bytes_eq_str(buf_bytes(&p->payload), "null"))
        p->tombstone = true;

    enum crier_error error = refuse(t, p, sink, &detail);
    if (error != CRIER_OK) {
        finish(p, error, detail);
        return;
    }
    if (p->message_id) {
        /* Whether the log has this id already is known only after its history was read. */
        const struct source *s = source_of_channel(hub, bytes_of(p->channel));
        if (s && !s->caught_up) {
            if (!hub_call_wait(hub, call))
                finish(p, CRIER_ERR_BROKER_UNAVAILABLE, "the log is not readable yet, so a repeated id cannot be told");
            return;
        }
        struct remembered *r = find_remembered(t, bytes_of(p->channel), bytes_of(p->message_id));
        if (r && r->done) {
            copy_result(p, r);
            finish(p, CRIER_OK, NULL);
            return;
        }
        if (r) {
            LL_PREPEND2(r->waiters, p, next_waiter);
            return;
        }
    }
    metric_add(M_PUBLISHES, 1);
    if (sink)
        publish_to_sink(t, sink, p);
    else
        publish_here(t, p);
}

/* ---- table ---- */

struct publish_table *publish_table_new(struct hub *hub)
{
    const unsigned fields = TEMPLATE_CHANNEL | TEMPLATE_KEY | TEMPLATE_USER | TEMPLATE_PAYLOAD;
    struct publish_table *t = xcalloc(1, sizeof *t);
    char error[160];

    t->hub = hub;
    t->sinks = xcalloc(hub->config->sink_count, sizeof *t->sinks);
    for (size_t i = 0; i < hub->config->sink_count; i++) {
        const struct config_sink *config = &hub->config->sinks[i];
        t->sinks[t->sink_count++] = (struct sink){
            .config = config,
            .bridge = bridge_instance_find(hub, config->bridge),
            .topic = template_parse(config->topic, fields, error, sizeof error),
            .key = config->key && *config->key ? template_parse(config->key, fields, error, sizeof error) : NULL,
        };
    }
    return t;
}

void publish_table_free(struct publish_table *t)
{
    if (!t)
        return;
    while (t->list)
        forget(t, t->list);
    for (size_t i = 0; i < t->sink_count; i++) {
        template_free(t->sinks[i].topic);
        template_free(t->sinks[i].key);
    }
    free(t->sinks);
    free(t);
}
