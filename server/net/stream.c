/* Streamed responses: requests that become connections which only write. */
#include <stdlib.h>

#include "internal.h"
#include "util/error.h"
#include "util/metrics.h"

static void refuse(struct http_request *r, int status, const char *message)
{
    const struct http_header retry = {"Retry-After", BYTES_LIT("1")};

    metric_add(M_HANDSHAKES_REFUSED, 1);
    http_respond_status(r, status, message, &retry, status == 503);
}

static struct ws_conn *switch_conn(struct http_request *r, const struct ws_ops *ops, void *user)
{
    struct conn *c = r->conn;

    http_request_free(c->net, r);
    free(c->http);
    c->http = NULL;
    buf_done(&c->in); /* a pipelined request: none is processed after "Connection: close" */
    struct ws_conn *w = ws_conn_new(c, ops, user, CONN_STREAM);
    conn_set_rx(c);
    return w;
}

struct ws_conn *http_stream_start(struct http_request *r, const struct http_reply *head, const struct ws_ops *ops, void *user)
{
    struct conn *c = r->conn;
    const char *message = NULL;
    CLEANUP_BUF out = BUF_INIT;
    int status = http_headers_safe(head) ? http_admission(r, &message) : 500;

    if (status) {
        refuse(r, status, message);
        return NULL;
    }
    http_head_append(r, head, false, false, &out);
    http_count_reply(head->status);
    if (bytes_eq_str(r->head.method, "HEAD")) {
        conn_write(c, out.data, out.len);
        http_finish(r, false);
        return NULL;
    }
    metric_add(M_HANDSHAKES, 1);
    struct ws_conn *w = switch_conn(r, ops, user);
    buf_append_bytes(&out, head->body);
    conn_write(c, out.data, out.len);
    return w;
}

void stream_rx(struct conn *c, size_t len)
{
    struct ws_conn *w = c->ws;

    if (len > (size_t)c->net->config->limits.header_bytes - w->ignored) {
        metric_add(M_LIMIT_HEADER, 1);
        conn_doom(c);
        return;
    }
    w->ignored += (uint32_t)len;
}
