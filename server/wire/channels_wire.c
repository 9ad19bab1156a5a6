#include "channels_wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "loop/engine.h"
#include "util/clock.h"
#include "wire/hooks.h"

/* ---- writing ---- */

void channels_out_begin(struct session *s, struct channels_out *out)
{
    out->bytes = BUF_INIT;
    channels_begin(&out->bytes, &channels_client(s)->style, &out->mark);
}

void channels_out_send(struct session *s, struct channels_out *out)
{
    channels_end(&out->bytes, &channels_client(s)->style, out->mark);
    session_send(s, buf_bytes(&out->bytes));
    buf_done(&out->bytes);
}

void channels_error(struct session *s, uint32_t id, enum crier_error error, const char *message)
{
    const struct crier_error_info *info = crier_error_info(error);
    struct channels_out out;
    if (!id)
        return;
    channels_out_begin(s, &out);
    channels_reply_error(&out.bytes, channels_client(s)->style.encoding, id, (uint32_t)error,
                         bytes_of(message && *message ? message : info->message), info->temporary);
    channels_out_send(s, &out);
}

/* ---- a session's life ---- */

static enum frame_form form_of_style(const struct channels_style *style)
{
    struct channels_style other;
    for (int form = 0; form < FORM_COUNT; form++)
        if (frame_form_style((enum frame_form)form, &other) && other.encoding == style->encoding &&
            other.transport == style->transport && other.uni == style->uni)
            return (enum frame_form)form;
    return FORM_CHANNELS_JSON;
}

struct session *channels_session_new(struct loop *l, const struct channels_style *style, struct http_request *r,
                                     struct ws_verdict *v)
{
    struct crier_connect_reply reply = {.status = 101};

    if (atomic_load(&l->engine->draining)) {
        *v = (struct ws_verdict){.status = 503, .reason = "shutting down", .retry_after_s = 1};
        return NULL;
    }
    hooks_connect(r, l->engine->modules, "", NULL, &reply);
    if (reply.status != 101) {
        *v = (struct ws_verdict){.status = reply.status, .reason = reply.reason ? reply.reason : "refused"};
        return NULL;
    }
    struct session *s = session_new(l, &channels_wire_ops, reply.user, NULL);
    struct channels_client *c = xcalloc(1, sizeof *c);
    c->style = *style;
    c->remote_address = bytes_dup(http_remote_address(r));
    s->wire_state = c;
    s->form = form_of_style(style);
    s->form_known = true;
    if (http_query(r).len)
        s->query = bytes_dup(http_query(r));
    return s;
}

void channels_opened(struct session *s)
{
    struct channels_client *c = channels_client(s);
    log_debug("session opened", LOG_STR("session", s->id), LOG_STR("address", c->remote_address));
    s->deflated = ws_deflated(s->conn);
    c->connect_by_ms = clock_mono_ms() + (uint64_t)s->loop->engine->config->limits.connect_ms;
    channels_schedule(s);
}

void channels_closed(struct session *s, int code)
{
    s->closing = true;
    if (channels_client(s)->state == CHANNELS_CONNECTED)
        hooks_disconnect(s, code);
    log_debug("session closed", LOG_STR("session", s->id), LOG_INT("code", code));
    session_free(s);
}

static void on_free(struct session *s)
{
    struct channels_client *c = channels_client(s);
    channels_subscriptions_free(c);
    buf_done(&c->held);
    free(c->remote_address);
    free(c);
}

/* ---- commands ---- */

static void on_ping(struct session *s, uint32_t id)
{
    struct channels_out out;
    channels_out_begin(s, &out);
    channels_reply_empty(&out.bytes, channels_client(s)->style.encoding, id, CHANNELS_PING);
    channels_out_send(s, &out);
}

static void run(struct session *s, const struct channels_command *c)
{
    switch (c->method) {
    case CHANNELS_CONNECT:
        channels_handle_connect(s, c->id, &c->connect);
        break;
    case CHANNELS_SUBSCRIBE:
        channels_handle_subscribe(s, c->id, &c->subscribe);
        break;
    case CHANNELS_UNSUBSCRIBE:
        channels_handle_unsubscribe(s, c->id, c->unsubscribe.channel);
        break;
    case CHANNELS_PUBLISH:
        channels_handle_publish(s, c->id, &c->publish);
        break;
    case CHANNELS_PRESENCE:
        channels_handle_presence(s, c->id, c->presence.channel, false);
        break;
    case CHANNELS_PRESENCE_STATS:
        channels_handle_presence(s, c->id, c->presence_stats.channel, true);
        break;
    case CHANNELS_HISTORY:
        channels_handle_history(s, c->id, &c->history);
        break;
    case CHANNELS_PING:
        on_ping(s, c->id);
        break;
    case CHANNELS_SEND:
        channels_handle_send(s, c->send.data);
        break;
    case CHANNELS_RPC:
        channels_handle_rpc(s, c->id, c->rpc.method, c->rpc.data);
        break;
    case CHANNELS_REFRESH:
        channels_handle_refresh(s, c->id, c->refresh.token);
        break;
    case CHANNELS_SUB_REFRESH:
        channels_handle_sub_refresh(s, c->id, c->sub_refresh.channel, c->sub_refresh.token);
        break;
    case CHANNELS_PONG:
    case CHANNELS_METHOD_COUNT:
        channels_handle_pong(s);
        break;
    }
}

static void bad_request(struct session *s)
{
    session_close(s, CHANNELS_CLOSE_BAD_REQUEST, "bad request");
}

/* What comes behind a connect waits until that is answered. */
static void hold(struct session *s, struct bytes commands)
{
    struct channels_client *c = channels_client(s);
    if (c->held.len + commands.len > (size_t)s->loop->engine->config->limits.message_bytes) {
        bad_request(s);
        return;
    }
    if (c->held.len && c->style.encoding == CHANNELS_JSON)
        buf_append_str(&c->held, "\n");
    buf_append_bytes(&c->held, commands);
}

void channels_receive(struct session *s, struct bytes commands)
{
    struct channels_client *c = channels_client(s);
    struct channels_decoder decoder = {
        .encoding = c->style.encoding, .depth_limit = (unsigned)s->loop->engine->config->limits.json_depth};
    struct channels_command command;
    struct bytes rest = commands;
    int more = commands.len ? 1 : -EBADMSG;

    while (more == 1 && !s->closing && c->state != CHANNELS_ENDED) {
        if (c->state == CHANNELS_CONNECTING || c->undoing) {
            if (rest.len)
                hold(s, rest);
            more = 0;
            break;
        }
        more = channels_decode(&decoder, &rest, &command);
        if (more != 1)
            break;
        if ((c->state == CHANNELS_NEW) != (command.method == CHANNELS_CONNECT))
            bad_request(s);
        else
            run(s, &command);
    }
    if (more < 0 && !s->closing && c->state != CHANNELS_ENDED) {
        log_debug("malformed command", LOG_STR("session", s->id), LOG_STR("reason", decoder.reason));
        bad_request(s);
    }
    channels_decoder_done(&decoder);
}

void channels_receive_held(struct session *s)
{
    struct channels_client *c = channels_client(s);
    CLEANUP_BUF held = c->held;
    c->held = BUF_INIT;
    if (held.len && !s->closing)
        channels_receive(s, buf_bytes(&held));
}

/* ---- the WebSocket endpoint ---- */

static bool offers(struct http_request *r, const char *name)
{
    struct bytes list = http_header_get(r, "sec-websocket-protocol");
    return list.data && memmem(list.data, list.len, name, strlen(name));
}

static void on_upgrade(struct http_request *r, struct ws_verdict *v)
{
    struct channels_style style = {.encoding = CHANNELS_JSON, .transport = CHANNELS_WEBSOCKET};
    CLEANUP_BUF asked = BUF_INIT;

    if (offers(r, "centrifuge-protobuf")) {
        style.encoding = CHANNELS_PROTOBUF;
        v->subprotocol = BYTES_LIT("centrifuge-protobuf");
    } else if (http_query_get(r, "cf_protocol", &asked) == 0 && bytes_eq_str(buf_bytes(&asked), "protobuf")) {
        style.encoding = CHANNELS_PROTOBUF;
    } else if (offers(r, "centrifuge-json")) {
        v->subprotocol = BYTES_LIT("centrifuge-json");
    }
    v->user = channels_session_new(loop_of_request(r), &style, r, v);
}

static void on_open(struct ws_conn *conn)
{
    struct session *s = ws_user(conn);
    s->conn = conn;
    channels_opened(s);
}

static void on_message(struct ws_conn *conn, bool text, struct bytes message)
{
    struct session *s = ws_user(conn);
    (void)text; /* clients of either encoding send either kind */
    if (!s->closing)
        channels_receive(s, message);
}

/* Over the rate: what asks for an answer gets the error. */
void channels_limited(struct ws_conn *conn, bool text, struct bytes message)
{
    struct session *s = ws_user(conn);
    struct channels_decoder decoder = {.encoding = channels_client(s)->style.encoding, .depth_limit = 32};
    struct channels_command command;
    struct bytes rest = message;
    (void)text;
    while (rest.len && !s->closing && channels_decode(&decoder, &rest, &command) == 1)
        channels_error(s, command.id, CRIER_ERR_TOO_MANY_REQUESTS, NULL);
    channels_decoder_done(&decoder);
}

static void on_writable(struct ws_conn *conn)
{
    session_flush(ws_user(conn));
}

static void on_closed(struct ws_conn *conn, int code)
{
    channels_closed(ws_user(conn), code);
}

const struct ws_ops channels_ws_ops = {
    .path = "/connection/websocket",
    .upgrade = on_upgrade,
    .open = on_open,
    .message = on_message,
    .limited = channels_limited,
    .writable = on_writable,
    .closed = on_closed,
    .deflate = WS_DEFLATE_CONFIGURED,
};

/* ---- what modules and the server send ---- */

/* The wire has no message types: a message says in itself what it is. */
static void on_send(struct session *s, uint32_t type, enum crier_codec codec, struct bytes payload)
{
    const struct handler *h = modules_handler(s->loop->engine->modules, type);
    CLEANUP_BUF data = BUF_INIT;
    struct channels_out out;
    (void)codec;

    buf_printf(&data, "{\"type\":%u", type);
    if (h) {
        buf_append_str(&data, ",\"name\":");
        buf_append_json_string(&data, bytes_of(h->name));
    }
    buf_append_str(&data, ",\"payload\":");
    buf_append_bytes(&data, payload.len ? payload : BYTES_LIT("null"));
    buf_append_str(&data, "}");
    channels_out_begin(s, &out);
    channels_push_message(&out.bytes, &channels_client(s)->style, buf_bytes(&data));
    channels_out_send(s, &out);
}

static uint32_t id_of(struct bytes id)
{
    uint32_t value = 0;
    if (id.len == sizeof value)
        memcpy(&value, id.data, sizeof value);
    return value;
}

static void reply_rpc(struct session *s, struct bytes id, struct bytes data)
{
    struct channels_out out;
    if (!id_of(id))
        return;
    channels_out_begin(s, &out);
    channels_reply_rpc(&out.bytes, channels_client(s)->style.encoding, id_of(id), data);
    channels_out_send(s, &out);
}

static void on_reply(struct session *s, uint32_t type, struct bytes id, enum crier_codec codec, struct bytes payload)
{
    (void)type, (void)codec;
    reply_rpc(s, id, payload);
}

static void on_reply_error(struct session *s, struct bytes id, enum crier_error error, const char *message)
{
    channels_error(s, id_of(id), error, message);
}

static void on_reply_ok(struct session *s, struct bytes id)
{
    reply_rpc(s, id, BYTES_LIT("{}"));
}

static void on_reply_stored(struct session *s, struct bytes id, int32_t partition, int64_t offset, const char *epoch)
{
    CLEANUP_BUF data = BUF_INIT;
    stored_append(&data, partition, offset, epoch);
    reply_rpc(s, id, buf_bytes(&data));
}

/* The protocol has no gap notice: a client that must not miss anything is told to come back with its position. */
static void on_gap(struct session *s, struct bytes channel, int64_t first, int64_t last)
{
    (void)s, (void)channel, (void)first, (void)last;
}

const struct wire_ops channels_wire_ops = {
    .subscribed = channels_on_subscribed,
    .subscribe_failed = channels_on_subscribe_failed,
    .gap = on_gap,
    .unsubscribed = channels_on_unsubscribed,
    .send = on_send,
    .reply = on_reply,
    .reply_error = on_reply_error,
    .reply_ok = on_reply_ok,
    .reply_stored = on_reply_stored,
    .wake = channels_wake,
    .server_subscribe = channels_server_subscribe,
    .refresh = channels_refresh,
    .secret = channels_secret,
    .free = on_free,
};
