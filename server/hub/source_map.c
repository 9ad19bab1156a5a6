/* From a record to a publication: what the source's templates, its transform and the record's headers say. */
#include <math.h>
#include <stdlib.h>

#include "hub/headers.h"
#include "hub/publish_headers.h"
#include "hub/source_private.h"
#include "hub/tags.h"
#include "util/clock.h"
#include "util/trace.h"

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

enum transform_verdict source_map_record(struct source *s, const struct bridge_record *r, bool pure,
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

struct publication *source_make_publication(const struct transform_result *m, const struct bridge_record *r,
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
    if (source_map_record(s, r, true, &mapped, &key, &tags, &reason) != TRANSFORM_TAKE ||
        !bytes_eq(mapped.channel, channel))
        return -ENOENT;
    *ret = source_make_publication(&mapped, r, r->offset);
    return 0;
}
