/* The WebSocket handshake (RFC 6455, 4.2): every check before 101, refusals as JSON. */
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"
#include "util/error.h"
#include "util/metrics.h"
#include "ws_deflate.h"

const struct ws_ops *ws_endpoint_find(const struct net *n, struct bytes path)
{
    for (size_t i = 0; i < n->endpoint_count; i++)
        if (bytes_eq_str(path, n->endpoints[i]->path))
            return n->endpoints[i];
    return NULL;
}

static void refuse(struct http_request *r, int status, const char *message, const struct http_header *header)
{
    metric_add(M_HANDSHAKES_REFUSED, 1);
    http_respond_status(r, status, message, header, header ? 1 : 0);
}

/* Base64 of exactly 16 bytes. */
static bool key_is_valid(struct bytes key)
{
    unsigned char padded[25], raw[24];

    if (key.len != 24 || key.data[22] != '=' || key.data[23] != '=' || memchr(key.data, '=', 22))
        return false;
    memcpy(padded, key.data, 24);
    return EVP_DecodeBlock(raw, padded, 24) == 18;
}

static size_t count_fields(const struct http1_head *h, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < h->field_count; i++)
        count += http1_name_eq(h->fields[i].name, name);
    return count;
}

/* Answers and returns false when the request is no valid handshake. */
static bool check_handshake(struct http_request *r)
{
    const struct http_header allow = {"Allow", BYTES_LIT("GET")};
    const struct http_header version = {"Sec-WebSocket-Version", BYTES_LIT("13")};
    const struct http_header upgrade = {"Upgrade", BYTES_LIT("websocket")};
    const struct http1_head *h = &r->head;

    if (!bytes_eq_str(h->method, "GET"))
        refuse(r, 405, NULL, &allow);
    else if (!http1_field_get(h, "upgrade").data)
        refuse(r, 426, "this is a WebSocket endpoint", &upgrade);
    else if (h->minor == 0 || !http1_field_has_token(h, "upgrade", "websocket") ||
             !http1_field_has_token(h, "connection", "upgrade") || r->body.len || h->chunked)
        refuse(r, 400, "not a WebSocket handshake", NULL);
    else if (count_fields(h, "sec-websocket-version") != 1 ||
             !bytes_eq_str(http1_field_get(h, "sec-websocket-version"), "13"))
        refuse(r, 426, "WebSocket version 13 is needed", &version);
    else if (count_fields(h, "sec-websocket-key") != 1 || !key_is_valid(http1_field_get(h, "sec-websocket-key")))
        refuse(r, 400, "Sec-WebSocket-Key is not base64 of 16 bytes", NULL);
    else
        return true;
    return false;
}

bool ws_admit(struct http_request *r)
{
    const struct http_header retry = {"Retry-After", BYTES_LIT("1")};
    struct net *n = r->conn->net;

    if (!http_origin_allowed(n, &r->head))
        refuse(r, 403, "origin is not allowed", NULL);
    else if (n->draining)
        refuse(r, 503, "shutting down", &retry);
    else if (!net_shared_handshake(n->options.shared))
        refuse(r, 503, "too many handshakes", &retry);
    else
        return true;
    return false;
}

/* All fields of that name as one list. */
static void join_fields(const struct http1_head *h, const char *name, struct buf *out)
{
    for (size_t i = 0; i < h->field_count; i++)
        if (http1_name_eq(h->fields[i].name, name)) {
            buf_append_str(out, out->len ? "," : "");
            buf_append_bytes(out, h->fields[i].value);
        }
}

static bool was_offered(const struct http_request *r, struct bytes subprotocol)
{
    CLEANUP_BUF offered = BUF_INIT;
    join_fields(&r->head, "sec-websocket-protocol", &offered);
    struct bytes rest = buf_bytes(&offered), element;
    while (http1_list_next(&rest, &element))
        if (bytes_eq(element, subprotocol))
            return true;
    return false;
}

bool ws_ask_user(struct http_request *r, const struct ws_ops *ops, struct ws_verdict *v)
{
    if (ops->upgrade)
        ops->upgrade(r, v);
    if (v->status != 101) {
        char seconds[16];
        snprintf(seconds, sizeof seconds, "%d", v->retry_after_s);
        const struct http_header retry = {"Retry-After", bytes_of(seconds)};
        refuse(r, v->status, v->reason, v->retry_after_s > 0 ? &retry : NULL);
        return false;
    }
    return true;
}

static void append_accept(struct buf *out, struct bytes key)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char text[24 + sizeof guid], digest[SHA_DIGEST_LENGTH], encoded[32];

    memcpy(text, key.data, 24);
    memcpy(text + 24, guid, sizeof guid - 1);
    SHA1(text, 24 + sizeof guid - 1, digest);
    EVP_EncodeBlock(encoded, digest, sizeof digest);
    buf_append_str(out, (const char *)encoded);
}

/* Returns the window bits, 0: not negotiated. */
static int negotiate_deflate(const struct http_request *r, const struct ws_ops *ops, struct buf *ret_chosen)
{
    CLEANUP_BUF offers = BUF_INIT;
    bool configured = ops->deflate == WS_DEFLATE_CONFIGURED;
    if (ops->deflate == WS_DEFLATE_NEVER || (configured && !r->conn->net->config->server.compression))
        return 0;
    join_fields(&r->head, "sec-websocket-extensions", &offers);
    return ws_deflate_negotiate(buf_bytes(&offers), configured ? WS_DEFLATE_WINDOW_MAX : WS_DEFLATE_WINDOW_MIN, ret_chosen);
}

static int append_switch(const struct http_request *r, const struct ws_ops *ops, const struct ws_verdict *v, struct buf *out)
{
    CLEANUP_BUF chosen = BUF_INIT;
    int bits = negotiate_deflate(r, ops, &chosen);

    buf_append_str(out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Accept: ");
    append_accept(out, http1_field_get(&r->head, "sec-websocket-key"));
    if (v->subprotocol.data) {
        buf_append_str(out, "\r\nSec-WebSocket-Protocol: ");
        buf_append_bytes(out, v->subprotocol);
    }
    if (bits) {
        buf_append_str(out, "\r\nSec-WebSocket-Extensions: ");
        buf_append_bytes(out, buf_bytes(&chosen));
    }
    buf_append_str(out, "\r\n\r\n");
    return bits;
}

static void accept_handshake(struct http_request *r, const struct ws_ops *ops, const struct ws_verdict *v)
{
    struct conn *c = r->conn;
    CLEANUP_BUF out = BUF_INIT;
    int bits = append_switch(r, ops, v, &out);
    CLEANUP_BUF early = c->in; /* frames that came right behind the request */

    c->in = BUF_INIT;
    http_request_free(c->net, r);
    free(c->http);
    c->http = NULL;
    conn_write(c, out.data, out.len);
    struct ws_conn *w = ws_conn_new(c, ops, v->user, CONN_WS);
    w->deflate_bits = (uint8_t)bits;
    metric_add(M_HANDSHAKES, 1);
    if (ops->open)
        ops->open(w);
    if (early.len)
        ws_rx(c, early.data, early.len);
}

void ws_upgrade(struct http_request *r, const struct ws_ops *ops)
{
    struct ws_verdict v = {.status = 101};

    if (!check_handshake(r) || !ws_admit(r) || !ws_ask_user(r, ops, &v))
        return;
    if (v.subprotocol.data && !was_offered(r, v.subprotocol)) {
        log_error("subprotocol was not offered by the client", LOG_BYTES("subprotocol", v.subprotocol));
        v.subprotocol = BYTES_NULL;
    }
    accept_handshake(r, ops, &v);
}
