#include "history_call.h"

#include <stdlib.h>

#include "hub/history_page.h"
#include "hub/log_read.h"
#include "hub/map.h"
#include "hub/source.h"
#include "util/clock.h"

static void run_history(struct hub *hub, struct hub_call *call);

struct hub_history *hub_history_new(struct inbox *origin, struct bytes channel,
                                    void (*done)(struct hub_call *call, void *owner))
{
    struct hub_history *h = xcalloc(1, sizeof *h);
    h->call.origin = origin;
    h->call.run = run_history;
    h->call.done = done;
    h->channel = bytes_dup(channel);
    h->form = FORM_ITEM_JSON;
    return h;
}

void hub_history_free(struct hub_history *h)
{
    frame_block_unref(h->block);
    free(h->channel);
    free(h);
}

static void fail(struct hub_history *h, enum crier_error error, const char *detail)
{
    h->error = error;
    h->detail = detail;
    hub_call_finish(&h->call);
}

static void answer(struct channel *c, struct hub_history *h, struct publication *const *items, size_t count)
{
    struct frame_builder builder;
    frame_builder_init(&builder, h->form, &c->frame);
    builder.filter = h->filter;
    for (size_t i = 0; i < count; i++)
        frame_builder_add(&builder, items[i]);
    h->block = frame_builder_finish(&builder);
    h->last = count ? items[count - 1]->offset : h->since_offset;
    h->position = channel_position(c);
    h->shift = c->frame.shift;
    h->unnumbered = namespace_is_map(c->ns) && !map_is_streamed(c->ns);
    memcpy(h->epoch, c->epoch, sizeof h->epoch);
    c->used_ms = clock_mono_ms();
    hub_call_finish(&h->call);
}

static void answer_from_memory(struct channel *c, struct hub_history *h, const struct history_page *page)
{
    struct publication **items = xmalloc((page->count + 1) * sizeof *items);
    for (size_t i = 0; i < page->count; i++)
        items[i] = history_page_get(&c->history, page, i);
    h->more = page->more;
    answer(c, h, items, page->count);
    free(items);
}

/* ---- from the broker ---- */

static void on_read(struct channel *c, void *arg, const struct log_read_result *result)
{
    struct hub_history *h = arg;
    if (result->error != CRIER_OK) {
        fail(h, result->error, result->detail);
        return;
    }
    h->more = result->more;
    answer(c, h, result->items, result->count);
}

/* All that memory has; of what the log has beyond it as much as in a resume. */
static size_t everything(const struct channel *c)
{
    size_t most = (size_t)c->hub->config->limits.recover;
    return c->history.count > most ? c->history.count : most;
}

static void read_back(struct channel *c, struct hub_history *h, size_t limit)
{
    const struct log_read_request request = {
        .from = h->since_offset, .reverse = h->reverse, .limit = limit, .on_read = on_read, .arg = h};
    if (!log_read_start(c, &request))
        fail(h, CRIER_ERR_TOO_MANY_REQUESTS, "too many read the broker's log already");
}

/* ---- deciding ---- */

static const char *refuse(const struct config_namespace *ns, const struct hub_history *h)
{
    if (h->map && !namespace_is_map(ns))
        return "the channel is no map";
    if (h->map && !map_is_streamed(ns))
        return "an ephemeral map has no stream";
    if (h->shifted && h->reverse && h->has_since && h->since_offset == 0)
        return "nothing is before the beginning";
    return NULL;
}

static void read_history(struct channel *c, struct hub_history *h)
{
    struct history_page page;
    const struct history_request request = {
        .limit = h->limit < 0 ? everything(c) : (size_t)h->limit,
        .reverse = h->reverse,
        .has_since = h->has_since,
        .epoch = h->since_epoch,
        .offset = h->since_offset - (h->shifted ? c->frame.shift : 0),
    };
    h->since_offset = request.offset;
    h->shifted = false;
    enum history_reach reach = history_select(c, &request, &page);
    if (reach == HISTORY_DEEPER && log_is_readable(c))
        read_back(c, h, request.limit);
    else if (reach == HISTORY_UNKNOWN || (reach == HISTORY_DEEPER && !h->reverse))
        fail(h, CRIER_ERR_UNRECOVERABLE_POSITION, NULL);
    else
        answer_from_memory(c, h, &page);
}

static void run_history(struct hub *hub, struct hub_call *call)
{
    struct hub_history *h = (struct hub_history *)call;
    const struct config_namespace *ns = config_namespace_of(hub->config, bytes_of(h->channel));
    const char *fault = ns ? refuse(ns, h) : NULL;
    enum crier_error error;

    if (!ns || fault || channel_history_limit(ns) == 0) {
        fail(h, !ns ? CRIER_ERR_UNKNOWN_CHANNEL : fault ? CRIER_ERR_BAD_REQUEST : CRIER_ERR_NOT_AVAILABLE, fault);
        return;
    }
    struct source *source = source_of_channel(hub, bytes_of(h->channel));
    if (source && !source->caught_up && hub_call_wait(hub, call))
        return;
    struct channel *c = hub_channel(hub, bytes_of(h->channel), &error);
    if (!c) {
        fail(h, error, NULL);
        return;
    }
    if (source && !source->caught_up && h->has_since) {
        fail(h, CRIER_ERR_BROKER_UNAVAILABLE, "the channel's log is not readable yet");
        return;
    }
    source_find_numbering(c, source, h->since_epoch);
    read_history(c, h);
}
