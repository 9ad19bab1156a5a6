/* Replies of the channels wire. */
#include "channels_schema.h"
#include "channels_writer.h"

#include "json_scan.h"

struct reply {
    struct channels_writer w;
    struct pb_mark mark;
};

/* `name` is that of the result, with its number in a Reply. */
static struct reply open_reply(struct buf *out, enum channels_encoding e, uint32_t id, struct channels_name name,
                               size_t expected)
{
    struct reply reply = {.w = channels_writer_of(out, e)};
    channels_open_root(&reply.w);
    channels_put_number(&reply.w, NAME("id", 1), id);
    reply.mark = channels_open(&reply.w, name, expected);
    return reply;
}

static void close_reply(struct reply *reply)
{
    channels_close(&reply->w, reply->mark);
    channels_close_root(&reply->w);
}

void channels_reply_error(struct buf *out, enum channels_encoding e, uint32_t id, uint32_t code, struct bytes message,
                          bool temporary)
{
    struct reply reply = open_reply(out, e, id, NAME("error", 2), message.len);
    channels_put_number(&reply.w, NAME("code", 1), code);
    channels_put_string(&reply.w, NAME("message", 2), message);
    channels_put_bool(&reply.w, NAME("temporary", 3), temporary);
    close_reply(&reply);
}

static void put_subscribe_result(struct channels_writer *w, const struct channels_subscribe_result *r)
{
    channels_put_bool(w, NAME("expires", 1), r->expires);
    channels_put_number(w, NAME("ttl", 2), r->ttl);
    channels_put_bool(w, NAME("recoverable", 3), r->recoverable);
    channels_put_string(w, NAME("epoch", 6), r->epoch);
    if (r->publications.count)
        channels_put_items(w, NAME("publications", 7), &r->publications);
    channels_put_bool(w, NAME("recovered", 8), r->recovered);
    channels_put_number(w, NAME("offset", 9), r->offset);
    channels_put_bool(w, NAME("positioned", 10), r->positioned);
    channels_put_data(w, NAME("data", 11), r->data);
    channels_put_bool(w, NAME("was_recovering", 12), r->was_recovering);
    channels_put_bool(w, NAME("delta", 13), r->delta);
    channels_put_number(w, NAME("type", 15), (uint64_t)r->type);
    channels_put_number(w, NAME("phase", 16), (uint64_t)r->phase);
    channels_put_string(w, NAME("cursor", 17), r->cursor);
    if (r->state.count)
        channels_put_items(w, NAME("state", 18), &r->state);
    channels_put_number(w, NAME("publish_debounce", 19), r->publish_debounce);
}

static size_t expected_result(const struct channels_subscribe_result *r)
{
    return r->publications.bytes.len + 3 * r->publications.count + r->state.bytes.len + 3 * r->state.count +
           r->epoch.len + r->data.len + r->cursor.len + 16;
}

static void put_sub_entry(struct channels_writer *w, uint32_t number, const struct channels_sub *sub)
{
    static const struct channels_name value = {"", 0, 2};
    size_t expected = expected_result(&sub->result);
    if (channels_writes_json(w)) {
        channels_put_string_always(w, (struct channels_name){"", 0, 0}, sub->channel);
        buf_append(w->out, ":{", 2);
        w->comma = false;
        put_subscribe_result(w, &sub->result);
        channels_close(w, (struct pb_mark){0, 0});
        return;
    }
    pb_append_tag(w->out, number, PB_BYTES);
    struct pb_mark entry = pb_open(w->out, expected + sub->channel.len);
    channels_put_string(w, NAME("key", 1), sub->channel);
    struct pb_mark mark = channels_open(w, value, expected);
    put_subscribe_result(w, &sub->result);
    channels_close(w, mark);
    pb_close(w->out, entry);
}

void channels_put_subs(struct channels_writer *w, struct channels_name name, const struct channels_connect_result *r)
{
    if (r->sub_count == 0)
        return;
    if (channels_writes_json(w))
        channels_open(w, name, 0);
    for (size_t i = 0; i < r->sub_count; i++)
        put_sub_entry(w, name.number, &r->subs[i]);
    if (channels_writes_json(w))
        channels_close(w, (struct pb_mark){0, 0});
}

void channels_reply_connect(struct buf *out, enum channels_encoding e, uint32_t id,
                            const struct channels_connect_result *r)
{
    struct reply reply = open_reply(out, e, id, NAME("connect", 5), 128);
    struct channels_writer *w = &reply.w;
    channels_put_string(w, NAME("client", 1), r->client);
    channels_put_string(w, NAME("version", 2), r->version);
    channels_put_bool(w, NAME("expires", 3), r->expires);
    channels_put_number(w, NAME("ttl", 4), r->ttl);
    channels_put_data(w, NAME("data", 5), r->data);
    channels_put_subs(w, NAME("subs", 6), r);
    channels_put_number(w, NAME("ping", 7), r->ping_s);
    channels_put_bool(w, NAME("pong", 8), r->pong);
    channels_put_string(w, NAME("session", 9), r->session);
    channels_put_string(w, NAME("node", 10), r->node);
    channels_put_number(w, NAME("time", 11), (uint64_t)r->time_ms);
    close_reply(&reply);
}

void channels_reply_subscribe(struct buf *out, enum channels_encoding e, uint32_t id,
                              const struct channels_subscribe_result *r)
{
    struct reply reply = open_reply(out, e, id, NAME("subscribe", 6), expected_result(r));
    put_subscribe_result(&reply.w, r);
    close_reply(&reply);
}

void channels_reply_empty(struct buf *out, enum channels_encoding e, uint32_t id, enum channels_method method)
{
    static const struct channels_name names[CHANNELS_METHOD_COUNT] = {
        [CHANNELS_UNSUBSCRIBE] = NAME("unsubscribe", 7),
        [CHANNELS_PUBLISH] = NAME("publish", 8),
        [CHANNELS_PING] = NAME("ping", 12),
    };
    struct reply reply = open_reply(out, e, id, names[method], 0);
    close_reply(&reply);
}

static void put_presence_entries(struct buf *out, uint32_t number, struct bytes presence)
{
    CLEANUP_BUF key = BUF_INIT;
    struct json_cursor c = json_cursor_at(presence, JSON_DEPTH_MAX, JSON_RFC);
    struct json_member m;
    int err = json_enter_object(&c);
    while (err == 0 && (err = json_next_member(&c, &m)) == 0) {
        key.len = 0;
        if (json_unescape((struct bytes){m.name.data - 1, m.name.len + 2}, &key) < 0)
            continue;
        pb_append_tag(out, number, PB_BYTES);
        struct pb_mark entry = pb_open(out, key.len + m.value.len);
        pb_append_bytes(out, 1, buf_bytes(&key));
        pb_append_tag(out, 2, PB_BYTES);
        struct pb_mark info = pb_open(out, m.value.len);
        channels_put_info_fields(out, m.value);
        pb_close(out, info);
        pb_close(out, entry);
    }
}

void channels_reply_presence(struct buf *out, enum channels_encoding e, uint32_t id, struct bytes presence)
{
    struct reply reply = open_reply(out, e, id, NAME("presence", 9), presence.len);
    if (e == CHANNELS_JSON)
        channels_put_data(&reply.w, NAME("presence", 1), presence.len ? presence : BYTES_LIT("{}"));
    else
        put_presence_entries(out, 1, presence);
    close_reply(&reply);
}

void channels_reply_presence_stats(struct buf *out, enum channels_encoding e, uint32_t id, uint32_t clients,
                                   uint32_t users)
{
    struct reply reply = open_reply(out, e, id, NAME("presence_stats", 10), 4);
    channels_put_number_always(&reply.w, NAME("num_clients", 1), clients);
    channels_put_number_always(&reply.w, NAME("num_users", 2), users);
    close_reply(&reply);
}

void channels_reply_history(struct buf *out, enum channels_encoding e, uint32_t id,
                            const struct channels_history_result *r)
{
    size_t expected = r->publications.bytes.len + 3 * r->publications.count + r->epoch.len + 8;
    struct reply reply = open_reply(out, e, id, NAME("history", 11), expected);
    channels_put_items(&reply.w, NAME("publications", 1), &r->publications);
    channels_put_string_always(&reply.w, NAME("epoch", 2), r->epoch);
    channels_put_number_always(&reply.w, NAME("offset", 3), r->offset);
    close_reply(&reply);
}

void channels_reply_rpc(struct buf *out, enum channels_encoding e, uint32_t id, struct bytes data)
{
    struct reply reply = open_reply(out, e, id, NAME("rpc", 13), data.len + 4);
    channels_put_data(&reply.w, NAME("data", 1), data);
    close_reply(&reply);
}

void channels_reply_refresh(struct buf *out, enum channels_encoding e, uint32_t id, bool of_subscription,
                            const struct channels_refresh_result *r)
{
    struct reply reply = open_reply(out, e, id, of_subscription ? NAME("sub_refresh", 15) : NAME("refresh", 14), 64);
    channels_put_string(&reply.w, NAME("client", 1), of_subscription ? BYTES_NULL : r->client);
    channels_put_string(&reply.w, NAME("version", 2), of_subscription ? BYTES_NULL : r->version);
    channels_put_bool(&reply.w, NAME("expires", of_subscription ? 1 : 3), r->expires);
    channels_put_number(&reply.w, NAME("ttl", of_subscription ? 2 : 4), r->ttl);
    close_reply(&reply);
}
