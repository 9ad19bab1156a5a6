#include "channels.h"

#include "pb_wire.h"
#include "tag_filter.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#define GOLDEN_DIR SOURCE_DIR "/proto/golden/channels"
#define L(text) BYTES_LIT(text)

/* One file: a message in both encodings and, for commands, what it means. */
struct golden {
    char name[128]; /* of the file, without .txt */
    struct buf json, protobuf, means;
    bool has_protobuf, decode;
};

static void golden_done(struct golden *g)
{
    buf_done(&g->json);
    buf_done(&g->protobuf);
    buf_done(&g->means);
}

static void append_hex(struct buf *b, const char *hex)
{
    unsigned byte;
    for (int taken; sscanf(hex, " %2x%n", &byte, &taken) == 1; hex += taken)
        buf_append(b, &(char){(char)byte}, 1);
}

static void take_line(struct golden *g, const char *key, const char *value)
{
    if (strcmp(key, "json") == 0)
        buf_append_str(&g->json, value);
    else if (strcmp(key, "protobuf") == 0)
        append_hex(&g->protobuf, value), g->has_protobuf = true;
    else if (strcmp(key, "means") == 0)
        buf_append_str(&g->means, value);
    else if (strcmp(key, "direction") == 0)
        g->decode = strcmp(value, "decode") == 0;
    else
        assert_string_equal(key, "name");
}

static void golden_read(const char *file, struct golden *g)
{
    char path[512], line[1024];
    *g = (struct golden){0};
    snprintf(g->name, sizeof g->name, "%.*s", (int)strcspn(file, "."), file);
    snprintf(path, sizeof path, GOLDEN_DIR "/%s", file);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *colon = strchr(line, ':');
        assert_non_null(colon);
        *colon = 0;
        take_line(g, line, colon[1] == ' ' ? colon + 2 : colon + 1);
    }
    fclose(f);
}

static void assert_bytes(const struct golden *g, struct bytes got, struct bytes expected)
{
    if (bytes_eq(got, expected))
        return;
    for (size_t i = 0; i < got.len; i++)
        fprintf(stderr, " %02x", (unsigned char)got.data[i]);
    fail_msg("%s: got %.*s, expected %.*s", g->name, (int)got.len, got.data, (int)expected.len, expected.data);
}

/* ---- commands: what was decoded, as one line ---- */

static void tell_text(struct buf *out, const char *name, struct bytes value)
{
    if (value.len)
        buf_printf(out, " %s=%.*s", name, (int)value.len, value.data);
}

static void tell_number(struct buf *out, const char *name, int64_t value)
{
    if (value)
        buf_printf(out, " %s=%lld", name, (long long)value);
}

static void tell_flag(struct buf *out, const char *name, bool value)
{
    if (value)
        buf_printf(out, " %s", name);
}

static void tell_filter(struct buf *out, struct bytes raw, enum channels_encoding encoding)
{
    struct tag_filter *f = NULL;
    const char *reason = "";
    if (!raw.data)
        return;
    assert_int_equal(tag_filter_parse(raw, encoding, &f, &reason), 0);
    tell_text(out, "tf", tag_filter_text(f));
    tag_filter_free(f);
}

static void tell_subscribe(struct buf *out, const struct channels_subscribe *s, enum channels_encoding encoding)
{
    tell_text(out, "channel", s->channel);
    tell_text(out, "token", s->token);
    tell_text(out, "epoch", s->epoch);
    tell_text(out, "delta", s->delta);
    tell_text(out, "cursor", s->cursor);
    tell_text(out, "data", s->data);
    tell_filter(out, s->tf, encoding);
    tell_number(out, "offset", (int64_t)s->offset);
    tell_number(out, "flag", s->flag);
    tell_number(out, "type", s->type);
    tell_number(out, "phase", s->phase);
    tell_number(out, "limit", s->limit);
    tell_flag(out, "recover", s->recover);
    tell_flag(out, "positioned", s->positioned);
    tell_flag(out, "recoverable", s->recoverable);
    tell_flag(out, "join_leave", s->join_leave);
    tell_flag(out, "asc", s->asc);
}

static void tell_connect(struct buf *out, const struct channels_connect *c, enum channels_encoding encoding)
{
    tell_text(out, "token", c->token);
    tell_text(out, "name", c->name);
    tell_text(out, "version", c->version);
    tell_text(out, "data", c->data);
    tell_text(out, "headers", c->headers);
    tell_number(out, "flag", c->flag);
    for (size_t i = 0; i < c->sub_count; i++) {
        CLEANUP_BUF sub = BUF_INIT;
        tell_subscribe(&sub, &c->subs[i], encoding);
        buf_printf(out, " sub(%.*s)", (int)sub.len - 1, sub.data + 1);
    }
}

static void tell_history(struct buf *out, const struct channels_history *h)
{
    tell_text(out, "channel", h->channel);
    tell_number(out, "limit", h->limit);
    if (h->has_since)
        buf_printf(out, " since=%llu/%.*s", (unsigned long long)h->since_offset, (int)h->since_epoch.len,
                   h->since_epoch.data);
    tell_flag(out, "reverse", h->reverse);
}

static void tell_command(struct buf *out, const struct channels_command *c, enum channels_encoding encoding)
{
    static const char *const names[CHANNELS_METHOD_COUNT] = {
        "pong",    "connect", "subscribe", "unsubscribe", "publish", "presence",   "presence_stats",
        "history", "ping",    "send",      "rpc",         "refresh", "sub_refresh"};
    buf_append_str(out, names[c->method]);
    if (c->method != CHANNELS_PONG)
        buf_printf(out, " id=%u", c->id);
    switch (c->method) {
    case CHANNELS_CONNECT:
        tell_connect(out, &c->connect, encoding);
        break;
    case CHANNELS_SUBSCRIBE:
        tell_subscribe(out, &c->subscribe, encoding);
        break;
    case CHANNELS_PUBLISH:
        tell_text(out, "channel", c->publish.channel);
        tell_text(out, "data", c->publish.data);
        tell_text(out, "key", c->publish.key);
        tell_number(out, "type", c->publish.type);
        tell_flag(out, "removed", c->publish.removed);
        break;
    case CHANNELS_HISTORY:
        tell_history(out, &c->history);
        break;
    case CHANNELS_UNSUBSCRIBE:
    case CHANNELS_PRESENCE:
    case CHANNELS_PRESENCE_STATS:
        tell_text(out, "channel", c->presence.channel);
        break;
    case CHANNELS_SEND:
        tell_text(out, "data", c->send.data);
        break;
    case CHANNELS_RPC:
        tell_text(out, "method", c->rpc.method);
        tell_text(out, "data", c->rpc.data);
        break;
    case CHANNELS_REFRESH:
    case CHANNELS_SUB_REFRESH:
        tell_text(out, "channel", c->refresh.channel);
        tell_text(out, "token", c->refresh.token);
        break;
    default:
        break;
    }
}

static void check_command(const struct golden *g, enum channels_encoding encoding, struct bytes message)
{
    struct channels_decoder d = {.encoding = encoding, .depth_limit = 16};
    struct channels_command c;
    CLEANUP_BUF framed = BUF_INIT;
    CLEANUP_BUF told = BUF_INIT;
    if (encoding == CHANNELS_PROTOBUF)
        pb_append_varint(&framed, message.len);
    buf_append_bytes(&framed, message);
    struct bytes rest = buf_bytes(&framed);
    if (channels_decode(&d, &rest, &c) != 1)
        fail_msg("%s: %s", g->name, d.reason);
    assert_int_equal(rest.len, 0);
    tell_command(&told, &c, encoding);
    assert_bytes(g, buf_bytes(&told), buf_bytes(&g->means));
    channels_decoder_done(&d);
}

/* ---- replies and pushes ---- */

struct list {
    struct buf bytes;
    uint32_t ends[4];
    size_t count;
};

static void add(struct list *l, enum channels_encoding e, struct channels_publication p)
{
    channels_append_publication(&l->bytes, e, &p);
    l->ends[l->count++] = (uint32_t)l->bytes.len;
}

static struct channels_items items_of(const struct list *l)
{
    return (struct channels_items){buf_bytes(&l->bytes), l->ends, l->count};
}

typedef void (*build_fn)(struct buf *out, enum channels_encoding e);

static void build_error(struct buf *out, enum channels_encoding e)
{
    channels_reply_error(out, e, 1, 109, L("token expired"), false);
}

static void build_error_temporary(struct buf *out, enum channels_encoding e)
{
    channels_reply_error(out, e, 1, 100, L("internal server error"), true);
}

static void build_connect(struct buf *out, enum channels_encoding e)
{
    struct channels_connect_result r = {.client = L("c1"), .version = L("0.1"), .ping_s = 25, .pong = true};
    channels_reply_connect(out, e, 1, &r);
}

static void build_connect_full(struct buf *out, enum channels_encoding e)
{
    struct list l = {0};
    add(&l, e, (struct channels_publication){.data = L("{\"i\":3}"), .offset = 3});
    struct channels_subscribe_result news = {.recoverable = true, .epoch = L("E"), .publications = items_of(&l),
                                             .recovered = true, .offset = 3, .positioned = true,
                                             .was_recovering = true};
    struct channels_sub subs[] = {{L("news"), news}, {L("other"), {.offset = 0}}};
    struct channels_connect_result r = {
        .client = L("c1"), .version = L("0.1"), .expires = true, .ttl = 60, .data = L("{\"hello\":1}"), .subs = subs,
        .sub_count = 2, .ping_s = 25, .pong = true, .session = L("s1"), .node = L("n1"), .time_ms = 1700000000000};
    channels_reply_connect(out, e, 1, &r);
    buf_done(&l.bytes);
}

static void build_subscribe(struct buf *out, enum channels_encoding e)
{
    channels_reply_subscribe(out, e, 2, &(struct channels_subscribe_result){0});
}

static void build_subscribe_position(struct buf *out, enum channels_encoding e)
{
    struct channels_subscribe_result r = {.recoverable = true, .epoch = L("E"), .offset = 4, .positioned = true};
    channels_reply_subscribe(out, e, 2, &r);
}

static void build_subscribe_recovered(struct buf *out, enum channels_encoding e)
{
    struct list l = {0};
    add(&l, e, (struct channels_publication){.data = L("{\"i\":3}"), .offset = 3, .tags = L("{\"k\":\"v\"}")});
    add(&l, e,
        (struct channels_publication){.data = L("{}"), .offset = 4, .info = L("{\"user\":\"\",\"client\":\"c2\"}")});
    struct channels_subscribe_result r = {.recoverable = true, .epoch = L("E"), .publications = items_of(&l),
                                          .recovered = true, .offset = 2, .positioned = true, .was_recovering = true};
    channels_reply_subscribe(out, e, 2, &r);
    buf_done(&l.bytes);
}

static void build_subscribe_full(struct buf *out, enum channels_encoding e)
{
    struct channels_subscribe_result r = {.expires = true,
                                          .ttl = 300,
                                          .recoverable = true,
                                          .epoch = L("E"),
                                          .offset = 4,
                                          .positioned = true,
                                          .data = L("\"hi\""),
                                          .delta = true};
    channels_reply_subscribe(out, e, 2, &r);
}

static void build_subscribe_strings(struct buf *out, enum channels_encoding e)
{
    struct list l = {0};
    add(&l, e, (struct channels_publication){.data = L("{\"i\":3}"), .offset = 3, .data_as_string = true});
    add(&l, e,
        (struct channels_publication){.data = L("7\n7@0,3;"), .offset = 4, .data_as_string = true, .delta = true});
    struct channels_subscribe_result r = {.epoch = L("E"), .publications = items_of(&l), .recovered = true, .offset = 4,
                                          .was_recovering = true, .delta = true};
    channels_reply_subscribe(out, e, 2, &r);
    buf_done(&l.bytes);
}

static void build_map_page(struct buf *out, enum channels_encoding e)
{
    struct list l = {0};
    add(&l, e, (struct channels_publication){.data = L("{\"x\":1}"), .offset = 1, .key = L("p1"), .epoch = L("E")});
    add(&l, e, (struct channels_publication){.data = L("{\"x\":2}"), .offset = 2, .key = L("p2")});
    struct channels_subscribe_result r = {.epoch = L("E"),
                                          .offset = 2,
                                          .type = CHANNELS_MAP,
                                          .phase = CHANNELS_PHASE_STATE,
                                          .cursor = L("p2"),
                                          .state = items_of(&l)};
    channels_reply_subscribe(out, e, 2, &r);
    buf_done(&l.bytes);
}

static void build_map_stream(struct buf *out, enum channels_encoding e)
{
    struct list l = {0};
    add(&l, e, (struct channels_publication){.data = L("{\"x\":3}"), .offset = 3, .key = L("p1")});
    struct channels_subscribe_result r = {.epoch = L("E"), .offset = 3, .type = CHANNELS_MAP,
                                          .phase = CHANNELS_PHASE_STREAM, .publications = items_of(&l)};
    channels_reply_subscribe(out, e, 3, &r);
    buf_done(&l.bytes);
}

static void build_map_live(struct buf *out, enum channels_encoding e)
{
    struct list l = {0};
    add(&l, e, (struct channels_publication){.offset = 4, .key = L("p2"), .removed = true});
    struct channels_subscribe_result r = {.recoverable = true, .epoch = L("E"), .offset = 4, .type = CHANNELS_MAP,
                                          .publications = items_of(&l), .recovered = true, .was_recovering = true,
                                          .publish_debounce = 50};
    channels_reply_subscribe(out, e, 4, &r);
    buf_done(&l.bytes);
}

static void build_unsubscribe(struct buf *out, enum channels_encoding e)
{
    channels_reply_empty(out, e, 5, CHANNELS_UNSUBSCRIBE);
}

static void build_publish(struct buf *out, enum channels_encoding e)
{
    channels_reply_empty(out, e, 6, CHANNELS_PUBLISH);
}

static void build_reply_ping(struct buf *out, enum channels_encoding e)
{
    channels_reply_empty(out, e, 7, CHANNELS_PING);
}

static void build_presence(struct buf *out, enum channels_encoding e)
{
    CLEANUP_BUF presence = BUF_INIT;
    struct channels_client_info first = {L("u1"), L("c1"), L("{\"name\":\"A\"}"), L("[1]")};
    struct channels_client_info second = {BYTES_NULL, L("c2"), BYTES_NULL, BYTES_NULL};
    buf_append_str(&presence, "{\"c1\":");
    channels_append_info(&presence, &first);
    buf_append_str(&presence, ",\"c2\":");
    channels_append_info(&presence, &second);
    buf_append_str(&presence, "}");
    channels_reply_presence(out, e, 8, buf_bytes(&presence));
}

static void build_presence_empty(struct buf *out, enum channels_encoding e)
{
    channels_reply_presence(out, e, 8, L("{}"));
}

static void build_presence_stats(struct buf *out, enum channels_encoding e)
{
    channels_reply_presence_stats(out, e, 9, 2, 0);
}

static void build_history(struct buf *out, enum channels_encoding e)
{
    struct list l = {0};
    add(&l, e, (struct channels_publication){.data = L("1"), .offset = 1});
    add(&l, e, (struct channels_publication){.data = L("\"x\""), .offset = 2});
    struct channels_history_result r = {items_of(&l), L("E"), 2};
    channels_reply_history(out, e, 10, &r);
    buf_done(&l.bytes);
}

static void build_history_empty(struct buf *out, enum channels_encoding e)
{
    struct channels_history_result r = {.epoch = L("E")};
    channels_reply_history(out, e, 10, &r);
}

static void build_rpc(struct buf *out, enum channels_encoding e)
{
    channels_reply_rpc(out, e, 11, L("{\"sum\":3}"));
}

static void build_refresh(struct buf *out, enum channels_encoding e)
{
    struct channels_refresh_result r = {L("c1"), L("0.1"), true, 60};
    channels_reply_refresh(out, e, 12, false, &r);
}

static void build_sub_refresh(struct buf *out, enum channels_encoding e)
{
    struct channels_refresh_result r = {.expires = true, .ttl = 60};
    channels_reply_refresh(out, e, 13, true, &r);
}

static struct channels_style style_of(enum channels_encoding e)
{
    return (struct channels_style){e, CHANNELS_WEBSOCKET, false};
}

static void push_publication(struct buf *out, enum channels_encoding e, const char *channel,
                             struct channels_publication p)
{
    struct channels_style style = style_of(e);
    channels_push_publication(out, &style, bytes_of(channel), &p);
}

static void build_push(struct buf *out, enum channels_encoding e)
{
    push_publication(out, e, "news", (struct channels_publication){.data = L("{\"text\":\"\xc3\xa4\"}"), .offset = 7});
}

static void build_push_full(struct buf *out, enum channels_encoding e)
{
    CLEANUP_BUF info = BUF_INIT;
    struct channels_client_info publisher = {L("u1"), L("c1"), L("{\"name\":\"A\"}"), L("null")};
    channels_append_info(&info, &publisher);
    push_publication(out, e, "cursors",
                     (struct channels_publication){.data = L("[1]"), .info = buf_bytes(&info), .offset = 1,
                                                   .tags = L("{\"line\":\"550\",\"mode\":\"\"}"),
                                                   .time_ms = 1700000000000, .key = L("k"), .epoch = L("E")});
}

static void build_push_string(struct buf *out, enum channels_encoding e)
{
    push_publication(out, e, "news",
                     (struct channels_publication){
                         .data = L("{\"n\":1,\"pad\":\"abcdefghijklmnopqrstuvwxyz0123456789\"}"), .offset = 1,
                         .data_as_string = true});
}

static void build_push_delta(struct buf *out, enum channels_encoding e)
{
    push_publication(out, e, "news",
                     (struct channels_publication){.data = L("p\n6:{\"n\":2j@6,2D3dTF;"), .offset = 2, .delta = true,
                                                   .data_as_string = true});
}

static void build_push_removal(struct buf *out, enum channels_encoding e)
{
    push_publication(out, e, "cursors",
                     (struct channels_publication){.offset = 4, .tags = L("{\"line\":\"550\"}"), .key = L("k"),
                                                   .removed = true});
}

static void build_join(struct buf *out, enum channels_encoding e)
{
    struct channels_style style = style_of(e);
    struct bytes info = L("{\"user\":\"u1\",\"client\":\"c1\",\"conn_info\":{\"name\":\"A\"}}");
    channels_push_join(out, &style, L("news"), info, false);
}

static void build_leave(struct buf *out, enum channels_encoding e)
{
    struct channels_style style = style_of(e);
    channels_push_join(out, &style, L("news"), L("{\"user\":\"\",\"client\":\"c1\"}"), true);
}

static void build_message(struct buf *out, enum channels_encoding e)
{
    struct channels_style style = style_of(e);
    channels_push_message(out, &style, L("{\"a\":1}"));
}

static void build_push_subscribe(struct buf *out, enum channels_encoding e)
{
    struct channels_style style = style_of(e);
    struct channels_subscribe_result r = {.recoverable = true, .epoch = L("E"), .offset = 4, .positioned = true,
                                          .data = L("{\"a\":1}")};
    channels_push_subscribe(out, &style, L("news"), &r);
}

static void build_push_unsubscribe(struct buf *out, enum channels_encoding e)
{
    struct channels_style style = style_of(e);
    channels_push_unsubscribe(out, &style, L("news"), 2500, L("insufficient state"));
}

static void build_push_connect(struct buf *out, enum channels_encoding e)
{
    struct channels_style style = style_of(e);
    struct channels_sub sub = {L("news"), {.epoch = L("E"), .offset = 3}};
    struct channels_connect_result r = {.client = L("c1"), .version = L("0.1"), .expires = true, .ttl = 60,
                                        .data = L("{\"hello\":1}"), .subs = &sub, .sub_count = 1, .ping_s = 25,
                                        .pong = true, .session = L("s1"), .node = L("n1"), .time_ms = 5};
    channels_push_connect(out, &style, &r);
}

static void build_disconnect(struct buf *out, enum channels_encoding e)
{
    struct channels_style style = style_of(e);
    channels_push_disconnect(out, &style, 3012, L("no pong"));
}

static void build_push_refresh(struct buf *out, enum channels_encoding e)
{
    struct channels_style style = style_of(e);
    channels_push_refresh(out, &style, true, 60);
}

static void build_uni_connect(struct buf *out, enum channels_encoding e)
{
    struct channels_style style = {e, CHANNELS_SSE, true};
    struct channels_connect_result r = {.client = L("c1"), .version = L("0.1"), .ping_s = 25};
    channels_push_connect(out, &style, &r);
}

static void build_uni_publication(struct buf *out, enum channels_encoding e)
{
    struct channels_style style = {e, CHANNELS_SSE, true};
    struct channels_publication p = {.data = L("{\"text\":\"\xc3\xa4\"}"), .offset = 7};
    channels_push_publication(out, &style, L("news"), &p);
}

static const struct {
    const char *file;
    build_fn build;
} builders[] = {
    {"reply-error", build_error},
    {"reply-error-temporary", build_error_temporary},
    {"reply-connect", build_connect},
    {"reply-connect-full", build_connect_full},
    {"reply-subscribe", build_subscribe},
    {"reply-subscribe-position", build_subscribe_position},
    {"reply-subscribe-recovered", build_subscribe_recovered},
    {"reply-subscribe-full", build_subscribe_full},
    {"reply-subscribe-strings", build_subscribe_strings},
    {"reply-map-page", build_map_page},
    {"reply-map-stream", build_map_stream},
    {"reply-map-live", build_map_live},
    {"reply-unsubscribe", build_unsubscribe},
    {"reply-publish", build_publish},
    {"reply-ping", build_reply_ping},
    {"reply-presence", build_presence},
    {"reply-presence-empty", build_presence_empty},
    {"reply-presence-stats", build_presence_stats},
    {"reply-history", build_history},
    {"reply-history-empty", build_history_empty},
    {"reply-rpc", build_rpc},
    {"reply-refresh", build_refresh},
    {"reply-sub-refresh", build_sub_refresh},
    {"push-publication", build_push},
    {"push-publication-full", build_push_full},
    {"push-publication-string", build_push_string},
    {"push-publication-delta", build_push_delta},
    {"push-removal", build_push_removal},
    {"push-join", build_join},
    {"push-leave", build_leave},
    {"push-message", build_message},
    {"push-subscribe", build_push_subscribe},
    {"push-unsubscribe", build_push_unsubscribe},
    {"push-connect", build_push_connect},
    {"push-disconnect", build_disconnect},
    {"push-refresh", build_push_refresh},
    {"ping", channels_ping},
    {"uni-connect", build_uni_connect},
    {"uni-publication", build_uni_publication},
};

static build_fn find_builder(const struct golden *g)
{
    for (size_t i = 0; i < sizeof builders / sizeof *builders; i++)
        if (strcmp(builders[i].file, g->name) == 0)
            return builders[i].build;
    fail_msg("nothing makes %s", g->name);
    return NULL;
}

static void check_message(const struct golden *g)
{
    build_fn build = find_builder(g);
    CLEANUP_BUF out = BUF_INIT;
    build(&out, CHANNELS_JSON);
    assert_bytes(g, buf_bytes(&out), buf_bytes(&g->json));
    out.len = 0;
    build(&out, CHANNELS_PROTOBUF);
    if (g->has_protobuf)
        assert_bytes(g, buf_bytes(&out), buf_bytes(&g->protobuf));
}

static size_t for_each_golden(bool decode, void (*check)(const struct golden *g))
{
    DIR *dir = opendir(GOLDEN_DIR);
    assert_non_null(dir);
    size_t seen = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        struct golden g;
        golden_read(entry->d_name, &g);
        if (g.decode == decode) {
            check(&g);
            seen++;
        }
        golden_done(&g);
    }
    closedir(dir);
    return seen;
}

static void check_both_encodings(const struct golden *g)
{
    check_command(g, CHANNELS_JSON, buf_bytes(&g->json));
    check_command(g, CHANNELS_PROTOBUF, buf_bytes(&g->protobuf));
}

static void commands_mean_the_same_in_both_encodings(void **state)
{
    (void)state;
    assert_true(for_each_golden(true, check_both_encodings) >= 22);
}

static void replies_and_pushes_are_written_as_recorded(void **state)
{
    (void)state;
    assert_int_equal(for_each_golden(false, check_message), sizeof builders / sizeof *builders);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_mean_the_same_in_both_encodings),
        cmocka_unit_test(replies_and_pushes_are_written_as_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
