#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "hub/headers.h"
#include "hub/hub.h"
#include "hub/publish_headers.h"
#include "hub/source_private.h"
#include "util/clock.h"

static bool positioned(const struct source *s)
{
    return bridge_instance_can(s->bridge, BRIDGE_POSITIONED);
}

/* A second partition feeds the channel: no broker's offset can be its position any more. */
static void number_here_from_now_on(struct channel *c, const struct bridge_record *r)
{
    log_warn("channel is fed by several partitions and numbers its publications itself from now on",
             LOG_BYTES("channel", c->frame.name), LOG_STR("topic", c->origin->topic),
             LOG_INT("partition", c->origin->number), LOG_INT("other_partition", r->partition));
    channel_number_here(c);
}

/* Decides the offset of a record in its channel: the broker's as long as one partition feeds it. */
static int64_t number_record(struct source *s, struct channel *c, struct partition *p, const struct bridge_record *r)
{
    bool possible = p && !source_numbers_here(s);
    /* A partition that only a client's word has tied to the channel gives way to the one that really feeds it. */
    bool open = c->numbering == NUMBERED_NOT_YET ||
                (c->numbering == NUMBERED_BY_BROKER && c->origin != p && c->publications == 0);

    if (open && possible)
        channel_number_by(c, p);
    else if (open)
        channel_number_here(c);
    else if (c->numbering == NUMBERED_BY_BROKER && c->origin != p)
        number_here_from_now_on(c, r);
    return c->numbering == NUMBERED_BY_BROKER ? r->offset : c->top + 1;
}

static enum crier_error accept_record(struct source *s, struct partition *p, const struct bridge_record *r,
                                      const char **ret_reason)
{
    CLEANUP_BUF key = BUF_INIT;
    CLEANUP_BUF tags = BUF_INIT;
    struct transform_result mapped;
    enum crier_error error;

    enum transform_verdict verdict = source_map_record(s, r, false, &mapped, &key, &tags, ret_reason);
    if (verdict != TRANSFORM_TAKE)
        return verdict == TRANSFORM_DROP ? CRIER_OK : CRIER_ERR_BAD_REQUEST;
    struct channel *c = hub_channel(s->hub, mapped.channel, &error);
    if (!c) {
        *ret_reason = error == CRIER_ERR_LIMIT_EXCEEDED  ? "too many channels"
                      : error == CRIER_ERR_BAD_REQUEST ? "the channel template gives no valid name"
                                                       : "the channel's namespace is not configured";
        return error;
    }
    if (!mapped.payload.data && !mapped.key.data) {
        *ret_reason = "neither payload nor key";
        return CRIER_ERR_BAD_REQUEST;
    }
    struct publication *publication = source_make_publication(&mapped, r, number_record(s, c, p, r));
    channel_append(c, publication);
    if (r->header_count)
        publish_note_stored(s->hub, c, record_header(r, BYTES_LIT(PUBLISH_ID_HEADER)), r->partition, r->offset);
    return CRIER_OK;
}

/* A bad record counts as done only when it is in the dead-letter topic. */
static void acknowledge(struct source *s, struct partition *p)
{
    if (s->bridge->bridge && s->bridge->ops->ack && s->letters.pending == 0 && p->last >= p->start && p->started)
        s->bridge->ops->ack(s->sub, bytes_of(p->topic), p->number, p->last);
}

static void on_records(struct bridge_consumer *consumer, const struct bridge_record *records, size_t count)
{
    struct source *s = (struct source *)consumer;
    struct partition *p = NULL;

    for (size_t i = 0; i < count; i++) {
        const struct bridge_record *r = &records[i];
        const char *reason = NULL;
        struct partition *of = source_find_partition(s, r->topic, r->partition);
        if (p && of != p)
            acknowledge(s, p);
        p = of;
        if (p && source_seen_before(s, p, r->offset))
            continue; /* offered again after a reconnect */
        enum crier_error error = accept_record(s, p, r, &reason);
        if (p && r->offset >= 0)
            p->last = r->offset;
        if (error == CRIER_ERR_LIMIT_EXCEEDED && p)
            p->forgotten = r->offset; /* a channel made later must not claim to have it */
        if (error != CRIER_OK) {
            s->failed++;
            dead_letter(&s->letters, r, reason, NULL);
        }
    }
    s->records += count;
    s->bridge->records += count;
    if (p)
        acknowledge(s, p);
}

static void on_letter_settled(struct dead_letters *d, void *arg)
{
    struct source *s = (struct source *)((char *)d - offsetof(struct source, letters));
    (void)arg;
    if (d->pending > 0)
        return;
    for (struct partition *p = s->partitions; p; p = p->hh.next)
        acknowledge(s, p);
}

static void on_caught_up(struct bridge_consumer *consumer)
{
    struct source *s = (struct source *)consumer;
    s->caught_up = true;
    for (struct partition *p = s->partitions; p; p = p->hh.next)
        if (!p->started)
            source_begin_partition(p, p->end);
    hub_retry_waiting(s->hub);
    log_info("source caught up", LOG_STR("bridge", s->config->bridge), LOG_STR("topic", s->config->topic),
             LOG_INT("records", s->records));
}

/* ---- life ---- */

static int init_geo(struct source *s, unsigned fields, char *error, size_t error_size)
{
    if (!*s->config->latitude)
        return 0;
    s->latitude = template_parse(s->config->latitude, fields, error, error_size);
    s->longitude = template_parse(s->config->longitude, fields, error, error_size);
    return s->latitude && s->longitude ? 0 : -EINVAL;
}

static int init_transform(struct source *s, char *error, size_t error_size)
{
    if (!*s->config->transform)
        return 0;
    s->transform = transform_find(s->config->transform);
    if (s->transform)
        return 0;
    snprintf(error, error_size, "%s:%d source \"%s\": no module has a transform named \"%s\"", s->hub->config->path,
             s->config->line, s->config->topic, s->config->transform);
    return -EINVAL;
}

int source_init(struct source *s, struct hub *hub, const struct config_source *config, char *error, size_t error_size)
{
    const unsigned fields = TEMPLATE_TOPIC | TEMPLATE_KEY | TEMPLATE_PAYLOAD | TEMPLATE_HEADER | TEMPLATE_PARTITION;
    *s = (struct source){
        .consumer = {.on_assigned = source_on_assigned, .on_records = on_records, .on_caught_up = on_caught_up},
        .hub = hub,
        .config = config,
        .bridge = bridge_instance_find(hub, config->bridge),
    };
    s->letters = (struct dead_letters){
        .hub = hub, .bridge = s->bridge, .topic = config->dead_letter, .on_settled = on_letter_settled};
    s->channel = template_parse(config->channel, fields, error, error_size);
    if (!s->channel)
        return -EINVAL;
    if (config->key && *config->key && !(s->key = template_parse(config->key, fields, error, error_size)))
        return -EINVAL;
    s->tags = xcalloc(config->tag_count, sizeof(struct template *));
    for (size_t i = 0; i < config->tag_count; i++)
        if (!(s->tags[i] = template_parse(config->tags[i].value, fields, error, error_size)))
            return -EINVAL;
    return init_geo(s, fields, error, error_size) < 0 ? -EINVAL : init_transform(s, error, error_size);
}

void source_done(struct source *s)
{
    while (s->partitions)
        source_drop_partition(s, s->partitions);
    template_free(s->channel);
    template_free(s->key);
    template_free(s->latitude);
    template_free(s->longitude);
    for (size_t i = 0; s->tags && i < s->config->tag_count; i++)
        template_free(s->tags[i]);
    free(s->tags);
    buf_done(&s->scratch);
}

/* History of a keyed namespace without key_ttl is the whole compacted log; else the age bound says where to begin. */
static void choose_start(const struct source *s, struct bridge_subscription *sub)
{
    const struct config_namespace *ns = config_namespace_of(s->hub->config, bytes_of(s->config->channel));
    switch (s->config->from) {
    case FROM_LATEST:
        sub->from = BRIDGE_FROM_LATEST;
        break;
    case FROM_EARLIEST:
        sub->from = BRIDGE_FROM_EARLIEST;
        break;
    case FROM_TIME:
        sub->from = BRIDGE_FROM_TIME;
        sub->time_ms = s->config->from_ms;
        break;
    case FROM_HISTORY: {
        int64_t reach_ms = !ns ? 0 : ns->keyed ? ns->key_ttl_ms : ns->history_ttl_ms;
        sub->from = reach_ms ? BRIDGE_FROM_TIME : BRIDGE_FROM_EARLIEST;
        sub->time_ms = clock_wall_ms() - reach_ms;
        break;
    }
    }
    if (s->config->mode == SOURCE_SHARED)
        sub->from = BRIDGE_FROM_GROUP;
    if (!positioned(s))
        sub->from = BRIDGE_FROM_LATEST;
}

int source_subscribe(struct source *s, char *error, size_t error_size)
{
    struct bridge_subscription sub = {
        .topic = s->config->topic,
        .shared = s->config->mode == SOURCE_SHARED,
        .group = s->config->group,
        .qos = (int)s->config->qos,
    };
    choose_start(s, &sub);
    s->from = sub.from;
    int r = s->bridge->ops->subscribe(s->bridge->bridge, &sub, s, &s->sub);
    if (r < 0)
        snprintf(error, error_size, "%s:%d source \"%s\": the bridge refused the subscription: %s",
                 s->hub->config->path, s->config->line, s->config->topic, strerror(-r));
    return r;
}

void source_set_paused(struct source *s, bool paused)
{
    const struct bridge_ops *ops = s->bridge->ops;
    if (!(ops->caps & BRIDGE_PAUSABLE) || !s->sub || !s->bridge->bridge)
        return;
    if (paused)
        ops->pause(s->sub);
    else
        ops->resume(s->sub);
}

/* Length of the literal text before the first field, which has to match; what fields become cannot be told without a
 * record. 0: does not feed it. */
static size_t match_length(const struct source *s, struct bytes channel)
{
    const char *template = s->config->channel;
    size_t literal = strcspn(template, "{");
    if (template[literal] == 0)
        return bytes_eq_str(channel, template) ? SIZE_MAX : 0;
    return channel.len > literal && memcmp(channel.data, template, literal) == 0 ? literal + 1 : 0;
}

struct source *source_of_channel(struct hub *hub, struct bytes channel)
{
    struct source *best = NULL;
    size_t best_length = 0;
    for (size_t i = 0; i < hub->source_count; i++) {
        size_t length = match_length(&hub->sources[i], channel);
        if (length > best_length) {
            best = &hub->sources[i];
            best_length = length;
        }
    }
    return best;
}
