#include "publish.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "hub/message_ids.h"
#include "hub/publish_headers.h"
#include "hub/publish_rules.h"
#include "hub/source.h"
#include "util/clock.h"
#include "util/metrics.h"
#include "util/template.h"
#include "util/trace.h"

struct publish_table {
    struct hub *hub;
    struct sink *sinks;
    struct message_ids ids;
    size_t pending; /* accepted and not answered: under way, or waiting for another one with the same id */
};

/* One publish on its way to the broker. */
struct operation {
    struct bridge_publisher publisher; /* first */
    struct publish_table *table;
    struct sink *sink;
    struct hub_publish *publish;
    struct message_id *id; /* NULL: without one */
    struct buf topic;
    struct version before; /* of the channel, for the case that this one is not stored */
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
    free(p->version_epoch);
    free(p->user);
    free(p->tags);
    free(p->info);
    free(p->traceparent);
    free(p);
}

const char *publish_suppressed_name(enum publish_suppressed reason)
{
    static const char *const names[] = {
        [SUPPRESSED_IDEMPOTENCY] = "idempotency",
        [SUPPRESSED_VERSION] = "version",
        [SUPPRESSED_KEY_EXISTS] = "key_exists",
        [SUPPRESSED_KEY_NOT_FOUND] = "key_not_found",
    };
    return names[reason];
}

static unsigned shift_of(struct hub *hub, const struct hub_publish *p)
{
    const struct channel *c = hub_channel_find(hub, bytes_of(p->channel));
    if (c && c->numbering != NUMBERED_NOT_YET)
        return c->frame.shift;
    const struct source *s = source_of_channel(hub, bytes_of(p->channel));
    return s && *p->epoch && !source_numbers_here(s);
}

static void finish(struct hub_publish *p, enum crier_error error, const char *detail)
{
    p->error = error;
    snprintf(p->detail, sizeof p->detail, "%s", detail ? detail : "");
    if (error == CRIER_ERR_UNKNOWN_OUTCOME)
        metric_add(M_PUBLISHES_UNKNOWN, 1);
    else if (error != CRIER_OK)
        metric_add(M_PUBLISHES_FAILED, 1);
    struct hub *hub = p->pending_in ? p->pending_in->hub : NULL;
    if (hub) {
        p->shift = shift_of(hub, p);
        p->pending_in->pending--;
        metric_add(M_PUBLISHES_PENDING, -1);
    }
    metric_observe(H_PUBLISH_LATENCY_MS, (clock_mono_ns() - p->began_ns) / 1000000u);
    if (hub && p->call.origin)
        hub_call_finish_behind(hub, &p->call);
    else
        hub_call_finish(&p->call);
}

/* ---- message ids ---- */

static void take_result(struct hub_publish *p, const struct message_result *r)
{
    p->partition = r->partition;
    p->offset = r->offset;
    memcpy(p->epoch, r->epoch, sizeof p->epoch);
}

/* Answers everyone who waits for the id. One that was seen in the log is stored, whatever the broker said or did not. */
static void settle(struct publish_table *t, struct message_id *m, enum crier_error error, const char *detail)
{
    struct hub_publish *p, *next;
    LL_FOREACH_SAFE2(m->waiters, p, next, next_waiter)
    {
        if (m->known)
            take_result(p, &m->result);
        finish(p, m->known ? CRIER_OK : error, m->known ? NULL : detail);
    }
    message_ids_settle(&t->ids, m);
}

void publish_note_stored(struct hub *hub, const struct channel *c, struct bytes message_id, int32_t partition,
                         int64_t offset)
{
    struct message_result result = {.partition = partition, .offset = offset};
    memcpy(result.epoch, c->epoch, sizeof result.epoch);
    message_ids_note(&hub->publishes->ids, c->frame.name, message_id, &result);
}

void publish_table_sweep(struct publish_table *t, uint64_t now_ms)
{
    message_ids_sweep(&t->ids, now_ms);
}

/* ---- to the broker ---- */

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
    struct bridge_instance *bridge = op->sink->bridge;
    enum crier_error error = error_of(receipt->outcome);
    struct message_result result = {.partition = receipt->partition, .offset = receipt->offset};

    bridge->acks += error == CRIER_OK;
    bridge->errors += error != CRIER_OK;
    if (error == CRIER_OK)
        snprintf(result.epoch, sizeof result.epoch, "%s",
                 epoch_of(t->hub, bridge, buf_bytes(&op->topic), receipt->partition));
    if (error != CRIER_OK)
        publish_give_version_back(t->hub, op->publish, &op->before);
    if (op->id) {
        if (error == CRIER_OK) {
            op->id->known = true;
            op->id->result = result;
        }
        settle(t, op->id, error, receipt->reason);
    } else {
        take_result(op->publish, &result);
        finish(op->publish, error, receipt->reason);
    }
    buf_done(&op->topic);
    version_done(&op->before);
    free(op);
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
    publish_take_version(t->hub, p, &op->before);
    if (p->message_id) {
        op->id = message_ids_begin(&t->ids, bytes_of(p->channel), bytes_of(p->message_id));
        LL_PREPEND2(op->id->waiters, p, next_waiter);
    }
    __attribute__((cleanup(header_list_done))) struct header_list list = {0};
    struct bridge_header headers[HEADERS_MAX];
    if (bridge_instance_can(sink->bridge, BRIDGE_HEADERS))
        publish_write_headers(p, &list);
    const struct bridge_message m = {
        .topic = buf_bytes(&op->topic),
        .key = p->has_key ? buf_bytes(&p->key) : sink->key ? buf_bytes(&key) : BYTES_NULL,
        .payload = p->tombstone ? BYTES_NULL : buf_bytes(&p->payload),
        .headers = headers,
        .header_count = header_list_view(&list, headers),
        .qos = (int)sink->config->qos,
        .retain = sink->config->retain,
    };
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
    const bool skip = p->skip_history && !c->ns->keyed;
    const struct publication_parts parts = {
        .offset = skip ? c->top : c->top + 1,
        .time_ms = clock_wall_ms(),
        .key = p->has_key ? buf_bytes(&p->key) : BYTES_NULL,
        .tags = p->tags ? bytes_of(p->tags) : BYTES_LIT(""),
        .info = p->info ? bytes_of(p->info) : BYTES_NULL,
        .payload = p->tombstone ? BYTES_NULL : buf_bytes(&p->payload),
        .version = p->version,
        .version_epoch = bytes_of(p->version_epoch ? p->version_epoch : ""),
        .wants_delta = p->delta,
        .unnumbered = skip,
    };
    channel_append(c, publication_new(&parts));
    if (!skip) {
        p->partition = 0;
        p->offset = c->top;
        memcpy(p->epoch, c->epoch, sizeof p->epoch);
    }
    if (p->message_id)
        publish_note_stored(t->hub, c, bytes_of(p->message_id), 0, skip ? -1 : c->top);
    finish(p, CRIER_OK, NULL);
}

/* False when the id says that nothing is to be published: it has been, or it is being, or that is not known yet. */
static bool is_new(struct publish_table *t, struct hub_publish *p)
{
    /* Whether the log has this id already is known only after its history was read. */
    const struct source *s = source_of_channel(t->hub, bytes_of(p->channel));
    if (s && !s->caught_up) {
        if (!hub_call_wait(t->hub, &p->call))
            finish(p, CRIER_ERR_BROKER_UNAVAILABLE, "the log is not readable yet, so a repeated id cannot be told");
        return false;
    }
    struct message_id *m = message_ids_find(&t->ids, bytes_of(p->channel), bytes_of(p->message_id));
    if (!m)
        return true;
    if (m->known) {
        take_result(p, &m->result);
        p->suppressed = SUPPRESSED_IDEMPOTENCY;
        finish(p, CRIER_OK, NULL);
    } else {
        p->suppressed = SUPPRESSED_IDEMPOTENCY;
        LL_PREPEND2(m->waiters, p, next_waiter);
    }
    return false;
}

/* True when version or key say that nothing is to be changed: the answer is the channel's position. */
static bool is_suppressed(struct publish_table *t, struct hub_publish *p, const struct sink *sink)
{
    enum crier_error error;
    if (!publish_is_conditional(p))
        return false;
    struct channel *c = hub_channel(t->hub, bytes_of(p->channel), &error);
    if (!c) {
        finish(p, error, NULL);
        return true;
    }
    if (c->numbering == NUMBERED_NOT_YET && !sink)
        channel_number_here(c);
    p->suppressed = publish_judge(c, p, sink);
    if (p->suppressed == NOT_SUPPRESSED)
        return false;
    p->offset = channel_position(c);
    memcpy(p->epoch, c->epoch, sizeof p->epoch);
    finish(p, CRIER_OK, NULL);
    return true;
}

static bool is_too_many(struct publish_table *t, struct hub_publish *p)
{
    if (p->pending_in)
        return false;
    if (t->pending >= (size_t)t->hub->config->limits.pending_publishes)
        return true;
    p->pending_in = t;
    t->pending++;
    metric_add(M_PUBLISHES_PENDING, 1);
    return false;
}

static void run_publish(struct hub *hub, struct hub_call *call)
{
    struct hub_publish *p = (struct hub_publish *)call;
    struct publish_table *t = hub->publishes;
    struct sink *sink = sinks_find(t->sinks, hub->config->sink_count, bytes_of(p->channel));
    const char *detail;

    enum crier_error error = publish_check(hub, p, sink, &detail);
    if (error != CRIER_OK) {
        finish(p, error, detail);
        return;
    }
    if (is_too_many(t, p)) {
        finish(p, CRIER_ERR_BUSY, "too many publishes wait for the broker");
        return;
    }
    if ((p->message_id && !is_new(t, p)) || is_suppressed(t, p, sink))
        return;
    metric_add(M_PUBLISHES, 1);
    if (sink)
        publish_to_sink(t, sink, p);
    else
        publish_here(t, p);
}

/* ---- table ---- */

struct publish_table *publish_table_new(struct hub *hub)
{
    struct publish_table *t = xcalloc(1, sizeof *t);
    t->hub = hub;
    t->sinks = sinks_new(hub);
    return t;
}

void publish_table_free(struct publish_table *t)
{
    if (!t)
        return;
    message_ids_done(&t->ids);
    sinks_free(t->sinks, t->hub->config->sink_count);
    free(t);
}
