#include "source.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "hub/headers.h"
#include "hub/hub.h"
#include "hub/publish_headers.h"
#include "hub/tags.h"
#include "util/clock.h"
#include "util/metrics.h"
#include "util/trace.h"

/* ---- partitions ---- */

static struct partition *find_partition(struct source *s, struct bytes topic, int32_t number)
{
    struct partition *p = s->recent;
    if (p && p->number == number && bytes_eq_str(topic, p->topic))
        return p;
    for (p = s->partitions; p; p = p->hh.next)
        if (p->number == number && bytes_eq_str(topic, p->topic))
            return s->recent = p;
    return NULL;
}

/* A broker without positions, or one channel for all partitions of a topic. */
bool source_numbers_here(const struct source *s)
{
    bool merges = template_fields(s->channel) == 0 && (s->partition_count > 1 || HASH_COUNT(s->partitions) > 1);
    return merges || !bridge_instance_can(s->bridge, BRIDGE_POSITIONED);
}

struct partition *source_partition_for(struct source *s, const char *epoch)
{
    struct partition *p = NULL;
    if (source_numbers_here(s))
        return NULL;
    HASH_FIND_STR(s->partitions, epoch, p);
    if (!p && s->partition_count == 1 && HASH_COUNT(s->partitions) == 1)
        p = s->partitions;
    return p && p->started ? p : NULL;
}

void source_find_numbering(struct channel *c, struct source *s, const char *epoch)
{
    if (c->numbering != NUMBERED_NOT_YET)
        return;
    struct partition *p = s ? source_partition_for(s, epoch) : NULL;
    if (p)
        channel_number_by(c, p);
    else if (!s || source_numbers_here(s))
        channel_number_here(c);
}

static void drop_partition(struct source *s, struct partition *p)
{
    HASH_DEL(s->partitions, p);
    if (s->recent == p)
        s->recent = NULL;
    free(p->topic);
    free(p);
}

/* A new incarnation of the log (a topic made anew) has other offsets: channels that count by the old one start over. */
static void replace_partition(struct source *s, struct partition *old)
{
    struct channel *c, *next;
    HASH_ITER(hh, s->hub->channels, c, next)
        if (c->origin == old)
            channel_number_here(c);
    drop_partition(s, old);
}

static void begin_partition(struct partition *p, int64_t offset)
{
    if (offset < 0)
        return;
    p->started = true;
    p->start = offset;
    p->last = offset - 1;
}

static void on_assigned(struct bridge_consumer *consumer, struct bytes topic, int32_t number, int32_t partitions,
                        struct bytes epoch_seed, int64_t oldest, int64_t end)
{
    struct source *s = (struct source *)consumer;
    char epoch[CHANNEL_EPOCH_SIZE];

    s->partition_count = partitions;
    epoch_of_partition(epoch_seed, topic, number, epoch);
    struct partition *p = find_partition(s, topic, number);
    bool shrunk = p && p->started && end >= 0 && end <= p->last;
    if (p && (shrunk || strcmp(p->epoch, epoch) != 0)) {
        log_warn("the log begins anew: positions of its channels are no longer good", LOG_BYTES("topic", topic),
                 LOG_INT("partition", number), LOG_INT("had", p->last), LOG_INT("end", end));
        replace_partition(s, p);
        p = NULL;
    }
    if (!p) {
        p = xcalloc(1, sizeof *p);
        p->source = s;
        p->topic = bytes_dup(topic);
        p->number = number;
        p->start = p->last = p->forgotten = -1;
        p->lost = INT64_MIN;
        memcpy(p->epoch, epoch, sizeof epoch);
        HASH_ADD_STR(s->partitions, epoch, p);
    }
    p->end = end;
    p->away = p->started && s->config->mode == SOURCE_SHARED;
    if (p->started)
        return; /* reassigned: it goes on where it was */
    if (s->from == BRIDGE_FROM_LATEST || oldest == end)
        begin_partition(p, end);
    else if (s->from == BRIDGE_FROM_EARLIEST)
        begin_partition(p, oldest);
    /* From a time or a group's position on: the first record tells, or on_caught_up() when there is none. */
}

/* ---- mapping ---- */

static void build_tags(struct source *s, const struct template_input *in, const struct bridge_record *r, struct buf *out)
{
    CLEANUP_BUF value = BUF_INIT;
    for (size_t i = 0; i < s->config->tag_count; i++) {
        value.len = 0;
        if (template_expand(s->tags[i], in, &value) == 0)
            tags_append_one(out, bytes_of(s->config->tags[i].name), buf_bytes(&value));
    }
    struct bytes trace = in->header(in->header_arg, BYTES_LIT("traceparent"));
    if (trace.data && traceparent_valid(trace))
        tags_append_one(out, BYTES_LIT("traceparent"), trace);
    tags_append_headers(out, r);
    if (out->len)
        buf_append_str(out, "}");
}

/* Degrees of a template that stands for a number; false when the record has none. */
static bool read_degrees(const struct template *t, const struct template_input *in, double bound, int32_t *ret_e6)
{
    CLEANUP_BUF text = BUF_INIT;
    char *end;
    if (template_expand(t, in, &text) < 0 || text.len == 0)
        return false;
    buf_append(&text, "", 1);
    double degrees = strtod(text.data, &end);
    if (*end || !(degrees >= -bound && degrees <= bound))
        return false;
    *ret_e6 = (int32_t)lround(degrees * 1e6);
    return true;
}

/* What the publisher said beside key and payload travels as headers. */
static void read_headers(const struct bridge_record *r, struct publication_parts *parts, struct buf *info)
{
    struct bytes who = info_of_record(r);
    if (who.data) {
        json_append_line(info, who);
        parts->info = buf_bytes(info);
    }
    parts->wants_delta = bytes_eq_str(record_header(r, BYTES_LIT(PUBLISH_DELTA_HEADER)), "1");
    publish_read_version(record_header(r, BYTES_LIT(PUBLISH_VERSION_HEADER)), &parts->version, &parts->version_epoch);
}

/* What the source's templates say of a record, and then its transform. The views are into `s->scratch` and `tags`, `key`
 * or into the record. */
static enum transform_verdict map_record(struct source *s, const struct bridge_record *r, bool pure,
                                         struct transform_result *out, struct buf *key, struct buf *tags,
                                         const char **ret_reason)
{
    const struct template_input in = record_template_input(r);
    *out = (struct transform_result){.key = r->key, .payload = r->payload};
    s->scratch.len = 0;
    if (template_expand(s->channel, &in, &s->scratch) < 0 && !s->transform) {
        *ret_reason = "the record lacks a field of the channel template";
        return TRANSFORM_REFUSE;
    }
    out->channel = buf_bytes(&s->scratch);
    if (s->key && template_expand(s->key, &in, key) == 0)
        out->key = buf_bytes(key);
    if (s->latitude)
        out->has_geo = read_degrees(s->latitude, &in, 90, &out->latitude_e6) &&
                       read_degrees(s->longitude, &in, 180, &out->longitude_e6);
    if (s->config->tag_count || r->header_count)
        build_tags(s, &in, r, tags);
    out->tags = buf_bytes(tags);
    if (!s->transform)
        return TRANSFORM_TAKE;
    struct bytes origin = record_header(r, BYTES_LIT(ORIGIN_TOPIC_HEADER));
    const struct transform_record record = {
        .record = r, .topic = origin.data ? origin : r->topic, .replay = !s->caught_up, .pure = pure};
    return s->transform->fn(s->transform->arg, &record, out, ret_reason);
}

static struct publication *make_publication(const struct transform_result *m, const struct bridge_record *r,
                                            int64_t offset)
{
    CLEANUP_BUF info = BUF_INIT;
    struct publication_parts parts = {
        .offset = offset,
        .time_ms = r->time_ms ? r->time_ms : clock_wall_ms(),
        .key = m->key,
        .tags = m->tags,
        .payload = m->payload,
        .has_geo = m->has_geo,
        .latitude_e6 = m->latitude_e6,
        .longitude_e6 = m->longitude_e6,
    };
    if (r->header_count)
        read_headers(r, &parts, &info);
    return publication_new(&parts);
}

int source_map_for(struct source *s, const struct bridge_record *r, struct bytes channel, struct publication **ret)
{
    CLEANUP_BUF key = BUF_INIT;
    CLEANUP_BUF tags = BUF_INIT;
    struct transform_result mapped;
    const char *reason;
    if (map_record(s, r, true, &mapped, &key, &tags, &reason) != TRANSFORM_TAKE || !bytes_eq(mapped.channel, channel))
        return -ENOENT;
    *ret = make_publication(&mapped, r, r->offset);
    return 0;
}

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

    enum transform_verdict verdict = map_record(s, r, false, &mapped, &key, &tags, ret_reason);
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
    struct publication *publication = make_publication(&mapped, r, number_record(s, c, p, r));
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

/* Another member of the group had the records in between: memory has a hole, and says so. */
static void note_hole(struct source *s, struct partition *p, int64_t offset)
{
    struct channel *c, *next;
    if (offset <= p->last + 1)
        return;
    p->forgotten = offset - 1;
    HASH_ITER(hh, s->hub->channels, c, next)
        if (c->origin == p)
            channel_drop_history(c, offset - 1);
}

static bool seen_before(struct source *s, struct partition *p, int64_t offset)
{
    if (offset < 0)
        return false;
    if (!p->started)
        begin_partition(p, offset);
    if (p->away)
        note_hole(s, p, offset);
    p->away = false;
    return offset <= p->last;
}

static void on_records(struct bridge_consumer *consumer, const struct bridge_record *records, size_t count)
{
    struct source *s = (struct source *)consumer;
    struct partition *p = NULL;

    for (size_t i = 0; i < count; i++) {
        const struct bridge_record *r = &records[i];
        const char *reason = NULL;
        struct partition *of = find_partition(s, r->topic, r->partition);
        if (p && of != p)
            acknowledge(s, p);
        p = of;
        if (p && seen_before(s, p, r->offset))
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
            begin_partition(p, p->end);
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
        .consumer = {.on_assigned = on_assigned, .on_records = on_records, .on_caught_up = on_caught_up},
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
        drop_partition(s, s->partitions);
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
