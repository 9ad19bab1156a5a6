#include "frame_deflate.h"

#include <stdlib.h>

#include "proto/ws_deflate.h"
#include "proto/ws_frame.h"
#include "util/metrics.h"

#define RSV1 0x40
#define KEEP_BYTES (1 << 20)

void frame_deflate_init(struct frame_deflate *d, const struct config_server *config)
{
    *d = (struct frame_deflate){.context = ws_deflate_new(), .min_bytes = (size_t)config->compression_min_bytes};
}

void frame_deflate_done(struct frame_deflate *d)
{
    ws_deflate_free(d->context);
    buf_done(&d->scratch);
}

static struct bytes payload_of(struct bytes frame)
{
    size_t header = ws_frame_header_size(frame.data);
    return (struct bytes){frame.data + header, frame.len - header};
}

/* The scratch is left room for the longest header in front of what is going to be appended. */
static void begin(struct frame_deflate *d)
{
    if (d->scratch.capacity > KEEP_BYTES)
        buf_done(&d->scratch);
    d->scratch.len = 0;
    buf_reserve(&d->scratch, WS_HEADER_MAX);
    d->scratch.len = WS_HEADER_MAX;
}

static struct bytes end(struct frame_deflate *d, const char *first, bool rsv1)
{
    char header[WS_HEADER_MAX];
    size_t len = d->scratch.len - WS_HEADER_MAX, n = ws_frame_header(header, (enum ws_opcode)(*first & 0xf), rsv1, len);
    char *start = d->scratch.data + WS_HEADER_MAX - n;
    memcpy(start, header, n);
    return (struct bytes){start, n + len};
}

struct bytes frame_deflated(struct frame_deflate *d, struct bytes frame)
{
    if (frame.len < d->min_bytes || frame.len <= WS_HEADER_MAX)
        return frame;
    struct bytes message = payload_of(frame), sent = frame;
    if (message.len < d->min_bytes || message.len > FRAME_DEFLATE_MAX)
        return frame;
    begin(d);
    if (ws_deflate_message(d->context, WS_DEFLATE_WINDOW_MAX, message, &d->scratch) == 0)
        sent = end(d, frame.data, true);
    metric_add(M_COMPRESSIONS, 1);
    metric_add(M_COMPRESS_BYTES_IN, (int64_t)frame.len);
    metric_add(M_COMPRESS_BYTES_OUT, (int64_t)sent.len);
    return sent;
}

void frame_deflate_tail(struct frame_deflate *d, struct buf *out, size_t start)
{
    if (out->len == start)
        return;
    struct bytes frame = {out->data + start, out->len - start}, sent = frame_deflated(d, frame);
    if (sent.data == frame.data)
        return;
    memcpy(out->data + start, sent.data, sent.len);
    out->len = start + sent.len;
}

struct bytes frame_inflated(struct frame_deflate *d, struct bytes frame)
{
    if (frame.len <= 2 || !(frame.data[0] & RSV1))
        return frame;
    begin(d);
    if (ws_inflate_message(d->context, payload_of(frame), UINT32_MAX, &d->scratch) < 0)
        abort(); /* it is our own: memory is out */
    return end(d, frame.data, false);
}
