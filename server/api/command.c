#include "command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "loop/engine.h"
#include "hub/publish.h"
#include "hub/query.h"
#include "proto/json_scan.h"
#include "session/dispatch.h"
#include "util/base64.h"

static void finish(struct command *c, enum crier_error error, const char *detail)
{
    c->error = error;
    snprintf(c->detail, sizeof c->detail, "%s", detail ? detail : "");
    c->done(c);
}

void command_write(const struct command *c, struct buf *out)
{
    if (c->error == CRIER_OK) {
        buf_append_str(out, "\"result\":");
        buf_append_bytes(out, buf_bytes(&c->result));
        return;
    }
    buf_printf(out, "\"error\":{\"code\":%d,\"message\":", (int)c->error);
    buf_append_json_string(out, bytes_of(*c->detail ? c->detail : crier_error_info(c->error)->message));
    buf_append_str(out, "}");
}

void command_done(struct command *c)
{
    buf_done(&c->params);
    buf_done(&c->trace);
    buf_done(&c->result);
    free(c->parts);
}

static struct bytes params_of(const struct command *c)
{
    return buf_bytes(&c->params);
}

static bool get_channel(struct command *c, struct buf *channel)
{
    if (json_get_string(params_of(c), "channel", channel) < 0) {
        finish(c, CRIER_ERR_BAD_REQUEST, "channel is required");
        return false;
    }
    if (!channel_name_valid(c->loop->engine->config, buf_bytes(channel))) {
        finish(c, CRIER_ERR_BAD_REQUEST, "no channel has such a name");
        return false;
    }
    return true;
}

/* ---- publish and broadcast ---- */

/* The payload as it stands in the request: bytes are spliced, never serialised again. */
static const char *get_data(struct command *c, struct buf *decoded, struct bytes *ret)
{
    CLEANUP_BUF text = BUF_INIT;
    if (json_get_string(params_of(c), "b64data", &text) == 0) {
        if (base64_decode(buf_bytes(&text), decoded) < 0)
            return "b64data is not base64";
        *ret = buf_bytes(decoded);
        return NULL;
    }
    return json_get_raw(params_of(c), "data", ret) == 0 ? NULL : "data is required";
}

static void write_position(const struct hub_publish *p, struct buf *out)
{
    if (p->offset < 0)
        buf_append_str(out, "{}");
    else
        buf_printf(out, "{\"offset\":%lld,\"epoch\":\"%s\"}", (long long)p->offset, p->epoch);
}

static void on_published(struct hub_call *call, void *owner)
{
    struct hub_publish *p = (struct hub_publish *)call;
    struct command *c = p->arg;
    enum crier_error error = p->error;
    char detail[160];
    (void)owner;

    memcpy(detail, p->detail, sizeof detail);
    write_position(p, &c->result);
    hub_publish_free(p);
    finish(c, error, detail);
}

static struct hub_publish *new_publish(struct command *c, struct bytes channel, struct bytes data,
                                       void (*done)(struct hub_call *, void *))
{
    struct hub_publish *p = hub_publish_new(&c->loop->inbox, channel, data, done);
    CLEANUP_BUF id = BUF_INIT;
    hub_publish_set_trace(p, buf_bytes(&c->trace));
    p->has_key = json_get_string(params_of(c), "key", &p->key) == 0;
    if (json_get_string(params_of(c), "idempotency_key", &id) == 0 && id.len) {
        buf_append(&id, "", 1);
        p->message_id = buf_take(&id);
    }
    return p;
}

static void run_publish(struct command *c)
{
    CLEANUP_BUF channel = BUF_INIT;
    CLEANUP_BUF decoded = BUF_INIT;
    struct bytes data;

    if (!get_channel(c, &channel))
        return;
    const char *fault = get_data(c, &decoded, &data);
    if (fault) {
        finish(c, CRIER_ERR_BAD_REQUEST, fault);
        return;
    }
    struct hub_publish *p = new_publish(c, buf_bytes(&channel), data, on_published);
    p->arg = c;
    hub_call_post(c->loop->engine->hub, &p->call);
}

static void on_part_published(struct hub_call *call, void *owner)
{
    struct hub_publish *p = (struct hub_publish *)call;
    struct command *c = p->arg;
    struct buf *part = p->arg2;
    struct command outcome = {.error = p->error};
    (void)owner;

    snprintf(outcome.detail, sizeof outcome.detail, "%s", p->detail);
    write_position(p, &outcome.result);
    buf_append_str(part, "{");
    command_write(&outcome, part);
    buf_append_str(part, "}");
    buf_done(&outcome.result);
    hub_publish_free(p);
    if (--c->left)
        return;
    struct buf *parts = c->parts;
    buf_append_str(&c->result, "{\"responses\":[");
    for (size_t i = 0; parts[i].len; i++) {
        if (i)
            buf_append_str(&c->result, ",");
        buf_append_bytes(&c->result, buf_bytes(&parts[i]));
        buf_done(&parts[i]);
    }
    buf_append_str(&c->result, "]}");
    finish(c, CRIER_OK, NULL);
}

/* Names as a row of texts, each with its NUL; -EBADMSG when it is no list of strings. */
static int read_channels(struct command *c, struct buf *names, size_t *ret_count)
{
    struct bytes list, element;
    if (json_get_raw(params_of(c), "channels", &list) < 0)
        return -EBADMSG;
    struct json_cursor cursor = json_cursor_at(list, JSON_DEPTH_DEFAULT, JSON_RFC);
    int r = json_enter_array(&cursor);
    while (r == 0 && (r = json_next_element(&cursor, &element)) == 0) {
        size_t start = names->len;
        if (json_unescape(element, names) < 0 ||
            (names->len > start && memchr(names->data + start, 0, names->len - start)))
            return -EBADMSG;
        buf_append(names, "", 1);
        ++*ret_count;
    }
    return r < 0 || *ret_count == 0 ? -EBADMSG : 0;
}

static void run_broadcast(struct command *c)
{
    CLEANUP_BUF decoded = BUF_INIT;
    CLEANUP_BUF names = BUF_INIT;
    struct bytes data;
    size_t count = 0;
    const char *fault = get_data(c, &decoded, &data);

    if (!fault && read_channels(c, &names, &count) < 0)
        fault = "channels is a list of names";
    if (fault) {
        finish(c, CRIER_ERR_BAD_REQUEST, fault);
        return;
    }
    struct buf *parts = xcalloc(count + 1, sizeof *parts);
    const char *name = names.data;
    c->parts = parts;
    c->left = count;
    for (size_t i = 0; i < count; i++) {
        struct hub_publish *p = new_publish(c, bytes_of(name), data, on_part_published);
        p->arg = c;
        p->arg2 = &parts[i];
        name += strlen(name) + 1;
        hub_call_post(c->loop->engine->hub, &p->call);
    }
}

/* ---- questions to the hub ---- */

static void on_answer(struct hub_call *call, void *owner)
{
    struct hub_query *q = (struct hub_query *)call;
    struct command *c = q->arg;
    enum crier_error error = q->error;
    (void)owner;
    buf_append_bytes(&c->result, buf_bytes(&q->json));
    hub_query_free(q);
    finish(c, error, NULL);
}

static struct hub_query *new_query(struct command *c, enum hub_query_kind kind, struct bytes channel)
{
    struct hub_query *q = hub_query_new(kind, &c->loop->inbox, channel, on_answer);
    q->arg = c;
    return q;
}

static void post_query(struct command *c, struct hub_query *q)
{
    hub_call_post(c->loop->engine->hub, &q->call);
}

static void ask_of_channel(struct command *c, enum hub_query_kind kind)
{
    CLEANUP_BUF channel = BUF_INIT;
    if (get_channel(c, &channel))
        post_query(c, new_query(c, kind, buf_bytes(&channel)));
}

static bool read_since(struct command *c, struct hub_query *q)
{
    struct bytes since;
    CLEANUP_BUF epoch = BUF_INIT;
    if (json_get_raw(params_of(c), "since", &since) < 0 || bytes_eq_str(since, "null"))
        return true;
    q->has_since = true;
    if (json_get_string(since, "epoch", &epoch) == -EINVAL || json_get_int64(since, "offset", &q->since_offset) == -EINVAL ||
        epoch.len >= sizeof q->since_epoch)
        return false;
    if (epoch.len)
        memcpy(q->since_epoch, epoch.data, epoch.len);
    return true;
}

static void run_history(struct command *c)
{
    CLEANUP_BUF channel = BUF_INIT;
    if (!get_channel(c, &channel))
        return;
    struct hub_query *q = new_query(c, HUB_QUERY_HISTORY, buf_bytes(&channel));
    if (json_get_int64(params_of(c), "limit", &q->limit) == -EINVAL ||
        json_get_bool(params_of(c), "reverse", &q->reverse) == -EINVAL || !read_since(c, q)) {
        hub_query_free(q);
        finish(c, CRIER_ERR_BAD_REQUEST, "limit is an integer, reverse a boolean, since {epoch, offset}");
        return;
    }
    post_query(c, q);
}

static void run_history_remove(struct command *c)
{
    ask_of_channel(c, HUB_QUERY_HISTORY_REMOVE);
}

/* The console and the chat page ask for presence as a list; this API's shape is an object by client id. */
static void run_presence(struct command *c)
{
    ask_of_channel(c, HUB_QUERY_PRESENCE_MAP);
}

static void run_presence_stats(struct command *c)
{
    ask_of_channel(c, HUB_QUERY_PRESENCE_STATS);
}

static void run_channels(struct command *c)
{
    CLEANUP_BUF pattern = BUF_INIT;
    if (json_get_string(params_of(c), "pattern", &pattern) == -EINVAL)
        finish(c, CRIER_ERR_BAD_REQUEST, "pattern is a string");
    else
        post_query(c, new_query(c, HUB_QUERY_CHANNELS, buf_bytes(&pattern)));
}

static void run_info(struct command *c)
{
    post_query(c, new_query(c, HUB_QUERY_INFO, BYTES_LIT("")));
}

/* ---- sessions ---- */

static void run_disconnect(struct command *c)
{
    CLEANUP_BUF user = BUF_INIT;
    CLEANUP_BUF client = BUF_INIT;
    CLEANUP_BUF reason = BUF_INIT;
    struct bytes how = BYTES_LIT("{}");
    int64_t code = CLOSE_FORCE;

    if (json_get_string(params_of(c), "user", &user) < 0) {
        finish(c, CRIER_ERR_BAD_REQUEST, "user is required");
        return;
    }
    json_get_string(params_of(c), "client", &client);
    json_get_raw(params_of(c), "disconnect", &how);
    json_get_int64(how, "code", &code);
    if (json_get_string(how, "reason", &reason) < 0)
        buf_append_str(&reason, "force disconnect");
    if (code < 3000 || code > 4999) {
        finish(c, CRIER_ERR_BAD_REQUEST, "disconnect.code is 3000 to 4999");
        return;
    }
    buf_append(&user, "", 1);
    buf_append(&client, "", 1);
    buf_append(&reason, "", 1);
    const struct dispatch d = {.target = DISPATCH_USER,
                               .user = user.data,
                               .client = client.data,
                               .close = true,
                               .code = (int)code,
                               .reason = reason.data};
    dispatch_post(c->loop->engine, &d);
    buf_append_str(&c->result, "{}");
    finish(c, CRIER_OK, NULL);
}

/* ---- methods ---- */

static const struct {
    const char *name;
    void (*fn)(struct command *c);
} methods[] = {
    {"broadcast", run_broadcast}, {"channels", run_channels},
    {"disconnect", run_disconnect}, {"history", run_history},
    {"history_remove", run_history_remove}, {"info", run_info},
    {"presence", run_presence}, {"presence_stats", run_presence_stats},
    {"publish", run_publish},
};
#define METHOD_COUNT (sizeof methods / sizeof *methods)

static size_t find_method(struct bytes name)
{
    size_t i = 0;
    while (i < METHOD_COUNT && !bytes_eq_str(name, methods[i].name))
        i++;
    return i;
}

bool command_known(struct bytes method)
{
    return find_method(method) < METHOD_COUNT;
}

void command_run(struct command *c, struct bytes method)
{
    size_t i = find_method(method);
    if (i == METHOD_COUNT)
        finish(c, CRIER_ERR_METHOD_NOT_FOUND, NULL);
    else
        methods[i].fn(c);
}
