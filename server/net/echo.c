/* /ws/echo: sends every message back; there only with debug.echo, for conformance runs. */
#include "internal.h"

static void on_echo_message(struct ws_conn *c, bool text, struct bytes message)
{
    /* Reading stops while the peer does not take our answers, so what waits here is bounded by what was read. */
    ws_send(c, text, message);
}

const struct ws_ops echo_ops = {
    .path = "/ws/echo",
    .message = on_echo_message,
    .unlimited = true,
    .deflate = WS_DEFLATE_ALWAYS,
};
