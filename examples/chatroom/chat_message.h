/* One chat message: read from what a client sent, cleaned, and written as what goes to the log.
 *
 * Pure functions. A struct chat_message owns its text until chat_message_done(). */
#ifndef CHATROOM_CHAT_MESSAGE_H
#define CHATROOM_CHAT_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHAT_ROOM_BYTES 65   /* 64 and the end */
#define CHAT_NAME_BYTES 1024 /* upper bound of the option name_chars (255) in UTF-8, and the end */
#define CHAT_NAME_CHARS_MAX 255
#define CHAT_REASON_BYTES 160

/* Error codes of the server that this module uses; docs/errors.md lists all. */
enum chat_error {
    CHAT_OK = 0,
    CHAT_INTERNAL = 100,
    CHAT_BAD_REQUEST = 107,
    CHAT_TOO_MANY = 111,
    CHAT_TOO_LARGE = 123,
    CHAT_UNDECODABLE = 125,
};

struct chat_limits {
    size_t message_chars, name_chars; /* in code points */
};

struct chat_message {
    char *text;
    char room[CHAT_ROOM_BYTES];   /* "" : not given */
    char sender[CHAT_NAME_BYTES]; /* "" : not given */
    char id[CHAT_ROOM_BYTES];     /* "" : not given, or none that can be used */
};

/* `[A-Za-z0-9_.-]{1,64}`: rooms become parts of channel names and broker keys, ids parts of message ids.
 *     valid:   lobby   Team-7   a.b
 *     invalid: ""   chat:lobby   #1   über   */
bool chat_token_valid(const char *s, size_t len);

/* Copies a display name without white space around it. Valid UTF-8 is required of the caller. CHAT_BAD_REQUEST with a
 * reason when it is longer than `name_chars`, or has control characters or those that turn the direction of text. An
 * empty or blank name gives "". */
enum chat_error chat_name_clean(const char *s, size_t len, size_t name_chars, char ret_name[CHAT_NAME_BYTES],
                                char reason[CHAT_REASON_BYTES]);

/* Reads {"message","sender"?,"room"?,"id"?}; other members are ignored. `*ret` is untouched on failure. */
enum chat_error chat_message_read(const char *json, size_t len, const struct chat_limits *limits,
                                  struct chat_message *ret, char reason[CHAT_REASON_BYTES]);
void chat_message_done(struct chat_message *m);

/* {"message","sender","timestamp","room","id"?} as a string to free(); NULL when memory is out. `id` may be "". */
char *chat_message_write(const struct chat_message *m, int64_t wall_ms, const char *id);

/* RFC 3339 in UTC with milliseconds: 2026-01-31T09:05:00.042Z */
void chat_timestamp(int64_t wall_ms, char out[32]);

#endif
