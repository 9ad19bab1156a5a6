/* presence, presence_stats, history, history_remove, channels, info. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/commands.h"
#include "hub/history_call.h"
#include "hub/query.h"
#include "proto/json_scan.h"

/* ---- answers that the hub writes ---- */

static void on_answer(struct hub_call *call, void *owner)
{
    struct hub_query *q = (struct hub_query *)call;
    struct command *c = q->arg;
    enum crier_error error = q->error;
    (void)owner;

    buf_append_bytes(&c->result, buf_bytes(&q->json));
    hub_query_free(q);
    command_finish(c, error, NULL);
}

static void ask(struct command *c, enum hub_query_kind kind, struct bytes channel)
{
    struct hub_query *q = hub_query_new(kind, command_inbox(c), channel, on_answer);
    q->arg = c;
    command_post(c, &q->call);
}

static void ask_of_channel(struct command *c, enum hub_query_kind kind)
{
    CLEANUP_BUF channel = BUF_INIT;
    if (command_get_channel(c, &channel))
        ask(c, kind, buf_bytes(&channel));
}

void command_run_history_remove(struct command *c)
{
    ask_of_channel(c, HUB_QUERY_HISTORY_REMOVE);
}

/* The console and the chat page ask for presence as a list; this API's shape is an object by client id. */
void command_run_presence(struct command *c)
{
    ask_of_channel(c, HUB_QUERY_PRESENCE_MAP);
}

void command_run_presence_stats(struct command *c)
{
    ask_of_channel(c, HUB_QUERY_PRESENCE_STATS);
}

void command_run_channels(struct command *c)
{
    CLEANUP_BUF pattern = BUF_INIT;
    if (param_buf(command_params(c), "pattern", &pattern))
        ask(c, HUB_QUERY_CHANNELS, buf_bytes(&pattern));
    else
        command_finish(c, CRIER_ERR_BAD_REQUEST, "pattern is a string");
}

void command_run_info(struct command *c)
{
    ask(c, HUB_QUERY_INFO, BYTES_LIT(""));
}

/* ---- history ---- */

static void on_history(struct hub_call *call, void *owner)
{
    struct hub_history *h = (struct hub_history *)call;
    struct command *c = h->arg;
    enum crier_error error = h->error;
    const char *detail = h->detail;
    (void)owner;

    buf_append_str(&c->result, "{\"publications\":[");
    if (h->block && h->block->len)
        buf_append(&c->result, h->block->bytes, h->block->len - 1); /* without the last comma */
    buf_printf(&c->result, "],\"epoch\":\"%s\",\"offset\":%lld}", h->epoch, (long long)h->position);
    hub_history_free(h);
    command_finish(c, error, detail);
}

static bool read_since(struct bytes params, struct hub_history *h)
{
    struct bytes since = BYTES_NULL;
    CLEANUP_BUF epoch = BUF_INIT;
    if (!param_object(params, "since", &since))
        return false;
    h->has_since = since.data;
    if (!h->has_since)
        return true;
    if (!param_buf(since, "epoch", &epoch) || !param_int(since, "offset", &h->since_offset) ||
        epoch.len >= sizeof h->since_epoch || h->since_offset < 0)
        return false;
    if (epoch.len)
        memcpy(h->since_epoch, epoch.data, epoch.len);
    return true;
}

void command_run_history(struct command *c)
{
    CLEANUP_BUF channel = BUF_INIT;
    struct bytes params = command_params(c);
    if (!command_get_channel(c, &channel))
        return;
    struct hub_history *h = hub_history_new(command_inbox(c), buf_bytes(&channel), on_history);
    h->form = FORM_POLL;
    h->arg = c;
    if (param_int(params, "limit", &h->limit) && param_flag(params, "reverse", &h->reverse) && read_since(params, h)) {
        command_post(c, &h->call);
        return;
    }
    hub_history_free(h);
    command_finish(c, CRIER_ERR_BAD_REQUEST, "limit is an integer, reverse a boolean, since {epoch, offset}");
}
