/* What a channel keeps of its publications, for how long, and within which bounds. */
#include "channel.h"

#include "hub/hub.h"
#include "hub/source.h"
#include "util/clock.h"
#include "util/metrics.h"

#define IDLE_MS 60000 /* an empty channel that nobody wants is forgotten after this */

int64_t channel_memory(const struct channel *c)
{
    return (int64_t)(c->history.bytes + c->keyed.bytes);
}

static void note_memory(const struct channel *c, int64_t before)
{
    metric_add(M_HISTORY_BYTES, channel_memory(c) - before);
}

void channel_drop_history(struct channel *c, int64_t floor)
{
    int64_t before = channel_memory(c);
    while (history_drop_oldest(&c->history))
        ;
    if (floor > c->history.floor)
        c->history.floor = floor;
    note_memory(c, before);
}

/* A map needs a stream of changes in any case: its subscribers read the state in pages meanwhile. */
#define MAP_STREAM 1000
#define MAP_STREAM_TTL_MS 60000

static bool has_default_stream(const struct config_namespace *ns)
{
    return ns->history == 0 && ns->keyed && ns->map != MAP_OFF;
}

size_t channel_history_limit(const struct config_namespace *ns)
{
    return has_default_stream(ns) ? MAP_STREAM : (size_t)ns->history;
}

/* Where a broker counts, what it had before this node began to read may be under the key. */
static void note_before(const struct channel *c, struct publication *p)
{
    const struct publication *entry = keyed_find(&c->keyed, publication_key(p));
    int64_t first = 1 - c->frame.shift; /* that a log ever has */
    bool reaches_back = c->numbering != NUMBERED_BY_BROKER || c->origin->start <= first;
    if (!entry) {
        p->before = reaches_back ? BEFORE_NOWHERE : BEFORE_UNKNOWN;
        p->retagged = !reaches_back;
        return;
    }
    p->before = entry->has_geo ? BEFORE_PLACED : BEFORE_NOWHERE;
    p->before_latitude_e6 = entry->latitude_e6;
    p->before_longitude_e6 = entry->longitude_e6;
    p->retagged = !bytes_eq(publication_tags(p), publication_tags(entry));
}

static void keep(struct channel *c, struct publication *p)
{
    if (c->ns->keyed && p->has_key)
        note_before(c, p);
    if (!p->expired)
        c->top = p->offset;
    history_append(&c->history, p, channel_history_limit(c->ns));
    if (c->ns->keyed)
        keyed_put(&c->keyed, p);
    if (!c->ns->keyed || !p->has_key)
        version_set(&c->version, p->version, publication_version_epoch(p));
}

/* A key goes without a publisher's word. Where this node counts, that is a publication like any other; where a broker
 * does, no record of the log stands for it, and it shares the offset of what was before. The caller counts the memory. */
static void remove_key(struct publication *p, void *arg)
{
    struct channel *c = arg;
    bool counted = c->numbering == NUMBERED_HERE;
    const struct publication_parts parts = {
        .offset = counted ? c->top + 1 : channel_position(c),
        .time_ms = clock_wall_ms(),
        .key = publication_key(p),
        .tags = publication_tags(p),
        .payload = BYTES_NULL,
        .expired = !counted,
    };
    struct publication *removal = publication_new(&parts);
    keep(c, removal);
    channel_send(c, removal);
    publication_unref(removal);
}

#define MEMORY_EVERY 64 /* publications between two looks at the bound */

/* The bound on memory takes from channels that grow: twice what came since the last look, so that all of them together
 * stay there and a small one does not pay for a large one. */
static void respect_memory_bound(struct channel *c)
{
    int64_t bound = c->hub->config->limits.history_bytes;
    if (bound == 0)
        return;
    for (int i = 0; i < 2 * MEMORY_EVERY && metric_total(M_HISTORY_BYTES) > bound; i++) {
        int64_t before = channel_memory(c);
        if (c->history.count > 1)
            history_drop_oldest(&c->history);
        else if (c->keyed.count > 1)
            remove_key(keyed_oldest(&c->keyed), c);
        else
            return;
        note_memory(c, before);
    }
}

/* Filters judge a removal by what it removes: it has the tags of that. Takes `p`. */
static struct publication *with_tags(const struct channel *c, struct publication *p)
{
    const struct publication *entry = p->removed && c->ns->keyed ? keyed_find(&c->keyed, publication_key(p)) : NULL;
    if (!entry || entry->tags_len == 0)
        return p;
    const struct publication_parts parts = {.offset = p->offset,
                                            .time_ms = p->time_ms,
                                            .key = publication_key(p),
                                            .tags = publication_tags(entry),
                                            .payload = BYTES_NULL};
    struct publication *removal = publication_new(&parts);
    publication_unref(p);
    return removal;
}

void channel_append(struct channel *c, struct publication *p)
{
    int64_t before = channel_memory(c);
    p = with_tags(c, p);
    c->publications++;
    if (!p->unnumbered)
        keep(c, p);
    note_memory(c, before);
    metric_add(M_PUBLICATIONS, 1);
    channel_send(c, p);
    if (c->publications % MEMORY_EVERY == 0)
        respect_memory_bound(c);
    publication_unref(p);
}

void channel_clear(struct channel *c)
{
    int64_t before = channel_memory(c);
    keyed_done(&c->keyed);
    note_memory(c, before);
    channel_number_here(c);
}

void channel_forget_missed(struct channel *c)
{
    frame_block_unref(c->missed.block);
    c->missed = (struct missed){0};
}

bool channel_sweep(struct channel *c, uint64_t now_ms, int64_t wall_ms)
{
    int64_t before = channel_memory(c);
    channel_forget_missed(c);
    int64_t ttl_ms = has_default_stream(c->ns) ? MAP_STREAM_TTL_MS : c->ns->history_ttl_ms;
    if (ttl_ms)
        history_expire(&c->history, wall_ms - ttl_ms);
    if (c->ns->keyed && c->ns->key_ttl_ms)
        keyed_each_expired(&c->keyed, wall_ms - c->ns->key_ttl_ms, remove_key, c);
    note_memory(c, before);
    bool holds = c->history.count || c->keyed.count || c->presence.count;
    return !holds && !channel_wanted(c) && !c->queued && !c->resumes && now_ms - c->used_ms > IDLE_MS;
}
