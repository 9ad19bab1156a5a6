/* subscribe, unsubscribe, disconnect, refresh: of sessions wherever they are. Nobody found is no error. */
#include <errno.h>
#include <stdlib.h>

#include "api/commands.h"
#include "loop/engine.h"
#include "proto/json_scan.h"
#include "session/dispatch.h"

/* Texts of a call, until it is sent. */
struct texts {
    char *user, *client, *session, *reason, *epoch;
    struct buf channel, spared, info, data;
};

static void done_texts(struct texts *t)
{
    free(t->user);
    free(t->client);
    free(t->session);
    free(t->reason);
    free(t->epoch);
    buf_done(&t->channel);
    buf_done(&t->spared);
    buf_done(&t->info);
    buf_done(&t->data);
}

#define CLEANUP_TEXTS __attribute__((cleanup(done_texts))) struct texts

static const char *read_target(struct bytes params, struct texts *t, struct dispatch *d)
{
    if (!param_text(params, "user", &t->user) || !t->user)
        return "user is required; \"\" stands for clients without one";
    if (!param_text(params, "client", &t->client) || !param_text(params, "session", &t->session))
        return "client and session are texts";
    d->target = DISPATCH_USER;
    d->user = t->user;
    d->client = t->client;
    d->session = t->session;
    return NULL;
}

static void send_order(struct command *c, const struct dispatch *d, const char *fault)
{
    if (fault) {
        command_finish(c, CRIER_ERR_BAD_REQUEST, fault);
        return;
    }
    dispatch_post(c->loop->engine, d);
    buf_append_str(&c->result, "{}");
    command_finish_ok(c);
}

/* ---- subscribe ---- */

/* {"presence":{"value":true}} */
static bool read_override(struct bytes object, const char *name, enum auth_override *ret)
{
    struct bytes option = BYTES_NULL;
    bool value = false;
    if (!param_object(object, name, &option) || (option.data && !param_flag(option, "value", &value)))
        return false;
    if (option.data)
        *ret = value ? AUTH_ON : AUTH_OFF;
    return true;
}

static const char *read_overrides(struct bytes params, struct auth_subscription *s)
{
    struct bytes list = BYTES_NULL;
    if (!param_object(params, "override", &list))
        return "override is an object";
    if (list.data &&
        (!read_override(list, "presence", &s->presence) || !read_override(list, "join_leave", &s->join_leave) ||
         !read_override(list, "force_push_join_leave", &s->push_join_leave) ||
         !read_override(list, "force_recovery", &s->force_recovery) ||
         !read_override(list, "force_positioning", &s->force_positioning)))
        return "an override is {\"value\": true or false}";
    return NULL;
}

static const char *read_position(struct bytes params, struct texts *t, struct dispatch *d)
{
    struct bytes since = BYTES_NULL;
    if (!param_object(params, "recover_since", &since))
        return "recover_since is {epoch, offset}";
    if (!since.data)
        return NULL;
    if (!param_text(since, "epoch", &t->epoch) || !param_int(since, "offset", &d->offset) || d->offset < 0)
        return "recover_since is {epoch, offset}";
    d->epoch = t->epoch ? t->epoch : "";
    return NULL;
}

static const char *read_subscription(struct bytes params, struct texts *t, struct dispatch *d)
{
    if (param_payload(params, "info", "b64info", &t->info, &d->subscription.info) == -EINVAL ||
        param_payload(params, "data", "b64data", &t->data, &d->subscription.data) == -EINVAL)
        return "b64info and b64data are base64";
    if (!param_int(params, "expire_at", &d->expire_at_s) || d->expire_at_s < 0)
        return "expire_at is a time in seconds";
    const char *fault = read_position(params, t, d);
    return fault ? fault : read_overrides(params, &d->subscription);
}

void command_run_subscribe(struct command *c)
{
    CLEANUP_TEXTS t = {0};
    struct dispatch d = {.action = DISPATCH_SUBSCRIBE};
    struct bytes params = command_params(c);
    if (!command_get_channel(c, &t.channel))
        return;
    d.subscription.channel = buf_bytes(&t.channel);
    if (!config_namespace_of(c->loop->engine->config, d.subscription.channel)) {
        command_finish(c, CRIER_ERR_UNKNOWN_CHANNEL, NULL);
        return;
    }
    const char *fault = read_target(params, &t, &d);
    send_order(c, &d, fault ? fault : read_subscription(params, &t, &d));
}

void command_run_unsubscribe(struct command *c)
{
    CLEANUP_TEXTS t = {0};
    struct dispatch d = {
        .action = DISPATCH_UNSUBSCRIBE, .code = UNSUBSCRIBED_BY_SERVER, .reason = "server unsubscribe"};
    if (!command_get_channel(c, &t.channel))
        return;
    d.subscription.channel = buf_bytes(&t.channel);
    send_order(c, &d, read_target(command_params(c), &t, &d));
}

/* ---- disconnect and refresh ---- */

/* Ids of clients that stay, as a row of texts, each with its NUL. */
static const char *read_spared(struct bytes params, struct texts *t, struct dispatch *d)
{
    struct bytes list, element;
    int r = json_get_raw(params, "whitelist", &list);
    if (r == -ENOENT || (r == 0 && bytes_eq_str(list, "null")))
        return NULL;
    struct json_cursor cursor = json_cursor_at(r == 0 ? list : BYTES_LIT(""), JSON_DEPTH_DEFAULT, JSON_RFC);
    r = json_enter_array(&cursor);
    while (r == 0 && (r = json_next_element(&cursor, &element)) == 0) {
        if (json_unescape(element, &t->spared) < 0)
            return "whitelist is a list of clients";
        buf_append(&t->spared, "", 1);
    }
    d->spared = buf_bytes(&t->spared);
    return r < 0 ? "whitelist is a list of clients" : NULL;
}

static const char *read_farewell(struct bytes params, struct texts *t, struct dispatch *d)
{
    struct bytes how = BYTES_NULL;
    int64_t code = CLOSE_FORCE;
    if (!param_object(params, "disconnect", &how))
        return "disconnect is {code, reason}";
    if (how.data && (!param_int(how, "code", &code) || !param_text(how, "reason", &t->reason)))
        return "disconnect is {code, reason}";
    if (!code) /* client libraries send what is not set as 0 */
        code = CLOSE_FORCE;
    if (code < 3000 || code > 4999)
        return "disconnect.code is 3000 to 4999";
    d->code = (int)code;
    /* Clients take an empty reason for a cut connection, and come back. */
    d->reason = t->reason && *t->reason ? t->reason : "force disconnect";
    return strlen(d->reason) > 123 ? "disconnect.reason has at most 123 bytes" : NULL;
}

void command_run_disconnect(struct command *c)
{
    CLEANUP_TEXTS t = {0};
    struct dispatch d = {.action = DISPATCH_CLOSE};
    struct bytes params = command_params(c);
    const char *fault = read_target(params, &t, &d);
    if (!fault)
        fault = read_spared(params, &t, &d);
    send_order(c, &d, fault ? fault : read_farewell(params, &t, &d));
}

void command_run_refresh(struct command *c)
{
    CLEANUP_TEXTS t = {0};
    struct dispatch d = {.action = DISPATCH_REFRESH};
    struct bytes params = command_params(c);
    bool expired = false;
    const char *fault = read_target(params, &t, &d);
    if (!fault && (!param_int(params, "expire_at", &d.expire_at_s) || d.expire_at_s < 0))
        fault = "expire_at is a time in seconds";
    if (!fault && !param_flag(params, "expired", &expired))
        fault = "expired is a boolean";
    if (!fault && param_payload(params, "info", "b64info", &t.info, &d.subscription.info) == -EINVAL)
        fault = "b64info is base64";
    if (expired)
        d = (struct dispatch){.target = d.target,
                              .user = d.user,
                              .client = d.client,
                              .session = d.session,
                              .action = DISPATCH_CLOSE,
                              .code = CLOSE_EXPIRED,
                              .reason = "expired"};
    send_order(c, &d, fault);
}
