/* Reading of HTTP requests from a connection: head, body, one request at a time, the rest stays buffered. */
#include <stdlib.h>

#include "internal.h"
#include "util/metrics.h"

#define BODY_BYTES_PER_MS 1 /* a body slower than 1 KB/s is given up */

static struct http_request *request_new(struct conn *c)
{
    struct http_request *r = c->net->spare_request;

    c->net->spare_request = NULL;
    if (!r)
        r = xmalloc(sizeof *r);
    r->conn = c;
    r->storage = NULL;
    r->path = BUF_INIT;
    r->body = r->rest = BYTES_LIT("");
    r->route = NULL;
    r->on_abort = NULL;
    r->address[0] = 0;
    return r;
}

void http_request_free(struct net *n, struct http_request *r)
{
    if (!r)
        return;
    free(r->storage);
    buf_done(&r->path);
    if (n->spare_request)
        free(r);
    else
        n->spare_request = r;
}

/* Frees what is only needed while something is read or answered. */
static void release_idle(struct conn *c)
{
    if (c->in.len == 0)
        buf_done(&c->in);
    free(c->http);
    c->http = NULL;
}

bool http_is_idle(const struct conn *c)
{
    return !c->http && !c->ws;
}

void http_gone(struct conn *c)
{
    struct http_request *r = c->http ? c->http->request : NULL;

    if (r && c->http->answering && r->on_abort)
        r->on_abort(r->abort_arg);
    http_request_free(c->net, r);
    if (c->http)
        c->in.len = 0;
    release_idle(c);
}

/* Ends the exchange: what else the peer sends is not looked at. */
static void refuse_status(struct conn *c, int status)
{
    if (!c->http->request)
        c->http->request = request_new(c);
    struct http_request *r = c->http->request;
    if (status == 431)
        metric_add(M_LIMIT_HEADER, 1);
    else if (status == 413)
        metric_add(M_LIMIT_BODY, 1);
    r->head.minor = 1;
    r->head.keep_alive = false;
    r->head.method = BYTES_LIT("GET");
    r->head.field_count = 0;
    c->http->answering = true;
    http_respond_status(r, status, NULL, NULL, 0);
}

void http_refuse(struct conn *c, int status)
{
    if (!c->http || c->http->answering)
        conn_doom(c);
    else
        refuse_status(c, status);
}

/* The request owns the bytes of its head and body from here on; what follows them stays in c->in. */
static void take_storage(struct conn *c, size_t rest_at)
{
    struct http_request *r = c->http->request;
    struct buf rest = BUF_INIT;

    buf_append(&rest, c->in.data + rest_at, c->in.len - rest_at);
    r->storage = buf_take(&c->in);
    r->body = (struct bytes){r->storage + c->http->head_len, (size_t)c->http->body_len};
    c->in = rest;
}

static void complete(struct conn *c, size_t rest_at)
{
    struct http_conn *h = c->http;
    struct http_request *r = h->request;

    take_storage(c, rest_at);
    if (h->reading_body) /* the buffer may have moved since the head was parsed */
        http1_head_parse(r->storage, h->head_len, &r->head);
    h->reading_body = false;
    h->answering = true;
    c->deadline_ms = 0;
    http_dispatch(r);
}

/* Returns true when the body is complete. */
static bool read_sized_body(struct conn *c)
{
    size_t total = c->http->head_len + (size_t)c->http->body_len;
    if (c->in.len < total)
        return false;
    complete(c, total);
    return true;
}

/* Decoded pieces move down to the end of what is decoded already, so head and body end up in one piece. */
static bool read_chunked_body(struct conn *c)
{
    struct http_conn *h = c->http;
    size_t from = h->head_len + (size_t)h->body_len, used = 0;

    for (;;) {
        struct bytes piece;
        int r = http1_chunked_next(&h->chunk, c->in.data + from, c->in.len - from, &used, &piece);
        from += used;
        if (r == HTTP1_CHUNK_DATA) {
            if (piece.len > (uint64_t)c->net->config->limits.body_bytes - h->body_len) {
                refuse_status(c, 413);
                return false;
            }
            memmove(c->in.data + h->head_len + h->body_len, piece.data, piece.len);
            h->body_len += piece.len;
        } else if (r == HTTP1_CHUNK_END) {
            complete(c, from);
            return true;
        } else if (r == HTTP1_CHUNK_MORE) {
            c->in.len = h->head_len + (size_t)h->body_len;
            return false;
        } else {
            refuse_status(c, -r);
            return false;
        }
    }
}

static bool read_body(struct conn *c)
{
    return c->http->request->head.chunked ? read_chunked_body(c) : read_sized_body(c);
}

static void start_body(struct conn *c)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const struct config_limits *l = &c->net->config->limits;
    struct http_conn *h = c->http;
    struct http1_head *head = &h->request->head;
    uint64_t expected = head->chunked ? (uint64_t)l->body_bytes : h->body_len;

    h->reading_body = true;
    c->deadline_ms = net_now(c->net) + (uint64_t)l->handshake_ms + expected / BODY_BYTES_PER_MS;
    if (head->expect_continue && c->in.len == h->head_len)
        conn_write(c, go_on, sizeof go_on - 1);
}

/* Returns true when there is a head to go on with. */
static bool read_head(struct conn *c)
{
    const struct config_limits *l = &c->net->config->limits;
    struct http_conn *h = c->http;
    ssize_t end = http1_head_end(c->in.data, c->in.len, &h->scanned);

    if (end < 0) {
        refuse_status(c, 400);
        return false;
    }
    if (end > l->header_bytes || (end == 0 && c->in.len > (size_t)l->header_bytes)) {
        refuse_status(c, 431);
        return false;
    }
    if (end == 0)
        return false;
    h->head_len = (size_t)end;
    h->request = request_new(c);
    int r = http1_head_parse(c->in.data, h->head_len, &h->request->head);
    if (r < 0) {
        refuse_status(c, -r);
        return false;
    }
    h->body_len = h->request->head.content_length > 0 ? (uint64_t)h->request->head.content_length : 0;
    if (h->body_len > (uint64_t)l->body_bytes) {
        refuse_status(c, 413);
        return false;
    }
    return true;
}

/* Returns true when a request was handed to its handler. */
static bool read_request(struct conn *c)
{
    struct http_conn *h = c->http;

    if (!h->request) {
        if (!read_head(c))
            return false;
        if (!h->request->head.chunked && c->in.len >= h->head_len + h->body_len) {
            complete(c, h->head_len + (size_t)h->body_len);
            return true;
        }
        start_body(c);
    }
    return read_body(c);
}

static void wait_for_more(struct conn *c)
{
    const struct config_limits *l = &c->net->config->limits;

    if (c->in.len == 0) {
        release_idle(c);
        c->idle = true;
        c->deadline_ms = net_now(c->net) + (uint64_t)l->keepalive_ms;
        if (c->net->draining)
            conn_doom(c);
    } else if (c->deadline_ms == 0) {
        c->deadline_ms = net_now(c->net) + (uint64_t)l->handshake_ms;
    }
}

void http_advance(struct conn *c)
{
    struct http_conn *h;

    if (c->http && (c->http->advancing || c->http->answering))
        return;
    if (c->doomed || c->phase != CONN_HTTP || c->blocked)
        return;
    while (c->in.len) {
        if (!c->http)
            c->http = xcalloc(1, sizeof *c->http);
        h = c->http;
        h->advancing = true;
        bool handed = read_request(c);
        if (c->phase != CONN_HTTP || c->doomed) /* upgraded or refused: h belongs to the past */
            return;
        h->advancing = false;
        if (h->answering)
            return;
        if (!handed)
            break;
        *h = (struct http_conn){0};
        if (c->blocked)
            return;
    }
    wait_for_more(c);
}

void http_rx(struct conn *c, char *data, size_t len)
{
    if (c->idle) { /* first bytes of a further request */
        c->idle = false;
        c->deadline_ms = net_now(c->net) + (uint64_t)c->net->config->limits.handshake_ms;
    }
    buf_append(&c->in, data, len);
    http_advance(c);
    if (c->phase == CONN_HTTP)
        conn_set_rx(c);
}
