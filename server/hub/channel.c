#include "channel.h"

#include <stdlib.h>

#include "hub/hub.h"
#include "hub/source.h"
#include "util/clock.h"
#include "util/metrics.h"

#define IDLE_MS 60000 /* an empty channel that nobody wants is forgotten after this */

static int64_t memory_of(const struct channel *c)
{
    return (int64_t)(c->history.bytes + c->keyed.bytes);
}

struct channel *channel_new(struct hub *hub, struct bytes name, const struct config_namespace *ns)
{
    struct channel *c = xcalloc(1, sizeof *c);
    c->hub = hub;
    c->ns = ns;
    c->frame.name = (struct bytes){bytes_dup(name), name.len};
    c->frame.message_type = (uint32_t)ns->type;
    c->frame.keyed = ns->keyed;
    c->frame.unnumbered = ns->keyed && ns->map == MAP_EPHEMERAL;
    c->used_ms = clock_mono_ms();
    c->frame.epoch = c->epoch;
    c->frame.delta_always = ns->delta_publish;
    epoch_random(c->epoch); /* until its partition is known, nothing before this moment can be resumed */
    c->top = -1;
    history_init(&c->history, -1);
    keyed_init(&c->keyed);
    metric_add(M_CHANNELS, 1);
    return c;
}

static void drop_fresh(struct channel *c)
{
    for (size_t i = 0; i < c->fresh_count; i++)
        publication_unref(c->fresh[i]);
    c->fresh_count = 0;
}

static void drop_deltas(struct channel *c)
{
    if (c->deltas)
        delta_chain_done(c->deltas);
    free(c->deltas);
    c->deltas = NULL;
}

void channel_free(struct channel *c)
{
    metric_add(M_CHANNELS, -1);
    metric_add(M_HISTORY_BYTES, -memory_of(c));
    drop_fresh(c);
    drop_deltas(c);
    free(c->fresh);
    history_done(&c->history);
    keyed_done(&c->keyed);
    presence_done(&c->presence);
    version_done(&c->version);
    free(c->peers);
    free((char *)c->frame.name.data);
    free(c);
}

/* Where the peer is, or belongs. */
static struct channel_peer *peer_place(const struct channel *c, enum frame_form form, unsigned loop)
{
    size_t i = 0;
    while (i < c->peer_count &&
           (c->peers[i].form < form || (c->peers[i].form == form && c->peers[i].loop < loop)))
        i++;
    return c->peers + i;
}

static bool is_there(const struct channel *c, const struct channel_peer *at, enum frame_form form, unsigned loop)
{
    return at < c->peers + c->peer_count && at->form == form && at->loop == loop;
}

bool channel_add_peer(struct channel *c, const struct channel_peer *peer)
{
    struct channel_peer *at = peer_place(c, peer->form, peer->loop);
    if (is_there(c, at, peer->form, peer->loop)) {
        at->peer = peer->peer;
        return false;
    }
    size_t i = (size_t)(at - c->peers);
    c->peers = xrealloc(c->peers, (c->peer_count + 1) * sizeof *c->peers);
    memmove(c->peers + i + 1, c->peers + i, (c->peer_count++ - i) * sizeof *c->peers);
    c->peers[i] = *peer;
    return true;
}

void channel_remove_peer(struct channel *c, enum frame_form form, unsigned loop)
{
    struct channel_peer *at = peer_place(c, form, loop);
    if (is_there(c, at, form, loop))
        memmove(at, at + 1, (size_t)(c->peers + c->peer_count-- - at - 1) * sizeof *at);
}

bool channel_wanted(const struct channel *c)
{
    return c->peer_count != 0;
}

size_t channel_clients(const struct channel *c)
{
    size_t sum = 0;
    for (size_t i = 0; i < c->peer_count; i++)
        sum += c->hub->loops[c->peers[i].loop]->clients(c->peers[i].peer);
    return sum;
}

static void push_fresh(struct channel *c, struct publication *p)
{
    if (c->fresh_count == c->fresh_capacity) {
        c->fresh_capacity = c->fresh_capacity ? c->fresh_capacity * 2 : 8;
        c->fresh = xrealloc(c->fresh, c->fresh_capacity * sizeof(struct publication *));
    }
    c->fresh[c->fresh_count++] = publication_ref(p);
}

static void note_memory(const struct channel *c, int64_t before)
{
    metric_add(M_HISTORY_BYTES, memory_of(c) - before);
}

void channel_drop_history(struct channel *c, int64_t floor)
{
    int64_t before = memory_of(c);
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

static void keep(struct channel *c, struct publication *p)
{
    if (!p->expired)
        c->top = p->offset;
    history_append(&c->history, p, channel_history_limit(c->ns));
    if (c->ns->keyed)
        keyed_put(&c->keyed, p);
    if (!c->ns->keyed || !p->has_key)
        version_set(&c->version, p->version, publication_version_epoch(p));
}

static void hand_on(struct channel *c, struct publication *p)
{
    if (!channel_wanted(c))
        return;
    push_fresh(c, p);
    hub_queue_channel(c->hub, c);
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
    hand_on(c, removal);
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
        int64_t before = memory_of(c);
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
    int64_t before = memory_of(c);
    p = with_tags(c, p);
    c->publications++;
    if (!p->unnumbered)
        keep(c, p);
    note_memory(c, before);
    metric_add(M_PUBLICATIONS, 1);
    hand_on(c, p);
    if (c->publications % MEMORY_EVERY == 0)
        respect_memory_bound(c);
    publication_unref(p);
}

int64_t channel_position(const struct channel *c)
{
    if (c->numbering == NUMBERED_BY_BROKER && c->origin->last > c->top)
        return c->origin->last;
    return c->top;
}

static void announce_epoch(struct channel *c)
{
    CLEANUP_BUF json = BUF_INIT;
    if (!channel_wanted(c))
        return;
    for (size_t i = 0; i < c->peer_count; i++)
        hub_send_epoch(c->hub, c->peers[i].loop, c->peers[i].peer, c);
    c->frame.epoch_is_news = true;
    buf_append_str(&json, "{\"channel\":");
    buf_append_json_string(&json, c->frame.name);
    buf_printf(&json, ",\"epoch\":\"%s\",\"offset\":%lld}", c->epoch, (long long)channel_position(c));
    channel_notice(c, &(struct frame_notice){.type = TYPED_SUBSCRIBED, .json = buf_bytes(&json)});
}

void channel_number_here(struct channel *c)
{
    channel_flush(c, 0); /* what was numbered before goes out before */
    c->numbering = NUMBERED_HERE;
    c->frame.shift = 0;
    c->origin = NULL;
    epoch_random(c->epoch);
    drop_deltas(c);
    /* Offsets of the former numbering mean nothing under the new epoch. */
    channel_drop_history(c, 0);
    c->history.floor = 0;
    c->history.lost = INT64_MIN;
    c->top = 0;
    announce_epoch(c);
}

void channel_clear(struct channel *c)
{
    int64_t before = memory_of(c);
    keyed_done(&c->keyed);
    note_memory(c, before);
    channel_number_here(c);
}

void channel_number_by(struct channel *c, struct partition *origin)
{
    c->numbering = NUMBERED_BY_BROKER;
    c->frame.shift = bridge_instance_can(origin->source->bridge, BRIDGE_FROM_ZERO); /* 0 is "none" on the channels wire */
    c->origin = origin;
    memcpy(c->epoch, origin->epoch, sizeof c->epoch);
    c->top = origin->start - 1;
    c->history.floor = origin->forgotten > origin->start - 1 ? origin->forgotten : origin->start - 1;
    c->history.lost = origin->lost;
    /* Which keys a client still has whose time was over before this node began to read, nobody knows. */
    if (c->ns->keyed && c->ns->key_ttl_ms && origin->start - 1 > c->history.lost)
        c->history.lost = origin->start - 1;
    announce_epoch(c);
}

bool channel_is_newest_of_key(const struct channel *c, const struct publication *p)
{
    struct bytes key = publication_key(p);
    if (!key.data || !c->ns->keyed)
        return true;
    const struct publication *newest = keyed_find(&c->keyed, key);
    return p->removed ? newest == NULL : newest == p;
}

/* interval_ms on a keyed channel delivers only the newest of each key. */
static void conflate_fresh(struct channel *c)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->fresh_count; i++) {
        if (channel_is_newest_of_key(c, c->fresh[i]))
            c->fresh[kept++] = c->fresh[i];
        else
            publication_unref(c->fresh[i]);
    }
    c->fresh_count = kept;
}

/* Frames once for all loops that want the form, whose peers begin at `*i`; moves on to the next form. */
static void send_to_form(struct channel *c, size_t *i, struct frame_block *block)
{
    enum frame_form form = c->peers[*i].form;
    for (; *i < c->peer_count && c->peers[*i].form == form; (*i)++)
        if (block)
            hub_send_block(c->hub, c->peers[*i].loop, c->peers[*i].peer, frame_block_ref(block));
    frame_block_unref(block);
}

/* Of the fresh publications, made once for all forms: `ends[i]` is where the one of publication i ends, an empty one means
 * in full. */
struct fresh_deltas {
    struct buf bytes;
    size_t *ends;
};

static bool wants_deltas(const struct channel *c)
{
    for (size_t i = 0; i < c->peer_count; i++)
        if (frame_form_has_deltas(c->peers[i].form))
            return true;
    return false;
}

static void make_deltas(struct channel *c, struct fresh_deltas *d)
{
    if (!wants_deltas(c)) {
        drop_deltas(c);
        return;
    }
    if (!c->deltas) {
        c->deltas = xmalloc(sizeof *c->deltas);
        delta_chain_init(c->deltas, c->ns->keyed);
    }
    d->ends = xmalloc(c->fresh_count * sizeof *d->ends);
    for (size_t i = 0; i < c->fresh_count; i++) {
        delta_chain_next(c->deltas, c->fresh[i], c->frame.delta_always || c->fresh[i]->wants_delta, &d->bytes);
        d->ends[i] = d->bytes.len;
    }
}

static struct bytes fresh_delta(const struct fresh_deltas *d, size_t i)
{
    size_t start = d->ends && i ? d->ends[i - 1] : 0;
    return d->ends && d->ends[i] > start ? (struct bytes){d->bytes.data + start, d->ends[i] - start} : BYTES_NULL;
}

static struct frame_block *frame_fresh(struct channel *c, enum frame_form form, const struct fresh_deltas *deltas)
{
    struct frame_builder builder;
    frame_builder_init(&builder, form, &c->frame);
    for (size_t i = 0; i < c->fresh_count; i++)
        frame_builder_add_delta(&builder, c->fresh[i], fresh_delta(deltas, i));
    return frame_builder_finish(&builder);
}

static void send_fresh(struct channel *c)
{
    struct fresh_deltas deltas = {.ends = NULL};
    make_deltas(c, &deltas);
    for (size_t i = 0; i < c->peer_count;)
        send_to_form(c, &i, frame_fresh(c, c->peers[i].form, &deltas));
    buf_done(&deltas.bytes);
    free(deltas.ends);
    c->serial += c->fresh_count;
    c->frame.epoch_is_news = false;
}

bool channel_flush(struct channel *c, uint64_t now_ms)
{
    if (now_ms && c->ns->interval_ms && now_ms < c->flush_due_ms)
        return false;
    if (c->fresh_count)
        c->flush_due_ms = clock_mono_ms() + (uint64_t)c->ns->interval_ms;
    if (c->ns->interval_ms && c->ns->keyed)
        conflate_fresh(c);
    if (c->fresh_count)
        send_fresh(c);
    c->used_ms = now_ms ? now_ms : c->used_ms;
    drop_fresh(c);
    return true;
}

static struct frame_block *frame_notice(struct channel *c, enum frame_form form, const struct frame_notice *n)
{
    struct frame_builder builder;
    frame_builder_init(&builder, form, &c->frame);
    frame_builder_add_notice(&builder, n, channel_position(c));
    return frame_builder_finish(&builder);
}

void channel_notice(struct channel *c, const struct frame_notice *n)
{
    channel_flush(c, 0); /* a notice keeps its place among the publications */
    for (size_t i = 0; i < c->peer_count;)
        send_to_form(c, &i, frame_notice(c, c->peers[i].form, n));
    c->serial += n->info.data != NULL;
}

bool channel_sweep(struct channel *c, uint64_t now_ms, int64_t wall_ms)
{
    int64_t before = memory_of(c);
    int64_t ttl_ms = has_default_stream(c->ns) ? MAP_STREAM_TTL_MS : c->ns->history_ttl_ms;
    if (ttl_ms)
        history_expire(&c->history, wall_ms - ttl_ms);
    if (c->ns->keyed && c->ns->key_ttl_ms)
        keyed_each_expired(&c->keyed, wall_ms - c->ns->key_ttl_ms, remove_key, c);
    note_memory(c, before);
    return !channel_wanted(c) && !c->queued && !c->resumes && c->history.count == 0 && c->keyed.count == 0 && c->presence.count == 0 &&
           now_ms - c->used_ms > IDLE_MS;
}
