/* A WebSocket client connection for the load programs: connect, handshake, incremental reading, pongs.
 *
 * A `struct client` is caller's memory from client_open() to client_done(); payloads handed to callbacks are borrowed
 * during the call. */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include "tools.h"

enum client_state { CLIENT_CONNECTING, CLIENT_HANDSHAKE, CLIENT_OPEN, CLIENT_CLOSED };

struct client {
    int fd;
    enum client_state state;
    bool stream; /* server-sent events instead of WebSocket frames */
    char *carry; /* beginning of a frame whose rest has not come yet */
    size_t carry_len;
};

struct client_target {
    uint16_t port; /* on 127.0.0.1 */
    const char *path;
    bool stream; /* a plain GET whose answer is a stream of events */
};

/* Starts a non-blocking connect from 127.0.0.`source_host`, so that the ports of one address need not do for all. */
void client_open(struct client *c, const struct client_target *target, unsigned source_host);
/* The socket is writable for the first time: sends the handshake. */
void client_send_handshake(struct client *c, const struct client_target *target);

typedef void (*client_frame_fn)(struct client *c, const struct frame *f, void *arg);

/* Reads what is there once and hands over each whole message; answers pings itself. `state` may become CLIENT_OPEN
 * (the 101 came) or CLIENT_CLOSED. `arg` goes to `fn`. Returns how many bytes were read. */
size_t client_read(struct client *c, client_frame_fn fn, void *arg);
/* Sends one message whole; waits while the socket is full. */
void client_send(struct client *c, unsigned opcode, const void *payload, size_t len);
void client_send_raw(struct client *c, const char *data, size_t len);
void client_done(struct client *c);

#endif
