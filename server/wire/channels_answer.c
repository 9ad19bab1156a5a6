/* What the engine says of subscriptions, as answers and pushes. */
#include <stdlib.h>

#include "channels_wire.h"
#include "loop/engine.h"

/* ---- answers ---- */

uint32_t channels_item_ends(const struct frame_block *block, size_t limit_bytes, struct buf *ret_ends)
{
    uint32_t n = 0;
    for (; block && n < block->count && (n == 0 || block->marks[n].end <= limit_bytes); n++)
        buf_append(ret_ends, &block->marks[n].end, sizeof block->marks[n].end);
    return n;
}

struct channels_items channels_items_view(struct bytes items, const struct buf *ends)
{
    return (struct channels_items){
        .bytes = items, .ends = (const uint32_t *)(const void *)ends->data, .count = ends->len / sizeof(uint32_t)};
}

uint32_t channels_subscription_keep(struct channels_subscription *sub, const struct frame_block *block,
                                    size_t limit_bytes)
{
    uint32_t n = channels_item_ends(block, limit_bytes, &sub->ends);
    buf_append(&sub->items, block->bytes, n ? block->marks[n - 1].end : 0);
    sub->result.publications = channels_items_view(buf_bytes(&sub->items), &sub->ends);
    return n;
}

/* Where a table follows as pushes, the position is the one before it: who is cut off between the two must not believe
 * that it has the table. */
static uint64_t position_before(const struct hub_subscribe *h)
{
    int64_t offset = (h->items && h->block ? h->block->marks[0].offset - 1 : h->position) + h->shift;
    return offset > 0 ? (uint64_t)offset : 0;
}

static uint32_t fill_result(struct channels_subscription *sub, const struct hub_subscribe *h)
{
    bool recovered = sub->recover && h->recovered;
    if (h->numbered)
        channels_box_epoch(sub, h->ret_epoch, sub->epoch);
    sub->result = (struct channels_subscribe_result){
        .epoch = bytes_of(sub->epoch),
        .offset = recovered ? sub->asked_offset : position_before(h),
        .recoverable = sub->recoverable,
        .positioned = sub->positioned,
        .recovered = recovered,
        .was_recovering = sub->recover,
        .delta = sub->delta,
        .expires = sub->expire_at_s != 0,
        .ttl = channels_subscription_ttl(sub),
        .data = sub->data ? bytes_of(sub->data) : BYTES_NULL,
    };
    return recovered && h->items && h->block ? channels_subscription_keep(sub, h->block, REPLY_ITEMS_BYTES) : 0;
}

/* What did not fit into the reply, as frames that follow it. */
static void push_rest(struct session *s, const struct channels_subscription *sub, struct subscription *live,
                      const struct frame_block *items, uint32_t from)
{
    const struct channels_style *style = &channels_client(s)->style;
    struct frame_builder frames;
    frame_builder_init(&frames, s->form, NULL);
    for (uint32_t i = from; i < items->count; i++) {
        uint32_t start = i ? items->marks[i - 1].end : 0;
        size_t mark;
        channels_begin(&frames.bytes, style, &mark);
        channels_push_item(&frames.bytes, style, bytes_of(sub->channel),
                           (struct bytes){items->bytes + start, items->marks[i].end - start});
        channels_end(&frames.bytes, style, mark);
        frame_builder_mark(&frames, items->marks[i].offset);
    }
    session_send_block(s, frame_builder_finish(&frames), live);
}

void channels_subscription_answer(struct session *s, struct channels_subscription *sub)
{
    struct channels_out out;
    channels_out_begin(s, &out);
    if (sub->server_side)
        channels_push_subscribe(&out.bytes, &channels_client(s)->style, bytes_of(sub->channel), &sub->result);
    else
        channels_reply_subscribe(&out.bytes, channels_client(s)->style.encoding, sub->id, &sub->result);
    channels_out_send(s, &out);
    buf_done(&sub->items);
    buf_done(&sub->ends);
}

static void finish_undo(struct session *s, uint32_t id)
{
    channels_send_unsubscribed(s, id);
    channels_client(s)->undoing = false;
    channels_receive_held(s);
}

static void begin(struct session *s, struct channels_subscription *sub, struct subscription *live,
                  const struct hub_subscribe *h)
{
    struct channels_client *c = channels_client(s);
    uint32_t taken = fill_result(sub, h);

    sub->answered = true;
    if (sub->server_side && c->state == CHANNELS_CONNECTING) {
        sub->in_connect = true;
        c->connect_waits--;
        channels_connect_progress(s);
    } else {
        channels_subscription_answer(s, sub);
    }
    if (h->items && h->block && taken < h->block->count && !s->closing)
        push_rest(s, sub, live, h->block, taken);
}

/* Nothing can be recovered where neither history nor a broker keeps it. */
static void take_options(struct channels_subscription *sub, const struct channel_form *f)
{
    const struct config_namespace *ns = f->channel->ns;
    bool kept = sub->may_resume && (ns->history > 0 || f->channel->by_broker);
    sub->recoverable = kept && (auth_overridden(sub->force_recovery, ns->force_recovery) || sub->wants_recovery);
    sub->positioned = sub->recoverable || (kept && (auth_overridden(sub->force_positioning, ns->force_positioning) ||
                                                    sub->wants_position));
}

void channels_on_subscribed(struct session *s, struct subscription *live, const struct hub_subscribe *h)
{
    const struct loop_channel *channel = live->form->channel;
    struct bytes name = {channel->name, channel->name_len};
    struct channels_subscription *sub = channels_subscription_find(s, name);

    if (!sub) { /* a module subscribed the session */
        sub = channels_subscription_add(s, name, NULL);
        sub->server_side = true;
    }
    take_options(sub, live->form);
    live->positioned = sub->positioned || sub->map;
    sub->delta = live->deltas;
    uint32_t id = sub->id, unsubscribe_id = sub->unsubscribe_id;
    if (sub->map) {
        channels_map_live(s, sub, live, h);
    } else if (sub->recover && sub->strict && !h->recovered) {
        channels_subscription_undo(s, sub);
        channels_error(s, id, CRIER_ERR_UNRECOVERABLE_POSITION, NULL);
    } else {
        begin(s, sub, live, h);
    }
    if (!unsubscribe_id || s->closing)
        return;
    sub = channels_subscription_find(s, name);
    if (sub)
        channels_subscription_undo(s, sub);
    finish_undo(s, unsubscribe_id);
}

void channels_on_subscribe_failed(struct session *s, struct bytes channel, enum crier_error error, const char *detail)
{
    struct channels_client *c = channels_client(s);
    struct channels_subscription *sub = channels_subscription_find(s, channel);
    if (!sub)
        return;
    uint32_t id = sub->id, unsubscribe_id = sub->unsubscribe_id;
    bool in_connect = sub->server_side && c->state == CHANNELS_CONNECTING;

    channels_subscription_drop(s, sub);
    channels_error(s, id, error, detail);
    if (unsubscribe_id)
        finish_undo(s, unsubscribe_id);
    if (in_connect) {
        c->connect_waits--;
        channels_connect_progress(s);
    }
}

void channels_on_unsubscribed(struct session *s, struct bytes channel, int code, const char *reason)
{
    struct channels_subscription *sub = channels_subscription_find(s, channel);
    struct channels_out out;
    if (!sub)
        return;
    bool server_side = sub->server_side;
    channels_subscription_drop(s, sub);
    if (server_side && code >= CHANNELS_UNSUBSCRIBED_STATE) {
        session_close(s, CHANNELS_CLOSE_INSUFFICIENT_STATE, "insufficient state");
        return;
    }
    channels_out_begin(s, &out);
    channels_push_unsubscribe(&out.bytes, &channels_client(s)->style, channel, (uint32_t)code, bytes_of(reason));
    channels_out_send(s, &out);
}
