#include <errno.h>
#include <stdlib.h>

#include "loop/engine.h"
#include "hub/publish.h"
#include "hub/query.h"
#include "proto/json_scan.h"
#include "session/rights.h"
#include "typed_wire.h"

/* Channel named in a control payload; replies with the error when it is missing. */
static bool get_channel(struct crier_request *r, struct buf *ret)
{
    if (json_get_string(r->payload, "channel", ret) < 0) {
        typed_reply_error(r->session, r->id, CRIER_ERR_BAD_REQUEST, "the payload needs a string \"channel\"");
        return false;
    }
    if (!channel_name_valid(r->session->loop->engine->config, buf_bytes(ret))) {
        typed_reply_error(r->session, r->id, CRIER_ERR_BAD_REQUEST, "no channel has such a name");
        return false;
    }
    return true;
}

static bool may(struct crier_request *r, struct bytes channel, enum right right)
{
    const struct config_namespace *ns = config_namespace_of(r->session->loop->engine->config, channel);
    bool subscribed = ns && session_subscription(r->session, channel);
    /* Presence is for those who might subscribe themselves; only where the name says who may, being in counts. */
    bool counts = right != RIGHT_PRESENCE || (ns && rights_restricted(ns, channel));
    unsigned facts = subscribed && counts ? RIGHT_SUBSCRIBED : 0;
    enum crier_error error = rights_check(r->session, ns, channel, right, facts);
    if (error != CRIER_OK)
        typed_reply_error(r->session, r->id, error, NULL);
    return error == CRIER_OK;
}

/* Where clients may not read the history, the position that one gives is not looked at. */
static bool may_resume(struct crier_request *r, struct bytes channel)
{
    const struct config_namespace *ns = config_namespace_of(r->session->loop->engine->config, channel);
    return rights_check(r->session, ns, channel, RIGHT_HISTORY, RIGHT_SUBSCRIBED) == CRIER_OK;
}

static void handle_subscribe(struct crier_request *r)
{
    CLEANUP_BUF channel = BUF_INIT;
    CLEANUP_BUF epoch = BUF_INIT;
    struct subscribe_request q = {.offset = 0};

    if (!get_channel(r, &channel) || !may(r, buf_bytes(&channel), RIGHT_SUBSCRIBE))
        return;
    int with_epoch = json_get_string(r->payload, "epoch", &epoch);
    int with_offset = json_get_int64(r->payload, "offset", &q.offset);
    int with_history = json_get_int64(r->payload, "history", &q.history);
    if (with_epoch == -EINVAL || with_offset == -EINVAL || with_history == -EINVAL || q.history < 0 ||
        epoch.len >= CHANNEL_EPOCH_SIZE) {
        typed_reply_error(r->session, r->id, CRIER_ERR_BAD_REQUEST,
                          "epoch is a string, offset and history are integers, history is not negative");
        return;
    }
    q.channel = buf_bytes(&channel);
    bool may_read = may_resume(r, q.channel);
    if (!may_read)
        q.history = 0;
    if (with_epoch == 0 && with_offset == 0 && may_read) {
        buf_append(&epoch, "", 1);
        q.epoch = epoch.data;
    }
    if (r->id.data)
        typed_note_subscribe_id(r->session, q.channel, r->id);
    session_subscribe(r->session, &q);
}

static void handle_unsubscribe(struct crier_request *r)
{
    CLEANUP_BUF channel = BUF_INIT;
    if (!get_channel(r, &channel))
        return;
    session_unsubscribe(r->session, buf_bytes(&channel));
    typed_reply_ok(r->session, r->id);
}

static void handle_publish(struct crier_request *r)
{
    CLEANUP_BUF channel = BUF_INIT;
    CLEANUP_BUF key = BUF_INIT;
    struct bytes data;

    if (!get_channel(r, &channel) || !may(r, buf_bytes(&channel), RIGHT_PUBLISH))
        return;
    int with_key = json_get_string(r->payload, "key", &key);
    if (json_get_raw(r->payload, "data", &data) < 0 || with_key == -EINVAL) {
        typed_reply_error(r->session, r->id, CRIER_ERR_BAD_REQUEST, "the payload needs \"data\"; key is a string");
        return;
    }
    struct hub_publish *p = session_publish_new(r->session, r->id, buf_bytes(&channel), data);
    p->has_key = with_key == 0;
    buf_append_bytes(&p->key, buf_bytes(&key));
    p->message_id = typed_message_id(r->session, r->id);
    session_publish_post(r->session, p);
}

/* ---- presence ---- */

struct presence_reply {
    uint64_t session;
    char *id;
    size_t id_len;
};

static void on_presence(struct hub_call *call, void *owner)
{
    struct hub_query *q = (struct hub_query *)call;
    struct presence_reply *reply = q->arg;
    struct session *s = session_find(owner, reply->session);
    struct bytes id = reply->id ? (struct bytes){reply->id, reply->id_len} : BYTES_NULL;

    if (s && q->error != CRIER_OK)
        typed_reply_error(s, id, q->error, NULL);
    else if (s)
        typed_send(s, TYPED_PRESENCE, id, CRIER_JSON, buf_bytes(&q->json));
    free(reply->id);
    free(reply);
    hub_query_free(q);
}

static void handle_presence(struct crier_request *r)
{
    CLEANUP_BUF channel = BUF_INIT;
    if (!get_channel(r, &channel) || !may(r, buf_bytes(&channel), RIGHT_PRESENCE))
        return;
    struct hub_query *q = hub_query_new(HUB_QUERY_PRESENCE, &r->session->loop->inbox, buf_bytes(&channel), on_presence);
    struct presence_reply *reply = xcalloc(1, sizeof *reply);
    reply->session = r->session->key;
    reply->id = r->id.data ? bytes_dup(r->id) : NULL;
    reply->id_len = r->id.len;
    q->arg = reply;
    hub_call_post(r->session->loop->engine->hub, &q->call);
}

static void handle_ping(struct crier_request *r)
{
    typed_reply_ok(r->session, r->id);
}

static const struct {
    uint32_t type;
    void (*fn)(struct crier_request *r);
} controls[] = {
    {TYPED_SUBSCRIBE, handle_subscribe}, {TYPED_UNSUBSCRIBE, handle_unsubscribe}, {TYPED_PUBLISH, handle_publish},
    {TYPED_PRESENCE, handle_presence},   {TYPED_PING, handle_ping},
};

/* The binary form has no room for an id beside the payload; these payloads are JSON, so it may be a member there. */
static void take_id_of_payload(struct crier_request *r)
{
    struct bytes id;
    if (r->id.data || json_get_raw(r->payload, "id", &id) < 0 || id.len > 128)
        return;
    if (id.data[0] == '"' || id.data[0] == '-' || (id.data[0] >= '0' && id.data[0] <= '9'))
        r->id = id;
}

void typed_control(struct crier_request *r)
{
    take_id_of_payload(r);
    for (size_t i = 0; i < sizeof controls / sizeof *controls; i++) {
        if (controls[i].type == r->type) {
            controls[i].fn(r);
            return;
        }
    }
    typed_reply_error(r->session, r->id, CRIER_ERR_METHOD_NOT_FOUND, "reserved message type");
}
