#include "realtimemap_ingest.h"

#include "proto/utf8.h"
#include "realtimemap_counts.h"
#include "realtimemap_json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TICK_MS 1000

struct ingest {
    struct counts *counts;
    struct buf payload, tags, key; /* of the record at hand, valid until the next */
};

static int64_t wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct bytes import_bytes(struct crier_bytes b)
{
    return (struct bytes){b.data, b.len};
}

static struct crier_bytes export_buf(const struct buf *b)
{
    return (struct crier_bytes){b->data ? b->data : "", b->len};
}

static struct crier_bytes empty_if_null(struct crier_bytes b)
{
    return b.data ? b : (struct crier_bytes){"", 0};
}

/* ---- crossings ---- */

struct crossing_context {
    struct map *map;
    bool replay;
};

static void write_crossing(struct buf *out, const struct geofence_crossing *c)
{
    buf_append_str(out, "{\"vehicle_id\":");
    buf_append_json_string(out, bytes_of(c->vehicle));
    buf_append_str(out, ",\"org_id\":");
    buf_append_json_string(out, bytes_of(c->organization->id));
    buf_append_str(out, ",\"org_name\":");
    buf_append_json_string(out, bytes_of(c->organization->name));
    buf_append_str(out, ",\"zone_name\":");
    buf_append_json_string(out, bytes_of(c->zone->name));
    buf_append_str(out, c->entered ? ",\"event\":\"Enter\"}" : ",\"event\":\"Exit\"}");
}

/* Where a vehicle was before its first position is not known, so that is no crossing. What the log says of the time
 * before the start goes into the channel's history again, each crossing once; but nobody is told of it as news. */
static void on_crossing(const struct geofence_crossing *c, void *arg)
{
    const struct crossing_context *context = arg;
    struct map *m = context->map;
    CLEANUP_BUF json = BUF_INIT;
    char channel[128];
    if (c->first)
        return;
    write_crossing(&json, c);
    snprintf(channel, sizeof channel, "%s%s", m->settings.geofence_prefix, c->organization->id);
    crier_keep(m->crier, &(struct crier_publication){.channel = channel, .payload = export_buf(&json)});
    if (!context->replay)
        crier_view_tell(m->view, (uint32_t)m->settings.type_notification, export_buf(&json));
}

/* ---- records ---- */

static void give(struct map *m, struct crier_mapping *out, const struct fleet_vehicle *v)
{
    struct ingest *in = m->ingest;
    in->payload.len = in->tags.len = in->key.len = 0;
    map_write_vehicle(&in->payload, v);
    map_write_tags(&in->tags, v);
    buf_append_str(&in->key, v->key);
    out->channel = (struct crier_bytes){m->settings.channel, strlen(m->settings.channel)};
    out->key = export_buf(&in->key);
    out->tags = export_buf(&in->tags);
    out->payload = export_buf(&in->payload);
    out->has_geo = true;
    out->latitude_e6 = v->at.latitude_e6;
    out->longitude_e6 = v->at.longitude_e6;
}

static enum crier_verdict take(struct map *m, const struct crier_record *r, struct fleet_message *message,
                               struct crier_mapping *out, const char **ret_reason)
{
    struct fleet_vehicle now, was;
    struct crossing_context context = {m, r->replay};
    if (r->pure) {
        if (fleet_describe(message, m->settings.simulated, &now) != FLEET_CHANGED)
            return CRIER_DROP;
        give(m, out, &now);
        return CRIER_TAKE;
    }
    message->on_crossing = on_crossing;
    message->arg = &context;
    switch (fleet_apply(m->fleet, message, &now, &was)) {
    case FLEET_CHANGED:
        counts_move(m->ingest->counts, was.key[0] ? &was : NULL, &now);
        if (was.key[0] && message->position->has_fix)
            tracks_add(m->tracks, &was.at, &now.at);
        give(m, out, &now);
        return CRIER_TAKE;
    case FLEET_FULL:
        *ret_reason = "more vehicles than the module's bound";
        return CRIER_REFUSE;
    default:
        return CRIER_DROP;
    }
}

/* The feed's topic: the record's own or that which a relay told; for what came over a client's publish its tag `topic`,
 * or the key. */
static struct bytes feed_topic(const struct crier_record *r)
{
    struct bytes topic = import_bytes(r->topic);
    if (topic.len && topic.data[0] == '/')
        return topic;
    struct bytes tag = import_bytes(r->header(r, "crier-tag-topic"));
    if (tag.data)
        return tag;
    return r->key.data && r->key.len && r->key.data[0] == '/' ? import_bytes(r->key) : topic;
}

static enum crier_verdict transform(const struct crier_record *r, struct crier_mapping *out, const char **ret_reason,
                                    void *arg)
{
    struct map *m = arg;
    struct hfp_topic topic;
    struct hfp_position position;
    struct bytes text = feed_topic(r);
    struct fleet_message message = {
        .topic_text = text,
        .topic = &topic,
        .position = &position,
        .heard_ms = r->time_ms ? r->time_ms : wall_ms(),
    };
    struct crier_bytes payload = empty_if_null(r->payload);
    if (!utf8_valid(text.data, text.len) || !utf8_valid(payload.data, payload.len)) {
        *ret_reason = "not UTF-8";
        return CRIER_REFUSE;
    }
    if (hfp_topic_parse(text, &topic, ret_reason) < 0 ||
        hfp_payload_parse(import_bytes(payload), &position, ret_reason) < 0)
        return CRIER_REFUSE;
    return take(m, r, &message, out, ret_reason);
}

/* ---- once a second ---- */

static void on_gone(const struct fleet_vehicle *v, void *arg)
{
    struct map *m = arg;
    counts_move(m->ingest->counts, v, NULL);
}

static void tell_count(const char *key, size_t vehicles, void *arg)
{
    struct map *m = arg;
    CLEANUP_BUF json = BUF_INIT;
    buf_append_str(&json, "{\"key\":");
    buf_append_json_string(&json, bytes_of(key));
    buf_printf(&json, ",\"vehicles\":%zu}", vehicles);
    const struct crier_publication p = {
        .channel = m->settings.counts_channel,
        .key = {key, strlen(key)},
        .payload = vehicles ? export_buf(&json) : (struct crier_bytes){NULL, 0},
    };
    crier_keep(m->crier, &p);
}

static void on_tick(void *arg)
{
    struct map *m = arg;
    fleet_expire(m->fleet, wall_ms() - m->settings.silent_ms, on_gone, m);
    counts_flush(m->ingest->counts, tell_count, m);
}

static void write_metrics(struct crier_out *out, void *arg)
{
    static const char *const outcomes[FLEET_OUTCOMES] = {"outcome=\"changed\"", "outcome=\"repeated\"",
                                                         "outcome=\"late\"", "outcome=\"unplaced\"",
                                                         "outcome=\"full\""};
    struct map *m = arg;
    struct fleet_totals t;
    size_t cells, ways;
    fleet_totals(m->fleet, &t);
    tracks_totals(m->tracks, &cells, &ways);
    crier_metric(out, "crier_map_vehicles", "gauge", "Vehicles known to the bus map.", NULL, (int64_t)t.vehicles);
    crier_metric(out, "crier_map_points", "gauge", "Positions kept for trails and replay.", NULL, (int64_t)t.points);
    crier_metric(out, "crier_map_track_cells", "gauge", "Cells of the network that vehicles drive.", NULL,
                 (int64_t)cells);
    crier_metric(out, "crier_map_track_ways", "gauge", "Ways between those cells.", NULL, (int64_t)ways);
    for (int i = 0; i < FLEET_OUTCOMES; i++)
        crier_metric(out, "crier_map_messages_total", "counter",
                     i ? NULL : "Messages of the feed, by what became of them; bad ones are dead letters.", outcomes[i],
                     (int64_t)t.outcomes[i]);
}

/* Crossings and counts have to have somewhere to go. */
static int check_channels(struct map *m)
{
    const struct {
        const char *key, *channel;
    } channels[] = {{"counts_channel", m->settings.counts_channel}, {"geofence_prefix", m->settings.geofence_prefix}};
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++) {
        if (crier_channel_known(m->crier, channels[i].channel))
            continue;
        crier_module_fail(m->crier, "%s: \"%s\" is in no namespace that is configured", channels[i].key,
                          channels[i].channel);
        return -EINVAL;
    }
    return 0;
}

int map_ingest_register(struct map *m)
{
    if (check_channels(m) < 0)
        return -EINVAL;
    m->ingest = xcalloc(1, sizeof *m->ingest);
    m->ingest->counts = counts_new();
    crier_every(m->crier, TICK_MS, on_tick, m);
    crier_on_metrics(m->crier, write_metrics, m);
    return crier_transform(m->crier, "hfp", transform, m);
}

void map_ingest_done(struct map *m)
{
    if (!m->ingest)
        return;
    counts_free(m->ingest->counts);
    buf_done(&m->ingest->payload);
    buf_done(&m->ingest->tags);
    buf_done(&m->ingest->key);
    free(m->ingest);
}
