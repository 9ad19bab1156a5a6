#include "typed_wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "auth/auth.h"
#include "loop/engine.h"
#include "proto/json_scan.h"
#include "util/clock.h"
#include "util/metrics.h"
#include "wire/hooks.h"
#include "wire/schema.h"

/* ---- before the upgrade ---- */

static struct bytes trim(struct bytes s)
{
    while (s.len && (s.data[0] == ' ' || s.data[0] == '\t'))
        s = (struct bytes){s.data + 1, s.len - 1};
    while (s.len && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* Calls for each entry of a comma list until `found` says yes. */
static struct bytes next_protocol(struct bytes *list)
{
    const char *comma = list->len ? memchr(list->data, ',', list->len) : NULL;
    size_t len = comma ? (size_t)(comma - list->data) : list->len;
    struct bytes item = trim((struct bytes){list->data, len});
    *list = comma ? (struct bytes){comma + 1, list->len - len - 1} : BYTES_NULL;
    return item;
}

static int64_t now_s(void)
{
    return (int64_t)time(NULL);
}

/* What a request offers: where a token may stand, and what became of it. */
struct offer {
    struct auth *auth;
    struct auth_claims *claims;
    const char *reason; /* of the last refusal; NULL: none was offered */
};

/* The token of a channel is none of a session. */
static bool accept_token(struct offer *o, struct bytes token)
{
    if (auth_verify(o->auth, token, now_s(), o->claims, &o->reason) < 0)
        return false;
    if (!o->claims->channel.data)
        return true;
    auth_claims_done(o->claims);
    o->reason = "the token of a channel";
    return false;
}

static bool accept_subprotocol(struct offer *o, struct bytes protocols, struct ws_verdict *v)
{
    while (protocols.data) {
        struct bytes item = next_protocol(&protocols);
        if (item.len && memchr(item.data, '.', item.len) && accept_token(o, item)) {
            v->subprotocol = item;
            return true;
        }
    }
    return false;
}

/* Finds a token: Authorization, then a subprotocol that verifies, then ?token=. */
static bool authenticate(struct http_request *r, struct engine *engine, struct ws_verdict *v,
                         struct auth_claims *claims)
{
    struct offer o = {.auth = engine->auth, .claims = claims};
    struct bytes header = http_header_get(r, "authorization");
    bool welcome = engine->config->auth.anonymous || engine->config->debug.insecure;
    CLEANUP_BUF query = BUF_INIT;

    if (!auth_enabled(engine->auth))
        return welcome;
    if (header.len > 7 && strncasecmp(header.data, "bearer ", 7) == 0 &&
        accept_token(&o, (struct bytes){header.data + 7, header.len - 7}))
        return true;
    if (accept_subprotocol(&o, http_header_get(r, "sec-websocket-protocol"), v))
        return true;
    if (http_query_get(r, "token", &query) == 0 && accept_token(&o, buf_bytes(&query)))
        return true;
    if (o.reason)
        log_info("token refused", LOG_BYTES("address", http_remote_address(r)), LOG_STR("reason", o.reason));
    return !o.reason && welcome;
}

/* ?format= and ?codec= say in what form to talk to a client that only listens; the first message decides otherwise. */
static enum crier_error choose_form(struct http_request *r, struct session *s)
{
    static const struct {
        const char *name;
        enum frame_form form;
    } formats[] = {{"binary", FORM_TYPED_BINARY}, {"text", FORM_TYPED_STRING}, {"body", FORM_TYPED_BODY},
                 {"object", FORM_TYPED_OBJECT}};
    CLEANUP_BUF format = BUF_INIT;
    CLEANUP_BUF codec = BUF_INIT;

    s->form = FORM_TYPED_BINARY;
    if (http_query_get(r, "format", &format) == 0) {
        size_t i = 0;
        while (i < sizeof formats / sizeof *formats && !bytes_eq_str(buf_bytes(&format), formats[i].name))
            i++;
        if (i == sizeof formats / sizeof *formats)
            return CRIER_ERR_BAD_REQUEST;
        s->form = formats[i].form;
        s->form_known = true;
    }
    if (http_query_get(r, "codec", &codec) == 0) {
        bool protobuf = bytes_eq_str(buf_bytes(&codec), "protobuf") || bytes_eq_str(buf_bytes(&codec), "proto");
        if ((!protobuf && !bytes_eq_str(buf_bytes(&codec), "json")) || (protobuf && s->form != FORM_TYPED_BINARY))
            return CRIER_ERR_BAD_REQUEST;
        if (protobuf)
            s->form = FORM_TYPED_PROTOBUF;
    }
    return CRIER_OK;
}

static void refuse(struct ws_verdict *v, int status, const char *reason)
{
    v->status = status;
    v->reason = reason;
}

/* A token is good for as long as it says, on an open connection, too. Rounded up: the wheel turns by the second. */
static void set_expiry(struct session *s, int64_t expires_at_s)
{
    const struct config *config = s->loop->engine->config;
    int64_t left_ms = expires_at_s * 1000 + config->auth.leeway_ms - clock_wall_ms();
    bool ends = expires_at_s && !config->debug.insecure;
    session_wake_in(s, !ends ? 0 : left_ms > 0 ? (uint64_t)left_ms : 1);
}

static void on_upgrade(struct http_request *r, struct ws_verdict *v)
{
    struct loop *l = loop_of_request(r);
    struct auth_claims claims = {0};
    struct crier_connect_reply reply = {.status = 101};

    if (atomic_load(&l->engine->draining)) {
        refuse(v, 503, "shutting down");
        v->retry_after_s = 1;
        return;
    }
    if (!authenticate(r, l->engine, v, &claims)) {
        refuse(v, 401, "unauthorized");
        return;
    }
    hooks_connect(r, l->engine->modules, claims.user, claims.claims_json, &reply);
    if (reply.status != 101) {
        refuse(v, reply.status, reply.reason ? reply.reason : "refused");
        auth_claims_done(&claims);
        return;
    }
    struct session *s = session_new(l, &typed_wire_ops, reply.user, claims.claims_json);
    set_expiry(s, claims.expires_at);
    auth_claims_done(&claims);
    if (choose_form(r, s) != CRIER_OK) {
        session_free(s);
        refuse(v, 400, "format is binary, text or object; codec is json or protobuf, the latter in binary form");
        return;
    }
    if (http_query(r).len)
        s->query = bytes_dup(http_query(r));
    CLEANUP_BUF client = BUF_INIT;
    if (http_query_get(r, "client", &client) == 0 && client.len && client.len <= 64)
        s->wire_state = typed_state_new(buf_bytes(&client));
    v->status = 101;
    v->user = s;
}

/* ---- messages ---- */

static void on_open(struct ws_conn *c)
{
    struct session *s = ws_user(c);
    s->conn = c;
    s->deflated = ws_deflated(c);
    log_debug("session opened", LOG_STR("session", s->id), LOG_STR("user", s->user));
    hooks_open(s);
}

static enum frame_form form_of(const struct session *s, enum typed_form form)
{
    if (form == TYPED_FORM_BINARY)
        return s->form == FORM_TYPED_PROTOBUF ? FORM_TYPED_PROTOBUF : FORM_TYPED_BINARY;
    return form == TYPED_FORM_TEXT_STRING ? FORM_TYPED_STRING
         : form == TYPED_FORM_TEXT_BODY ? FORM_TYPED_BODY : FORM_TYPED_OBJECT;
}

/* Payload in the handler's codec, whatever the session speaks. */
static int to_handler_codec(struct crier_request *r, struct buf *scratch, const char **ret_reason)
{
    bool protobuf = r->session->form == FORM_TYPED_PROTOBUF;
    bool wanted = r->handler->codec == CRIER_PROTOBUF;
    const struct engine *engine = r->session->loop->engine;
    unsigned depth = (unsigned)engine->config->limits.json_depth;

    if (protobuf == wanted)
        return protobuf ? 0 : json_check(r->payload, depth, JSON_STRICT, ret_reason);
    int rc = wanted ? schema_to_protobuf(engine->modules, r->type, r->payload, scratch, ret_reason)
                    : schema_to_json(engine->modules, r->type, r->payload, scratch, ret_reason);
    r->payload = buf_bytes(scratch);
    return rc;
}

static void dispatch(struct session *s, const struct typed_message *m)
{
    struct crier_request r = {.session = s, .type = m->type, .id = m->id, .payload = m->payload};
    CLEANUP_BUF transcoded = BUF_INIT;
    const char *reason = NULL;

    if (m->type >= TYPED_RESERVED) {
        typed_control(&r);
        return;
    }
    r.handler = modules_handler(s->loop->engine->modules, m->type);
    if (!r.handler) {
        typed_reply_error(s, m->id, CRIER_ERR_METHOD_NOT_FOUND, "no handler for this message type");
        return;
    }
    if (to_handler_codec(&r, &transcoded, &reason) < 0) {
        typed_reply_error(s, m->id, CRIER_ERR_UNDECODABLE, reason);
        return;
    }
    modules_enter(r.handler->module);
    r.handler->fn(&r, (struct crier_bytes){r.payload.data ? r.payload.data : "", r.payload.len}, r.handler->arg);
}

static void on_message(struct ws_conn *c, bool text, struct bytes message)
{
    struct session *s = ws_user(c);
    struct typed_message m;
    CLEANUP_BUF scratch = BUF_INIT;
    const char *reason = NULL;
    unsigned depth = (unsigned)s->loop->engine->config->limits.json_depth;

    if (s->closing)
        return;
    if (text && s->form == FORM_TYPED_PROTOBUF) {
        typed_reply_error(s, BYTES_NULL, CRIER_ERR_BAD_REQUEST,
                          "a session with codec=protobuf speaks in binary messages");
        return;
    }
    int r = typed_decode(text, message, depth, &scratch, &m, &reason);
    if (r == 0 && !s->form_known)
        session_set_form(s, form_of(s, m.form));
    else if (r < 0 && !s->form_known && text)
        session_set_form(s, FORM_TYPED_STRING);
    if (r < 0) {
        typed_reply_error(s, BYTES_NULL, CRIER_ERR_BAD_REQUEST, reason);
        return;
    }
    dispatch(s, &m);
}

/* Over the rate: the message is dropped, and its sender hears of it with the id that it used. */
static void on_limited(struct ws_conn *c, bool text, struct bytes message)
{
    struct session *s = ws_user(c);
    struct typed_message m = {.id = BYTES_NULL};
    CLEANUP_BUF scratch = BUF_INIT;
    const char *reason;

    if (s->closing)
        return;
    if (typed_decode(text, message, JSON_DEPTH_DEFAULT, &scratch, &m, &reason) == 0 && !s->form_known)
        session_set_form(s, form_of(s, m.form));
    typed_reply_error(s, m.id, CRIER_ERR_TOO_MANY_REQUESTS, NULL);
}

static void on_writable(struct ws_conn *c)
{
    session_flush(ws_user(c));
}

static void on_closed(struct ws_conn *c, int code)
{
    struct session *s = ws_user(c);

    s->closing = true;
    if (s->conn) {
        hooks_disconnect(s, code);
        log_debug("session closed", LOG_STR("session", s->id), LOG_INT("code", code));
    }
    session_free(s);
}

const struct ws_ops typed_ws_ops = {
    .path = "/ws",
    .upgrade = on_upgrade,
    .open = on_open,
    .message = on_message,
    .limited = on_limited,
    .writable = on_writable,
    .closed = on_closed,
    .deflate = WS_DEFLATE_CONFIGURED,
};

/* ---- news from the engine ---- */

static void channel_json(struct buf *out, struct bytes channel)
{
    buf_append_str(out, "{\"channel\":");
    buf_append_json_string(out, channel);
}

static void on_subscribed(struct session *s, struct subscription *sub, const struct hub_subscribe *result)
{
    CLEANUP_BUF json = BUF_INIT;
    struct bytes channel = {sub->form->channel->name, sub->form->channel->name_len};
    CLEANUP_BUF id = BUF_INIT;

    channel_json(&json, channel);
    buf_printf(&json, ",\"epoch\":\"%s\",\"offset\":%lld", result->ret_epoch, (long long)(result->more ? result->until : result->position));
    if (result->has_position)
        buf_printf(&json, ",\"recovered\":%s", result->recovered ? "true" : "false");
    buf_printf(&json, ",\"publications\":%u}", result->publications);
    typed_take_subscribe_id(s, channel, &id);
    typed_send(s, TYPED_SUBSCRIBED, id.len ? buf_bytes(&id) : BYTES_NULL, CRIER_JSON, buf_bytes(&json));
}

static void on_subscribe_failed(struct session *s, struct bytes channel, enum crier_error error, const char *detail)
{
    CLEANUP_BUF id = BUF_INIT;
    typed_take_subscribe_id(s, channel, &id);
    typed_reply_error(s, id.len ? buf_bytes(&id) : BYTES_NULL, error, detail);
}

static void on_gap(struct session *s, struct bytes channel, int64_t first, int64_t last)
{
    CLEANUP_BUF json = BUF_INIT;
    channel_json(&json, channel);
    buf_printf(&json, ",\"first\":%lld,\"last\":%lld}", (long long)first, (long long)last);
    typed_send(s, TYPED_GAP, BYTES_NULL, CRIER_JSON, buf_bytes(&json));
}

static void on_unsubscribed(struct session *s, struct bytes channel, int code, const char *reason)
{
    CLEANUP_BUF json = BUF_INIT;
    channel_json(&json, channel);
    buf_printf(&json, ",\"code\":%d,\"reason\":\"%s\"}", code, reason);
    typed_send(s, TYPED_UNSUBSCRIBED, BYTES_NULL, CRIER_JSON, buf_bytes(&json));
}

static void on_send(struct session *s, uint32_t type, enum crier_codec codec, struct bytes payload)
{
    typed_send(s, type, BYTES_NULL, codec, payload);
}

static void on_wake(struct session *s, uint64_t now_ms)
{
    (void)now_ms;
    if (s->conn)
        session_close(s, CLOSE_EXPIRED, "token expired");
}

static void on_refresh(struct session *s, int64_t expire_at_s, struct bytes info)
{
    (void)info; /* presence of this wire shows names */
    set_expiry(s, expire_at_s);
}

static void on_free(struct session *s)
{
    typed_state_free(s->wire_state);
}

const struct wire_ops typed_wire_ops = {
    .subscribed = on_subscribed,
    .subscribe_failed = on_subscribe_failed,
    .gap = on_gap,
    .unsubscribed = on_unsubscribed,
    .send = on_send,
    .reply = typed_send,
    .reply_error = typed_reply_error,
    .reply_ok = typed_reply_ok,
    .reply_stored = typed_reply_stored,
    .wake = on_wake,
    .refresh = on_refresh,
    .free = on_free,
};
