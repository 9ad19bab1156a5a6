/* Any bytes as WebSocket frames of a client, and as a close payload, an extension offer and a compressed message.
 *
 * What is decoded must not depend on how the bytes were cut: once in one piece, once in pieces of a size that the input
 * chooses. */
#include "ws_decoder.h"
#include "ws_deflate.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* Appends what comes out: opcode and payload of each message, and the final result. */
static int decode(const struct ws_limits *limits, const uint8_t *data, size_t size, size_t step, struct buf *out)
{
    struct ws_decoder d = {0};
    char *copy = bytes_dup((struct bytes){(const char *)data, size});
    int r = 0;

    for (size_t at = 0; at < size && r >= 0; at += step) {
        size_t left = size - at < step ? size - at : step;
        char *from = copy + at;
        do {
            struct ws_piece p = {0};
            size_t used = 0;
            r = ws_decoder_next(&d, limits, from, left, &used, &p);
            require(used <= left);
            if (r == WS_PIECE) {
                require(p.data >= from && p.data + p.len <= from + used);
                buf_append(out, p.data, p.len);
                if (p.last)
                    buf_printf(out, "<%d%s>", (int)p.opcode, p.compressed ? "z" : "");
            }
            require(r != WS_NEED_MORE || used == left);
            from += used;
            left -= used;
        } while (r == WS_PIECE);
    }
    free(copy);
    return r;
}

static void same_however_cut(const struct ws_limits *limits, const uint8_t *data, size_t size, size_t step)
{
    CLEANUP_BUF whole = BUF_INIT;
    CLEANUP_BUF pieces = BUF_INIT;
    int a = decode(limits, data, size, size, &whole), b = decode(limits, data, size, step, &pieces);
    require((a < 0 ? a : 0) == (b < 0 ? b : 0));
    /* A piece with bad UTF-8 is not handed over, and its size depends on the cut. */
    if (a >= 0)
        require(bytes_eq(buf_bytes(&whole), buf_bytes(&pieces)));
}

static void deflate_there_and_back(struct bytes input)
{
    static struct ws_deflate *d;
    CLEANUP_BUF plain = BUF_INIT;
    CLEANUP_BUF wire = BUF_INIT;
    CLEANUP_BUF again = BUF_INIT;

    if (!d)
        d = ws_deflate_new();
    if (ws_inflate_message(d, input, 4096, &plain) < 0)
        return;
    require(plain.len <= 4096);
    if (ws_deflate_message(d, 9 + (int)(input.len % 7), buf_bytes(&plain), &wire) < 0)
        return;
    require(wire.len < plain.len);
    require(ws_inflate_message(d, buf_bytes(&wire), plain.len, &again) == 0);
    require(bytes_eq(buf_bytes(&plain), buf_bytes(&again)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_BUF answer = BUF_INIT;
    struct bytes input, reason;
    int code;

    if (size < 2)
        return 0;
    const struct ws_limits limits = {.message_bytes = 1000, .fragments = data[0] & 2 ? 5 : 0, .deflate = data[0] & 1};
    same_however_cut(&limits, data + 2, size - 2, 1u + data[1] % 40u);

    input = (struct bytes){(const char *)data + 2, size - 2};
    if (ws_close_parse(input, &code, &reason) == 0)
        require(code == 1005 || (ws_close_code_valid(code) && reason.len == input.len - 2));
    int bits = ws_deflate_negotiate(input, 9, &answer);
    require(bits == 0 ? answer.len == 0 : bits >= 9 && bits <= 15 && answer.len > 0);
    deflate_there_and_back(input);
    return 0;
}
