#include "command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/commands.h"
#include "loop/engine.h"
#include "proto/json_scan.h"
#include "util/base64.h"

void command_finish(struct command *c, enum crier_error error, const char *detail)
{
    c->error = error;
    snprintf(c->detail, sizeof c->detail, "%s", detail ? detail : "");
    c->done(c);
}

void command_finish_ok(struct command *c)
{
    command_finish(c, CRIER_OK, NULL);
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

void command_post(struct command *c, struct hub_call *call)
{
    hub_call_post(c->loop->engine->hub, call);
}

/* ---- parameters ---- */

bool command_get_channel(struct command *c, struct buf *ret)
{
    if (json_get_string(command_params(c), "channel", ret) < 0) {
        command_finish(c, CRIER_ERR_BAD_REQUEST, "channel is required");
        return false;
    }
    if (!channel_name_valid(c->loop->engine->config, buf_bytes(ret))) {
        command_finish(c, CRIER_ERR_BAD_REQUEST, "no channel has such a name");
        return false;
    }
    return true;
}

static bool fits(int r)
{
    return r == 0 || r == -ENOENT;
}

bool param_buf(struct bytes params, const char *name, struct buf *ret)
{
    return fits(json_get_string(params, name, ret));
}

bool param_text(struct bytes params, const char *name, char **ret)
{
    CLEANUP_BUF text = BUF_INIT;
    int r = json_get_string(params, name, &text);
    if (r == -ENOENT)
        return true;
    if (r < 0 || (text.len && memchr(text.data, 0, text.len)))
        return false;
    buf_append(&text, "", 1);
    *ret = buf_take(&text);
    return true;
}

bool param_int(struct bytes params, const char *name, int64_t *ret)
{
    return fits(json_get_int64(params, name, ret));
}

bool param_flag(struct bytes params, const char *name, bool *ret)
{
    return fits(json_get_bool(params, name, ret));
}

bool param_object(struct bytes params, const char *name, struct bytes *ret)
{
    struct bytes raw;
    int r = json_get_raw(params, name, &raw);
    if (r == -ENOENT || (r == 0 && bytes_eq_str(raw, "null")))
        return true;
    if (r < 0 || raw.data[0] != '{')
        return false;
    *ret = raw;
    return true;
}

int param_payload(struct bytes params, const char *name, const char *b64name, struct buf *memory, struct bytes *ret)
{
    CLEANUP_BUF text = BUF_INIT;
    int r = json_get_string(params, b64name, &text);
    if (r == -ENOENT || (r == 0 && text.len == 0)) /* clients send "" for what is not set */
        return json_get_raw(params, name, ret) == 0 ? 0 : r == 0 ? -EINVAL : -ENOENT;
    if (r < 0 || base64_decode(buf_bytes(&text), memory) < 0)
        return -EINVAL;
    *ret = buf_bytes(memory);
    return 0;
}

/* ---- methods ---- */

static const struct {
    const char *name;
    void (*fn)(struct command *c);
} methods[] = {
    {"broadcast", command_run_broadcast},
    {"channels", command_run_channels},
    {"disconnect", command_run_disconnect},
    {"history", command_run_history},
    {"history_remove", command_run_history_remove},
    {"info", command_run_info},
    {"map_clear", command_run_map_clear},
    {"map_publish", command_run_map_publish},
    {"map_read_state", command_run_map_read_state},
    {"map_read_stream", command_run_map_read_stream},
    {"map_remove", command_run_map_remove},
    {"map_stats", command_run_map_stats},
    {"presence", command_run_presence},
    {"presence_stats", command_run_presence_stats},
    {"publish", command_run_publish},
    {"refresh", command_run_refresh},
    {"rpc", command_run_rpc},
    {"subscribe", command_run_subscribe},
    {"unsubscribe", command_run_unsubscribe},
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
        command_finish(c, CRIER_ERR_METHOD_NOT_FOUND, NULL);
    else
        methods[i].fn(c);
}
