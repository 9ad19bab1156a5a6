/* Filters by place: the box in the data of a subscribe request, and the rpc that changes it in place. */
#include <stdlib.h>

#include "channels_wire.h"
#include "loop/engine.h"
#include "proto/geo_json.h"
#include "proto/json_scan.h"

/* ---- the subscribe request ---- */

/* A template in front of the colon stands for whatever namespace. */
static bool feeds(const struct config *config, const struct config_source *source, const struct config_namespace *ns)
{
    size_t literal = strcspn(source->channel, "{");
    const char *colon = memchr(source->channel, ':', literal);
    if (source->channel[literal] && !colon)
        return true;
    return config_namespace_of(config, bytes_of(source->channel)) == ns;
}

/* Places come with records: from the source's templates, or from a transform. */
static bool has_places(const struct config *config, const struct config_namespace *ns)
{
    for (size_t i = 0; ns->keyed && i < config->source_count; i++) {
        const struct config_source *source = &config->sources[i];
        if ((*source->latitude || *source->transform) && feeds(config, source, ns))
            return true;
    }
    return false;
}

/* The data belong to the application, which may put there what it likes beside. */
static bool find_geo(struct bytes data, struct bytes *ret)
{
    return data.data && json_get_raw(data, "geo", ret) == 0 && !bytes_eq_str(*ret, "null");
}

#define OTHER_EPOCH "~" /* no epoch is like this */

/* A position under another box, or under none, tells nothing of what the client has of this one. One that counts from
 * nothing does. */
static void take_mark_off(struct channels_subscribe *r, const struct geo_box *box)
{
    uint64_t mark;
    struct bytes plain = window_epoch_plain(r->epoch, &mark);
    bool from_nothing = !r->epoch.len && r->offset == 0;
    bool same = box ? from_nothing || mark == window_mark(box, r->tf) : mark == 0;
    if (same)
        r->epoch = plain;
    else if (r->epoch.len || r->recover)
        r->epoch = BYTES_LIT(OTHER_EPOCH);
}

enum crier_error channels_box_read(struct session *s, struct channels_subscribe *r, struct geo_box *storage,
                                   const struct geo_box **ret_box, const char **ret_detail)
{
    const struct config *config = s->loop->engine->config;
    const struct config_namespace *ns = config_namespace_of(config, r->channel);
    struct bytes geo;

    *ret_box = NULL;
    if (!find_geo(r->data, &geo)) {
        take_mark_off(r, NULL);
        return CRIER_OK;
    }
    if (geo_box_read(geo, storage, ret_detail) < 0)
        return CRIER_ERR_BAD_REQUEST;
    if (ns && !has_places(config, ns)) {
        *ret_detail = "the records of this channel have no place";
        return CRIER_ERR_NOT_AVAILABLE;
    }
    *ret_box = storage;
    take_mark_off(r, storage);
    return CRIER_OK;
}

void channels_box_keep(struct channels_subscription *sub, const struct geo_box *box, struct bytes filter)
{
    if (!box)
        return;
    sub->has_box = true;
    sub->box = *box;
    sub->mark = window_mark(box, filter);
    sub->delta = false; /* deltas need every publication */
}

void channels_box_epoch(const struct channels_subscription *sub, const char *epoch, char ret[WINDOW_EPOCH_SIZE])
{
    if (sub->has_box)
        window_epoch(epoch, sub->mark, ret);
    else
        memcpy(ret, epoch, CHANNEL_EPOCH_SIZE);
}

/* ---- the rpc ---- */

static struct subscription *find_windowed(struct session *s, struct bytes channel)
{
    const struct channels_subscription *sub = channels_subscription_find(s, channel);
    struct subscription *live = sub && sub->answered ? session_subscription(s, channel) : NULL;
    return live && live->state == SUBSCRIPTION_LIVE && live->window ? live : NULL;
}

void channels_handle_geo(struct session *s, uint32_t id, struct bytes data)
{
    CLEANUP_BUF channel = BUF_INIT;
    struct geo_box box;
    const char *reason = "no channel";
    struct channels_out out;

    if (!data.data || json_get_string(data, "channel", &channel) < 0 || geo_box_read(data, &box, &reason) < 0) {
        channels_error(s, id, CRIER_ERR_BAD_REQUEST, reason);
        return;
    }
    struct subscription *live = find_windowed(s, buf_bytes(&channel));
    if (!live) {
        channels_error(s, id, CRIER_ERR_PERMISSION_DENIED, "no subscription with a box to this channel");
        return;
    }
    channels_out_begin(s, &out);
    channels_reply_rpc(&out.bytes, channels_client(s)->style.encoding, id, BYTES_LIT("{}"));
    channels_end(&out.bytes, &channels_client(s)->style, out.mark);
    window_change(live, &box, id, &out.bytes);
}
