#include <errno.h>
#include <stdlib.h>

#include "channels_wire.h"
#include "hub/history_call.h"
#include "hub/map.h"
#include "hub/publish.h"
#include "hub/query.h"
#include "loop/engine.h"
#include "proto/json_scan.h"
#include "session/rights.h"
#include "wire/schema.h"

#define HISTORY_CLIENT_LIMIT 300 /* publications a client gets in one answer, as the protocol has it */

static enum crier_error check(struct session *s, struct bytes channel, enum right right)
{
    const struct config *config = s->loop->engine->config;
    const struct config_namespace *ns = config_namespace_of(config, channel);

    if (!channel_name_valid(config, channel))
        return CRIER_ERR_BAD_REQUEST;
    if (!ns)
        return CRIER_ERR_UNKNOWN_CHANNEL;
    return rights_check(s, ns, channel, right, session_subscription(s, channel) ? RIGHT_SUBSCRIBED : 0);
}

/* ---- what an answer needs when it comes ---- */

struct pending_reply {
    uint64_t session;
    uint32_t id;
    bool stats;
};

static struct pending_reply *pending_new(const struct session *s, uint32_t id)
{
    struct pending_reply *p = xcalloc(1, sizeof *p);
    p->session = s->key;
    p->id = id;
    return p;
}

/* ---- publish ---- */

void channels_append_own_info(struct session *s, struct buf *out)
{
    const struct channels_client_info info = {
        .user = bytes_of(s->user),
        .client = bytes_of(s->id),
        .conn_info = s->info ? bytes_of(s->info) : BYTES_NULL,
        .chan_info = BYTES_NULL,
    };
    channels_append_info(out, &info);
}

static void on_published(struct hub_call *call, void *owner)
{
    struct hub_publish *p = (struct hub_publish *)call;
    struct pending_reply *pending = p->arg;
    struct session *s = session_find(owner, pending->session);
    struct channels_out out;

    if (s && p->error != CRIER_OK) {
        channels_error(s, pending->id, p->error, p->detail);
    } else if (s && pending->id) {
        channels_out_begin(s, &out);
        channels_reply_empty(&out.bytes, channels_client(s)->style.encoding, pending->id, CHANNELS_PUBLISH);
        channels_out_send(s, &out);
    }
    free(pending);
    hub_publish_free(p);
}

static struct hub_publish *publish_new(struct session *s, uint32_t id, struct bytes channel, struct bytes data)
{
    CLEANUP_BUF info = BUF_INIT;
    struct hub_publish *p = hub_publish_new(&s->loop->inbox, channel, data, on_published);
    p->arg = pending_new(s, id);
    p->user = xstrdup(s->user);
    channels_append_own_info(s, &info);
    buf_append(&info, "", 1);
    p->info = buf_take(&info);
    return p;
}

/* The key that a change has: the client's, or one that the namespace gives it. data NULL: it has none. */
static struct bytes key_of_change(const struct session *s, const struct config_namespace *ns, struct bytes asked)
{
    switch (ns->client_key) {
    case CLIENT_KEY_CLIENT:
        return bytes_of(s->id);
    case CLIENT_KEY_USER:
        return *s->user ? bytes_of(s->user) : BYTES_NULL;
    default:
        return asked;
    }
}

static void change_map(struct session *s, uint32_t id, const struct channels_publish *r)
{
    const struct config_namespace *ns = config_namespace_of(s->loop->engine->config, r->channel);
    enum crier_error error = check(s, r->channel, r->removed ? RIGHT_MAP_REMOVE : RIGHT_MAP_PUBLISH);
    struct bytes key = ns ? key_of_change(s, ns, r->key) : BYTES_NULL;

    if (error == CRIER_OK && !key.data)
        error = CRIER_ERR_PERMISSION_DENIED;
    if (error == CRIER_OK && (!key.len || (!r->removed && !r->data.data)))
        error = CRIER_ERR_BAD_REQUEST;
    if (error != CRIER_OK) {
        channels_error(s, id, error, NULL);
        return;
    }
    struct hub_publish *p = publish_new(s, id, r->channel, r->removed ? BYTES_NULL : r->data);
    p->map = true;
    p->has_key = true;
    p->tombstone = r->removed;
    buf_append_bytes(&p->key, key);
    hub_call_post(s->loop->engine->hub, &p->call);
}

void channels_handle_publish(struct session *s, uint32_t id, const struct channels_publish *r)
{
    const struct config_namespace *ns = config_namespace_of(s->loop->engine->config, r->channel);
    if (r->type != CHANNELS_STREAM) {
        change_map(s, id, r);
        return;
    }
    bool usable = r->channel.len && r->data.data && !(ns && namespace_is_map(ns));
    enum crier_error error = usable ? check(s, r->channel, RIGHT_PUBLISH) : CRIER_ERR_BAD_REQUEST;
    if (error != CRIER_OK) {
        channels_error(s, id, error, NULL);
        return;
    }
    struct hub_publish *p = publish_new(s, id, r->channel, r->data);
    hub_call_post(s->loop->engine->hub, &p->call);
}

/* ---- presence ---- */

static uint32_t count_of(struct bytes json, const char *name)
{
    int64_t value = 0;
    json_get_int64(json, name, &value);
    return (uint32_t)value;
}

static void on_presence(struct hub_call *call, void *owner)
{
    struct hub_query *q = (struct hub_query *)call;
    struct pending_reply *pending = q->arg;
    struct session *s = session_find(owner, pending->session);
    struct bytes json = buf_bytes(&q->json), presence = BYTES_LIT("{}");
    struct channels_out out;

    if (s && q->error != CRIER_OK) {
        channels_error(s, pending->id, q->error, NULL);
    } else if (s) {
        channels_out_begin(s, &out);
        if (pending->stats)
            channels_reply_presence_stats(&out.bytes, channels_client(s)->style.encoding, pending->id,
                                          count_of(json, "num_clients"), count_of(json, "num_users"));
        else if (json_get_raw(json, "presence", &presence) == 0)
            channels_reply_presence(&out.bytes, channels_client(s)->style.encoding, pending->id, presence);
        channels_out_send(s, &out);
    }
    free(pending);
    hub_query_free(q);
}

void channels_handle_presence(struct session *s, uint32_t id, struct bytes channel, bool stats)
{
    enum crier_error error = check(s, channel, RIGHT_PRESENCE);
    if (error != CRIER_OK) {
        channels_error(s, id, error, NULL);
        return;
    }
    struct pending_reply *pending = pending_new(s, id);
    pending->stats = stats;
    struct hub_query *q = hub_query_new(stats ? HUB_QUERY_PRESENCE_STATS : HUB_QUERY_PRESENCE_MAP, &s->loop->inbox,
                                        channel, on_presence);
    q->arg = pending;
    hub_call_post(s->loop->engine->hub, &q->call);
}

/* ---- history ---- */

static void reply_history(struct session *s, uint32_t id, const struct hub_history *h)
{
    CLEANUP_BUF ends = BUF_INIT;
    channels_item_ends(h->block, SIZE_MAX, &ends);
    const struct channels_history_result result = {
        .publications = channels_items_view(h->block ? (struct bytes){h->block->bytes, h->block->len} : BYTES_NULL, &ends),
        .epoch = bytes_of(h->epoch),
        .offset = (uint64_t)(h->position + h->shift),
    };
    struct channels_out out;
    channels_out_begin(s, &out);
    channels_reply_history(&out.bytes, channels_client(s)->style.encoding, id, &result);
    channels_out_send(s, &out);
}

static void on_history(struct hub_call *call, void *owner)
{
    struct hub_history *h = (struct hub_history *)call;
    struct pending_reply *pending = h->arg;
    struct session *s = session_find(owner, pending->session);
    if (s && h->error != CRIER_OK)
        channels_error(s, pending->id, h->error, h->detail);
    else if (s)
        reply_history(s, pending->id, h);
    free(pending);
    hub_history_free(h);
}

void channels_handle_history(struct session *s, uint32_t id, const struct channels_history *r)
{
    enum crier_error error = check(s, r->channel, RIGHT_HISTORY);
    uint64_t mark;
    struct bytes since_epoch = window_epoch_plain(r->since_epoch, &mark);
    if (error == CRIER_OK && r->has_since && since_epoch.len >= CHANNEL_EPOCH_SIZE)
        error = CRIER_ERR_UNRECOVERABLE_POSITION;
    if (error != CRIER_OK) {
        channels_error(s, id, error, NULL);
        return;
    }
    struct hub_history *h = hub_history_new(&s->loop->inbox, r->channel, on_history);
    h->arg = pending_new(s, id);
    h->form = frame_form_items(s->form);
    h->limit = r->limit < 0 || r->limit > HISTORY_CLIENT_LIMIT ? HISTORY_CLIENT_LIMIT : r->limit;
    h->reverse = r->reverse;
    h->has_since = r->has_since;
    h->shifted = true;
    h->since_offset = (int64_t)r->since_offset;
    if (since_epoch.len)
        memcpy(h->since_epoch, since_epoch.data, since_epoch.len);
    hub_call_post(s->loop->engine->hub, &h->call);
}

/* ---- rpc and send ---- */

/* The data in the handler's codec. JSON sessions speak JSON; what a protobuf session sends is passed as it is. */
static int to_handler_codec(struct session *s, const struct handler *h, struct bytes *data, struct buf *scratch)
{
    const struct engine *engine = s->loop->engine;
    const char *reason;
    if (!data->data)
        *data = BYTES_LIT("{}");
    if (h->codec != CRIER_PROTOBUF || channels_client(s)->style.encoding == CHANNELS_PROTOBUF)
        return 0;
    int r = schema_to_protobuf(engine->modules, h->type, *data, scratch, &reason);
    *data = buf_bytes(scratch);
    return r;
}

static void call_handler(struct session *s, const struct handler *h, uint32_t *id, struct bytes data)
{
    struct crier_request r = {
        .session = s, .handler = h, .type = h->type, .id = {(const char *)id, id ? sizeof *id : 0}, .payload = data};
    modules_enter(h->module);
    h->fn(&r, (struct crier_bytes){data.data, data.len}, h->arg);
}

void channels_handle_rpc(struct session *s, uint32_t id, struct bytes method, struct bytes data)
{
    const struct modules *m = s->loop->engine->modules;
    const struct handler *h = modules_handler_named(m, method);
    CLEANUP_BUF scratch = BUF_INIT;

    if (bytes_eq_str(method, MODULES_RESERVED_NAME))
        channels_handle_geo(s, id, data);
    else if (!h)
        channels_error(s, id, m->handlers ? CRIER_ERR_METHOD_NOT_FOUND : CRIER_ERR_NOT_AVAILABLE, NULL);
    else if (to_handler_codec(s, h, &data, &scratch) < 0)
        channels_error(s, id, CRIER_ERR_BAD_REQUEST, NULL);
    else
        call_handler(s, h, &id, data);
}

/* A message without answer: {"type":N or "name":"..","payload":..} goes to the handler. */
void channels_handle_send(struct session *s, struct bytes data)
{
    const struct modules *m = s->loop->engine->modules;
    const struct handler *h = NULL;
    struct bytes payload = BYTES_NULL;
    CLEANUP_BUF name = BUF_INIT;
    CLEANUP_BUF scratch = BUF_INIT;
    int64_t type;

    if (data.data && json_get_int64(data, "type", &type) == 0)
        h = modules_handler(m, (uint32_t)type);
    else if (data.data && json_get_string(data, "name", &name) == 0)
        h = modules_handler_named(m, buf_bytes(&name));
    if (h)
        json_get_raw(data, "payload", &payload);
    if (!m->handlers)
        session_close(s, CHANNELS_CLOSE_NOT_AVAILABLE, "not available");
    else if (h && to_handler_codec(s, h, &payload, &scratch) == 0)
        call_handler(s, h, NULL, payload);
    else
        log_debug("message without handler", LOG_STR("session", s->id));
}
