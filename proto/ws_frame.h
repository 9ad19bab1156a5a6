/* WebSocket frames (RFC 6455, 5): header encoding, and an incremental decoder for the server's side.
 *
 * The decoder is a state machine over whatever pieces the socket gives; it unmasks in place and hands over payload
 * pieces, so it never holds a message itself. Pure functions, no I/O. */
#ifndef CRIER_PROTO_WS_FRAME_H
#define CRIER_PROTO_WS_FRAME_H

#include "util/bytes.h"

enum ws_opcode {
    WS_CONTINUATION = 0x0,
    WS_TEXT = 0x1,
    WS_BINARY = 0x2,
    WS_CLOSE = 0x8,
    WS_PING = 0x9,
    WS_PONG = 0xa,
};

#define WS_HEADER_MAX 10 /* server to client: no mask */

/* Writes the header of an unmasked final frame (5.2), the shortest length form; returns its size. */
static inline size_t ws_frame_header(char out[WS_HEADER_MAX], enum ws_opcode opcode, bool rsv1, size_t payload_len)
{
    out[0] = (char)(0x80 | (rsv1 ? 0x40 : 0) | (unsigned)opcode);
    if (payload_len < 126) {
        out[1] = (char)payload_len;
        return 2;
    }
    if (payload_len < 65536) {
        out[1] = 126;
        out[2] = (char)(payload_len >> 8);
        out[3] = (char)payload_len;
        return 4;
    }
    out[1] = 127;
    for (int i = 0; i < 8; i++)
        out[2 + i] = (char)((uint64_t)payload_len >> (56 - 8 * i));
    return 10;
}

/* Size of the header that such a frame begins with. */
static inline size_t ws_frame_header_size(const char *frame)
{
    return frame[1] == 127 ? 10 : frame[1] == 126 ? 4 : 2;
}

#endif
