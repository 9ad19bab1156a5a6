/* Streamed responses: requests that become connections which only write. */
#include <stdlib.h>

#include "internal.h"
#include "util/error.h"
#include "util/metrics.h"

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

/* HEAD is answered without a stream, all others begin one or are refused. */
static bool begin(struct http_request *r, const struct http_reply *head, const struct ws_ops *ops, struct ws_verdict *v,
                  struct buf *out)
{
    bool head_only = bytes_eq_str(r->head.method, "HEAD");

    if (!http_headers_safe(head)) {
        http_respond_error(r, CRIER_ERR_INTERNAL, NULL);
        return false;
    }
    if (!ws_admit(r) || (!head_only && !ws_ask_user(r, ops, v)))
        return false;
    http_head_append(r, head, false, false, out);
    http_count_reply(head->status);
    if (head_only) {
        conn_write(r->conn, out->data, out->len);
        http_finish(r, false);
    }
    return !head_only;
}

struct ws_conn *http_stream_start(struct http_request *r, const struct http_reply *head, const struct ws_ops *ops, void *user)
{
    struct ws_verdict v = {.status = 101, .user = user};
    struct conn *c = r->conn;
    CLEANUP_BUF out = BUF_INIT;

    if (!begin(r, head, ops, &v, &out))
        return NULL;
    metric_add(M_HANDSHAKES, 1);
    struct ws_conn *w = switch_conn(r, ops, v.user);
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
