/* map_read_state, map_read_stream, map_stats, map_clear. */
#include <errno.h>
#include <stdlib.h>

#include "api/commands.h"
#include "hub/history_call.h"
#include "hub/map.h"
#include "proto/json_scan.h"

/* "entries":[..] of items that each end in a comma. */
static void write_entries(const struct frame_block *block, struct buf *out)
{
    buf_append_str(out, "\"entries\":[");
    if (block && block->len)
        buf_append(out, block->bytes, block->len - 1);
    buf_append_str(out, "]");
}

static void write_top(struct buf *out, const char *epoch, int64_t offset, bool unnumbered)
{
    buf_printf(out, ",\"epoch\":\"%s\"", epoch);
    if (!unnumbered)
        buf_printf(out, ",\"offset\":%lld", (long long)offset);
}

static bool read_epoch(struct bytes params, const char *name, char *ret, size_t size)
{
    CLEANUP_BUF epoch = BUF_INIT;
    if (!param_buf(params, name, &epoch) || epoch.len >= size)
        return false;
    if (epoch.len)
        memcpy(ret, epoch.data, epoch.len);
    return true;
}

/* ---- the state ---- */

static void on_state(struct hub_call *call, void *owner)
{
    struct hub_map_read *r = (struct hub_map_read *)call;
    struct command *c = r->arg;
    enum crier_error error = r->error;
    const char *detail = r->detail;
    (void)owner;

    buf_append_str(&c->result, "{");
    write_entries(r->block, &c->result);
    write_top(&c->result, r->epoch, r->position, r->unnumbered);
    if (r->more) {
        buf_append_str(&c->result, ",\"cursor\":");
        buf_append_json_string(&c->result, buf_bytes(&r->next));
    }
    buf_append_str(&c->result, "}");
    hub_map_read_free(r);
    command_finish(c, error, detail);
}

static const char *read_state_params(struct bytes params, struct hub_map_read *r)
{
    struct bytes raw;
    r->has_revision = json_get_raw(params, "revision_offset", &raw) == 0 && !bytes_eq_str(raw, "null");
    if (!param_int(params, "limit", &r->limit) || !param_int(params, "revision_offset", &r->revision_offset))
        return "limit and revision_offset are integers";
    if (!param_buf(params, "cursor", &r->cursor) || !param_buf(params, "key", &r->key) ||
        !read_epoch(params, "revision_epoch", r->revision_epoch, sizeof r->revision_epoch))
        return "cursor, key and revision_epoch are texts";
    r->has_cursor = r->cursor.len;
    r->has_key = r->key.len;
    return NULL;
}

void command_run_map_read_state(struct command *c)
{
    CLEANUP_BUF channel = BUF_INIT;
    if (!command_get_channel(c, &channel))
        return;
    struct hub_map_read *r = hub_map_read_new(command_inbox(c), buf_bytes(&channel), on_state);
    r->form = FORM_POLL;
    r->arg = c;
    const char *fault = read_state_params(command_params(c), r);
    if (!fault) {
        command_post(c, &r->call);
        return;
    }
    hub_map_read_free(r);
    command_finish(c, CRIER_ERR_BAD_REQUEST, fault);
}

static void on_stats(struct hub_call *call, void *owner)
{
    struct hub_map_read *r = (struct hub_map_read *)call;
    struct command *c = r->arg;
    enum crier_error error = r->error;
    const char *detail = r->detail;
    (void)owner;

    buf_printf(&c->result, "{\"num_keys\":%zu}", r->keys);
    hub_map_read_free(r);
    command_finish(c, error, detail);
}

void command_run_map_stats(struct command *c)
{
    CLEANUP_BUF channel = BUF_INIT;
    if (!command_get_channel(c, &channel))
        return;
    struct hub_map_read *r = hub_map_read_new(command_inbox(c), buf_bytes(&channel), on_stats);
    r->form = FORM_POLL;
    r->arg = c;
    command_post(c, &r->call);
}

/* ---- the stream ---- */

static void on_stream(struct hub_call *call, void *owner)
{
    struct hub_history *h = (struct hub_history *)call;
    struct command *c = h->arg;
    enum crier_error error = h->error;
    const char *detail = h->detail;
    (void)owner;

    buf_append_str(&c->result, "{");
    write_entries(h->block, &c->result);
    write_top(&c->result, h->epoch, h->position, h->unnumbered);
    buf_append_str(&c->result, "}");
    hub_history_free(h);
    command_finish(c, error, detail);
}

void command_run_map_read_stream(struct command *c)
{
    CLEANUP_BUF channel = BUF_INIT;
    struct bytes params = command_params(c), raw;
    if (!command_get_channel(c, &channel))
        return;
    struct hub_history *h = hub_history_new(command_inbox(c), buf_bytes(&channel), on_stream);
    h->form = FORM_POLL;
    h->map = true;
    h->arg = c;
    h->has_since = json_get_raw(params, "since_offset", &raw) == 0 && !bytes_eq_str(raw, "null");
    if (param_int(params, "limit", &h->limit) && param_flag(params, "reverse", &h->reverse) &&
        param_int(params, "since_offset", &h->since_offset) && h->since_offset >= 0 &&
        read_epoch(params, "since_epoch", h->since_epoch, sizeof h->since_epoch)) {
        command_post(c, &h->call);
        return;
    }
    hub_history_free(h);
    command_finish(c, CRIER_ERR_BAD_REQUEST,
                   "limit and since_offset are integers, reverse a boolean, since_epoch a text");
}

/* ---- emptying ---- */

static void on_cleared(struct hub_call *call, void *owner)
{
    struct hub_map_clear *m = (struct hub_map_clear *)call;
    struct command *c = m->arg;
    enum crier_error error = m->error;
    const char *detail = m->detail;
    (void)owner;

    buf_append_str(&c->result, "{}");
    hub_map_clear_free(m);
    command_finish(c, error, detail);
}

void command_run_map_clear(struct command *c)
{
    CLEANUP_BUF channel = BUF_INIT;
    if (!command_get_channel(c, &channel))
        return;
    struct hub_map_clear *m = hub_map_clear_new(command_inbox(c), buf_bytes(&channel), on_cleared);
    m->arg = c;
    command_post(c, &m->call);
}
