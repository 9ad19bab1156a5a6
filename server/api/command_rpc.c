/* rpc: the handler that a module registered under that name, called from the server API.
 *
 * A handler answers a session, so each call has one of its own: without a connection, with nobody's user, gone with the
 * answer. Open and disconnect hooks do not run for it. */
#include <errno.h>
#include <stdlib.h>

#include "api/commands.h"
#include "loop/engine.h"
#include "proto/json_scan.h"
#include "session/request.h"
#include "wire/schema.h"

struct rpc {
    struct command *command; /* NULL: answered */
    bool in_handler;         /* the session is in use until the handler returns */
};

static struct rpc *rpc_of(const struct session *s)
{
    return s->wire_state;
}

static void answer(struct session *s, enum crier_error error, const char *detail, struct bytes data)
{
    struct rpc *rpc = rpc_of(s);
    struct command *c = rpc->command;
    if (!c)
        return; /* one answer a request */
    rpc->command = NULL;
    if (error == CRIER_OK) {
        buf_append_str(&c->result, "{\"data\":");
        buf_append_bytes(&c->result, data);
        buf_append_str(&c->result, "}");
    }
    command_finish(c, error, detail);
    if (!rpc->in_handler)
        session_free(s);
}

/* ---- what a wire does ---- */

static void on_reply(struct session *s, uint32_t type, struct bytes id, enum crier_codec codec, struct bytes payload)
{
    CLEANUP_BUF json = BUF_INIT;
    const char *reason = NULL;
    (void)id;
    if (codec != CRIER_PROTOBUF)
        answer(s, CRIER_OK, NULL, payload);
    else if (schema_to_json(s->loop->engine->modules, type, payload, &json, &reason) == 0)
        answer(s, CRIER_OK, NULL, buf_bytes(&json));
    else
        answer(s, CRIER_ERR_UNDECODABLE, reason, BYTES_NULL);
}

static void on_reply_error(struct session *s, struct bytes id, enum crier_error error, const char *message)
{
    (void)id;
    answer(s, error, message, BYTES_NULL);
}

static void on_reply_ok(struct session *s, struct bytes id)
{
    (void)id;
    answer(s, CRIER_OK, NULL, BYTES_LIT("{}"));
}

static void on_reply_stored(struct session *s, struct bytes id, int32_t partition, int64_t offset, const char *epoch)
{
    CLEANUP_BUF data = BUF_INIT;
    (void)id;
    stored_append(&data, partition, offset, epoch);
    answer(s, CRIER_OK, NULL, buf_bytes(&data));
}

/* The handler returned long ago and will not answer any more. */
static void on_wake(struct session *s, uint64_t now_ms)
{
    (void)now_ms;
    answer(s, CRIER_ERR_NOT_AVAILABLE, "the handler gave no answer", BYTES_NULL);
}

/* Nobody listens to anything but the answer. */
static void on_send(struct session *s, uint32_t type, enum crier_codec codec, struct bytes payload)
{
    (void)s, (void)type, (void)codec, (void)payload;
}

static void on_subscribed(struct session *s, struct subscription *sub, const struct hub_subscribe *result)
{
    (void)s, (void)sub, (void)result;
}

static void on_subscribe_failed(struct session *s, struct bytes channel, enum crier_error error, const char *detail)
{
    (void)s, (void)channel, (void)error, (void)detail;
}

static void on_gap(struct session *s, struct bytes channel, int64_t first, int64_t last)
{
    (void)s, (void)channel, (void)first, (void)last;
}

static void on_unsubscribed(struct session *s, struct bytes channel, int code, const char *reason)
{
    (void)s, (void)channel, (void)code, (void)reason;
}

static void on_free(struct session *s)
{
    free(s->wire_state);
}

static const struct wire_ops rpc_ops = {
    .subscribed = on_subscribed,
    .subscribe_failed = on_subscribe_failed,
    .gap = on_gap,
    .unsubscribed = on_unsubscribed,
    .send = on_send,
    .reply = on_reply,
    .reply_error = on_reply_error,
    .reply_ok = on_reply_ok,
    .reply_stored = on_reply_stored,
    .wake = on_wake,
    .free = on_free,
};

/* ---- the call ---- */

static void call_handler(struct command *c, const struct handler *h, struct bytes payload)
{
    struct session *s = session_new(c->loop, &rpc_ops, "", NULL);
    struct rpc *rpc = xcalloc(1, sizeof *rpc);
    struct crier_request r = {.session = s, .handler = h, .type = h->type, .id = BYTES_LIT("rpc"), .payload = payload};
    *rpc = (struct rpc){.command = c, .in_handler = true};
    s->wire_state = rpc;
    modules_enter(h->module);
    h->fn(&r, (struct crier_bytes){payload.data, payload.len}, h->arg);
    rpc->in_handler = false;
    if (rpc->command)
        session_wake_in(s, (uint64_t)c->loop->engine->config->limits.publish_timeout_ms + 1000);
    else
        session_free(s);
}

void command_run_rpc(struct command *c)
{
    const struct modules *m = c->loop->engine->modules;
    CLEANUP_BUF method = BUF_INIT;
    CLEANUP_BUF transcoded = BUF_INIT;
    struct bytes payload = BYTES_LIT("{}");
    const char *reason = NULL;
    if (json_get_string(command_params(c), "method", &method) < 0) {
        command_finish(c, CRIER_ERR_BAD_REQUEST, "method is required");
        return;
    }
    const struct handler *h = modules_handler_named(m, buf_bytes(&method));
    if (!h) {
        command_finish(c, CRIER_ERR_METHOD_NOT_FOUND, NULL);
        return;
    }
    json_get_raw(command_params(c), "params", &payload);
    if (h->codec == CRIER_PROTOBUF) {
        if (schema_to_protobuf(m, h->type, payload, &transcoded, &reason) < 0) {
            command_finish(c, CRIER_ERR_UNDECODABLE, reason);
            return;
        }
        payload = buf_bytes(&transcoded);
    }
    call_handler(c, h, payload);
}
