/* What has to be true of a command of the channels wire, whatever it was read from. Included by the fuzz targets. */
#ifndef CRIER_FUZZ_CHANNELS_CHECK_H
#define CRIER_FUZZ_CHANNELS_CHECK_H

#include "channels.h"
#include "json_scan.h"
#include "tag_filter.h"
#include "utf8.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void require(bool condition)
{
    if (!condition)
        abort();
}

static inline void require_string(struct bytes s)
{
    require(utf8_valid(s.data, s.len) && !(s.len && memchr(s.data, 0, s.len)));
}

static inline void require_data(enum channels_encoding encoding, struct bytes data)
{
    if (data.data && encoding == CHANNELS_JSON)
        require(json_is_value(data, JSON_DEPTH_MAX));
    else
        require(!data.data || data.len > 0);
}

/* JSON lines are ASCII and say the same. */
static inline void check_line(struct bytes channel, const struct channels_publication *p)
{
    static const struct channels_style style = {CHANNELS_JSON, CHANNELS_LINES, false};
    CLEANUP_BUF out = BUF_INIT;
    CLEANUP_BUF key = BUF_INIT;
    struct bytes raw;
    size_t mark;
    channels_begin(&out, &style, &mark);
    channels_push_publication(&out, &style, channel, p);
    channels_end(&out, &style, mark);
    for (size_t i = 0; i < out.len; i++)
        require((unsigned char)out.data[i] < 0x80);
    struct bytes item = channels_item_of_frame(&style, buf_bytes(&out));
    require(json_get_raw(item, "key", &raw) == 0 && json_unescape(raw, &key) == 0 &&
            bytes_eq(buf_bytes(&key), channel));
}

/* What a client sent comes back to it in a message that is well-formed. */
static inline void check_echo(enum channels_encoding encoding, struct bytes channel, struct bytes data)
{
    static const struct channels_style styles[] = {{CHANNELS_JSON, CHANNELS_SSE, false},
                                                   {CHANNELS_PROTOBUF, CHANNELS_WEBSOCKET, false}};
    const struct channels_style *style = &styles[encoding];
    CLEANUP_BUF out = BUF_INIT;
    CLEANUP_BUF item = BUF_INIT;
    struct channels_publication p = {.data = data, .key = channel, .offset = 1};
    size_t mark;
    if (channel.len == 0)
        return; /* no channel has that name */
    channels_append_publication(&item, encoding, &p);
    channels_begin(&out, style, &mark);
    channels_push_publication(&out, style, channel, &p);
    channels_end(&out, style, mark);
    require(bytes_eq(channels_item_of_frame(style, buf_bytes(&out)), buf_bytes(&item)));
    if (encoding == CHANNELS_JSON) {
        require(json_is_value((struct bytes){out.data + 6, out.len - 8}, JSON_DEPTH_MAX));
        require(!memchr(out.data, '\n', out.len - 2) && !memchr(out.data, '\r', out.len));
        check_line(channel, &p);
    }
}

static inline void check_filter(enum channels_encoding encoding, struct bytes raw)
{
    struct tag_filter *f;
    const char *reason = NULL;
    if (!raw.data)
        return;
    if (tag_filter_parse(raw, encoding, &f, &reason) < 0) {
        require(reason != NULL);
        return;
    }
    tag_filter_matches(f, BYTES_LIT("{\"k\":\"v\"}"));
    tag_filter_free(f);
}

static inline void check_subscribe(enum channels_encoding encoding, const struct channels_subscribe *s)
{
    require_string(s->channel);
    require_string(s->token);
    require_string(s->epoch);
    require_string(s->delta);
    require_string(s->cursor);
    require_data(encoding, s->data);
    check_filter(encoding, s->tf);
}

static inline void check_connect(enum channels_encoding encoding, const struct channels_connect *c)
{
    require_string(c->token);
    require_string(c->name);
    require_string(c->version);
    require_data(encoding, c->data);
    if (c->headers.data)
        require(json_is_value(c->headers, JSON_DEPTH_MAX));
    for (size_t i = 0; i < c->sub_count; i++)
        check_subscribe(encoding, &c->subs[i]);
}

static inline void check_command(enum channels_encoding encoding, const struct channels_command *c)
{
    require(c->id != 0 || c->method == CHANNELS_PONG || c->method == CHANNELS_SEND);
    switch (c->method) {
    case CHANNELS_CONNECT:
        check_connect(encoding, &c->connect);
        break;
    case CHANNELS_SUBSCRIBE:
        check_subscribe(encoding, &c->subscribe);
        break;
    case CHANNELS_PUBLISH:
        require_data(encoding, c->publish.data);
        check_echo(encoding, c->publish.channel, c->publish.data);
        break;
    case CHANNELS_RPC:
        require_data(encoding, c->rpc.data);
        check_echo(encoding, c->rpc.method, c->rpc.data);
        break;
    case CHANNELS_SEND:
        require_data(encoding, c->send.data);
        break;
    case CHANNELS_HISTORY:
        require_string(c->history.channel);
        require_string(c->history.since_epoch);
        break;
    case CHANNELS_REFRESH:
    case CHANNELS_SUB_REFRESH:
        require_string(c->refresh.token);
        break;
    case CHANNELS_UNSUBSCRIBE:
    case CHANNELS_PRESENCE:
    case CHANNELS_PRESENCE_STATS:
        require_string(c->presence.channel);
        break;
    default:
        break;
    }
}

/* All commands of a message, up to the first that is refused. */
static inline void check_commands(struct channels_decoder *d, struct bytes message)
{
    struct channels_command c;
    int r;
    while ((r = channels_decode(d, &message, &c)) == 1)
        check_command(d->encoding, &c);
    require(r == 0 || d->reason);
    require(r != 0 || message.len == 0);
}

#endif
