/* Unidirectional clients of the channels wire: one ConnectRequest, then only pushes. */
#include <errno.h>

#include "channels_stream.h"
#include "loop/engine.h"
#include "proto/http1.h"
#include "proto/json_scan.h"

/* The request as the connect command that it stands for: `text` holds it, the decoder what it points to. */
static int decode(const struct config *config, struct bytes request, struct buf *text, struct channels_decoder *d,
                  struct channels_command *ret)
{
    const char *reason;
    *d = (struct channels_decoder){.encoding = CHANNELS_JSON, .depth_limit = (unsigned)config->limits.json_depth + 1};
    /* One value and no more, so that it cannot end the command around it. */
    if (request.len && json_check(request, (unsigned)config->limits.json_depth, JSON_STRICT, &reason) < 0)
        return -EBADMSG;
    buf_append_str(text, "{\"id\":1,\"connect\":");
    buf_append_bytes(text, request.len ? request : BYTES_LIT("{}"));
    buf_append_str(text, "}");
    struct bytes rest = buf_bytes(text);
    return channels_decode(d, &rest, ret) == 1 ? 0 : -EBADMSG;
}

bool channels_uni_valid(const struct config *config, struct bytes connect_request)
{
    struct channels_decoder decoder;
    struct channels_command command;
    CLEANUP_BUF text = BUF_INIT;
    int r = decode(config, connect_request, &text, &decoder, &command);
    channels_decoder_done(&decoder);
    return r == 0;
}

void channels_uni_receive(struct session *s, struct bytes connect_request)
{
    struct channels_decoder decoder;
    struct channels_command command;
    CLEANUP_BUF text = BUF_INIT;

    if (channels_client(s)->state != CHANNELS_NEW)
        return;
    if (decode(s->loop->engine->config, connect_request, &text, &decoder, &command) == 0)
        channels_handle_connect(s, command.id, &command.connect);
    else
        session_close(s, CHANNELS_CLOSE_BAD_REQUEST, "bad request");
    channels_decoder_done(&decoder);
}

/* ---- over a WebSocket ---- */

static void on_upgrade(struct http_request *r, struct ws_verdict *v)
{
    static const struct channels_style style = {CHANNELS_JSON, CHANNELS_WEBSOCKET, true};
    struct session *s = channels_session_new(loop_of_request(r), &style, r, v);
    v->user = s;
    if (s)
        channels_name_session(s);
}

/* ?cf_connect= has the request, or the first message. */
static void on_open(struct ws_conn *conn)
{
    struct session *s = ws_user(conn);
    CLEANUP_BUF request = BUF_INIT;

    s->conn = conn;
    channels_opened(s);
    if (!s->query)
        return;
    int r = http1_query_get(bytes_of(s->query), "cf_connect", &request);
    if (r == 0)
        channels_uni_receive(s, buf_bytes(&request));
    else if (r == -EINVAL)
        session_close(s, CHANNELS_CLOSE_BAD_REQUEST, "bad request");
}

static void on_message(struct ws_conn *conn, bool text, struct bytes message)
{
    struct session *s = ws_user(conn);
    (void)text;
    if (!s->closing)
        channels_uni_receive(s, message);
}

static void on_writable(struct ws_conn *conn)
{
    session_flush(ws_user(conn));
}

static void on_closed(struct ws_conn *conn, int code)
{
    channels_closed(ws_user(conn), code);
}

const struct ws_ops channels_uni_ws_ops = {
    .path = "/connection/uni_websocket",
    .upgrade = on_upgrade,
    .open = on_open,
    .message = on_message,
    .writable = on_writable,
    .farewell = channels_farewell,
    .closed = on_closed,
    .deflate = WS_DEFLATE_CONFIGURED,
};
