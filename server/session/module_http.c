/* REST routes of modules: the calls of <crier/crier.h> inside a route, and requests that are answered later. */
#include <stdlib.h>

#include "loop/engine.h"
#include "session/modules.h"
#include "util/clock.h"

#define REPLY_HEADERS 8

struct crier_http {
    struct http_request *request; /* NULL: the client has gone */
    struct module_route *route;
    bool answered, later;
    uint64_t began_ms;
    struct http_header headers[REPLY_HEADERS];
    size_t header_count;
    uv_timer_t timer; /* of a request that waits */
};

static struct crier_bytes export_bytes(struct bytes b)
{
    return (struct crier_bytes){b.data, b.len};
}

struct crier_bytes crier_http_path(struct crier_http *h)
{
    return export_bytes(http_path(h->request));
}

struct crier_bytes crier_http_rest(struct crier_http *h)
{
    return export_bytes(http_path_rest(h->request));
}

bool crier_http_query(struct crier_http *h, const char *name, char *out, size_t size)
{
    CLEANUP_BUF value = BUF_INIT;
    if (http_query_get(h->request, name, &value) < 0 || value.len >= size)
        return false;
    if (value.len)
        memcpy(out, value.data, value.len);
    out[value.len] = 0;
    return true;
}

struct crier_bytes crier_http_header(struct crier_http *h, const char *name)
{
    return export_bytes(http_header_get(h->request, name));
}

struct crier_bytes crier_http_body(struct crier_http *h)
{
    return export_bytes(http_body(h->request));
}

void crier_http_reply(struct crier_http *h, int status, const char *content_type, struct crier_bytes body)
{
    if (h->answered)
        return;
    h->answered = true;
    const struct http_reply reply = {
        .status = status,
        .content_type = content_type,
        .body = {body.data ? body.data : "", body.len},
        .headers = h->headers,
        .header_count = h->header_count,
    };
    http_respond(h->request, &reply);
}

void crier_http_reply_header(struct crier_http *h, const char *name, const char *value)
{
    if (h->header_count == REPLY_HEADERS)
        return;
    h->headers[h->header_count++] = (struct http_header){name, bytes_of(xstrdup(value))};
}

uint64_t crier_http_elapsed_ms(struct crier_http *h)
{
    return clock_mono_ms() - h->began_ms;
}

/* ---- one call of the route, or several ---- */

static void drop_headers(struct crier_http *h)
{
    while (h->header_count)
        free((char *)h->headers[--h->header_count].value.data);
}

static void call_route(struct crier_http *h)
{
    h->later = false;
    modules_enter(h->route->module);
    h->route->fn(h, h->route->arg);
    if (!h->answered && !h->later)
        http_respond_error(h->request, CRIER_ERR_INTERNAL, "the module did not answer");
    drop_headers(h);
}

static void on_closed(uv_handle_t *timer)
{
    free(timer->data);
}

/* A request that waits is on the heap, and its end closes the timer. */
static void on_time(uv_timer_t *timer)
{
    struct crier_http *h = timer->data;
    http_on_abort(h->request, NULL, NULL);
    call_route(h);
    if (!h->later)
        uv_close((uv_handle_t *)timer, on_closed);
}

static void on_abort(void *arg)
{
    struct crier_http *h = arg;
    uv_timer_stop(&h->timer);
    uv_close((uv_handle_t *)&h->timer, on_closed);
}

bool crier_http_later(struct crier_http *h, unsigned ms)
{
    struct loop *l = loop_of_request(h->request);
    if (h->answered || atomic_load(&l->engine->draining))
        return false;
    h->later = true;
    if (h->timer.data) { /* waits again */
        http_on_abort(h->request, on_abort, h);
        uv_timer_start(&h->timer, on_time, ms, 0);
        return true;
    }
    struct crier_http *kept = xcalloc(1, sizeof *kept);
    *kept = (struct crier_http){.request = h->request, .route = h->route, .began_ms = h->began_ms};
    uv_timer_init(&l->uv, &kept->timer);
    kept->timer.data = kept;
    http_on_abort(h->request, on_abort, kept);
    uv_timer_start(&kept->timer, on_time, ms, 0);
    return true;
}

void module_route_serve(struct http_request *r, void *arg)
{
    struct crier_http h = {.request = r, .route = arg, .began_ms = clock_mono_ms()};
    call_route(&h);
}
