/* The channels wire: sessions that speak the protocol of proto/channels.h, whatever carries it.
 *
 * Runs on loop threads. A session begins with channels_session_new(), takes the client's bytes through
 * channels_receive() and ends with channels_closed(); what it sends goes through the session. The WebSocket endpoint is
 * in channels_wire.c, the transports over HTTP in channels_stream.c. */
#ifndef CRIER_WIRE_CHANNELS_WIRE_H
#define CRIER_WIRE_CHANNELS_WIRE_H

#include "auth/auth.h"
#include "net/net.h"
#include "proto/channels.h"
#include "session/request.h"

/* Close codes of this wire beside those of util/error.h; 3500 and above are final for the client. */
enum {
    CHANNELS_CLOSE_INTERNAL = 3004,
    CHANNELS_CLOSE_EXPIRED = 3005,
    CHANNELS_CLOSE_SUBSCRIPTION_EXPIRED = 3006,
    CHANNELS_CLOSE_INSUFFICIENT_STATE = 3010,
    CHANNELS_CLOSE_NO_PONG = 3012,
    CHANNELS_CLOSE_TOO_MANY = 3013,
    CHANNELS_CLOSE_INVALID_TOKEN = 3500,
    CHANNELS_CLOSE_BAD_REQUEST = 3501,
    CHANNELS_CLOSE_STALE = 3502,
    CHANNELS_CLOSE_INAPPROPRIATE = 3506,
    CHANNELS_CLOSE_PERMISSION_DENIED = 3507,
    CHANNELS_CLOSE_NOT_AVAILABLE = 3508,
};

/* Codes of the unsubscribe push; from 2500 on the client subscribes again. */
enum {
    CHANNELS_UNSUBSCRIBED_BY_SERVER = 2000,
    CHANNELS_UNSUBSCRIBED_STATE = 2500,
    CHANNELS_UNSUBSCRIBED_EXPIRED = 2501,
};

#define CHANNELS_SECRET_SIZE     49

/* What the wire knows of a subscription, from the request to its end. */
struct channels_subscription {
    struct channels_subscription *next;
    uint32_t id;             /* of the command that waits for the answer; 0 none */
    uint32_t unsubscribe_id; /* of one that came before that answer; 0 none */
    uint64_t asked_offset;
    int64_t expire_at_s; /* 0 never */
    bool answered;
    bool server_side; /* of the token or the server: reported in the connect reply or by a push */
    bool recover, strict;
    bool may_resume; /* by the namespace's rights */
    bool delta, join_leave;
    bool wants_recovery, wants_position;
    /* By the token or the server API. */
    enum auth_override force_recovery, force_positioning, push_join_leave, presence, joins;
    bool recoverable, positioned;
    int32_t type;
    bool has_box;
    struct geo_box box; /* that it began with */
    uint64_t mark;      /* of that box, in the epochs that the client is told */
    bool in_connect; /* the result waits for the connect reply */
    struct channels_subscribe_result result; /* points into the three below */
    char epoch[WINDOW_EPOCH_SIZE];
    struct buf items, ends;
    struct channels_map *map; /* of a map subscription until it is live; NULL none */
    char *data;        /* raw, for the reply; NULL none */
    char *info;        /* chan_info; NULL none */
    char channel[];
};

struct channels_map;

struct channels_client {
    struct channels_style style;
    enum { CHANNELS_NEW, CHANNELS_CONNECTING, CHANNELS_CONNECTED, CHANNELS_ENDED } state;
    uint32_t connect_id;
    uint32_t pongs_expected;
    uint64_t connect_by_ms, ping_at_ms, pong_by_ms; /* monotonic; 0 none */
    int64_t expire_at_s;                            /* wall clock; 0 never */
    bool undoing;                                   /* an unsubscribe waits for its subscribe to be answered */
    struct buf held;                                /* commands behind that, or behind an unfinished connect */
    struct channels_subscription *subscriptions;
    size_t connect_waits; /* server-side subscriptions not answered */
    char *remote_address;
    char secret[CHANNELS_SECRET_SIZE]; /* names the session to POST /emulation; "" where there is none */
};

extern const struct ws_ops channels_ws_ops;
extern const struct wire_ops channels_wire_ops;

/* ---- a session's life: channels_wire.c ---- */

/* Runs the modules' connect hooks on the request; NULL with the refusal in `v`. `conn` is set by the caller. */
struct session *channels_session_new(struct loop *l, const struct channels_style *style, struct http_request *r,
                                     struct ws_verdict *v);
/* The connection is there (s->conn): deadlines begin. */
void channels_opened(struct session *s);
/* One message of the client: commands in the session's encoding. */
void channels_receive(struct session *s, struct bytes commands);
/* What was held is looked at now. */
void channels_receive_held(struct session *s);
/* ws_ops.limited of all transports. */
void channels_limited(struct ws_conn *conn, bool text, struct bytes message);
/* After the connection is gone: runs the disconnect hooks and frees. */
void channels_closed(struct session *s, int code);

static inline struct channels_client *channels_client(const struct session *s)
{
    return s->wire_state;
}

/* After an expiry a client has this long to bring a new token. */
int64_t channels_grace_s(const struct session *s);

/* ---- orders of the server API: channels_orders.c ---- */

void channels_server_subscribe(struct session *s, const struct dispatch *d);
void channels_refresh(struct session *s, int64_t expire_at_s, struct bytes info);
const char *channels_secret(const struct session *s);

/* ---- writing: channels_wire.c ---- */

struct channels_out {
    struct buf bytes;
    size_t mark;
};

void channels_out_begin(struct session *s, struct channels_out *out);
/* Sends it and frees the buffer. */
void channels_out_send(struct session *s, struct channels_out *out);
void channels_error(struct session *s, uint32_t id, enum crier_error error, const char *message);

/* ---- commands: channels_connect.c, channels_subscribe.c, channels_request.c ---- */

void channels_handle_connect(struct session *s, uint32_t id, const struct channels_connect *c);
void channels_handle_refresh(struct session *s, uint32_t id, struct bytes token);
void channels_handle_pong(struct session *s);
/* Deadlines: connect, ping, pong, expiry. */
void channels_wake(struct session *s, uint64_t now_ms);
void channels_schedule(struct session *s);
/* A server-side subscription has its answer: the last one finishes the connect. */
void channels_connect_progress(struct session *s);

void channels_handle_subscribe(struct session *s, uint32_t id, const struct channels_subscribe *r);
void channels_handle_unsubscribe(struct session *s, uint32_t id, struct bytes channel);
void channels_handle_sub_refresh(struct session *s, uint32_t id, struct bytes channel, struct bytes token);
/* By the token or the server: `r` may carry a position of the client, `by` the token's options; both may be NULL. */
void channels_subscribe_server_side(struct session *s, struct bytes channel, const struct channels_subscribe *r,
                                    const struct auth_subscription *by);
struct channels_subscription *channels_subscription_find(struct session *s, struct bytes channel);
void channels_subscriptions_free(struct channels_client *c);
/* Ends those whose token is over. */
void channels_subscriptions_expire(struct session *s, int64_t now_s);

/* Parts of subscribing that map subscriptions share: adding under the command's id after checking it, refusing it with
 * the subscription gone, ending one that has just begun. */
struct channels_subscription *channels_subscription_new(struct session *s, uint32_t id,
                                                        const struct channels_subscribe *r,
                                                        const struct geo_box *box);
/* The same without checks and answers; `r` may be NULL. */
struct channels_subscription *channels_subscription_add(struct session *s, struct bytes channel,
                                                        const struct channels_subscribe *r);
void channels_send_unsubscribed(struct session *s, uint32_t id);
void channels_subscription_refuse(struct session *s, struct channels_subscription *sub, enum crier_error error,
                                  const char *detail);
void channels_subscription_drop(struct session *s, struct channels_subscription *sub);
void channels_subscription_undo(struct session *s, struct channels_subscription *sub);
/* Where the items of a block end, as many as go into `limit_bytes` (at least one); returns their number. `block` may be
 * NULL. */
uint32_t channels_item_ends(const struct frame_block *block, size_t limit_bytes, struct buf *ret_ends);
struct channels_items channels_items_view(struct bytes items, const struct buf *ends);
/* Copies a block's items up to `limit_bytes` (at least one) for the reply. */
uint32_t channels_subscription_keep(struct channels_subscription *sub, const struct frame_block *block,
                                    size_t limit_bytes);
uint32_t channels_subscription_ttl(const struct channels_subscription *sub);
/* Sends what `sub->result` says. */
void channels_subscription_answer(struct session *s, struct channels_subscription *sub);

/* ---- map subscriptions: channels_map.c ---- */

void channels_map_subscribe(struct session *s, uint32_t id, const struct channels_subscribe *r,
                            const struct geo_box *box);
/* The hub's answer to the last step. */
void channels_map_live(struct session *s, struct channels_subscription *sub, const struct subscription *live,
                       const struct hub_subscribe *h);
/* Pages are being read: nothing of it is with the hub yet. */
bool channels_map_is_paging(const struct channels_subscription *sub);
void channels_map_free(struct channels_map *m); /* accepts NULL */

/* ---- filters by place: channels_box.c ---- */

/* The box in the data of a subscribe request: `*ret_box` is `storage`, or NULL where there is none. The epoch of `r`
 * loses its mark; one of another box becomes none that there is. */
enum crier_error channels_box_read(struct session *s, struct channels_subscribe *r, struct geo_box *storage,
                                   const struct geo_box **ret_box, const char **ret_detail);
/* `box` may be NULL. */
void channels_box_keep(struct channels_subscription *sub, const struct geo_box *box, struct bytes filter);
static inline const struct geo_box *channels_box(const struct channels_subscription *sub)
{
    return sub->has_box ? &sub->box : NULL;
}
/* An epoch as the client is told it. */
void channels_box_epoch(const struct channels_subscription *sub, const char *epoch, char ret[WINDOW_EPOCH_SIZE]);
/* The rpc that changes a box in place. */
void channels_handle_geo(struct session *s, uint32_t id, struct bytes data);

/* News from the engine, as in struct wire_ops. */
void channels_on_subscribed(struct session *s, struct subscription *live, const struct hub_subscribe *h);
void channels_on_subscribe_failed(struct session *s, struct bytes channel, enum crier_error error, const char *detail);
void channels_on_unsubscribed(struct session *s, struct bytes channel, int code, const char *reason);

void channels_handle_publish(struct session *s, uint32_t id, const struct channels_publish *p);
void channels_handle_history(struct session *s, uint32_t id, const struct channels_history *h);
void channels_handle_presence(struct session *s, uint32_t id, struct bytes channel, bool stats);
void channels_handle_rpc(struct session *s, uint32_t id, struct bytes method, struct bytes data);
void channels_handle_send(struct session *s, struct bytes data);
/* JSON of the ClientInfo that others see of this session. */
void channels_append_own_info(struct session *s, struct buf *out);

#endif
