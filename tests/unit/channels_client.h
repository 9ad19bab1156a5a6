/* A client of the channels wire for tests of the loop: reads what its session was sent as lines of JSON, and applies
 * deltas as the protocol says.
 *
 * Keeps what deltas are against by key; one client a session. */
#ifndef CRIER_TESTS_CHANNELS_CLIENT_H
#define CRIER_TESTS_CHANNELS_CLIENT_H

#include "loop_harness.h"

#include "proto/fossil.h"
#include "proto/json_scan.h"

struct client {
    struct session *session;
    bool single_base; /* as for streams, whatever keys publications have */
    char keys[8][16];
    struct buf bases[8]; /* by index of the key */
    char heard[4096];
};

static inline void client_open(struct client *c)
{
    *c = (struct client){.session = session_open()};
    c->session->form = FORM_CHANNELS_LINES;
}

static inline void client_done(struct client *c)
{
    for (size_t i = 0; i < 8; i++)
        buf_done(&c->bases[i]);
}

static inline struct buf *client_base(struct client *c, struct bytes pub)
{
    CLEANUP_BUF key = BUF_INIT;
    size_t i = 0;
    if (!c->single_base)
        json_get_string(pub, "key", &key);
    while (i < 7 && c->bases[i].len && strcmp(c->keys[i], text_of(&key)) != 0)
        i++;
    snprintf(c->keys[i], sizeof c->keys[i], "%s", text_of(&key));
    return &c->bases[i];
}

/* "3 " for {"n":3,..}, "~3 " when it came as a delta, "x " for a removal. */
static inline void client_hear_publication(struct client *c, struct bytes pub, struct buf *out)
{
    CLEANUP_BUF data = BUF_INIT, text = BUF_INIT;
    struct buf *base = client_base(c, pub);
    bool delta = false, removed = false;
    int64_t n = -1;
    struct bytes raw;
    json_get_bool(pub, "delta", &delta);
    json_get_bool(pub, "removed", &removed);
    if (removed) {
        base->len = 0;
        buf_append_str(out, "x ");
        return;
    }
    assert_int_equal(json_get_raw(pub, "data", &raw), 0);
    if (raw.data[0] != '"')
        buf_append_bytes(&text, raw);
    else
        assert_int_equal(json_get_string(pub, "data", &data), 0);
    if (delta)
        assert_int_equal(fossil_apply(buf_bytes(base), buf_bytes(&data), 65536, &text), 0);
    else
        buf_append_bytes(&text, buf_bytes(&data));
    assert_int_equal(json_get_int64(buf_bytes(&text), "n", &n), 0);
    base->len = 0;
    buf_append_bytes(base, buf_bytes(&text));
    buf_printf(out, "%s%lld ", delta ? "~" : "", (long long)n);
}

static inline void client_hear_line(struct client *c, struct bytes line, struct buf *out)
{
    struct bytes push, part;
    CLEANUP_BUF user = BUF_INIT;
    assert_int_equal(json_get_raw(line, "push", &push), 0);
    if (json_get_raw(push, "pub", &part) == 0) {
        client_hear_publication(c, part, out);
        return;
    }
    bool leave = json_get_raw(push, "leave", &part) == 0;
    assert_true(leave || json_get_raw(push, "join", &part) == 0);
    assert_int_equal(json_get_raw(part, "info", &part), 0);
    assert_int_equal(json_get_string(part, "user", &user), 0);
    buf_printf(out, "%c%s ", leave ? '-' : '+', text_of(&user));
}

/* What came since the last look: publications as above, "+user " and "-user ", and what the wire was told in <>. */
static inline const char *client_hear(struct client *c)
{
    CLEANUP_BUF out = BUF_INIT;
    const char *at = text_of(&c->session->conn->out), *end = at + c->session->conn->out.len;
    while (at < end) {
        const char *stop = memchr(at, *at == '<' ? '>' : '\n', (size_t)(end - at));
        assert_non_null(stop);
        if (*at == '<')
            buf_printf(&out, "%.*s ", (int)(stop + 1 - at), at);
        else
            client_hear_line(c, (struct bytes){at, (size_t)(stop - at)}, &out);
        at = stop + 1;
    }
    c->session->conn->out.len = 0;
    snprintf(c->heard, sizeof c->heard, "%s", text_of(&out));
    return c->heard;
}

#define assert_hears(c, expected) assert_string_equal(client_hear(c), expected)

static inline void client_join(struct client *c, struct subscribe_request q)
{
    session_subscribe(c->session, &q);
    turns();
}

struct post {
    const char *channel, *key, *tags;
    int n;
    const char *raw; /* instead of {"n":..} */
    bool removed, delta, unnumbered;
};

#define PAD "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0123456789"

static inline void post(struct post p)
{
    struct outcome o = {.done = false};
    char payload[200];
    snprintf(payload, sizeof payload, "{\"n\":%d,\"pad\":\"%s\"}", p.n, PAD);
    struct hub_publish *call =
        hub_publish_new(&world.inbox, bytes_of(p.channel), bytes_of(p.raw ? p.raw : payload), on_published);
    call->arg = &o;
    call->has_key = p.key != NULL;
    buf_append_str(&call->key, p.key ? p.key : "");
    call->tags = xstrdup(p.tags);
    call->tombstone = p.removed;
    call->delta = p.delta;
    call->skip_history = p.unnumbered;
    hub_call_post(&world.hub, &call->call);
    turn();
    assert_true(o.done);
    assert_int_equal(o.error, CRIER_OK);
}

/* Posts and lets it reach the clients. */
#define tell(...)                                                                                                      \
    do {                                                                                                               \
        post((struct post){__VA_ARGS__});                                                                              \
        turns();                                                                                                       \
    } while (0)

#endif
