#include "channel.h"

#include <stdlib.h>

#include "hub/hub.h"
#include "hub/source.h"
#include "util/clock.h"
#include "util/metrics.h"

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
    c->frame.deflate = &hub->deflate;
    c->frame.delta_by_key = delta_by_key(ns);
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

static void new_deltas(struct channel *c)
{
    c->deltas = xmalloc(sizeof *c->deltas);
    delta_chain_init(c->deltas, c->frame.delta_by_key);
}

static void remember_base(struct publication *p, void *arg)
{
    delta_chain_next(arg, p, false, NULL);
}

/* For the first who wants deltas: they are against what the answer to its subscribe has brought. */
static void begin_deltas(struct channel *c)
{
    new_deltas(c);
    if (c->frame.delta_by_key)
        keyed_each_after(&c->keyed, INT64_MIN, remember_base, c->deltas);
    else if (c->history.count)
        remember_base(history_get(&c->history, c->history.count - 1), c->deltas);
}

void channel_free(struct channel *c)
{
    metric_add(M_CHANNELS, -1);
    metric_add(M_HISTORY_BYTES, -channel_memory(c));
    drop_fresh(c);
    drop_deltas(c);
    free(c->fresh);
    history_done(&c->history);
    keyed_done(&c->keyed);
    presence_done(&c->presence);
    version_done(&c->version);
    channel_forget_missed(c);
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
    if (frame_form_has_deltas(peer->form) && !c->deltas)
        begin_deltas(c);
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

void channel_send(struct channel *c, struct publication *p)
{
    if (!channel_wanted(c))
        return;
    if (c->fresh_count == c->fresh_capacity) {
        c->fresh_capacity = c->fresh_capacity ? c->fresh_capacity * 2 : 8;
        c->fresh = xrealloc(c->fresh, c->fresh_capacity * sizeof(struct publication *));
    }
    c->fresh[c->fresh_count++] = publication_ref(p);
    hub_queue_channel(c->hub, c);
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

/* Frames once for all loops that want the form, whose peers begin at `*i`; moves on to the next form. */
static void send_to_form(struct channel *c, size_t *i, struct frame_block *block)
{
    enum frame_form form = c->peers[*i].form;
    for (; *i < c->peer_count && c->peers[*i].form == form; (*i)++)
        if (block)
            hub_send_block(c->hub, c->peers[*i].loop, c->peers[*i].peer, frame_block_ref(block));
    frame_block_unref(block);
}

/* Of the fresh publications, made once for all forms: `ends[i]` is where the one of publication i ends, an empty one
 * means in full. */
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
    if (!c->deltas)
        new_deltas(c);
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
        channel_conflate_fresh(c);
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
