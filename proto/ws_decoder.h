/* WebSocket frame decoder of the server's side (RFC 6455, 5 and 7): a state machine over the pieces a socket gives.
 *
 * Unmasks in place and hands over pieces of payload; it holds no payload itself, so an idle connection costs only the
 * struct. After an error it must not be called again. Pure functions, no I/O. */
#ifndef CRIER_PROTO_WS_DECODER_H
#define CRIER_PROTO_WS_DECODER_H

#include "utf8.h"
#include "ws_frame.h"

struct ws_limits {
    uint64_t message_bytes; /* of a message, all its frames together; decided at the frame's header */
    uint32_t fragments;     /* frames of one message; 0 no limit */
    bool deflate;           /* permessage-deflate was negotiated: RSV1 may start a message */
};

struct ws_decoder {
    uint64_t remaining;     /* payload of the current frame still to come */
    uint64_t message_bytes; /* announced by the frames of the current message so far */
    uint32_t fragments;
    uint8_t mask[4]; /* rotated so that mask[0] is for the next byte */
    uint8_t header[14];
    uint8_t header_len;
    uint8_t opcode;  /* of the current frame */
    uint8_t message; /* opcode of the message in progress; 0 none */
    bool in_payload, first, fin, compressed;
    struct utf8 utf8;
};

/* Part of the payload of a message or of a control frame. Every message and every control frame ends with a piece that
 * has `last`; a piece can be empty. */
struct ws_piece {
    enum ws_opcode opcode; /* TEXT, BINARY, CLOSE, PING or PONG */
    bool compressed;       /* permessage-deflate; UTF-8 is not checked then */
    bool first, last;      /* of the message or control frame */
    char *data;
    size_t len;
};

enum { WS_NEED_MORE = 0, WS_PIECE = 1 };

/* Takes bytes from the front of `data`; *ret_used of them are done with, also on error. Returns WS_PIECE with a piece that
 * points into `data`, WS_NEED_MORE when all bytes are used up, or the negative close code to fail the connection with. */
int ws_decoder_next(struct ws_decoder *d, const struct ws_limits *limits, char *data, size_t len, size_t *ret_used,
                    struct ws_piece *ret_piece);

/* True between the first and the last frame of a message, or inside a frame. */
static inline bool ws_decoder_busy(const struct ws_decoder *d)
{
    return d->message || d->in_payload || d->header_len;
}

/* Reads the payload of a close frame (5.5.1, 7.4). Returns 0, or the negative close code of the violation. Empty: 1005. */
int ws_close_parse(struct bytes payload, int *ret_code, struct bytes *ret_reason);
/* May this code be on the wire? 1000-1003, 1007-1014, 3000-4999. */
bool ws_close_code_valid(int code);

/* XORs `data` with the mask; `mask` stays as it is. */
void ws_unmask(char *data, size_t len, const uint8_t mask[4]);

#endif
