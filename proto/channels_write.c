/* Publications and pushes of the channels wire. */
#include "channels_writer.h"

static void put_publication_data(struct channels_writer *w, const struct channels_publication *p)
{
    if (p->data_as_string && p->data.data && channels_writes_json(w)) {
        channels_put_key(w, NAME("data", 4));
        channels_put_text(w->out, p->data);
    } else {
        channels_put_data(w, NAME("data", 4), p->data);
    }
}

void channels_append_publication(struct buf *out, enum channels_encoding encoding, const struct channels_publication *p)
{
    struct channels_writer w = channels_writer_of(out, encoding);
    channels_open_root(&w);
    put_publication_data(&w, p);
    channels_put_info(&w, NAME("info", 5), p->info);
    channels_put_number(&w, NAME("offset", 6), p->offset);
    channels_put_tags(&w, NAME("tags", 7), p->tags);
    channels_put_bool(&w, NAME("delta", 8), p->delta);
    channels_put_number(&w, NAME("time", 9), (uint64_t)p->time_ms);
    channels_put_string(&w, NAME("key", 11), p->key);
    channels_put_bool(&w, NAME("removed", 12), p->removed);
    channels_put_string(&w, NAME("epoch", 14), p->epoch);
    channels_close_root(&w);
}

/* Of a member that is there twice, the last one counts in either encoding. */
void channels_append_placed(struct buf *out, enum channels_encoding encoding, struct bytes item, uint64_t offset,
                            struct bytes epoch)
{
    struct channels_writer w = channels_writer_of(out, encoding);
    bool json = channels_writes_json(&w);
    buf_append(out, item.data, item.len - json);
    w.comma = item.len > 2;
    channels_put_number(&w, NAME("offset", 6), offset);
    channels_put_string(&w, NAME("epoch", 14), epoch);
    channels_close_root(&w);
}

void channels_append_info(struct buf *out, const struct channels_client_info *info)
{
    struct channels_writer w = channels_writer_of(out, CHANNELS_JSON);
    channels_open_root(&w);
    channels_put_string_always(&w, NAME("user", 1), info->user);
    channels_put_string_always(&w, NAME("client", 2), info->client);
    channels_put_data(&w, NAME("conn_info", 3), info->conn_info);
    channels_put_data(&w, NAME("chan_info", 4), info->chan_info);
    channels_close_root(&w);
}

/* ---- pushes ---- */

struct push {
    struct channels_writer w;
    struct pb_mark mark;
    bool uni;
};

static struct push open_push(struct buf *out, const struct channels_style *style, struct bytes channel, size_t expected)
{
    struct push push = {.w = channels_writer_of(out, style->encoding), .uni = style->uni};
    buf_reserve(out, expected + 6 * channel.len + 128);
    channels_open_root(&push.w);
    if (!push.uni)
        push.mark = channels_open(&push.w, NAME("push", 4), expected + channel.len + 8);
    channels_put_string(&push.w, NAME("channel", 2), channel);
    return push;
}

static void close_push(struct push *push)
{
    if (!push->uni)
        channels_close(&push->w, push->mark);
    channels_close_root(&push->w);
}

/* Around something that is a message already. */
static struct pb_mark open_part(struct channels_writer *w, struct channels_name name, size_t expected)
{
    if (channels_writes_json(w)) {
        channels_put_key(w, name);
        return (struct pb_mark){0, 0};
    }
    return channels_open(w, name, expected);
}

static void close_part(struct channels_writer *w, struct pb_mark mark)
{
    if (!channels_writes_json(w))
        channels_close(w, mark);
}

void channels_push_publication(struct buf *out, const struct channels_style *style, struct bytes channel,
                               const struct channels_publication *p)
{
    size_t expected = p->data.len + p->info.len + p->tags.len + p->key.len + 16;
    struct push push = open_push(out, style, channel, expected);
    struct pb_mark mark = open_part(&push.w, NAME("pub", 4), expected);
    channels_append_publication(out, style->encoding, p);
    close_part(&push.w, mark);
    close_push(&push);
}

void channels_push_item(struct buf *out, const struct channels_style *style, struct bytes channel, struct bytes item)
{
    struct push push = open_push(out, style, channel, item.len);
    struct pb_mark mark = open_part(&push.w, NAME("pub", 4), item.len);
    buf_append_bytes(out, item);
    close_part(&push.w, mark);
    close_push(&push);
}

void channels_push_join(struct buf *out, const struct channels_style *style, struct bytes channel, struct bytes info,
                        bool leave)
{
    struct push push = open_push(out, style, channel, info.len);
    struct pb_mark mark = channels_open(&push.w, leave ? NAME("leave", 6) : NAME("join", 5), info.len);
    channels_put_info(&push.w, NAME("info", 1), info);
    channels_close(&push.w, mark);
    close_push(&push);
}

void channels_push_message(struct buf *out, const struct channels_style *style, struct bytes data)
{
    struct push push = open_push(out, style, BYTES_NULL, data.len);
    struct pb_mark mark = channels_open(&push.w, NAME("message", 8), data.len);
    channels_put_data(&push.w, NAME("data", 1), data);
    channels_close(&push.w, mark);
    close_push(&push);
}

void channels_push_subscribe(struct buf *out, const struct channels_style *style, struct bytes channel,
                             const struct channels_subscribe_result *r)
{
    struct push push = open_push(out, style, channel, r->data.len + r->epoch.len);
    struct pb_mark mark = channels_open(&push.w, NAME("subscribe", 9), r->data.len + r->epoch.len);
    channels_put_bool(&push.w, NAME("recoverable", 1), r->recoverable);
    channels_put_string(&push.w, NAME("epoch", 4), r->epoch);
    channels_put_number(&push.w, NAME("offset", 5), r->offset);
    channels_put_bool(&push.w, NAME("positioned", 6), r->positioned);
    channels_put_data(&push.w, NAME("data", 7), r->data);
    channels_close(&push.w, mark);
    close_push(&push);
}

void channels_push_unsubscribe(struct buf *out, const struct channels_style *style, struct bytes channel, uint32_t code,
                               struct bytes reason)
{
    struct push push = open_push(out, style, channel, reason.len);
    struct pb_mark mark = channels_open(&push.w, NAME("unsubscribe", 7), reason.len);
    channels_put_number(&push.w, NAME("code", 2), code);
    channels_put_string(&push.w, NAME("reason", 3), reason);
    channels_close(&push.w, mark);
    close_push(&push);
}

void channels_push_connect(struct buf *out, const struct channels_style *style, const struct channels_connect_result *r)
{
    struct push push = open_push(out, style, BYTES_NULL, r->data.len);
    struct pb_mark mark = channels_open(&push.w, NAME("connect", 10), r->data.len);
    channels_put_string(&push.w, NAME("client", 1), r->client);
    channels_put_string(&push.w, NAME("version", 2), r->version);
    channels_put_data(&push.w, NAME("data", 3), r->data);
    channels_put_subs(&push.w, NAME("subs", 4), r);
    channels_put_bool(&push.w, NAME("expires", 5), r->expires);
    channels_put_number(&push.w, NAME("ttl", 6), r->ttl);
    channels_put_number(&push.w, NAME("ping", 7), r->ping_s);
    channels_put_bool(&push.w, NAME("pong", 8), r->pong);
    channels_put_string(&push.w, NAME("session", 9), r->session);
    channels_put_string(&push.w, NAME("node", 10), r->node);
    channels_put_number(&push.w, NAME("time", 11), (uint64_t)r->time_ms);
    channels_close(&push.w, mark);
    close_push(&push);
}

void channels_push_disconnect(struct buf *out, const struct channels_style *style, uint32_t code, struct bytes reason)
{
    struct push push = open_push(out, style, BYTES_NULL, reason.len);
    struct pb_mark mark = channels_open(&push.w, NAME("disconnect", 11), reason.len);
    channels_put_number(&push.w, NAME("code", 1), code);
    channels_put_string(&push.w, NAME("reason", 2), reason);
    channels_close(&push.w, mark);
    close_push(&push);
}

void channels_push_refresh(struct buf *out, const struct channels_style *style, bool expires, uint32_t ttl)
{
    struct push push = open_push(out, style, BYTES_NULL, 0);
    struct pb_mark mark = channels_open(&push.w, NAME("refresh", 12), 0);
    channels_put_bool(&push.w, NAME("expires", 1), expires);
    channels_put_number(&push.w, NAME("ttl", 2), ttl);
    channels_close(&push.w, mark);
    close_push(&push);
}

void channels_ping(struct buf *out, enum channels_encoding e)
{
    struct channels_writer w = channels_writer_of(out, e);
    channels_open_root(&w);
    channels_close_root(&w);
}
