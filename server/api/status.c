#include "status.h"

#include "api/pending.h"
#include "loop/engine.h"
#include "hub/query.h"
#include "util/metrics.h"

void status_healthz(struct http_request *r, void *arg)
{
    const struct http_reply reply = {.status = 200, .content_type = "application/json", .body = BYTES_LIT("{\"ok\":true}\n")};
    (void)arg;
    http_respond(r, &reply);
}

static void on_ready(struct hub_call *call, void *owner)
{
    struct hub_query *q = (struct hub_query *)call;
    struct http_request *r = pending_take(q->arg);
    (void)owner;
    if (r) {
        const struct http_reply reply = {.status = q->error == CRIER_OK ? 200 : 503,
                                         .content_type = "application/json",
                                         .body = buf_bytes(&q->json)};
        http_respond(r, &reply);
    }
    hub_query_free(q);
}

static void ask(struct http_request *r, enum hub_query_kind kind, void (*done)(struct hub_call *, void *))
{
    struct loop *l = loop_of_request(r);
    struct hub_query *q = hub_query_new(kind, &l->inbox, BYTES_LIT(""), done);
    q->arg = pending_new(r);
    hub_call_post(l->engine->hub, &q->call);
}

void status_readyz(struct http_request *r, void *arg)
{
    (void)arg;
    ask(r, HUB_QUERY_READY, on_ready);
}

static void on_metrics(struct hub_call *call, void *owner)
{
    struct hub_query *q = (struct hub_query *)call;
    struct http_request *r = pending_take(q->arg);
    (void)owner;
    if (r) {
        CLEANUP_BUF text = BUF_INIT;
        metrics_render(&text);
        buf_append_bytes(&text, buf_bytes(&q->json));
        const struct http_reply reply = {
            .status = 200, .content_type = "text/plain; version=0.0.4; charset=utf-8", .body = buf_bytes(&text)};
        http_respond(r, &reply);
    }
    hub_query_free(q);
}

void status_metrics(struct http_request *r, void *arg)
{
    (void)arg;
    ask(r, HUB_QUERY_METRICS, on_metrics);
}
