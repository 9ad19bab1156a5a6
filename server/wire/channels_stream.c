#include "channels_stream.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/random.h>

#include "loop/engine.h"
#include "util/metrics.h"

#define KEY_DIGITS 16
#define RANDOM_BYTES 16

static const struct channels_style sse = {CHANNELS_JSON, CHANNELS_SSE, false};
static const struct channels_style stream = {CHANNELS_JSON, CHANNELS_LINES, false};
static const struct channels_style stream_protobuf = {CHANNELS_PROTOBUF, CHANNELS_LINES, false};
static const struct channels_style uni_sse = {CHANNELS_JSON, CHANNELS_SSE, true};
static const struct channels_style uni_stream = {CHANNELS_JSON, CHANNELS_LINES, true};

void channels_name_session(struct session *s)
{
    char *name = channels_client(s)->secret;
    unsigned char random_bytes[RANDOM_BYTES];

    if (getrandom(random_bytes, sizeof random_bytes, 0) != sizeof random_bytes) /* up to 256 bytes are never cut short */
        abort();
    snprintf(name, CHANNELS_SECRET_SIZE, "%0*llx", KEY_DIGITS, (unsigned long long)s->key);
    for (int i = 0; i < RANDOM_BYTES; i++)
        snprintf(name + KEY_DIGITS + 2 * i, 3, "%02x", random_bytes[i]);
}

/* ---- down: streams ---- */

static void on_upgrade(struct http_request *r, struct ws_verdict *v)
{
    struct session *s = channels_session_new(loop_of_request(r), v->user, r, v);
    v->user = s;
    if (s)
        channels_name_session(s);
}

static void on_message(struct ws_conn *conn, bool text, struct bytes message)
{
    struct session *s = ws_user(conn);
    (void)text;
    if (s->closing)
        return;
    if (channels_client(s)->style.uni)
        channels_uni_receive(s, message);
    else
        channels_receive(s, message);
}

static void on_writable(struct ws_conn *conn)
{
    session_flush(ws_user(conn));
}

/* Codes below 3000 are WebSocket's own; here they are said in the protocol's terms. */
static uint32_t code_of_push(int code)
{
    static const struct {
        int websocket;
        uint32_t code;
    } codes[] = {{CLOSE_GOING_AWAY, CLOSE_SHUTDOWN}, {CLOSE_POLICY, CHANNELS_CLOSE_TOO_MANY}};

    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i].websocket == code)
            return codes[i].code;
    return code < 3000 ? CHANNELS_CLOSE_INTERNAL : (uint32_t)code;
}

void channels_farewell(struct ws_conn *conn, int code, const char *reason, struct buf *out)
{
    const struct channels_style *style = &channels_client(ws_user(conn))->style;
    size_t mark;

    channels_begin(out, style, &mark);
    channels_push_disconnect(out, style, code_of_push(code), bytes_of(reason));
    channels_end(out, style, mark);
}

static void on_closed(struct ws_conn *conn, int code)
{
    channels_closed(ws_user(conn), code);
}

static const struct ws_ops stream_ops = {
    .upgrade = on_upgrade,
    .message = on_message,
    .limited = channels_limited,
    .writable = on_writable,
    .farewell = channels_farewell,
    .closed = on_closed,
};

static const char *content_type(const struct channels_style *style)
{
    if (style->transport == CHANNELS_SSE)
        return "text/event-stream; charset=utf-8";
    return style->encoding == CHANNELS_JSON ? "application/json; charset=utf-8" : "application/octet-stream";
}

/* X-Accel-Buffering is nginx's; no proxy may keep what is only for this client, and now. */
static const struct http_header no_buffering[] = {
    {"Cache-Control", BYTES_LIT("private, no-cache, no-store, must-revalidate, max-age=0")},
    {"Pragma", BYTES_LIT("no-cache")},
    {"X-Accel-Buffering", BYTES_LIT("no")},
};

static void open_stream(struct http_request *r, const struct channels_style *style, struct bytes first)
{
    const struct http_reply head = {
        .status = 200,
        .content_type = content_type(style),
        .body = style->transport == CHANNELS_SSE ? BYTES_LIT("\n") : BYTES_LIT(""),
        .headers = no_buffering,
        .header_count = sizeof no_buffering / sizeof *no_buffering,
    };
    CLEANUP_BUF commands = BUF_INIT; /* the request goes with its answer */

    buf_append_bytes(&commands, first);
    struct ws_conn *conn = http_stream_start(r, &head, &stream_ops, (void *)style);
    if (!conn)
        return;
    struct session *s = ws_user(conn);
    s->conn = conn;
    channels_opened(s);
    ws_take_message(conn, style->encoding == CHANNELS_JSON, buf_bytes(&commands));
}

static bool fits(struct http_request *r, struct bytes message)
{
    const struct config *config = loop_of_request(r)->engine->config;
    if (message.len <= (size_t)config->limits.message_bytes)
        return true;
    metric_add(M_LIMIT_MESSAGE_BYTES, 1);
    http_respond_error(r, CRIER_ERR_TOO_LARGE, "the commands are longer than limits.message_bytes");
    return false;
}

static void begin(struct http_request *r, const struct channels_style *style, struct bytes first)
{
    if (!fits(r, first))
        return;
    if (style->uni && !channels_uni_valid(loop_of_request(r)->engine->config, first))
        http_respond_error(r, CRIER_ERR_BAD_REQUEST, "not a connect request");
    else
        open_stream(r, style, first);
}

static void on_get(struct http_request *r, void *arg)
{
    const struct channels_style *style = arg;
    CLEANUP_BUF commands = BUF_INIT;
    int found = http_query_get(r, "cf_connect", &commands);

    if (found == -EINVAL || (!commands.len && !style->uni))
        http_respond_error(r, CRIER_ERR_BAD_REQUEST, "the query parameter cf_connect has the first commands");
    else
        begin(r, style, buf_bytes(&commands));
}

static void on_post(struct http_request *r, void *arg)
{
    begin(r, arg, http_body(r));
}

static bool is_protobuf(const struct http_request *r)
{
    static const char name[] = "application/octet-stream";
    struct bytes type = http_header_get(r, "content-type");
    return type.len >= sizeof name - 1 && strncasecmp(type.data, name, sizeof name - 1) == 0;
}

static void on_post_stream(struct http_request *r, void *arg)
{
    (void)arg;
    begin(r, is_protobuf(r) ? &stream_protobuf : &stream, http_body(r));
}

/* ---- up: POST /emulation ---- */

struct emulation_message {
    struct inbox_message message; /* first */
    uint64_t key;
    size_t len;
    char name[CHANNELS_SECRET_SIZE - 1]; /* no NUL */
    char commands[];
};

static void deliver(struct inbox_message *message, void *owner)
{
    struct emulation_message *m = (struct emulation_message *)message;
    struct session *s = session_find(owner, m->key);
    const struct channels_client *c = s && s->wire == &channels_wire_ops ? channels_client(s) : NULL;

    if (c && s->conn && *c->secret && !c->style.uni && CRYPTO_memcmp(c->secret, m->name, sizeof m->name) == 0)
        ws_take_message(s->conn, c->style.encoding == CHANNELS_JSON, (struct bytes){m->commands, m->len});
    free(m);
}

static bool parse_key(struct bytes session, uint64_t *ret_key)
{
    uint64_t key = 0;
    for (size_t i = 0; i < KEY_DIGITS; i++) {
        const char *digits = "0123456789abcdef", *at = session.data[i] ? strchr(digits, session.data[i]) : NULL;
        if (!at)
            return false;
        key = key << 4 | (uint64_t)(at - digits);
    }
    *ret_key = key;
    return true;
}

/* To the loop of the session, also if that is this one: what comes by several connections stays in the order in which it
 * came. A session that is not there any more is no mistake of the client. */
static void forward(struct engine *engine, struct bytes session, struct bytes commands)
{
    struct emulation_message *m;
    uint64_t key;

    if (session.len != sizeof m->name || !parse_key(session, &key) || key >> 56 >= engine->loop_count)
        return;
    m = xmalloc(sizeof *m + commands.len);
    *m = (struct emulation_message){.message.deliver = deliver, .key = key, .len = commands.len};
    memcpy(m->name, session.data, session.len);
    if (commands.len)
        memcpy(m->commands, commands.data, commands.len);
    loop_post(&engine->loops[key >> 56], &m->message);
}

static void on_emulation(struct http_request *r, void *arg)
{
    struct engine *engine = loop_of_request(r)->engine;
    struct channels_decoder decoder = {.encoding = is_protobuf(r) ? CHANNELS_PROTOBUF : CHANNELS_JSON,
                                       .depth_limit = (unsigned)engine->config->limits.json_depth};
    struct channels_emulation e;
    (void)arg;

    if (!fits(r, http_body(r)))
        return;
    if (channels_decode_emulation(&decoder, http_body(r), &e) < 0) {
        http_respond_error(r, CRIER_ERR_BAD_REQUEST, decoder.reason);
    } else if (!bytes_eq_str(e.node, engine->hub->node_id)) {
        /* Streams end at the node that began them, and nodes do not talk to each other: the balancer has to send a client's
         * requests to one node. */
        http_respond_error(r, CRIER_ERR_METHOD_NOT_FOUND, "the session is on another node");
    } else {
        if (e.data.data)
            forward(engine, e.session, e.data);
        http_respond(r, &(struct http_reply){.status = 204});
    }
    channels_decoder_done(&decoder);
}

#define ROUTE(method, path, fn, style) {method, path, fn, (void *)(style), CORS_CREDENTIALS}

const struct http_route channels_routes[] = {
    ROUTE("GET", "/connection/sse", on_get, &sse),
    ROUTE("POST", "/connection/sse", on_post, &sse),
    ROUTE("POST", "/connection/http_stream", on_post_stream, NULL),
    ROUTE("POST", "/emulation", on_emulation, NULL),
    ROUTE("GET", "/connection/uni_sse", on_get, &uni_sse),
    ROUTE("POST", "/connection/uni_sse", on_post, &uni_sse),
    ROUTE("POST", "/connection/uni_http_stream", on_post, &uni_stream),
};
const size_t channels_route_count = sizeof channels_routes / sizeof *channels_routes;
