/* Chat rooms: message type 1 (0 for older clients) goes to the log of its room and comes back to everyone in it.
 *
 * Settings are written once, before threads start. What belongs to one session hangs on that session and is used on its
 * loop thread only. Everything else lives in channels, so the module needs no lock. */
#include "chat.pb-c.h"
#include "chat_message.h"
#include "chat_rate.h"

#include <crier/crier.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHAT_TYPE 1
#define CHAT_TYPE_OLD 0
#define CHANNEL_BYTES (sizeof "chat:" + CHAT_ROOM_BYTES)
#define MESSAGE_ID_BYTES 512

struct settings {
    char default_room[CHAT_ROOM_BYTES];
    struct chat_limits limits;
    int64_t rate_per_10s;
    int64_t history; /* messages handed over on joining the default room */
};

static struct settings settings = {
    .default_room = "lobby",
    .limits = {.message_chars = 2000, .name_chars = 40},
    .rate_per_10s = 10,
    .history = 50,
};

struct member {
    char name[CHAT_NAME_BYTES];      /* when a message brings none */
    char client[CHAT_ROOM_BYTES];    /* ?client=, "" when not given or not a token */
    struct chat_rate rate;
};

static int64_t clock_ms(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* "guest-3f9a": the same for the same seed. */
static void guest_name(const char *seed, char out[CHAT_NAME_BYTES])
{
    uint32_t hash = 2166136261u;
    for (; *seed; seed++)
        hash = (hash ^ (unsigned char)*seed) * 16777619u;
    snprintf(out, CHAT_NAME_BYTES, "guest-%04x", (hash ^ hash >> 16) & 0xffff);
}

static void member_init(struct member *m, struct crier_session *s)
{
    char reason[CHAT_REASON_BYTES], name[CHAT_NAME_BYTES];
    chat_rate_init(&m->rate, clock_ms(CLOCK_MONOTONIC));
    bool named = crier_session_query(s, "client", m->client, sizeof m->client);
    if (!named || !chat_token_valid(m->client, strlen(m->client)))
        m->client[0] = 0;
    if (crier_session_query(s, "name", name, sizeof name))
        chat_name_clean(name, strlen(name), settings.limits.name_chars, m->name, reason);
    if (!m->name[0])
        guest_name(m->client[0] ? m->client : crier_session_id(s), m->name);
}

static void join(struct crier_session *s, const char *room)
{
    char channel[CHANNEL_BYTES];
    snprintf(channel, sizeof channel, "chat:%s", room);
    crier_subscribe(s, channel, &(struct crier_subscribe_options){.history = (int)settings.history});
}

/* ?join=none: the page subscribes by itself; ?join=ROOM: there instead of the default room. */
static void on_open(struct crier_session *s, void *arg)
{
    char room[CHAT_ROOM_BYTES + 1];
    (void)arg;
    struct member *m = calloc(1, sizeof *m);
    if (m)
        member_init(m, s);
    crier_session_set_data(s, m);
    if (m)
        crier_session_set_name(s, m->name);
    if (!crier_session_query(s, "join", room, sizeof room) || !chat_token_valid(room, strlen(room)))
        join(s, settings.default_room);
    else if (strcmp(room, "none") != 0)
        join(s, room);
}

static void on_disconnect(struct crier_session *s, int code, void *arg)
{
    (void)code;
    (void)arg;
    free(crier_session_data(s));
    crier_session_set_data(s, NULL);
}

/* The id a client gave this message: beside the payload, in JSON with its quotes, or in it where the wire has no room
 * for one beside (rpc). "" when it is none that can be used. */
static void request_id(struct crier_request *r, const struct chat_message *message, char out[CHAT_ROOM_BYTES])
{
    struct crier_bytes id = crier_request_id(r);
    if (id.len >= 2 && id.data[0] == '"')
        id = (struct crier_bytes){id.data + 1, id.len - 2};
    if (!id.data || !chat_token_valid(id.data, id.len))
        id = (struct crier_bytes){message->id, strlen(message->id)};
    memcpy(out, id.data, id.len);
    out[id.len] = 0;
}

static void set_sender(struct chat_message *message, const struct member *m, const char *user)
{
    char reason[CHAT_REASON_BYTES], name[CHAT_NAME_BYTES] = "";
    if (user[0])
        chat_name_clean(user, strlen(user), CHAT_NAME_CHARS_MAX, name, reason);
    if (name[0])
        memcpy(message->sender, name, sizeof name);
    else if (!message->sender[0])
        memcpy(message->sender, m->name, sizeof m->name);
}

/* Unique for the client over its reconnects: neither another user nor another client can use up this one's ids. Those of
 * a client without ?client= count within its session. */
static void scope_id(char out[MESSAGE_ID_BYTES], struct crier_session *s, const struct member *m, const char *id)
{
    const char *user = crier_session_user(s);
    if (m->client[0])
        snprintf(out, MESSAGE_ID_BYTES, "%s/%s/%s", user, m->client, id);
    else
        snprintf(out, MESSAGE_ID_BYTES, "%s/session/%s/%s", user, crier_session_id(s), id);
}

static void publish(struct crier_request *r, const struct member *m, const struct chat_message *message)
{
    struct crier_session *s = crier_request_session(r);
    char channel[CHANNEL_BYTES], id[CHAT_ROOM_BYTES], message_id[MESSAGE_ID_BYTES];
    request_id(r, message, id);
    scope_id(message_id, s, m, id);
    snprintf(channel, sizeof channel, "chat:%s", message->room);
    char *json = chat_message_write(message, clock_ms(CLOCK_REALTIME), m->client[0] ? id : "");
    if (!json) {
        crier_reply_error(r, CHAT_INTERNAL, "out of memory");
        return;
    }
    const struct crier_publication p = {
        .channel = channel,
        .payload = {json, strlen(json)},
        .message_id = id[0] ? message_id : NULL,
        .user = crier_session_user(s),
    };
    crier_publish_reply(r, &p);
    free(json);
}

static bool has_credit(struct crier_request *r, struct member *m)
{
    char reason[CHAT_REASON_BYTES];
    int64_t wait_ms;
    if (chat_rate_take(&m->rate, settings.rate_per_10s, clock_ms(CLOCK_MONOTONIC), &wait_ms))
        return true;
    snprintf(reason, sizeof reason, "too many messages: %d are allowed in 10 seconds, wait %d ms",
             (int)settings.rate_per_10s, (int)wait_ms);
    crier_reply_error(r, CHAT_TOO_MANY, reason);
    return false;
}

static void handle_chat(struct crier_request *r, struct crier_bytes payload, void *arg)
{
    struct crier_session *s = crier_request_session(r);
    struct member *m = crier_session_data(s);
    struct chat_message message;
    char reason[CHAT_REASON_BYTES];
    (void)arg;
    if (!m) {
        crier_reply_error(r, CHAT_INTERNAL, "out of memory");
        return;
    }
    if (!has_credit(r, m))
        return;
    enum chat_error err = chat_message_read(payload.data, payload.len, &settings.limits, &message, reason);
    if (err) {
        crier_reply_error(r, err, reason);
        return;
    }
    if (!message.room[0])
        memcpy(message.room, settings.default_room, sizeof message.room);
    set_sender(&message, m, crier_session_user(s));
    publish(r, m, &message);
    chat_message_done(&message);
}

static int read_number(struct crier *c, const char *key, int64_t min, int64_t max, int64_t *ret)
{
    const char *text = crier_module_option(c, key);
    if (!text)
        return 0;
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < min || value > max) {
        crier_module_fail(c, "%s: \"%s\" is not allowed, allowed: %lld to %lld", key, text, (long long)min,
                          (long long)max);
        return -EINVAL;
    }
    *ret = value;
    return 0;
}

static int read_default_room(struct crier *c)
{
    const char *room = crier_module_option(c, "default_room");
    if (!room)
        return 0;
    if (!chat_token_valid(room, strlen(room))) {
        crier_module_fail(c, "default_room: \"%s\" is not allowed, allowed: 1 to 64 of A-Z a-z 0-9 _ . -", room);
        return -EINVAL;
    }
    memcpy(settings.default_room, room, strlen(room) + 1);
    return 0;
}

static int read_settings(struct crier *c)
{
    int64_t message_chars = (int64_t)settings.limits.message_chars, name_chars = (int64_t)settings.limits.name_chars;
    int err = read_default_room(c);
    if (!err)
        err = read_number(c, "message_chars", 1, 1000000, &message_chars);
    if (!err)
        err = read_number(c, "name_chars", 1, CHAT_NAME_CHARS_MAX, &name_chars);
    if (!err)
        err = read_number(c, "rate_per_10s", 1, 10000, &settings.rate_per_10s);
    if (!err)
        err = read_number(c, "history", 0, 10000, &settings.history);
    settings.limits = (struct chat_limits){(size_t)message_chars, (size_t)name_chars};
    return err;
}

static int chatroom_init(struct crier *c)
{
    int err = read_settings(c);
    if (!err)
        err = crier_handle(c, CHAT_TYPE, "chat", CRIER_JSON, handle_chat, NULL);
    if (!err)
        err = crier_handle(c, CHAT_TYPE_OLD, "chat_v0", CRIER_JSON, handle_chat, NULL);
    if (!err)
        err = crier_message_schema(c, CHAT_TYPE, &crier__chat__chat_message__descriptor);
    if (!err)
        err = crier_message_schema(c, CHAT_TYPE_OLD, &crier__chat__chat_message__descriptor);
    if (err)
        return err;
    crier_on_open(c, on_open, NULL);
    crier_on_disconnect(c, on_disconnect, NULL);
    return 0;
}

CRIER_MODULE(chatroom_init)
