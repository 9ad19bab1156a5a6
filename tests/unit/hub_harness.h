/* The hub alone on a loop of its own: a configuration from text, fake brokers, and one loop that notes what it is sent.
 *
 * Time is the test's: these definitions take the place of the library's clock. One world at a time. */
#ifndef CRIER_TESTS_HUB_HARNESS_H
#define CRIER_TESTS_HUB_HARNESS_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_bridge.h"
#include "hub/publish.h"
#include "hub/query.h"
#include "hub/relay.h"
#include "hub/source.h"
#include "hub/subscribe.h"
#include "util/clock.h"
#include "util/metrics.h"

static uint64_t test_mono_ms = 1000000;
static int64_t test_wall_ms = 1700000000000;

uint64_t clock_mono_ms(void)
{
    return test_mono_ms;
}

static uint64_t clock_step_ms; /* what a look at the clock costs */

uint64_t clock_mono_ns(void)
{
    test_mono_ms += clock_step_ms;
    return test_mono_ms * 1000000u;
}

int64_t clock_wall_ms(void)
{
    return test_wall_ms;
}

/* ---- the world ---- */

struct listener { /* a peer: a form of a channel on the fake loop */
    struct buf offsets; /* "1 2 3 " */
    struct buf text;    /* the blocks' bytes */
    size_t blocks;
    char epoch[CHANNEL_EPOCH_SIZE];
    int epochs;
};

static struct {
    uv_loop_t uv;
    struct hub hub;
    struct config *config;
    struct inbox inbox; /* of the fake loop */
    struct hub_loop port;
    struct hub_loop port2; /* a second loop on the same inbox */
    bool closed;
    int64_t history_bytes; /* before */
} world;

static inline void on_block(void *peer, struct frame_block *block)
{
    struct listener *l = peer;
    for (uint32_t i = 0; i < block->count; i++)
        buf_printf(&l->offsets, "%lld ", (long long)block->marks[i].offset);
    buf_append(&l->text, block->bytes, block->len);
    l->blocks++;
    frame_block_unref(block);
}

static inline void on_epoch(void *peer, const char *epoch, int64_t position)
{
    struct listener *l = peer;
    (void)position;
    l->epochs++;
    snprintf(l->epoch, sizeof l->epoch, "%s", epoch);
}

static inline size_t one_client(void *peer)
{
    (void)peer;
    return 1;
}

static inline void turn(void)
{
    for (int i = 0; i < 6; i++)
        uv_run(&world.uv, UV_RUN_NOWAIT);
}

static inline void pass_ms(uint64_t ms)
{
    test_mono_ms += ms;
    test_wall_ms += (int64_t)ms;
}

static inline struct config *config_of(const char *text)
{
    char path[] = "/tmp/crier-hub-XXXXXX";
    CLEANUP_BUF faults = BUF_INIT, notes = BUF_INIT;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    struct config *config = config_load(path, NULL, 0, &faults, &notes);
    unlink(path);
    if (!config)
        fail_msg("%.*s", (int)faults.len, faults.data);
    return config;
}

static inline void world_open(const char *toml)
{
    char error[400] = "";
    memset(&world, 0, sizeof world);
    fake_ops.caps = FAKE_CAPS;
    fake_closes_at_once = true;
    bridge_registry_add(&fake_ops);
    log_threshold = LOG_LEVEL_ERROR + 1;
    metrics_thread_init();
    world.history_bytes = metric_total(M_HISTORY_BYTES);
    world.config = config_of(toml);
    uv_loop_init(&world.uv);
    inbox_init(&world.inbox, &world.uv, &world);
    world.port = (struct hub_loop){
        .inbox = &world.inbox, .on_block = on_block, .on_epoch = on_epoch, .clients = one_client};
    if (hub_init(&world.hub, &world.uv, world.config, error, sizeof error) < 0)
        fail_msg("%s", error);
    hub_add_loop(&world.hub, &world.port);
}

static inline void on_hub_closed(struct hub *hub)
{
    (void)hub;
    world.closed = true;
}

static inline void close_rest(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* The same with a bridge "b" whose first source has read its one empty partition "log". */
static inline struct bridge *world_open_on_log(const char *config)
{
    world_open(config);
    struct bridge *b = fake_bridge("b");
    fake_ready(b);
    fake_assign(&b->subs[0], 0, 1, "log", 0, 0);
    fake_caught_up(&b->subs[0]);
    return b;
}

/* As the server stops: bridges first, then the handles. */
static inline void world_close(void)
{
    if (!world.hub.closing)
        hub_close(&world.hub, 0, on_hub_closed);
    turn();
    assert_true(world.closed);
    hub_done(&world.hub);
    inbox_close(&world.inbox);
    uv_walk(&world.uv, close_rest, NULL);
    turn();
    hub_free(&world.hub);
    assert_int_equal(uv_loop_close(&world.uv), 0);
    config_free(world.config);
    assert_int_equal(metric_total(M_HISTORY_BYTES), world.history_bytes);
}

static inline void listener_done(struct listener *l)
{
    buf_done(&l->offsets);
    buf_done(&l->text);
}

static inline const char *text_of(struct buf *b)
{
    buf_append(b, "", 1);
    b->len--;
    return b->data;
}

#define assert_offsets(l, expected) assert_string_equal(text_of(&(l)->offsets), expected)

/* ---- calls ---- */

struct answer {
    bool done;
    enum crier_error error;
    bool recovered, fresh, more;
    char epoch[CHANNEL_EPOCH_SIZE];
    int64_t position, until;
    struct buf offsets, text;
    uint32_t count;
};

static inline void answer_done(struct answer *a)
{
    buf_done(&a->offsets);
    buf_done(&a->text);
}

static inline void on_subscribed(struct hub_call *call, void *owner)
{
    struct hub_subscribe *s = (struct hub_subscribe *)call;
    struct answer *a = s->arg;
    (void)owner;
    *a = (struct answer){.done = true, .error = s->error, .recovered = s->recovered, .fresh = s->fresh,
                         .position = s->position, .more = s->more, .until = s->until};
    memcpy(a->epoch, s->ret_epoch, sizeof a->epoch);
    for (uint32_t i = 0; s->block && i < s->block->count; i++)
        buf_printf(&a->offsets, "%lld ", (long long)s->block->marks[i].offset);
    if (s->block) {
        a->count = s->block->count;
        buf_append(&a->text, s->block->bytes, s->block->len);
    }
    text_of(&a->offsets);
    text_of(&a->text);
    hub_subscribe_free(s);
}

struct wish {
    const char *channel;
    const char *epoch; /* NULL: no position */
    int64_t offset;
    int64_t history;
    struct listener *listener;
    const char *session; /* NULL: no presence */
    bool conflate;
    enum frame_form form;
};

static inline struct hub_subscribe *subscribe_post(const struct wish *w, struct answer *a)
{
    struct hub_subscribe *s = hub_subscribe_new(&world.inbox, bytes_of(w->channel), on_subscribed);
    *a = (struct answer){0};
    s->arg = a;
    s->peer = w->listener;
    s->form = s->block_form = w->form ? w->form : FORM_POLL;
    s->history = w->history;
    s->conflate = w->conflate;
    if (w->epoch) {
        s->has_position = true;
        s->offset = w->offset;
        snprintf(s->epoch, sizeof s->epoch, "%s", w->epoch);
    }
    if (w->session) {
        s->session = xstrdup(w->session);
        s->user = xstrdup("user");
    }
    hub_call_post(&world.hub, &s->call);
    return s;
}

/* Posts and lets the hub answer, if it can. */
#define subscribe(a, l, ...)                                                                                           \
    do {                                                                                                               \
        const struct wish wish_ = {.listener = (l), __VA_ARGS__};                                                      \
        subscribe_post(&wish_, (a));                                                                                   \
        turn();                                                                                                        \
    } while (0)

struct outcome {
    bool done;
    enum crier_error error;
    int32_t partition;
    int64_t offset;
    char epoch[CHANNEL_EPOCH_SIZE];
    char detail[160];
};

static inline void on_published(struct hub_call *call, void *owner)
{
    struct hub_publish *p = (struct hub_publish *)call;
    struct outcome *o = p->arg;
    (void)owner;
    assert_false(o->done);
    *o = (struct outcome){.done = true, .error = p->error, .partition = p->partition, .offset = p->offset};
    memcpy(o->epoch, p->epoch, sizeof o->epoch);
    memcpy(o->detail, p->detail, sizeof o->detail);
    hub_publish_free(p);
}

/* `key` and `id` may be NULL. */
static inline void publish(struct outcome *o, const char *channel, const char *key, const char *payload, const char *id)
{
    struct hub_publish *p = hub_publish_new(&world.inbox, bytes_of(channel), bytes_of(payload), on_published);
    *o = (struct outcome){0};
    p->arg = o;
    p->has_key = key != NULL;
    if (key)
        buf_append_str(&p->key, key);
    p->message_id = xstrdup(id);
    hub_call_post(&world.hub, &p->call);
    turn();
}

static inline struct channel *find(const char *name)
{
    return hub_channel_find(&world.hub, bytes_of(name));
}

#endif
