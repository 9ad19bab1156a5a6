#include "chat_message.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bool chat_token_valid(const char *s, size_t len)
{
    static const char others[] = "_.-";
    if (len == 0 || len >= CHAT_ROOM_BYTES)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = s[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && !memchr(others, c, sizeof others - 1))
            return false;
    }
    return true;
}

static size_t count_chars(const char *s, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)s[i] & 0xc0) != 0x80;
    return n;
}

/* The next code point of valid UTF-8; moves `*at` behind it. */
static uint32_t next_char(const char *s, size_t *at)
{
    unsigned char lead = (unsigned char)s[(*at)++];
    int more = lead < 0x80 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    uint32_t point = more == 0 ? lead : lead & (0x3fu >> more);
    while (more-- > 0)
        point = point << 6 | ((unsigned char)s[(*at)++] & 0x3f);
    return point;
}

/* C0, DEL and C1 controls, line separators, and invisible characters that hide or reorder what stands beside them. */
static bool is_deceiving(uint32_t c)
{
    static const uint32_t ranges[][2] = {
        {0x00, 0x1f},     {0x7f, 0x9f},     {0x200b, 0x200b}, {0x200e, 0x200f},
        {0x2028, 0x202e}, {0x2066, 0x2069}, {0xfeff, 0xfeff},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (c >= ranges[i][0] && c <= ranges[i][1])
            return true;
    return false;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void trim(const char **s, size_t *len)
{
    while (*len > 0 && is_space(**s))
        (*s)++, (*len)--;
    while (*len > 0 && is_space((*s)[*len - 1]))
        (*len)--;
}

enum chat_error chat_name_clean(const char *s, size_t len, size_t name_chars, char ret_name[CHAT_NAME_BYTES],
                                char reason[CHAT_REASON_BYTES])
{
    trim(&s, &len);
    for (size_t at = 0; at < len;)
        if (is_deceiving(next_char(s, &at))) {
            snprintf(reason, CHAT_REASON_BYTES, "the name has control characters");
            return CHAT_BAD_REQUEST;
        }
    size_t chars = count_chars(s, len);
    if (chars > name_chars || len >= CHAT_NAME_BYTES) {
        snprintf(reason, CHAT_REASON_BYTES, "the name has %zu characters, allowed are %zu", chars, name_chars);
        return CHAT_BAD_REQUEST;
    }
    memcpy(ret_name, s, len);
    ret_name[len] = 0;
    return CHAT_OK;
}

/* Line breaks and tabs belong to text; the other control characters do not. */
static bool has_controls(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (((unsigned char)s[i] < 0x20 && !is_space(s[i])) || s[i] == 0x7f)
            return true;
    return false;
}

static enum chat_error read_text(const json_t *value, size_t message_chars, struct chat_message *m, char *reason)
{
    if (!json_is_string(value)) {
        snprintf(reason, CHAT_REASON_BYTES, "message is missing or no string");
        return CHAT_UNDECODABLE;
    }
    const char *s = json_string_value(value);
    size_t len = json_string_length(value);
    trim(&s, &len);
    size_t chars = count_chars(s, len);
    if (len == 0 || has_controls(s, len)) {
        snprintf(reason, CHAT_REASON_BYTES, len ? "the message has control characters" : "the message is empty");
        return CHAT_BAD_REQUEST;
    }
    if (chars > message_chars) {
        snprintf(reason, CHAT_REASON_BYTES, "the message has %zu characters, allowed are %zu", chars, message_chars);
        return CHAT_TOO_LARGE;
    }
    m->text = strndup(s, len);
    return m->text ? CHAT_OK : CHAT_INTERNAL;
}

/* An absent, null or empty member is "not given". */
static enum chat_error optional_string(const json_t *value, const char *name, char *reason)
{
    if (!value || json_is_null(value) || json_is_string(value))
        return CHAT_OK;
    snprintf(reason, CHAT_REASON_BYTES, "%s is no string", name);
    return CHAT_UNDECODABLE;
}

static enum chat_error read_room(const json_t *value, struct chat_message *m, char *reason)
{
    enum chat_error err = optional_string(value, "room", reason);
    size_t len = json_string_length(value);
    if (err || len == 0)
        return err;
    if (!chat_token_valid(json_string_value(value), len)) {
        snprintf(reason, CHAT_REASON_BYTES, "a room's name is 1 to 64 of the characters A-Z a-z 0-9 _ . -");
        return CHAT_BAD_REQUEST;
    }
    memcpy(m->room, json_string_value(value), len + 1);
    return CHAT_OK;
}

static enum chat_error read_sender(const json_t *value, size_t name_chars, struct chat_message *m, char *reason)
{
    enum chat_error err = optional_string(value, "sender", reason);
    if (err || !json_is_string(value))
        return err;
    return chat_name_clean(json_string_value(value), json_string_length(value), name_chars, m->sender, reason);
}

static void read_id(const json_t *value, struct chat_message *m)
{
    size_t len = json_string_length(value);
    if (chat_token_valid(json_string_value(value), len))
        memcpy(m->id, json_string_value(value), len + 1);
}

static void json_done(json_t **value)
{
    json_decref(*value);
}

enum chat_error chat_message_read(const char *json, size_t len, const struct chat_limits *limits,
                                  struct chat_message *ret, char reason[CHAT_REASON_BYTES])
{
    json_error_t fault;
    struct chat_message m = {0};
    reason[0] = 0;
    __attribute__((cleanup(json_done))) json_t *root = json_loadb(json, len, JSON_REJECT_DUPLICATES, &fault);
    if (!json_is_object(root)) {
        snprintf(reason, CHAT_REASON_BYTES, "the payload is no JSON object");
        return CHAT_UNDECODABLE;
    }
    enum chat_error err = read_room(json_object_get(root, "room"), &m, reason);
    if (!err)
        err = read_sender(json_object_get(root, "sender"), limits->name_chars, &m, reason);
    if (!err)
        err = read_text(json_object_get(root, "message"), limits->message_chars, &m, reason);
    if (err)
        return err;
    read_id(json_object_get(root, "id"), &m);
    *ret = m;
    return CHAT_OK;
}

void chat_message_done(struct chat_message *m)
{
    free(m->text);
    m->text = NULL;
}

void chat_timestamp(int64_t wall_ms, char out[32])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, 32 - n, ".%03dZ", (int)(wall_ms % 1000));
}

char *chat_message_write(const struct chat_message *m, int64_t wall_ms, const char *id)
{
    char timestamp[32];
    chat_timestamp(wall_ms, timestamp);
    __attribute__((cleanup(json_done))) json_t *root =
        json_pack("{s:s, s:s, s:s, s:s, s:s*}", "message", m->text, "sender", m->sender, "timestamp", timestamp, "room",
                  m->room, "id", id[0] ? id : NULL);
    return root ? json_dumps(root, JSON_COMPACT) : NULL;
}
