#include "loop.h"

#include <stdio.h>
#include <stdlib.h>

#include "loop/engine.h"
#include "loop/view.h"
#include "session/modules.h"
#include "session/session.h"
#include "util/clock.h"
#include "util/metrics.h"

#define SWEEP_MS 1000

static void on_turn_end(uv_prepare_t *prepare)
{
    struct loop *l = prepare->data;
    bool sending = l->dirty || l->gathering || l->passing;
    if (sending)
        loop_flush(l);
    sending |= views_run(l->views);
    if (sending && l->net)
        net_deliveries(l->net);
    metric_observe(H_LOOP_TURN_US, turn_clock_lap(&l->turn, &l->uv));
}

static void on_sweep(uv_timer_t *timer)
{
    uint64_t now = clock_mono_ms();
    loop_channels_sweep(timer->data, now);
    sessions_wake(timer->data, now);
}

static void on_decide(uv_timer_t *timer)
{
    struct loop *l = timer->data;
    uint64_t now = clock_mono_ms(), next = sessions_decide(l, now);
    if (next)
        uv_timer_start(timer, on_decide, next - now, 0);
}

void loop_decide_in(struct loop *l, uint64_t ms)
{
    if (!uv_is_active((uv_handle_t *)&l->decide))
        uv_timer_start(&l->decide, on_decide, ms, 0);
}

static void close_handles(struct loop *l)
{
    uv_handle_t *const handles[] = {(uv_handle_t *)&l->prepare, (uv_handle_t *)&l->more,
                                    (uv_handle_t *)&l->gather, (uv_handle_t *)&l->sweep, (uv_handle_t *)&l->decide};
    for (size_t i = 0; i < sizeof handles / sizeof *handles; i++)
        uv_close(handles[i], NULL);
    views_close(l->views);
}

int loop_init(struct loop *l, struct engine *engine, unsigned index, char *error, size_t error_size)
{
    l->engine = engine;
    l->index = index;
    uv_loop_init(&l->uv);
    int r = inbox_init(&l->inbox, &l->uv, l);
    if (r < 0) {
        snprintf(error, error_size, "cannot wake a loop's thread: %s", strerror(-r));
        return r;
    }
    frame_deflate_init(&l->deflate, &engine->config->server);
    l->port.inbox = &l->inbox;
    l->port.on_block = channel_form_on_block;
    l->port.on_epoch = channel_form_on_epoch;
    l->port.clients = channel_form_clients;
    hub_add_loop(engine->hub, &l->port);
    uv_prepare_init(&l->uv, &l->prepare);
    turn_clock_init(&l->turn, &l->uv);
    uv_idle_init(&l->uv, &l->more);
    uv_timer_init(&l->uv, &l->gather);
    uv_timer_init(&l->uv, &l->sweep);
    uv_timer_init(&l->uv, &l->decide);
    l->views = views_new(l);
    l->prepare.data = l->more.data = l->gather.data = l->sweep.data = l->decide.data = l;
    uv_prepare_start(&l->prepare, on_turn_end);
    uv_timer_start(&l->sweep, on_sweep, SWEEP_MS, SWEEP_MS);

    const struct net_options options = {
        .config = engine->config,
        .shared = engine->net_shared,
        .loop = &l->uv,
        .user = l,
        .routes = engine->routes,
        .route_count = engine->route_count,
        .endpoints = engine->endpoints,
        .endpoint_count = engine->endpoint_count,
        .web_dir = *engine->config->server.web ? engine->config->server.web : NULL,
        .port = engine->port,
    };
    l->net = net_new(&options, error, error_size);
    return l->net ? 0 : -1;
}

static void *run_thread(void *arg)
{
    struct loop *l = arg;
    char name[16];
    snprintf(name, sizeof name, "loop-%u", l->index);
    pthread_setname_np(pthread_self(), name);
    metrics_thread_init();
    modules_enter_loop(l);
    net_start(l->net);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    return NULL;
}

int loop_start(struct loop *l)
{
    return -pthread_create(&l->thread, NULL, run_thread, l);
}

void loop_post(struct loop *l, struct inbox_message *m)
{
    inbox_post(&l->inbox, m);
}

/* ---- stopping ---- */

static void run_drained(struct hub *hub, struct hub_call *call)
{
    struct loop *l = call->origin->owner;
    (void)hub;
    free(call);
    l->engine->on_loop_drained(l->engine);
}

static void on_net_freed(void *arg)
{
    struct loop *l = arg;
    struct hub_call *call = xcalloc(1, sizeof *call);
    l->net = NULL;
    call->origin = &l->inbox;
    call->run = run_drained;
    hub_call_post(l->engine->hub, call);
}

static void on_drained(void *arg)
{
    struct loop *l = arg;
    if (l->drained)
        return;
    l->drained = true;
    net_free(l->net, on_net_freed, l);
}

struct drain_message {
    struct inbox_message message; /* first */
    uint64_t spread_ms;
};

static void deliver_drain(struct inbox_message *m, void *owner)
{
    struct loop *l = owner;
    uint64_t spread_ms = ((struct drain_message *)m)->spread_ms;
    free(m);
    if (l->drained)
        return;
    if (spread_ms == 0) {
        on_drained(l);
        return;
    }
    net_stop_accepting(l->net);
    loop_channels_end_waiting(l);
    net_drain(l->net, CLOSE_GOING_AWAY, "shutdown", spread_ms, on_drained, l);
}

void loop_drain(struct loop *l, uint64_t spread_ms)
{
    struct drain_message *m = xcalloc(1, sizeof *m);
    m->message.deliver = deliver_drain;
    m->spread_ms = spread_ms;
    loop_post(l, &m->message);
}

struct certificate_message {
    struct inbox_message message; /* first */
    struct net_certificate *certificate;
};

static void deliver_certificate(struct inbox_message *m, void *owner)
{
    struct loop *l = owner;
    struct net_certificate *c = ((struct certificate_message *)m)->certificate;
    free(m);
    if (!l->drained && !net_certificate_use(l->net, c))
        log_error("TLS certificate is not taken, the old one stays", LOG_INT("loop", l->index));
    net_certificate_unref(c);
}

void loop_use_certificate(struct loop *l, struct net_certificate *c)
{
    struct certificate_message *m = xcalloc(1, sizeof *m);
    m->message.deliver = deliver_certificate;
    m->certificate = net_certificate_ref(c);
    loop_post(l, &m->message);
}

static void deliver_end(struct inbox_message *m, void *owner)
{
    struct loop *l = owner;
    free(m);
    inbox_close(&l->inbox);
    close_handles(l);
}

void loop_end(struct loop *l)
{
    struct inbox_message *m = xcalloc(1, sizeof *m);
    m->deliver = deliver_end;
    loop_post(l, m);
    pthread_join(l->thread, NULL);
}

void loop_done(struct loop *l)
{
    loop_channels_done(l);
    views_free(l->views);
    buf_done(&l->scratch);
    frame_deflate_done(&l->deflate);
    uv_loop_close(&l->uv);
}
