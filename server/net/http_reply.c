/* Replies: one buffer, one write. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "internal.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/metrics.h"

static const struct status_row {
    int status, code; /* code: of the JSON error body when only the status is known */
    const char *phrase;
} statuses[] = {
    {200, 0, "OK"},
    {201, 0, "Created"},
    {202, 0, "Accepted"},
    {204, 0, "No Content"},
    {301, 0, "Moved Permanently"},
    {302, 0, "Found"},
    {304, 0, "Not Modified"},
    {308, 0, "Permanent Redirect"},
    {400, CRIER_ERR_BAD_REQUEST, "Bad Request"},
    {401, CRIER_ERR_UNAUTHORIZED, "Unauthorized"},
    {403, CRIER_ERR_PERMISSION_DENIED, "Forbidden"},
    {404, CRIER_ERR_METHOD_NOT_FOUND, "Not Found"},
    {405, CRIER_ERR_METHOD_NOT_FOUND, "Method Not Allowed"},
    {408, CRIER_ERR_BAD_REQUEST, "Request Timeout"},
    {409, CRIER_ERR_BAD_REQUEST, "Conflict"},
    {410, CRIER_ERR_EXPIRED, "Gone"},
    {412, CRIER_ERR_BAD_REQUEST, "Precondition Failed"},
    {413, CRIER_ERR_TOO_LARGE, "Content Too Large"},
    {415, CRIER_ERR_BAD_REQUEST, "Unsupported Media Type"},
    {416, CRIER_ERR_UNRECOVERABLE_POSITION, "Range Not Satisfiable"},
    {417, CRIER_ERR_BAD_REQUEST, "Expectation Failed"},
    {426, CRIER_ERR_BAD_REQUEST, "Upgrade Required"},
    {429, CRIER_ERR_TOO_MANY_REQUESTS, "Too Many Requests"},
    {431, CRIER_ERR_TOO_LARGE, "Request Header Fields Too Large"},
    {500, CRIER_ERR_INTERNAL, "Internal Server Error"},
    {501, CRIER_ERR_NOT_AVAILABLE, "Not Implemented"},
    {502, CRIER_ERR_BROKER_REFUSED, "Bad Gateway"},
    {503, CRIER_ERR_BUSY, "Service Unavailable"},
    {504, CRIER_ERR_UNKNOWN_OUTCOME, "Gateway Timeout"},
    {505, CRIER_ERR_BAD_REQUEST, "HTTP Version Not Supported"},
};

static const struct status_row *status_row(int status)
{
    static const struct status_row unknown = {500, CRIER_ERR_INTERNAL, "Status"};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i].status == status)
            return &statuses[i];
    return &unknown;
}

static const char *http_date(struct net *n)
{
    uint64_t now = (uint64_t)clock_wall_ms() / 1000;
    if (now != n->date_s || !*n->date) {
        time_t t = (time_t)now;
        struct tm tm;
        n->date_s = now;
        strftime(n->date, sizeof n->date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&t, &tm));
    }
    return n->date;
}

static void append_error_body(struct buf *out, int code, const char *message)
{
    buf_printf(out, "{\"error\":{\"code\":%d,\"message\":", code);
    buf_append_json_string(out, bytes_of(message));
    buf_append_str(out, "}}");
}

/* Anything that could end a header line would let a value write headers of its own. */
static bool header_is_safe(const struct http_header *h)
{
    if (!h->name || !http1_is_token(bytes_of(h->name)))
        return false;
    for (size_t i = 0; i < h->value.len; i++)
        if (h->value.data[i] == '\r' || h->value.data[i] == '\n' || h->value.data[i] == 0)
            return false;
    return true;
}

bool http_headers_safe(const struct http_reply *reply)
{
    for (size_t i = 0; i < reply->header_count; i++)
        if (!header_is_safe(&reply->headers[i])) {
            log_error("reply header refused", LOG_STR("name", reply->headers[i].name));
            return false;
        }
    return true;
}

static void append_header(struct buf *out, const char *name, struct bytes value)
{
    buf_append_str(out, name);
    buf_append(out, ": ", 2);
    buf_append_bytes(out, value);
    buf_append(out, "\r\n", 2);
}

static void append_cors(const struct http_request *r, struct buf *out)
{
    struct bytes origin = http1_field_get(&r->head, "origin");
    if (!r->route || !r->route->cors)
        return;
    buf_append_str(out, "Vary: Origin\r\n");
    if (!origin.data || !http_origin_listed(r->conn->net, origin))
        return;
    append_header(out, "Access-Control-Allow-Origin", origin);
    buf_append_str(out, "Access-Control-Expose-Headers: ETag, Retry-After\r\n");
    if (r->route->cors == CORS_CREDENTIALS)
        buf_append_str(out, "Access-Control-Allow-Credentials: true\r\n");
}

void http_head_append(const struct http_request *r, const struct http_reply *reply, bool framed, bool keep_alive,
                      struct buf *out)
{
    const struct status_row *row = status_row(reply->status);

    buf_append_str(out, "HTTP/1.1 ");
    buf_append_int(out, reply->status);
    buf_append(out, " ", 1);
    buf_append_str(out, row->phrase);
    buf_append_str(out, "\r\nDate: ");
    buf_append_str(out, http_date(r->conn->net));
    buf_append(out, "\r\n", 2);
    if (r->conn->net->tls && r->conn->net->config->server.tls_hsts_ms) {
        buf_append_str(out, "Strict-Transport-Security: max-age=");
        buf_append_int(out, r->conn->net->config->server.tls_hsts_ms / 1000);
        buf_append(out, "\r\n", 2);
    }
    if (reply->content_type) {
        append_header(out, "Content-Type", bytes_of(reply->content_type));
        buf_append_str(out, "X-Content-Type-Options: nosniff\r\n");
    }
    if (framed && reply->status != 204 && reply->status != 304 && reply->status >= 200) {
        buf_append_str(out, "Content-Length: ");
        buf_append_int(out, (int64_t)reply->body.len);
        buf_append(out, "\r\n", 2);
    }
    for (size_t i = 0; i < reply->header_count; i++)
        append_header(out, reply->headers[i].name, reply->headers[i].value);
    append_cors(r, out);
    if (!keep_alive)
        buf_append_str(out, "Connection: close\r\n");
    else if (r->head.minor == 0)
        buf_append_str(out, "Connection: keep-alive\r\n");
    buf_append(out, "\r\n", 2);
}

void http_count_reply(int status)
{
    metric_add(M_HTTP_REQUESTS, 1);
    if (status >= 400)
        metric_add(M_HTTP_ERRORS, 1);
}

void http_finish(struct http_request *r, bool keep_alive)
{
    struct conn *c = r->conn;
    bool at_once = c->http->advancing;

    c->http->request = NULL;
    c->http->answering = false;
    http_request_free(c->net, r);
    if (!keep_alive) {
        conn_finish(c);
        return;
    }
    if (at_once)
        return;
    /* Answered later: the next pipelined request waits for the next turn, as this call may come from anywhere. */
    free(c->http);
    c->http = NULL;
    conn_resume(c);
}

void http_respond(struct http_request *r, const struct http_reply *reply)
{
    struct conn *c = r->conn;
    struct net *n = c->net;
    bool head_only = bytes_eq_str(r->head.method, "HEAD");
    bool keep_alive = r->head.keep_alive && !n->draining;

    if (!http_headers_safe(reply)) {
        http_respond_error(r, CRIER_ERR_INTERNAL, NULL);
        return;
    }
    struct buf out = BUF_INIT; /* not n->out: a handler may have built the body there */
    buf_reserve(&out, 512 + (head_only ? 0 : reply->body.len));
    http_head_append(r, reply, true, keep_alive, &out);
    if (!head_only)
        buf_append_bytes(&out, reply->body);
    http_count_reply(reply->status);
    conn_write(c, out.data, out.len);
    buf_done(&out);
    http_finish(r, keep_alive);
}

static void respond_json_error(struct http_request *r, int status, int code, const char *message,
                               const struct http_header *headers, size_t header_count)
{
    CLEANUP_BUF body = BUF_INIT;
    append_error_body(&body, code, message);
    http_respond(r, &(struct http_reply){status, "application/json", buf_bytes(&body), headers, header_count});
}

void http_respond_error(struct http_request *r, int crier_error, const char *detail)
{
    const struct crier_error_info *info = crier_error_info(crier_error);
    const struct http_header retry = {"Retry-After", BYTES_LIT("1")};
    bool with_retry = info->http_status == 503 || info->http_status == 429;

    respond_json_error(r, info->http_status, (int)info->code, detail ? detail : info->message, &retry, with_retry);
}

void http_respond_status(struct http_request *r, int status, const char *message, const struct http_header *headers,
                         size_t header_count)
{
    const struct status_row *row = status_row(status);
    respond_json_error(r, status, row->code, message ? message : row->phrase, headers, header_count);
}

void http_refusal_render(struct net *n, int status, struct buf *out)
{
    CLEANUP_BUF body = BUF_INIT;
    const struct status_row *row = status_row(status);

    append_error_body(&body, status == 429 ? CRIER_ERR_LIMIT_EXCEEDED : row->code,
                      status == 429 ? "too many connections of this address" : "too many connections");
    buf_printf(out,
               "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
               "Retry-After: %d\r\nConnection: close\r\n\r\n",
               status, row->phrase, http_date(n), body.len, RETRY_AFTER_S);
    buf_append_bytes(out, buf_bytes(&body));
    http_count_reply(status);
}
