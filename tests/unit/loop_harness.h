/* A loop without a network, beside the hub and on its thread: connections and the wire are the test's.
 *
 * The includer has `static const char loop_config[]` before it. Sessions live until session_end() or the teardown. */
#ifndef CRIER_TESTS_LOOP_HARNESS_H
#define CRIER_TESTS_LOOP_HARNESS_H

#include "hub_harness.h"

#include "loop/engine.h"
#include "session/session.h"

/* ---- connections in place of server/net's ---- */

struct ws_conn {
    struct session *session;
    struct buf out;
    bool blocked;
    int writes;
    int closed; /* code */
};

void ws_prefetch(const struct ws_conn *c)
{
    (void)c;
}

void ws_limit_unsent(struct ws_conn *c, int bytes)
{
    (void)c, (void)bytes;
}

bool ws_blocked(const struct ws_conn *c)
{
    return c->blocked;
}

int ws_write(struct ws_conn *c, const void *frames, size_t len)
{
    assert_false(c->blocked);
    buf_append(&c->out, frames, len);
    c->writes++;
    return 0;
}

void ws_close(struct ws_conn *c, int code, const char *reason)
{
    (void)reason;
    c->closed = code;
}

void loop_decide_in(struct loop *l, uint64_t ms)
{
    (void)l, (void)ms;
}

void loop_post(struct loop *l, struct inbox_message *m)
{
    inbox_post(&l->inbox, m);
}

/* ---- a wire that writes what it is told as text ---- */

__attribute__((format(printf, 2, 3))) static inline void say(struct session *s, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    session_send(s, bytes_of(text));
}

static inline void on_live(struct session *s, struct subscription *sub, const struct hub_subscribe *result)
{
    const struct frame_block *items = result->items ? result->block : NULL;
    say(s, "<live %s %lld %d>", sub->form->channel->name, (long long)result->position, result->recovered);
    for (uint32_t i = 0; items && i < items->count; i++) {
        uint32_t start = i ? items->marks[i - 1].end : 0;
        say(s, "{\"push\":{\"pub\":%.*s}}\n", (int)(items->marks[i].end - start), items->bytes + start);
    }
}

static inline void on_failed(struct session *s, struct bytes channel, enum crier_error error, const char *detail)
{
    (void)detail;
    say(s, "<failed %.*s %d>", (int)channel.len, channel.data, error);
}

static inline void on_gap(struct session *s, struct bytes channel, int64_t first, int64_t last)
{
    say(s, "<gap %.*s %lld-%lld>", (int)channel.len, channel.data, (long long)first, (long long)last);
}

static inline void on_ended(struct session *s, struct bytes channel, int code, const char *reason)
{
    (void)reason;
    say(s, "<ended %.*s %d>", (int)channel.len, channel.data, code);
}

static const struct wire_ops wire = {
    .subscribed = on_live, .subscribe_failed = on_failed, .gap = on_gap, .unsubscribed = on_ended};

/* ---- the world: one loop beside the hub, on its thread ---- */

static struct engine *engine;
static struct loop *loop;

static inline void on_timer(uv_timer_t *timer)
{
    (void)timer;
}

static inline int setup(void **state)
{
    (void)state;
    world_open(loop_config);
    engine = xcalloc(1, sizeof *engine);
    loop = xcalloc(1, sizeof *loop);
    engine->config = world.config;
    engine->hub = &world.hub;
    loop->engine = engine;
    loop->port = (struct hub_loop){.inbox = &loop->inbox, .on_block = channel_form_on_block,
                                   .on_epoch = channel_form_on_epoch, .clients = channel_form_clients};
    loop->index = hub_add_loop(&world.hub, &loop->port);
    uv_loop_init(&loop->uv);
    inbox_init(&loop->inbox, &loop->uv, loop);
    frame_deflate_init(&loop->deflate, &world.config->server);
    uv_timer_init(&loop->uv, &loop->gather);
    uv_idle_init(&loop->uv, &loop->more);
    uv_timer_start(&loop->gather, on_timer, 0, 0);
    return 0;
}

/* Some turns of both sides, with everything delivered; no time passes. */
static inline void turns(void)
{
    for (int i = 0; i < 6; i++) {
        turn();
        uv_run(&loop->uv, UV_RUN_NOWAIT);
        if (loop->dirty || loop->gathering || loop->passing)
            loop_flush(loop);
    }
}

static inline struct session *session_open(void)
{
    struct session *s = session_new(loop, &wire, "user", NULL);
    s->conn = xcalloc(1, sizeof *s->conn);
    s->conn->session = s;
    s->form = FORM_TYPED_OBJECT;
    s->form_known = true;
    return s;
}

static inline void session_end(struct session *s)
{
    struct ws_conn *c = s->conn;
    session_free(s);
    buf_done(&c->out);
    free(c);
}

static inline void session_unblock(struct session *s)
{
    s->conn->blocked = false;
    session_flush(s);
}

static inline int teardown(void **state)
{
    (void)state;
    while (loop->sessions)
        session_end(loop->sessions);
    turns();
    hub_close(&world.hub, 0, on_hub_closed);
    turns();
    inbox_close(&loop->inbox);
    uv_close((uv_handle_t *)&loop->gather, NULL);
    uv_close((uv_handle_t *)&loop->more, NULL);
    uv_run(&loop->uv, UV_RUN_NOWAIT);
    world_close();
    loop_channels_done(loop);
    assert_int_equal(uv_loop_close(&loop->uv), 0);
    buf_done(&loop->scratch);
    frame_deflate_done(&loop->deflate);
    free(loop);
    free(engine);
    return 0;
}

static inline void join(struct session *s, const char *channel, int64_t history)
{
    const struct subscribe_request q = {.channel = bytes_of(channel), .history = history};
    session_subscribe(s, &q);
    turns();
}

/* What the session was sent since the last look, without what makes frames frames: "1 2 <gap ..>". */
static inline const char *heard(struct session *s)
{
    static char text[8192];
    const char *at = text_of(&s->conn->out), *end = at + s->conn->out.len;
    size_t n = 0;
    text[0] = 0;
    for (; at < end && n < sizeof text - 100; at++) {
        const char *mark = "\"payload\":";
        if (*at == '<') {
            while (*at != '>')
                text[n++] = *at++;
            n += (size_t)sprintf(text + n, "> ");
        } else if (strncmp(at, mark, strlen(mark)) == 0) {
            n += (size_t)sprintf(text + n, "%ld ", strtol(at + strlen(mark), NULL, 10));
        }
    }
    text[n] = 0;
    s->conn->out.len = 0;
    return text;
}

static inline void say_in(const char *channel, int number)
{
    struct outcome o;
    char payload[16];
    snprintf(payload, sizeof payload, "%d", number);
    publish(&o, channel, NULL, payload, NULL);
    assert_int_equal(o.error, CRIER_OK);
}

/* More than a frame log holds. */
static inline void flood(const char *channel, int first)
{
    struct outcome o;
    char payload[900];
    for (int i = 0; i < 8; i++) {
        int n = snprintf(payload, sizeof payload, "%d", first + i);
        memset(payload + n, ' ', sizeof payload - 1 - (size_t)n);
        payload[sizeof payload - 1] = 0;
        publish(&o, channel, NULL, payload, NULL);
    }
}

#endif
