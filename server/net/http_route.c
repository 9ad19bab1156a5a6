/* Requests to handlers: routes, OPTIONS and CORS, WebSocket endpoints, static files; and what handlers ask of a request. */
#include <arpa/inet.h>
#include <errno.h>
#include <strings.h>

#include "internal.h"
#include "util/error.h"

struct bytes http_method(const struct http_request *r)
{
    return r->head.method;
}

struct bytes http_path(const struct http_request *r)
{
    return buf_bytes(&r->path);
}

struct bytes http_query(const struct http_request *r)
{
    return r->head.query;
}

struct bytes http_header_get(const struct http_request *r, const char *name)
{
    return http1_field_get(&r->head, name);
}

struct bytes http_body(const struct http_request *r)
{
    return r->body;
}

struct bytes http_path_rest(const struct http_request *r)
{
    return r->rest;
}

int http_query_get(const struct http_request *r, const char *name, struct buf *ret_value)
{
    return http1_query_get(r->head.query, name, ret_value);
}

struct net *http_net(const struct http_request *r)
{
    return r->conn->net;
}

void *http_user(const struct http_request *r)
{
    return r->conn->net->options.user;
}

void http_on_abort(struct http_request *r, void (*fn)(void *arg), void *arg)
{
    r->on_abort = fn;
    r->abort_arg = arg;
}

struct bytes http_remote_address(const struct http_request *r)
{
    struct http_request *own = (struct http_request *)r; /* the text is made when it is asked for */
    const struct conn *c = r->conn;

    if (!*own->address)
        inet_ntop(c->ipv4 ? AF_INET : AF_INET6, c->address.bytes + (c->ipv4 ? 12 : 0), own->address, sizeof own->address);
    return bytes_of(own->address);
}

/* ---- origins ---- */

bool http_origin_listed(const struct net *n, struct bytes origin)
{
    const struct config_auth *auth = &n->config->auth;
    for (size_t i = 0; i < auth->allowed_origin_count; i++)
        if (bytes_eq_str(origin, auth->allowed_origins[i]))
            return true;
    return false;
}

/* Same scheme (a proxy may have taken TLS off ours), host and port as the request went to. */
static bool is_same_origin(const struct net *n, struct bytes origin, struct bytes host)
{
    static const char http[] = "http://", https[] = "https://";
    size_t skip = 0;

    if (origin.len > sizeof https - 1 && strncasecmp(origin.data, https, sizeof https - 1) == 0)
        skip = sizeof https - 1;
    else if (!n->tls && origin.len > sizeof http - 1 && strncasecmp(origin.data, http, sizeof http - 1) == 0)
        skip = sizeof http - 1;
    return skip && host.len && origin.len - skip == host.len && strncasecmp(origin.data + skip, host.data, host.len) == 0;
}

static size_t count_fields(const struct http1_head *h, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < h->field_count; i++)
        count += http1_name_eq(h->fields[i].name, name);
    return count;
}

/* Every browser sends Origin; programs send none. `null` matches nothing. */
bool http_origin_allowed(const struct net *n, const struct http1_head *h)
{
    struct bytes origin = http1_field_get(h, "origin");
    if (!origin.data)
        return true;
    if (count_fields(h, "origin") > 1)
        return false;
    return http_origin_listed(n, origin) || is_same_origin(n, origin, h->host);
}

/* ---- routes ---- */

static bool pattern_matches(const char *pattern, struct bytes path, struct bytes *ret_rest)
{
    size_t n = strlen(pattern);
    if (n && pattern[n - 1] == '*') {
        if (path.len < n - 1 || memcmp(path.data, pattern, n - 1) != 0)
            return false;
        *ret_rest = (struct bytes){path.data + n - 1, path.len - (n - 1)};
        return true;
    }
    return bytes_eq_str(path, pattern);
}

static bool method_matches(const struct http_route *route, struct bytes method)
{
    if (bytes_eq_str(method, route->method))
        return true;
    return bytes_eq_str(method, "HEAD") && strcmp(route->method, "GET") == 0;
}

/* Returns the route for path and method; *ret_any is one that fits the path only. */
static const struct http_route *find_route(struct http_request *r, const struct http_route **ret_any)
{
    const struct net_options *o = &r->conn->net->options;

    *ret_any = NULL;
    for (size_t i = 0; i < o->route_count; i++) {
        const struct http_route *route = &o->routes[i];
        struct bytes rest = BYTES_LIT("");
        if (!pattern_matches(route->pattern, http_path(r), &rest))
            continue;
        *ret_any = route;
        if (!method_matches(route, r->head.method))
            continue;
        r->rest = rest;
        return route;
    }
    return NULL;
}

/* Value of Allow for the path. */
static void append_allowed(struct http_request *r, struct buf *out)
{
    const struct net_options *o = &r->conn->net->options;
    struct bytes rest;

    for (size_t i = 0; i < o->route_count; i++)
        if (pattern_matches(o->routes[i].pattern, http_path(r), &rest))
            buf_printf(out, "%s, %s", o->routes[i].method, strcmp(o->routes[i].method, "GET") == 0 ? "HEAD, " : "");
    buf_append_str(out, "OPTIONS");
}

/* ---- OPTIONS ---- */

static void answer_options(struct http_request *r, struct bytes allow)
{
    static const struct bytes usual = BYTES_LIT(
        "Authorization, Content-Type, Idempotency-Key, If-None-Match, traceparent, X-API-Key");
    struct http_header headers[4] = {{"Allow", allow}};
    size_t count = 1;
    struct bytes origin = http1_field_get(&r->head, "origin");
    struct bytes asked = http1_field_get(&r->head, "access-control-request-headers");
    bool echo = r->route->cors == CORS_CREDENTIALS && asked.len;

    if (r->route->cors && origin.data && http_origin_listed(r->conn->net, origin) &&
        http1_field_get(&r->head, "access-control-request-method").data) {
        headers[count++] = (struct http_header){"Access-Control-Allow-Methods", allow};
        headers[count++] = (struct http_header){"Access-Control-Allow-Headers", echo ? asked : usual};
        headers[count++] = (struct http_header){"Access-Control-Max-Age", BYTES_LIT("600")};
    }
    http_respond(r, &(struct http_reply){.status = 204, .headers = headers, .header_count = count});
}

static void answer_other_method(struct http_request *r, const struct http_route *route)
{
    CLEANUP_BUF allow = BUF_INIT;

    r->route = route;
    append_allowed(r, &allow);
    if (bytes_eq_str(r->head.method, "OPTIONS"))
        answer_options(r, buf_bytes(&allow));
    else
        http_respond_status(r, 405, NULL, &(struct http_header){"Allow", buf_bytes(&allow)}, 1);
}

static void dispatch_route(struct http_request *r)
{
    struct net *n = r->conn->net;
    const struct http_route *any, *route = find_route(r, &any);

    if (route) {
        r->route = route;
        route->fn(r, route->arg);
    } else if (any) {
        answer_other_method(r, any);
    } else if (!n->files || !static_serve(n->files, r)) {
        http_respond_error(r, CRIER_ERR_METHOD_NOT_FOUND, "no such path");
    }
}

void http_dispatch(struct http_request *r)
{
    const struct ws_ops *endpoint;

    if (bytes_eq_str(r->head.path, "*")) {
        http_respond(r, &(struct http_reply){.status = 204});
        return;
    }
    if (http1_path_decode(r->head.path, &r->path) < 0) {
        http_respond_error(r, CRIER_ERR_BAD_REQUEST, "path cannot be used");
        return;
    }
    endpoint = ws_endpoint_find(r->conn->net, http_path(r));
    if (endpoint)
        ws_upgrade(r, endpoint);
    else
        dispatch_route(r);
}
