/* publish, broadcast, map_publish, map_remove. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/commands.h"
#include "hub/map.h"
#include "hub/publish.h"
#include "hub/tags.h"
#include "loop/engine.h"
#include "proto/json_scan.h"

/* ---- what a publish is asked to be ---- */

static const char *read_tags(struct bytes params, char **ret)
{
    CLEANUP_BUF tags = BUF_INIT;
    struct bytes object = BYTES_NULL;
    if (!param_object(params, "tags", &object) || (object.data && tags_append(&tags, object) < 0))
        return "tags is an object of at most 32 texts";
    if (tags.len) {
        buf_append(&tags, "", 1);
        *ret = buf_take(&tags);
    }
    return NULL;
}

static const char *read_version(struct bytes params, struct hub_publish *p)
{
    int64_t version = 0;
    if (!param_int(params, "version", &version) || version < 0)
        return "version is a number";
    p->version = (uint64_t)version;
    if (!param_text(params, "version_epoch", &p->version_epoch) ||
        (p->version_epoch && strlen(p->version_epoch) > VERSION_EPOCH_MAX))
        return "version_epoch is a text of at most 128 bytes";
    return NULL;
}

static const char *read_message_id(struct bytes params, struct hub_publish *p)
{
    if (!param_text(params, "idempotency_key", &p->message_id))
        return "idempotency_key is a text";
    if (p->message_id && !*p->message_id) {
        free(p->message_id);
        p->message_id = NULL;
    }
    return NULL;
}

static const char *read_key_mode(struct bytes params, struct hub_publish *p)
{
    static const struct {
        const char *name;
        enum publish_key_mode mode;
    } modes[] = {{"", KEY_ANY}, {"if_new", KEY_IF_NEW}, {"if_exists", KEY_IF_EXISTS}};
    CLEANUP_BUF name = BUF_INIT;
    bool text = param_buf(params, "key_mode", &name);
    for (size_t i = 0; text && i < 3; i++)
        if (bytes_eq_str(buf_bytes(&name), modes[i].name)) {
            p->key_mode = modes[i].mode;
            return NULL;
        }
    return "key_mode is if_new or if_exists";
}

static const char *read_options(struct command *c, struct hub_publish *p)
{
    struct bytes params = command_params(c);
    const char *fault = read_tags(params, &p->tags);
    if (!fault)
        fault = read_version(params, p);
    if (!fault)
        fault = read_message_id(params, p);
    if (!fault && (!param_flag(params, "skip_history", &p->skip_history) || !param_flag(params, "delta", &p->delta)))
        fault = "skip_history and delta are booleans";
    if (!fault && !param_buf(params, "key", &p->key))
        fault = "key is a text";
    p->has_key = p->key.len > 0;
    return fault;
}

/* The payload as it stands in the request: bytes are spliced, never serialised again. */
static const char *read_data(struct command *c, struct buf *decoded, struct bytes *ret)
{
    int r = param_payload(command_params(c), "data", "b64data", decoded, ret);
    return r == -ENOENT ? "data is required" : r < 0 ? "b64data is base64, and not empty" : NULL;
}

/* NULL with the fault. */
static struct hub_publish *new_publish(struct command *c, struct bytes channel, struct bytes data,
                                       void (*done)(struct hub_call *, void *), const char **ret_fault)
{
    struct hub_publish *p = hub_publish_new(command_inbox(c), channel, data, done);
    hub_publish_set_trace(p, buf_bytes(&c->trace));
    *ret_fault = read_options(c, p);
    if (!*ret_fault)
        return p;
    hub_publish_free(p);
    return NULL;
}

/* ---- one channel ---- */

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
    command_finish(c, error, detail);
}

void command_run_publish(struct command *c)
{
    CLEANUP_BUF channel = BUF_INIT;
    CLEANUP_BUF decoded = BUF_INIT;
    struct hub_publish *p = NULL;
    struct bytes data;

    if (!command_get_channel(c, &channel))
        return;
    const char *fault = read_data(c, &decoded, &data);
    if (!fault)
        p = new_publish(c, buf_bytes(&channel), data, on_published, &fault);
    if (!p) {
        command_finish(c, CRIER_ERR_BAD_REQUEST, fault);
        return;
    }
    p->arg = c;
    command_post(c, &p->call);
}

/* ---- many channels ---- */

static void finish_broadcast(struct command *c)
{
    struct buf *parts = c->parts;
    buf_append_str(&c->result, "{\"responses\":[");
    for (size_t i = 0; parts[i].len; i++) {
        if (i)
            buf_append_str(&c->result, ",");
        buf_append_bytes(&c->result, buf_bytes(&parts[i]));
        buf_done(&parts[i]);
    }
    buf_append_str(&c->result, "]}");
    command_finish_ok(c);
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
    if (--c->left == 0)
        finish_broadcast(c);
}

/* Names as a row of texts, each with its NUL; -EBADMSG when it is no list of strings. */
static int read_channels(struct command *c, struct buf *names, size_t *ret_count)
{
    struct bytes list, element;
    if (json_get_raw(command_params(c), "channels", &list) < 0)
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

/* The options are the same for all, so that either every publish is made or none. */
static const char *make_publishes(struct command *c, const char *name, struct bytes data, struct hub_publish **list,
                                  size_t count)
{
    const char *fault = NULL;
    for (size_t i = 0; i < count; i++, name += strlen(name) + 1) {
        list[i] = new_publish(c, bytes_of(name), data, on_part_published, &fault);
        if (!list[i])
            return fault;
    }
    return NULL;
}

void command_run_broadcast(struct command *c)
{
    CLEANUP_BUF decoded = BUF_INIT;
    CLEANUP_BUF names = BUF_INIT;
    struct bytes data;
    size_t count = 0;
    const char *fault = read_data(c, &decoded, &data);

    if (!fault && read_channels(c, &names, &count) < 0)
        fault = "channels is a list of names";
    struct hub_publish **list = xcalloc(count + 1, sizeof(struct hub_publish *));
    if (!fault)
        fault = make_publishes(c, names.data, data, list, count);
    if (fault) {
        free(list);
        command_finish(c, CRIER_ERR_BAD_REQUEST, fault);
        return;
    }
    struct buf *parts = xcalloc(count + 1, sizeof *parts);
    c->parts = parts;
    c->left = count;
    for (size_t i = 0; i < count; i++) {
        list[i]->arg = c;
        list[i]->arg2 = &parts[i];
        command_post(c, &list[i]->call);
    }
    free(list);
}

/* ---- keys of maps ---- */

static void write_change(const struct config *config, const struct hub_publish *p, struct buf *out)
{
    const struct config_namespace *ns = config_namespace_of(config, bytes_of(p->channel));
    const char *suppressed = publish_suppressed_name(p->suppressed);
    buf_append_str(out, "{");
    if (p->offset >= 0 && ns && map_is_streamed(ns))
        buf_printf(out, "\"offset\":%lld,", (long long)p->offset);
    buf_printf(out, "\"epoch\":\"%s\"", p->epoch);
    if (suppressed)
        buf_printf(out, ",\"suppressed\":true,\"suppress_reason\":\"%s\"", suppressed);
    buf_append_str(out, "}");
}

static void on_changed(struct hub_call *call, void *owner)
{
    struct hub_publish *p = (struct hub_publish *)call;
    struct command *c = p->arg;
    enum crier_error error = p->error;
    char detail[160];
    (void)owner;

    memcpy(detail, p->detail, sizeof detail);
    write_change(c->loop->engine->config, p, &c->result);
    hub_publish_free(p);
    command_finish(c, error, detail);
}

static void change_map(struct command *c, struct bytes data, bool remove)
{
    CLEANUP_BUF channel = BUF_INIT;
    const char *fault = NULL;
    if (!command_get_channel(c, &channel))
        return;
    struct hub_publish *p = new_publish(c, buf_bytes(&channel), data, on_changed, &fault);
    if (p) {
        p->map = true;
        p->tombstone = remove;
        p->arg = c;
        fault = p->has_key ? read_key_mode(command_params(c), p) : "key is required";
    }
    if (!fault) {
        command_post(c, &p->call);
        return;
    }
    if (p)
        hub_publish_free(p);
    command_finish(c, CRIER_ERR_BAD_REQUEST, fault);
}

void command_run_map_publish(struct command *c)
{
    CLEANUP_BUF decoded = BUF_INIT;
    struct bytes data;
    const char *fault = read_data(c, &decoded, &data);
    if (fault)
        command_finish(c, CRIER_ERR_BAD_REQUEST, fault);
    else
        change_map(c, data, false);
}

void command_run_map_remove(struct command *c)
{
    change_map(c, BYTES_LIT(""), true);
}
