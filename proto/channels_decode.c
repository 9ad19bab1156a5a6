#include "channels_schema.h"

#include "pb_wire.h"
#include "utf8.h"

#include <errno.h>

#define KEPT_BYTES_MAX (64u << 10) /* a decoder that grew beyond this gives its memory back at the next command */

/* Places in the union of a command; all its members begin where `connect` does. */
#define IN(member) (offsetof(struct channels_command, member) - offsetof(struct channels_command, connect))
#define FIELDS(list) ((const struct channels_fields){(list), sizeof(list) / sizeof *(list)})

static const struct channels_field subscribe_list[] = {
    {"channel", 1, FIELD_STRING, IN(subscribe.channel), NULL, 0},
    {"token", 2, FIELD_STRING, IN(subscribe.token), NULL, 0},
    {"recover", 3, FIELD_BOOL, IN(subscribe.recover), NULL, 0},
    {"epoch", 6, FIELD_STRING, IN(subscribe.epoch), NULL, 0},
    {"offset", 7, FIELD_U64, IN(subscribe.offset), NULL, 0},
    {"data", 8, FIELD_RAW, IN(subscribe.data), NULL, 0},
    {"positioned", 9, FIELD_BOOL, IN(subscribe.positioned), NULL, 0},
    {"recoverable", 10, FIELD_BOOL, IN(subscribe.recoverable), NULL, 0},
    {"join_leave", 11, FIELD_BOOL, IN(subscribe.join_leave), NULL, 0},
    {"delta", 12, FIELD_STRING, IN(subscribe.delta), NULL, 0},
    {"tf", 13, FIELD_FILTER, IN(subscribe.tf), NULL, 0},
    {"flag", 14, FIELD_I64, IN(subscribe.flag), NULL, 0},
    {"type", 15, FIELD_I32, IN(subscribe.type), NULL, 0},
    {"phase", 16, FIELD_I32, IN(subscribe.phase), NULL, 0},
    {"cursor", 17, FIELD_STRING, IN(subscribe.cursor), NULL, 0},
    {"limit", 18, FIELD_I32, IN(subscribe.limit), NULL, 0},
    {"asc", 19, FIELD_BOOL, IN(subscribe.asc), NULL, 0},
};
const struct channels_fields channels_subscribe_fields = FIELDS(subscribe_list);

static const struct channels_field connect_list[] = {
    {"token", 1, FIELD_STRING, IN(connect.token), NULL, 0},
    {"data", 2, FIELD_RAW, IN(connect.data), NULL, 0},
    {"subs", 3, FIELD_SUBS, 0, NULL, 0},
    {"name", 4, FIELD_STRING, IN(connect.name), NULL, 0},
    {"version", 5, FIELD_STRING, IN(connect.version), NULL, 0},
    {"headers", 6, FIELD_HEADERS, IN(connect.headers), NULL, 0},
    {"flag", 7, FIELD_I64, IN(connect.flag), NULL, 0},
};

static const struct channels_field publish_list[] = {
    {"channel", 1, FIELD_STRING, IN(publish.channel), NULL, 0},
    {"data", 2, FIELD_RAW, IN(publish.data), NULL, 0},
    {"type", 3, FIELD_I32, IN(publish.type), NULL, 0},
    {"key", 4, FIELD_STRING, IN(publish.key), NULL, 0},
    {"removed", 5, FIELD_BOOL, IN(publish.removed), NULL, 0},
};

static const struct channels_field since_list[] = {
    {"offset", 1, FIELD_U64, IN(history.since_offset), NULL, 0},
    {"epoch", 2, FIELD_STRING, IN(history.since_epoch), NULL, 0},
};
static const struct channels_fields since_fields = FIELDS(since_list);

static const struct channels_field history_list[] = {
    {"channel", 1, FIELD_STRING, IN(history.channel), NULL, 0},
    {"limit", 7, FIELD_I32, IN(history.limit), NULL, 0},
    {"since", 8, FIELD_NESTED, 0, &since_fields, IN(history.has_since)},
    {"reverse", 9, FIELD_BOOL, IN(history.reverse), NULL, 0},
};

static const struct channels_field channel_list[] = {{"channel", 1, FIELD_STRING, IN(unsubscribe.channel), NULL, 0}};

static const struct channels_field rpc_list[] = {
    {"data", 1, FIELD_RAW, IN(rpc.data), NULL, 0},
    {"method", 2, FIELD_STRING, IN(rpc.method), NULL, 0},
};

static const struct channels_field send_list[] = {{"data", 1, FIELD_RAW, IN(send.data), NULL, 0}};

static const struct channels_field refresh_list[] = {{"token", 1, FIELD_STRING, IN(refresh.token), NULL, 0}};

static const struct channels_field sub_refresh_list[] = {
    {"channel", 1, FIELD_STRING, IN(sub_refresh.channel), NULL, 0},
    {"token", 2, FIELD_STRING, IN(sub_refresh.token), NULL, 0},
};

static const struct channels_field emulation_list[] = {
    {"node", 1, FIELD_STRING, offsetof(struct channels_emulation, node), NULL, 0},
    {"session", 2, FIELD_STRING, offsetof(struct channels_emulation, session), NULL, 0},
    {"data", 3, FIELD_LINES, offsetof(struct channels_emulation, data), NULL, 0},
};
const struct channels_fields channels_emulation_fields = FIELDS(emulation_list);

static const struct channels_fields connect_fields = FIELDS(connect_list), publish_fields = FIELDS(publish_list),
                                    history_fields = FIELDS(history_list), channel_fields = FIELDS(channel_list),
                                    rpc_fields = FIELDS(rpc_list), send_fields = FIELDS(send_list),
                                    refresh_fields = FIELDS(refresh_list),
                                    sub_refresh_fields = FIELDS(sub_refresh_list), no_fields = {NULL, 0};

const struct channels_method_info channels_methods[CHANNELS_METHOD_COUNT] = {
    [CHANNELS_PONG] = {"", 0, 0, &no_fields},
    [CHANNELS_CONNECT] = {"connect", 4, 5, &connect_fields},
    [CHANNELS_SUBSCRIBE] = {"subscribe", 5, 6, &channels_subscribe_fields},
    [CHANNELS_UNSUBSCRIBE] = {"unsubscribe", 6, 7, &channel_fields},
    [CHANNELS_PUBLISH] = {"publish", 7, 8, &publish_fields},
    [CHANNELS_PRESENCE] = {"presence", 8, 9, &channel_fields},
    [CHANNELS_PRESENCE_STATS] = {"presence_stats", 9, 10, &channel_fields},
    [CHANNELS_HISTORY] = {"history", 10, 11, &history_fields},
    [CHANNELS_PING] = {"ping", 11, 12, &no_fields},
    [CHANNELS_SEND] = {"send", 12, 0, &send_fields},
    [CHANNELS_RPC] = {"rpc", 13, 13, &rpc_fields},
    [CHANNELS_REFRESH] = {"refresh", 14, 14, &refresh_fields},
    [CHANNELS_SUB_REFRESH] = {"sub_refresh", 15, 15, &sub_refresh_fields},
};

int channels_fail(struct channels_reader *r, int error, const char *reason)
{
    r->reason = reason;
    return error;
}

int channels_check_string(struct channels_reader *r, struct bytes s)
{
    if (s.len && memchr(s.data, 0, s.len))
        return channels_fail(r, -EBADMSG, "NUL in a string");
    return utf8_valid(s.data, s.len) ? 0 : channels_fail(r, -EBADMSG, "string is not UTF-8");
}

void channels_add_sub(struct channels_reader *r, struct channels_connect *connect, const struct channels_subscribe *sub)
{
    buf_append(r->subs, sub, sizeof *sub);
    connect->subs = (const struct channels_subscribe *)r->subs->data;
    connect->sub_count++;
}

int channels_check_command(struct channels_reader *r, const struct channels_command *c, bool has_unknown)
{
    if (c->method == CHANNELS_PONG && (c->id || has_unknown))
        return channels_fail(r, -EBADMSG, "no known method");
    if (c->method != CHANNELS_PONG && c->method != CHANNELS_SEND && c->id == 0)
        return channels_fail(r, -EBADMSG, "id is missing");
    return 0;
}

static void empty(struct buf *b)
{
    if (b->capacity > KEPT_BYTES_MAX)
        buf_done(b);
    b->len = 0;
}

static struct bytes take_line(struct bytes *rest)
{
    const char *lf = memchr(rest->data, '\n', rest->len);
    struct bytes line = {rest->data, lf ? (size_t)(lf - rest->data) : rest->len};
    size_t taken = line.len + (lf != NULL);
    *rest = (struct bytes){rest->data + taken, rest->len - taken};
    return line;
}

static int read_one(struct channels_reader *r, const struct channels_decoder *d, struct bytes *rest,
                    struct channels_command *ret)
{
    struct bytes message;
    if (d->encoding == CHANNELS_JSON) {
        message = take_line(rest);
        return channels_read_json(r, message, d->depth_limit, ret);
    }
    if (!pb_take_bytes(rest, &message))
        return channels_fail(r, -EBADMSG, "message is shorter than its length says");
    return channels_read_protobuf(r, message, ret);
}

int channels_decode(struct channels_decoder *d, struct bytes *rest, struct channels_command *ret)
{
    struct channels_reader r = {.text = &d->text, .subs = &d->subs};
    struct channels_command command = {0};
    empty(&d->text);
    empty(&d->subs);
    d->reason = NULL;
    if (rest->len == 0)
        return 0;
    int err = read_one(&r, d, rest, &command);
    d->reason = r.reason;
    if (err < 0)
        return err;
    *ret = command;
    return 1;
}

int channels_decode_emulation(struct channels_decoder *d, struct bytes body, struct channels_emulation *ret)
{
    struct channels_reader r = {.text = &d->body, .subs = &d->subs};
    struct channels_emulation emulation = {0};
    empty(&d->body);
    int err = d->encoding == CHANNELS_JSON
                  ? channels_read_json_object(&r, body, d->depth_limit, &channels_emulation_fields, &emulation)
                  : channels_read_protobuf_message(&r, body, &channels_emulation_fields, &emulation);
    d->reason = r.reason;
    if (err < 0)
        return err;
    *ret = emulation;
    return 0;
}

void channels_decoder_done(struct channels_decoder *d)
{
    buf_done(&d->text);
    buf_done(&d->subs);
    buf_done(&d->body);
}
