#include "outbox.h"

#include <stdlib.h>

#include "loop/engine.h"
#include "loop/view.h"
#include "session/session.h"
#include "util/metrics.h"

#define WRITE_MAX 65536 /* bytes a write: net sends them in one piece */

/* Frames that wait for the socket: bytes of its own, or a shared block with the next frame to send. */
struct outbox_item {
    struct outbox_item *next;
    struct frame_block *block;
    const struct subscription *owner; /* of the block */
    uint32_t next_frame;
    size_t len;
    char data[];
};

void session_drop_outbox(struct session *s)
{
    while (s->outbox_first) {
        struct outbox_item *item = s->outbox_first;
        s->outbox_first = item->next;
        frame_block_unref(item->block);
        free(item);
    }
    s->outbox_last = NULL;
    s->outbox_bytes = 0;
}

void session_write(struct session *s, struct bytes frames)
{
    if (ws_write(s->conn, frames.data, frames.len) < 0)
        s->closing = true; /* closed() follows */
}

static void enqueue(struct session *s, struct outbox_item *item)
{
    if (s->outbox_last)
        s->outbox_last->next = item;
    else
        s->outbox_first = item;
    s->outbox_last = item;
}

void session_send(struct session *s, struct bytes frame)
{
    if (s->closing)
        return;
    metric_add(M_MESSAGES_OUT, 1);
    if (s->deflated)
        frame = frame_deflated(&s->loop->deflate, frame);
    if (session_can_write(s) && !s->outbox_first) {
        session_write(s, frame);
        return;
    }
    if (s->outbox_bytes + frame.len > (size_t)s->loop->engine->config->limits.outbox_bytes) {
        metric_add(M_LIMIT_OUTBOX, 1);
        session_close(s, CLOSE_SLOW, "slow");
        return;
    }
    struct outbox_item *item = xmalloc(sizeof *item + frame.len);
    *item = (struct outbox_item){.len = frame.len};
    memcpy(item->data, frame.data, frame.len);
    s->outbox_bytes += frame.len;
    enqueue(s, item);
}

void session_drop_blocks(struct session *s, const struct subscription *owner)
{
    struct outbox_item **at = &s->outbox_first, *item;
    s->outbox_last = NULL;
    while ((item = *at)) {
        if (item->owner == owner) {
            *at = item->next;
            frame_block_unref(item->block);
            free(item);
        } else {
            s->outbox_last = item;
            at = &item->next;
        }
    }
}

void session_send_block(struct session *s, struct frame_block *block, const struct subscription *owner)
{
    if (s->closing) {
        frame_block_unref(block);
        return;
    }
    struct outbox_item *item = xmalloc(sizeof *item);
    *item = (struct outbox_item){.block = block, .owner = owner};
    enqueue(s, item);
    session_flush(s);
}

/* Whole frames of a block up to WRITE_MAX, at least one. */
static struct bytes block_piece(struct outbox_item *item, uint32_t *ret_next)
{
    const struct frame_block *b = item->block;
    uint32_t from = item->next_frame ? b->marks[item->next_frame - 1].end : 0;
    uint32_t next = item->next_frame + 1;
    while (next < b->count && b->marks[next].end - from <= WRITE_MAX)
        next++;
    *ret_next = next;
    return (struct bytes){b->bytes + from, b->marks[next - 1].end - from};
}

/* Blocks are shared with sessions that take no compressed frames. What comes late in a long one goes out as it is: one
 * session is not to hold up the others. */
static void write_deflated(struct session *s, const struct outbox_item *item, uint32_t next)
{
    const struct frame_block *b = item->block;
    CLEANUP_BUF out = BUF_INIT;
    for (uint32_t i = item->next_frame; i < next; i++) {
        uint32_t start = i ? b->marks[i - 1].end : 0;
        struct bytes frame = {b->bytes + start, b->marks[i].end - start};
        buf_append_bytes(&out, start < FRAME_DEFLATE_MAX ? frame_deflated(&s->loop->deflate, frame) : frame);
    }
    session_write(s, buf_bytes(&out));
}

static void send_item(struct session *s, struct outbox_item *item)
{
    bool finished = true;
    if (item->block) {
        uint32_t next;
        struct bytes piece = block_piece(item, &next);
        if (s->deflated)
            write_deflated(s, item, next);
        else
            session_write(s, piece);
        metric_add(M_DELIVERIES, next - item->next_frame);
        metric_add(M_SENDS, 1);
        item->next_frame = next;
        finished = next == item->block->count;
    } else {
        session_write(s, (struct bytes){item->data, item->len});
        s->outbox_bytes -= item->len;
    }
    if (!finished)
        return;
    s->outbox_first = item->next;
    if (!s->outbox_first)
        s->outbox_last = NULL;
    frame_block_unref(item->block);
    free(item);
}

/* Policies first: they may send, end subscriptions and close the session, which must not happen in the middle of what is
 * being gathered. False when nothing may be written now. */
static bool settle_subscriptions(struct session *s)
{
    for (uint32_t i = 0; i < s->subscription_count && session_can_send(s);) {
        uint32_t before = s->subscription_count;
        subscription_settle(s->subscriptions[i]);
        i += s->subscription_count == before; /* one that ended: another one moved here */
    }
    return session_can_send(s);
}

/* Gathers what several channels have for this client into one write. */
static void flush_subscriptions(struct session *s)
{
    struct buf *out = &s->loop->scratch;
    while (settle_subscriptions(s)) {
        out->len = 0;
        for (uint32_t i = 0; i < s->subscription_count && out->len < WRITE_MAX; i++)
            subscription_collect(s->subscriptions[i], out, WRITE_MAX);
        if (out->len == 0)
            return;
        session_write(s, buf_bytes(out));
        metric_add(M_SENDS, 1);
    }
}

void session_flush(struct session *s)
{
    while (s->outbox_first && session_can_send(s))
        send_item(s, s->outbox_first);
    if (s->outbox_first || !session_can_send(s))
        return;
    if (s->subscription_count == 1)
        subscription_flush(s->subscriptions[0]);
    else
        flush_subscriptions(s);
    if (s->viewers && session_can_send(s))
        viewers_writable(s->viewers);
}
