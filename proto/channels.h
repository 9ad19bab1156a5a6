/* The channels wire: commands of its clients as structs, replies and pushes as bytes, in JSON and in protobuf.
 *
 * Pure functions, any thread. A command's views point into the message or into the decoder's own memory and are good
 * until the next command is decoded. Field names and numbers are those of version 2 of the protocol.
 *     valid:   {"id":1,"connect":{}}   {}   {"id":2,"subscribe":{"channel":"a"}}<LF>{"id":3,"ping":{}}
 *     invalid: <empty>   {"id":1}   {"connect":{}}   {"id":1,"connect":[]}   {"id":-1,"connect":{}}
 * In protobuf each message has its length in front, as a varint; a pong is the single byte 00. */
#ifndef CRIER_PROTO_CHANNELS_H
#define CRIER_PROTO_CHANNELS_H

#include "util/bytes.h"

enum channels_encoding { CHANNELS_JSON, CHANNELS_PROTOBUF };

/* ---- commands ---- */

enum channels_method {
    CHANNELS_PONG, /* the empty command */
    CHANNELS_CONNECT,
    CHANNELS_SUBSCRIBE,
    CHANNELS_UNSUBSCRIBE,
    CHANNELS_PUBLISH,
    CHANNELS_PRESENCE,
    CHANNELS_PRESENCE_STATS,
    CHANNELS_HISTORY,
    CHANNELS_PING,
    CHANNELS_SEND,
    CHANNELS_RPC,
    CHANNELS_REFRESH,
    CHANNELS_SUB_REFRESH,
    CHANNELS_METHOD_COUNT
};

/* Bits of `flag` in a subscribe request. */
enum {
    CHANNELS_FLAG_IDS = 1,    /* the client takes channel ids instead of names */
    CHANNELS_FLAG_STRICT = 2, /* error 112 instead of recovered:false */
};

enum channels_subscription_type {
    CHANNELS_STREAM = 0,
    CHANNELS_MAP = 1,
    CHANNELS_MAP_CLIENTS = 2,
    CHANNELS_MAP_USERS = 3
};
enum channels_phase { CHANNELS_LIVE = 0, CHANNELS_PHASE_STREAM = 1, CHANNELS_PHASE_STATE = 2 };

/* Absent strings are empty, absent bytes have data NULL. `data` is raw: a JSON value, or whatever bytes in protobuf
 * (where none are absent). Strings are UTF-8 without NUL. */
struct channels_subscribe {
    struct bytes channel, token, epoch, delta, cursor;
    struct bytes data;
    struct bytes tf; /* tags filter, raw in the command's encoding; data NULL: none */
    uint64_t offset;
    int64_t flag;
    int32_t type, phase, limit;
    bool recover, positioned, recoverable, join_leave, asc;
};

struct channels_connect {
    struct bytes token, name, version, data;
    struct bytes headers; /* JSON object of strings; data NULL: none. Protobuf is turned into the same */
    const struct channels_subscribe *subs; /* each with its channel; a channel may be there twice */
    size_t sub_count;
    int64_t flag;
};

struct channels_publish {
    struct bytes channel, data, key;
    int32_t type;
    bool removed;
};

struct channels_history {
    struct bytes channel;
    int32_t limit;
    bool has_since;
    uint64_t since_offset;
    struct bytes since_epoch;
    bool reverse;
};

struct channels_command {
    uint32_t id;
    enum channels_method method;
    union {
        struct channels_connect connect;
        struct channels_subscribe subscribe;
        struct channels_publish publish;
        struct channels_history history;
        struct {
            struct bytes channel;
        } unsubscribe, presence, presence_stats;
        struct {
            struct bytes method, data;
        } rpc;
        struct {
            struct bytes data;
        } send;
        struct {
            struct bytes channel, token;
        } refresh, sub_refresh;
    };
};

/* Memory of one decoding: zeroed before the first use, emptied by each command, freed by channels_decoder_done(). */
struct channels_decoder {
    enum channels_encoding encoding;
    unsigned depth_limit; /* nesting of JSON */
    struct buf text;      /* unescaped strings */
    struct buf subs;
    struct buf body; /* unescaped strings of an emulation body: its views outlive the commands in it */
    const char *reason; /* of a failure, static */
};

/* Takes the next command off `*rest`. 1: `*ret` is one; 0: nothing is left; -EBADMSG: malformed, no known method, two
 * of them, a member of another type or twice, or id 0 outside of send and pong; -E2BIG: nested too deep. Unknown
 * members are passed over. An empty message is malformed: ask only when it has bytes. */
CRIER_API int channels_decode(struct channels_decoder *d, struct bytes *rest, struct channels_command *ret);
CRIER_API void channels_decoder_done(struct channels_decoder *d);

/* Body of POST /emulation, in either encoding; a `data` that is no string (JSON) or is empty (protobuf) comes out as
 * data NULL. -EBADMSG, -E2BIG. Its views are good until the next body; the commands in `data` may be read by the same
 * decoder. */
struct channels_emulation {
    struct bytes node, session, data;
};
CRIER_API int channels_decode_emulation(struct channels_decoder *d, struct bytes body, struct channels_emulation *ret);

/* ---- how messages travel ---- */

enum channels_transport {
    CHANNELS_WEBSOCKET, /* frame header in front; protobuf has its length in front as well */
    CHANNELS_SSE,       /* "data: " ... LF LF */
    /* ... LF; protobuf: length in front. JSON is ASCII here, the rest of Unicode as escapes: the usual client decodes
     * what it reads piece by piece, and the network may cut a character of several bytes in two. */
    CHANNELS_LINES,
};

struct channels_style {
    enum channels_encoding encoding;
    enum channels_transport transport;
    bool uni; /* bare pushes: {"channel":..,"pub":..} instead of {"push":{..}} */
};

/* A message: what is appended between begin and end is framed for the transport. `*ret_mark` belongs to the end. All
 * that channels_reply_*, channels_push_* and channels_ping() append has to stand between the two. */
CRIER_API void channels_begin(struct buf *out, const struct channels_style *style, size_t *ret_mark);
CRIER_API void channels_end(struct buf *out, const struct channels_style *style, size_t mark);

/* ---- parts ---- */

struct channels_client_info {
    struct bytes user, client;
    struct bytes conn_info, chan_info; /* raw JSON; data NULL: none */
};

/* One publication. `data` raw; data NULL: none (a removal). In JSON bytes 0x0A and 0x0D of raw values are left out
 * (there they can only be white space, and they end lines and events), and data that is no JSON is the caller's
 * mistake (close 3506). Strings that are not UTF-8 (keys of brokers) have U+FFFD for each bad byte. */
struct channels_publication {
    struct bytes data;
    struct bytes info; /* JSON of a ClientInfo as channels_append_info() writes it; data NULL: none */
    struct bytes tags; /* JSON object of strings, or empty */
    struct bytes key;  /* data NULL: none */
    struct bytes epoch; /* data NULL: not said */
    uint64_t offset;   /* 0: none */
    int64_t time_ms;   /* 0: not said */
    bool removed;
    bool delta;        /* data is a delta */
    bool data_as_string; /* JSON: data is written as a string (delta subscriptions) */
};

/* Appends the object {"data":..,"offset":..}, or the protobuf message without tag and length: an item. Info and tags
 * that are not what is said above are left out of protobuf. */
CRIER_API void channels_append_publication(struct buf *out, enum channels_encoding encoding,
                                           const struct channels_publication *p);
/* Appends an item anew that says this position, whatever it says itself; offset 0, an empty epoch: says no other one. */
CRIER_API void channels_append_placed(struct buf *out, enum channels_encoding encoding, struct bytes item,
                                      uint64_t offset, struct bytes epoch);
/* Appends the JSON object of an info. */
CRIER_API void channels_append_info(struct buf *out, const struct channels_client_info *info);

/* Items as above, one behind the other; ends[i] is where item i ends in `bytes`. */
struct channels_items {
    struct bytes bytes;
    const uint32_t *ends;
    size_t count;
};

/* ---- results; id 0 never occurs. Each appends one whole Reply ---- */

struct channels_subscribe_result {
    struct bytes epoch;
    uint64_t offset;
    bool recoverable, positioned, recovered, was_recovering, delta;
    bool expires;
    uint32_t ttl;
    struct bytes data; /* data NULL: none */
    struct channels_items publications;
    struct channels_items state; /* map subscriptions */
    int32_t type, phase;
    struct bytes cursor;
    uint32_t publish_debounce;
};

struct channels_sub {
    struct bytes channel;
    struct channels_subscribe_result result;
};

struct channels_connect_result {
    struct bytes client, version, data, session, node;
    const struct channels_sub *subs;
    size_t sub_count;
    bool expires;
    uint32_t ttl, ping_s;
    bool pong;
    int64_t time_ms; /* 0: not said */
};

struct channels_refresh_result {
    struct bytes client, version; /* of a refresh; a sub_refresh has none */
    bool expires;
    uint32_t ttl;
};

struct channels_history_result {
    struct channels_items publications;
    struct bytes epoch;
    uint64_t offset;
};

CRIER_API void channels_reply_error(struct buf *out, enum channels_encoding e, uint32_t id, uint32_t code,
                                    struct bytes message, bool temporary);
CRIER_API void channels_reply_connect(struct buf *out, enum channels_encoding e, uint32_t id,
                                      const struct channels_connect_result *r);
CRIER_API void channels_reply_subscribe(struct buf *out, enum channels_encoding e, uint32_t id,
                                        const struct channels_subscribe_result *r);
/* {} as the result of unsubscribe, publish, ping, send. */
CRIER_API void channels_reply_empty(struct buf *out, enum channels_encoding e, uint32_t id,
                                    enum channels_method method);
/* `presence`: JSON object {"CLIENT":{info},...} */
CRIER_API void channels_reply_presence(struct buf *out, enum channels_encoding e, uint32_t id, struct bytes presence);
CRIER_API void channels_reply_presence_stats(struct buf *out, enum channels_encoding e, uint32_t id, uint32_t clients,
                                             uint32_t users);
CRIER_API void channels_reply_history(struct buf *out, enum channels_encoding e, uint32_t id,
                                      const struct channels_history_result *r);
CRIER_API void channels_reply_rpc(struct buf *out, enum channels_encoding e, uint32_t id, struct bytes data);
CRIER_API void channels_reply_refresh(struct buf *out, enum channels_encoding e, uint32_t id, bool of_subscription,
                                      const struct channels_refresh_result *r);

/* ---- pushes; `style` decides between {"push":{..}} and the bare form ---- */

CRIER_API void channels_push_publication(struct buf *out, const struct channels_style *style, struct bytes channel,
                                         const struct channels_publication *p);
/* The same around an item that is encoded already. */
CRIER_API void channels_push_item(struct buf *out, const struct channels_style *style, struct bytes channel,
                                  struct bytes item);
CRIER_API void channels_push_join(struct buf *out, const struct channels_style *style, struct bytes channel,
                                  struct bytes info, bool leave);
CRIER_API void channels_push_message(struct buf *out, const struct channels_style *style, struct bytes data);
CRIER_API void channels_push_subscribe(struct buf *out, const struct channels_style *style, struct bytes channel,
                                       const struct channels_subscribe_result *r);
CRIER_API void channels_push_unsubscribe(struct buf *out, const struct channels_style *style, struct bytes channel,
                                         uint32_t code, struct bytes reason);
/* Uni transports: the first message. */
CRIER_API void channels_push_connect(struct buf *out, const struct channels_style *style,
                                     const struct channels_connect_result *r);
CRIER_API void channels_push_disconnect(struct buf *out, const struct channels_style *style, uint32_t code,
                                        struct bytes reason);
CRIER_API void channels_push_refresh(struct buf *out, const struct channels_style *style, bool expires, uint32_t ttl);
/* {} or the empty message. */
CRIER_API void channels_ping(struct buf *out, enum channels_encoding e);

/* The item inside of one framed push of a publication, begin to end; data NULL when it is none. */
CRIER_API struct bytes channels_item_of_frame(const struct channels_style *style, struct bytes frame);

#endif
