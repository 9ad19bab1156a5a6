/* Two WebSocket endpoints that echo, and a record of what they were told: what the test_net_*.c programs on WebSocket share.
 *
 * The record is reset by start(); stop() checks that closed() came exactly once for each open(). */
#ifndef CRIER_TESTS_NET_WS_HARNESS_H
#define CRIER_TESTS_NET_WS_HARNESS_H

#include "net_harness.h"

static atomic_int opened, closed_count, last_code, limited_count, writable_count;
static struct ws_conn *last_conn;
static int upgrade_status;
static bool closed_twice;

static inline void on_upgrade(struct http_request *r, struct ws_verdict *v)
{
    struct bytes offered = http_header_get(r, "sec-websocket-protocol");
    if (upgrade_status) {
        v->status = upgrade_status;
        v->reason = "not \"you\"";
        v->retry_after_s = 7;
    }
    if (offered.data && memmem(offered.data, offered.len, "known", 5))
        v->subprotocol = BYTES_LIT("known");
    if (offered.data && memmem(offered.data, offered.len, "wrong", 5))
        v->subprotocol = BYTES_LIT("never offered");
    v->user = &opened;
}

static inline void on_open(struct ws_conn *c)
{
    assert_ptr_equal(ws_user(c), &opened);
    last_conn = c;
    opened++;
}

static inline void on_echo(struct ws_conn *c, bool text, struct bytes message)
{
    if (bytes_eq_str(message, "close me"))
        ws_close(c, 4001, "as you wish");
    else
        ws_send(c, text, message);
}

static inline void on_limited(struct ws_conn *c, bool text, struct bytes message)
{
    (void)message;
    limited_count++;
    ws_send(c, text, BYTES_LIT("slow down"));
}

static inline void on_writable(struct ws_conn *c)
{
    (void)c;
    writable_count++;
}

static inline void on_closed(struct ws_conn *c, int code)
{
    (void)c;
    closed_twice |= last_conn == NULL && closed_count >= opened;
    last_code = code;
    closed_count++;
}

static const struct ws_ops plain = {
    .path = "/ws",
    .upgrade = on_upgrade,
    .open = on_open,
    .message = on_echo,
    .limited = on_limited,
    .writable = on_writable,
    .closed = on_closed,
};
static struct ws_ops deflating, configured;
static const struct ws_ops *const endpoints[] = {&plain, &deflating, &configured};

static inline void start(struct server *s)
{
    deflating = plain;
    deflating.path = "/deflate";
    deflating.deflate = WS_DEFLATE_ALWAYS;
    configured = plain;
    configured.path = "/configured";
    configured.deflate = WS_DEFLATE_CONFIGURED;
    opened = closed_count = last_code = limited_count = writable_count = 0;
    upgrade_status = 0;
    s->options.endpoints = endpoints;
    s->options.endpoint_count = 3;
    server_start(s);
}

static inline void stop(struct server *s)
{
    server_stop(s);
    assert_int_equal(opened, closed_count); /* closed() exactly once for each */
    assert_false(closed_twice);
}

static inline void expect_frame(int fd, unsigned first_byte, const char *payload, size_t len)
{
    FRAME f = {0};
    assert_true(ws_get(fd, &f));
    assert_int_equal(f.first_byte, first_byte);
    assert_int_equal(f.payload.len, len);
    assert_memory_equal(f.payload.data, payload, len);
}

#endif
