/* An open WebSocket connection: messages, control frames, rate limit, sending, the closing handshake; and what a stream
 * has in common with it. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "internal.h"
#include "util/error.h"
#include "util/metrics.h"
#include "ws_deflate.h"

#define DEFLATE_MIN_BYTES 64
#define OUT_KEEP_BYTES (1 << 20)

void *ws_user(const struct ws_conn *w)
{
    return w->user;
}

struct net *ws_net(const struct ws_conn *w)
{
    return w->conn->net;
}

bool ws_deflated(const struct ws_conn *w)
{
    return w->deflate_bits != 0;
}

bool ws_blocked(const struct ws_conn *w)
{
    return w->conn->blocked;
}

void ws_prefetch(const struct ws_conn *w)
{
    __builtin_prefetch(w->conn);
}

void ws_limit_unsent(struct ws_conn *w, int bytes)
{
    if (w->conn && !w->conn->doomed)
        setsockopt(w->conn->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes);
}

const struct ws_limits *ws_conn_limits(const struct ws_conn *w)
{
    return w->ops->unlimited ? &w->conn->net->echo_limits : &w->conn->net->limits;
}

struct ws_conn *ws_conn_new(struct conn *c, const struct ws_ops *ops, void *user, enum conn_phase phase)
{
    struct ws_conn *w = xcalloc(1, sizeof *w);
    const struct config_limits *l = &c->net->config->limits;

    w->conn = c;
    w->ops = ops;
    w->user = user;
    w->stream = phase == CONN_STREAM;
    w->last_message_ms = w->refill_ms = net_now(c->net);
    w->tokens_milli = (uint32_t)(l->rate_burst > 0 ? l->rate_burst : 1) * 1000;
    c->ws = w;
    c->phase = (uint8_t)phase;
    c->deadline_ms = 0;
    metric_add(M_SESSIONS, 1);
    metric_add(M_STREAMS, w->stream);
    return w;
}

void ws_free(struct ws_conn *w)
{
    buf_done(&w->control);
    free(w);
}

void ws_tell_closed(struct ws_conn *w)
{
    int code = w->code ? w->code : 1006;

    if (w->told_closed)
        return;
    w->told_closed = true;
    metric_add(M_SESSIONS, -1);
    metric_add(M_STREAMS, -(int)w->stream);
    metric_close(code);
    if (w->ops->closed)
        w->ops->closed(w, code);
}

/* ---- sending ---- */

int ws_write(struct ws_conn *w, const void *frames, size_t len)
{
    return conn_is_open(w->conn) ? conn_write(w->conn, frames, len) : -EPIPE;
}

static void trim_buffer(struct buf *b)
{
    if (b->capacity > OUT_KEEP_BYTES)
        buf_done(b);
}

/* Leaves room for the longest header in front, so that the payload is written only once. */
static struct bytes frame_in_place(struct buf *out, enum ws_opcode opcode, bool rsv1)
{
    char header[WS_HEADER_MAX];
    size_t n = ws_frame_header(header, opcode, rsv1, out->len - WS_HEADER_MAX);
    char *start = out->data + WS_HEADER_MAX - n;
    memcpy(start, header, n);
    return (struct bytes){start, out->len - WS_HEADER_MAX + n};
}

int ws_send(struct ws_conn *w, bool text, struct bytes message)
{
    struct net *n = w->conn->net;
    struct buf *out = &n->out;
    bool compressed = false;

    if (w->conn->phase != CONN_WS)
        return -EPIPE;
    out->len = 0;
    buf_reserve(out, WS_HEADER_MAX + message.len);
    out->len = WS_HEADER_MAX;
    if (w->deflate_bits && message.len > DEFLATE_MIN_BYTES)
        compressed = ws_deflate_message(n->deflate, w->deflate_bits, message, out) == 0;
    if (!compressed)
        buf_append_bytes(out, message);
    struct bytes frame = frame_in_place(out, text ? WS_TEXT : WS_BINARY, compressed);
    int r = conn_write(w->conn, frame.data, frame.len);
    metric_add(M_MESSAGES_OUT, r == 0);
    trim_buffer(out);
    return r;
}

static void send_control(struct ws_conn *w, enum ws_opcode opcode, struct bytes payload)
{
    char frame[2 + 125];
    size_t n = ws_frame_header(frame, opcode, false, payload.len);
    if (payload.len)
        memcpy(frame + n, payload.data, payload.len);
    conn_write(w->conn, frame, n + payload.len);
}

/* ---- closing ---- */

/* Longest part of `reason` that fits and does not cut a character. */
static size_t reason_len(const char *reason)
{
    size_t n = strlen(reason);
    if (n <= 123)
        return n;
    for (n = 123; n && ((unsigned char)reason[n] & 0xc0) == 0x80; n--)
        ;
    return n;
}

/* Code 1005 sends a close frame without a body. */
static void send_close(struct ws_conn *w, int code, const char *reason)
{
    char body[125] = {(char)(code >> 8), (char)code};
    size_t n = code == 1005 ? 0 : 2 + reason_len(reason);

    if (n > 2)
        memcpy(body + 2, reason, n - 2);
    if (!w->code)
        w->code = (uint16_t)code;
    send_control(w, WS_CLOSE, (struct bytes){body, n});
}

/* The last that this side says. */
static void say_farewell(struct ws_conn *w, int code, const char *reason)
{
    CLEANUP_BUF last = BUF_INIT;

    if (w->ops->farewell)
        w->ops->farewell(w, code, reason, &last);
    if (last.len)
        conn_write(w->conn, last.data, last.len);
    if (!w->stream)
        send_close(w, code, reason);
    else if (!w->code)
        w->code = (uint16_t)code;
}

void ws_close(struct ws_conn *w, int code, const char *reason)
{
    struct conn *c = w->conn;

    if (!conn_is_open(c) || c->doomed)
        return;
    say_farewell(w, code, reason ? reason : "");
    if (w->stream)
        conn_finish(c);
    else
        c->phase = CONN_WS_CLOSING;
    if (c->deadline_ms == 0) /* a stream that is not blocked has the shorter one of conn_finish() */
        c->deadline_ms = net_now(c->net) + WS_CLOSE_TIMEOUT_MS;
}

void ws_fail(struct ws_conn *w, int code, const char *reason)
{
    struct conn *c = w->conn;

    if (conn_is_open(c) && !c->doomed)
        say_farewell(w, code, reason);
    conn_finish(c);
    ws_tell_closed(w);
}

/* 5.5.1: answered once with the peer's own code, then it is ours to end the connection. */
static void on_close_frame(struct ws_conn *w, struct bytes payload)
{
    struct conn *c = w->conn;
    struct bytes reason;
    int code = 0, r = ws_close_parse(payload, &code, &reason);

    if (r < 0) {
        ws_fail(w, -r, "invalid close frame");
        return;
    }
    if (c->phase == CONN_WS)
        send_close(w, code, "");
    conn_finish(c);
    ws_tell_closed(w);
}

/* ---- receiving ---- */

static bool take_token(struct ws_conn *w)
{
    const struct config_limits *l = &w->conn->net->config->limits;
    uint64_t now = net_now(w->conn->net), full = (uint64_t)(l->rate_burst > 0 ? l->rate_burst : 1) * 1000;

    if (l->rate_messages <= 0 || w->ops->unlimited)
        return true;
    uint64_t tokens = w->tokens_milli + (now - w->refill_ms) * (uint64_t)l->rate_messages;
    w->refill_ms = now;
    if (tokens > full)
        tokens = full;
    bool granted = tokens >= 1000;
    w->tokens_milli = (uint32_t)(granted ? tokens - 1000 : tokens);
    return granted;
}

/* Counts a refused frame; true when the connection was closed for it. */
static bool strike(struct ws_conn *w)
{
    metric_add(M_RATE_LIMITED, 1);
    if (++w->strikes < w->conn->net->config->limits.rate_strikes)
        return false;
    ws_fail(w, CLOSE_POLICY, "too many messages");
    return true;
}

static void on_control(struct ws_conn *w, enum ws_opcode opcode, struct bytes payload)
{
    if (opcode == WS_CLOSE) {
        on_close_frame(w, payload);
    } else if (w->conn->phase != CONN_WS) {
        return;
    } else if (!take_token(w)) {
        strike(w);
    } else {
        w->strikes = 0;
        if (opcode == WS_PING)
            send_control(w, WS_PONG, payload);
    }
}

static void on_message(struct ws_conn *w, bool text, struct bytes message)
{
    w->last_message_ms = net_now(w->conn->net);
    if (take_token(w)) {
        w->strikes = 0;
        metric_add(M_MESSAGES_IN, 1);
        w->ops->message(w, text, message);
    } else if (!strike(w) && w->ops->limited) {
        w->ops->limited(w, text, message);
    }
}

void ws_take_message(struct ws_conn *w, bool text, struct bytes message)
{
    if (conn_is_open(w->conn) && !w->conn->doomed)
        on_message(w, text, message);
}

static void on_compressed(struct ws_conn *w, bool text, struct bytes wire)
{
    struct net *n = w->conn->net;
    int r;

    n->plain.len = 0;
    r = ws_inflate_message(n->deflate, wire, (size_t)ws_conn_limits(w)->message_bytes, &n->plain);
    if (r == -EMSGSIZE) {
        metric_add(M_LIMIT_MESSAGE_BYTES, 1);
        ws_fail(w, CLOSE_TOO_BIG, "message too big");
    } else if (r < 0 || (text && !utf8_valid(n->plain.data, n->plain.len))) {
        ws_fail(w, CLOSE_INVALID_DATA, r < 0 ? "cannot be inflated" : "not UTF-8");
    } else {
        metric_add(M_INFLATE_BYTES_IN, (int64_t)wire.len);
        metric_add(M_INFLATE_BYTES_OUT, (int64_t)n->plain.len);
        on_message(w, text, buf_bytes(&n->plain));
    }
    trim_buffer(&n->plain);
}

/* Collects pieces in `b`; what came in one piece is passed on without a copy. Returns true at the last one. */
static bool collect(struct buf *b, const struct ws_piece *piece, struct bytes *ret_whole)
{
    if (piece->first && piece->last) {
        *ret_whole = (struct bytes){piece->data, piece->len};
        return true;
    }
    buf_append(b, piece->data, piece->len);
    *ret_whole = buf_bytes(b);
    return piece->last;
}

static void on_whole(struct ws_conn *w, const struct ws_piece *last, struct bytes whole)
{
    if (last->opcode >= WS_CLOSE)
        on_control(w, last->opcode, whole);
    else if (last->compressed)
        on_compressed(w, last->opcode == WS_TEXT, whole);
    else
        on_message(w, last->opcode == WS_TEXT, whole);
}

static void on_piece(struct ws_conn *w, const struct ws_piece *piece)
{
    struct conn *c = w->conn;
    bool control = piece->opcode >= WS_CLOSE;
    struct buf *b = control ? &w->control : &c->in;
    struct bytes whole;

    if (!control && c->phase != CONN_WS) /* our close frame is out: messages are thrown away */
        return;
    bool complete = collect(b, piece, &whole);
    if (!control && !complete && w->message_start_ms == 0)
        w->message_start_ms = net_now(c->net);
    if (!complete)
        return;
    if (!control)
        w->message_start_ms = 0;
    struct buf held = *b; /* freed after use: an idle connection holds no buffer */
    *b = BUF_INIT;
    on_whole(w, piece, whole);
    buf_done(&held);
}

static void on_decode_error(struct ws_conn *w, int code)
{
    static const struct {
        int code;
        const char *reason;
    } reasons[] = {
        {CLOSE_PROTOCOL_ERROR, "protocol error"},
        {CLOSE_INVALID_DATA, "not UTF-8"},
        {CLOSE_TOO_BIG, "message too big"},
        {CLOSE_POLICY, "too many fragments"},
    };
    const char *reason = "";

    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].code == code)
            reason = reasons[i].reason;
    if (code == CLOSE_TOO_BIG)
        metric_add(M_LIMIT_MESSAGE_BYTES, 1);
    else if (code == CLOSE_POLICY)
        metric_add(M_LIMIT_FRAGMENTS, 1);
    ws_fail(w, code, reason);
}

void ws_rx(struct conn *c, char *data, size_t len)
{
    struct ws_conn *w = c->ws;
    struct ws_limits limits = *ws_conn_limits(w);

    limits.deflate = w->deflate_bits != 0;
    while ((c->phase == CONN_WS || c->phase == CONN_WS_CLOSING) && !c->doomed) {
        struct ws_piece piece;
        size_t used;
        int r = ws_decoder_next(&w->decoder, &limits, data, len, &used, &piece);
        data += used;
        len -= used;
        if (r == WS_PIECE)
            on_piece(w, &piece);
        else if (r < 0)
            on_decode_error(w, -r);
        if (r == WS_NEED_MORE)
            break;
    }
}
