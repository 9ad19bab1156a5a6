#include "app.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <jansson.h>

#include "api/routes.h"
#include "app/cli.h"
#include "auth/auth.h"
#include "hub/bridge_instance.h"
#include "loop/engine.h"
#include "session/modules.h"
#include "wire/channels_stream.h"
#include "wire/schema.h"
#include "wire/typed_wire.h"

#define CLOSE_MS 5000     /* for producers to flush */
#define REQUIRED_MS 30000 /* a bridge marked required has this long to be ready once */

struct run {
    struct engine engine;
    struct hub hub;
    struct modules modules;
    size_t loops_drained;
    uv_loop_t uv;
    int signal_fd;
    uv_poll_t signal_poll;
    uv_timer_t required;
    int stop_signals;
    int exit_code;
    bool stopping;
};

/* ---- starting ---- */

static void collect_routes(struct engine *e)
{
    const size_t count = api_route_count + channels_route_count + e->modules->route_count;
    e->routes = xcalloc(count, sizeof *e->routes);
    for (size_t i = 0; i < api_route_count; i++)
        e->routes[e->route_count++] = api_routes[i];
    for (size_t i = 0; i < channels_route_count; i++)
        e->routes[e->route_count++] = channels_routes[i];
    for (size_t i = 0; i < e->modules->route_count; i++) {
        struct module_route *r = &e->modules->routes[i];
        e->routes[e->route_count++] = (struct http_route){
            .method = r->method, .pattern = r->pattern, .fn = module_route_serve, .arg = r, .cors = true};
    }
    e->endpoints[e->endpoint_count++] = &typed_ws_ops;
    e->endpoints[e->endpoint_count++] = &channels_ws_ops;
    e->endpoints[e->endpoint_count++] = &channels_uni_ws_ops;
}

static size_t loop_count_of(const struct config *config)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t n = config->server.loops ? (size_t)config->server.loops : cores > 0 ? (size_t)cores : 1;
    return n > LOOPS_MAX ? LOOPS_MAX : n;
}

/* Network contexts are made one after the other; the first decides the port when it was 0. */
static int start_loops(struct engine *e, char *error, size_t error_size)
{
    size_t wanted = loop_count_of(e->config);
    e->loops = xcalloc(wanted, sizeof *e->loops);
    for (size_t i = 0; i < wanted; i++) {
        int r = loop_init(&e->loops[i], e, (unsigned)i, error, error_size);
        if (r < 0)
            return r;
        e->loop_count++;
        e->port = net_port(e->loops[i].net);
    }
    for (size_t i = 0; i < e->loop_count; i++) {
        int r = loop_start(&e->loops[i]);
        if (r < 0) {
            snprintf(error, error_size, "cannot start a thread: %s", strerror(-r));
            return r;
        }
    }
    return 0;
}

static int announce(const struct engine *e, const char *ready_file)
{
    char line[200], host[128];
    const char *listen = e->config->server.listen;
    const char *colon = strrchr(listen, ':');
    snprintf(host, sizeof host, "%.*s", colon ? (int)(colon - listen) : (int)strlen(listen), listen);
    if (!*host || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "[::]") == 0)
        snprintf(host, sizeof host, "127.0.0.1");
    snprintf(line, sizeof line, "crier ready at %s://%s:%u\n", *e->config->server.tls_cert ? "https" : "http", host,
             e->port);
    fputs(line, stdout);
    fflush(stdout);
    if (!ready_file)
        return 0;
    FILE *f = fopen(ready_file, "w");
    if (!f)
        return -errno;
    fputs(line, f);
    return fclose(f) == 0 ? 0 : -errno;
}

/* ---- stopping: sessions first, then the bridges, then the loops ---- */

static void close_run(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* No broker has anything to say any more: the loops can end, and with them the last senders to the hub. */
static void on_hub_closed(struct hub *hub)
{
    struct run *run = hub->loop->data;
    for (size_t i = 0; i < run->engine.loop_count; i++)
        loop_end(&run->engine.loops[i]);
    hub_done(hub);
    uv_walk(&run->uv, close_run, NULL);
}

/* Producers are flushed after the sessions are gone, so that what those sent last is in the broker, too. */
static void on_loop_drained(struct engine *e)
{
    struct run *run = e->hub->loop->data;
    if (++run->loops_drained == e->loop_count)
        hub_close(e->hub, run->stop_signals > 1 ? 0 : CLOSE_MS, on_hub_closed);
}

static void begin_stop(struct run *run)
{
    uint64_t drain_ms = (uint64_t)run->engine.config->server.drain_ms;
    if (run->stopping)
        return;
    run->stopping = true;
    log_info("stopping", LOG_INT("drain_ms", drain_ms));
    run->hub.draining = true;
    atomic_store(&run->engine.draining, true);
    for (size_t i = 0; i < run->engine.loop_count; i++)
        loop_drain(&run->engine.loops[i], drain_ms);
}

static void cut(struct run *run)
{
    log_warn("second signal: cutting connections", LOG_INT("signals", run->stop_signals));
    for (size_t i = 0; i < run->engine.loop_count; i++)
        loop_drain(&run->engine.loops[i], 0);
}

static void on_stop_signal(struct run *run)
{
    switch (++run->stop_signals) {
    case 1:
        begin_stop(run);
        break;
    case 2:
        cut(run);
        break;
    default:
        _exit(1);
    }
}

/* The certificate is read anew and nothing else. A closed terminal sends this signal, too, and must not end the server. */
static void on_hang_up(struct run *run)
{
    const struct engine *e = &run->engine;
    const char *cert = e->config->server.tls_cert;
    char error[512];
    if (!*cert) {
        log_info("SIGHUP: without TLS there is nothing to reload");
        return;
    }
    struct net_certificate *c = net_certificate_load(e->config, error, sizeof error);
    if (!c) {
        log_error("SIGHUP: TLS certificate not reloaded, the old one stays", LOG_STR("reason", error));
        return;
    }
    for (size_t i = 0; i < e->loop_count; i++)
        loop_use_certificate(&run->engine.loops[i], c);
    net_certificate_unref(c);
    log_info("SIGHUP: TLS certificate reloaded, new handshakes use it", LOG_STR("cert", cert));
}

static void on_signals(uv_poll_t *poll, int status, int events)
{
    struct run *run = poll->data;
    struct signalfd_siginfo info;
    (void)status, (void)events;
    while (read(run->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGHUP)
            on_hang_up(run);
        else
            on_stop_signal(run);
    }
}

/* Blocked for good in all threads and read from a descriptor: one that comes when all is over and the process is
 * about to end finds neither a handler that has gone nor the default action, which would spoil the exit status. */
static int watch_signals(struct run *run)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    run->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (run->signal_fd < 0)
        return -errno;
    uv_poll_init(&run->uv, &run->signal_poll, run->signal_fd);
    run->signal_poll.data = run;
    return uv_poll_start(&run->signal_poll, UV_READABLE, on_signals);
}

static void on_required_late(uv_timer_t *timer)
{
    struct run *run = timer->data;
    for (size_t i = 0; i < run->hub.bridge_count; i++) {
        const struct bridge_instance *b = &run->hub.bridges[i];
        if (!b->config->required || b->was_ready)
            continue;
        log_error("a required bridge stayed away", LOG_STR("bridge", b->config->name), LOG_STR("reason", b->reason));
        run->exit_code = CLI_UNAVAILABLE;
    }
    if (run->exit_code)
        begin_stop(run);
}

static void watch_required(struct run *run)
{
    uv_timer_init(&run->uv, &run->required);
    run->required.data = run;
    uv_timer_start(&run->required, on_required_late, REQUIRED_MS, 0);
}

/* ---- the whole ---- */

static int start(struct run *run, char *error, size_t error_size)
{
    struct engine *e = &run->engine;
    e->auth = auth_new(e->config, error, error_size);
    if (!e->auth)
        return -EINVAL;
    if (modules_load(&run->modules, e, error, error_size) < 0)
        return -EINVAL;
    frame_set_transcoder(schema_transcode_frame, &run->modules);
    collect_routes(e);
    e->net_shared = net_shared_new(e->config);
    e->on_loop_drained = on_loop_drained;
    if (hub_init(&run->hub, &run->uv, e->config, error, error_size) < 0)
        return -EINVAL;
    return start_loops(e, error, error_size);
}

static void release(struct run *run)
{
    struct engine *e = &run->engine;
    for (size_t i = 0; i < e->loop_count; i++)
        loop_done(&e->loops[i]);
    hub_free(&run->hub);
    modules_done(&run->modules);
    auth_free(e->auth);
    net_shared_free(e->net_shared);
    free(e->loops);
    free(e->routes);
    uv_loop_close(&run->uv);
    close(run->signal_fd);
}

int app_run(const struct config *config, const char *ready_file)
{
    static struct run storage; /* not lost when a failed start returns with all that was started */
    struct run *run = &storage;
    char error[600] = "";

    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_DUMPABLE, 0); /* secrets stay out of core files */
    json_object_seed(0);
    run->engine = (struct engine){.config = config, .hub = &run->hub, .modules = &run->modules};
    uv_loop_init(&run->uv);
    run->uv.data = run;
    watch_required(run);
    int rc = watch_signals(run);
    if (rc < 0) {
        fprintf(stderr, "cannot watch for signals: %s\n", strerror(-rc));
        return CLI_UNAVAILABLE;
    }
    if (start(run, error, sizeof error) < 0) {
        fprintf(stderr, "%s\n", error);
        return CLI_CONFIG; /* the process ends: what was started so far goes with it */
    }
    if (announce(&run->engine, ready_file) < 0) {
        fprintf(stderr, "cannot write the ready file %s: %s\n", ready_file, strerror(errno));
        return CLI_CONFIG;
    }
    if (config->debug.echo || config->debug.insecure)
        log_warn("NOT FOR PRODUCTION: [debug] is on", LOG_STR("echo", config->debug.echo ? "true" : "false"),
                 LOG_STR("insecure", config->debug.insecure ? "true" : "false"));
    uv_run(&run->uv, UV_RUN_DEFAULT);
    int exit_code = run->exit_code;
    release(run);
    log_info("stopped", LOG_INT("exit", exit_code));
    return exit_code;
}
