#include "frame.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/json_scan.h"
#include "proto/utf8.h"
#include "proto/ws_frame.h"
#include "util/base64.h"

static frame_transcode_fn transcode;
static void *transcode_arg;

void frame_set_transcoder(frame_transcode_fn fn, void *arg)
{
    transcode = fn;
    transcode_arg = arg;
}

struct frame_block *frame_block_ref(struct frame_block *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void frame_block_unref(struct frame_block *b)
{
    if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
        free(b);
}

static enum typed_form typed_form_of(enum frame_form form)
{
    switch (form) {
    case FORM_TYPED_STRING:
        return TYPED_FORM_TEXT_STRING;
    case FORM_TYPED_OBJECT:
        return TYPED_FORM_TEXT_OBJECT;
    default:
        return TYPED_FORM_BINARY;
    }
}

static enum ws_opcode opcode_of(enum frame_form form)
{
    return form == FORM_TYPED_STRING || form == FORM_TYPED_OBJECT ? WS_TEXT : WS_BINARY;
}

/* Encodes behind room for the longest header, then closes the gap. */
void frame_append_typed(struct buf *out, enum frame_form form, const struct typed_envelope *e, struct bytes payload,
                        struct bytes member)
{
    size_t start = out->len;
    buf_reserve(out, WS_HEADER_MAX + payload.len + 64);
    out->len += WS_HEADER_MAX;
    typed_encode(out, typed_form_of(form), e, payload);
    if (member.data && opcode_of(form) == WS_TEXT) {
        out->len--; /* the closing brace */
        buf_append_str(out, ",");
        buf_append_bytes(out, member);
        buf_append_str(out, "}");
    }
    char header[WS_HEADER_MAX];
    size_t message_len = out->len - start - WS_HEADER_MAX;
    size_t header_len = ws_frame_header(header, opcode_of(form), false, message_len);
    memmove(out->data + start + header_len, out->data + start + WS_HEADER_MAX, message_len);
    memcpy(out->data + start, header, header_len);
    out->len = start + header_len + message_len;
}

void frame_builder_init(struct frame_builder *b, enum frame_form form, const struct frame_channel *channel)
{
    *b = (struct frame_builder){.form = form, .channel = channel};
}

static void mark(struct frame_builder *b, int64_t offset)
{
    const struct frame_mark m = {.offset = offset, .end = (uint32_t)b->bytes.len};
    buf_append(&b->marks, &m, sizeof m);
    b->count++;
}

static void append_poll_data(struct buf *out, const struct publication *p)
{
    struct bytes payload = publication_payload(p);
    if (json_is_value(payload, JSON_DEPTH_MAX)) {
        buf_append_str(out, ",\"data\":");
        buf_append_bytes(out, payload);
    } else if (utf8_valid(payload.data, payload.len)) {
        buf_append_str(out, ",\"data\":");
        buf_append_json_string(out, payload);
    } else {
        buf_append_str(out, ",\"b64data\":\"");
        base64_append(out, payload);
        buf_append_str(out, "\"");
    }
}

static void append_poll_item(struct buf *out, const struct publication *p)
{
    buf_append_str(out, "{\"offset\":");
    buf_append_int(out, p->offset);
    buf_append_str(out, ",\"time\":");
    buf_append_int(out, p->time_ms);
    if (p->has_key) {
        buf_append_str(out, ",\"key\":");
        buf_append_json_string(out, publication_key(p));
    }
    if (p->tags_len) {
        buf_append_str(out, ",\"tags\":");
        buf_append_bytes(out, publication_tags(p));
    }
    if (p->removed)
        buf_append_str(out, ",\"removed\":true");
    else
        append_poll_data(out, p);
    buf_append_str(out, "},");
}

/* A tombstone has no payload of its own on the typed wire: clients get an empty one of the channel's type with the key. */
static struct bytes typed_payload(const struct publication *p, struct buf *scratch)
{
    if (!p->removed)
        return publication_payload(p);
    buf_append_str(scratch, "{\"key\":");
    buf_append_json_string(scratch, publication_key(p));
    buf_append_str(scratch, ",\"removed\":true}");
    return buf_bytes(scratch);
}

void frame_builder_add(struct frame_builder *b, const struct publication *p)
{
    if (b->form == FORM_POLL) {
        append_poll_item(&b->bytes, p);
        mark(b, p->offset);
        return;
    }
    b->scratch.len = 0;
    struct bytes payload = typed_payload(p, &b->scratch);
    CLEANUP_BUF transcoded = BUF_INIT;
    if (b->form == FORM_TYPED_PROTOBUF && transcode &&
        transcode(transcode_arg, b->channel->message_type, payload, &transcoded) == 0)
        payload = buf_bytes(&transcoded);
    const struct typed_envelope e = {
        .type = b->channel->message_type, .id = BYTES_NULL, .channel = b->channel->name, .offset = p->offset,
                                     .key = b->channel->keyed ? publication_key(p) : BYTES_NULL};
    frame_append_typed(&b->bytes, b->form, &e, payload, BYTES_NULL);
    mark(b, p->offset);
}

void frame_builder_add_notice(struct frame_builder *b, uint32_t type, struct bytes json, int64_t offset)
{
    if (b->form == FORM_POLL)
        return;
    const struct typed_envelope e = {.type = type, .id = BYTES_NULL, .channel = BYTES_NULL, .offset = -1};
    frame_append_typed(&b->bytes, b->form, &e, json, BYTES_NULL);
    mark(b, offset);
}

struct frame_block *frame_builder_finish(struct frame_builder *b)
{
    struct frame_block *block = NULL;
    if (b->count) {
        block = xmalloc(sizeof *block + b->marks.len + b->bytes.len);
        atomic_init(&block->refs, 1);
        block->count = b->count;
        block->len = b->bytes.len;
        block->marks = (struct frame_mark *)(block + 1);
        block->bytes = (char *)block->marks + b->marks.len;
        memcpy(block->marks, b->marks.data, b->marks.len);
        memcpy(block->bytes, b->bytes.data, b->bytes.len);
    }
    buf_done(&b->bytes);
    buf_done(&b->marks);
    buf_done(&b->scratch);
    b->count = 0;
    return block;
}
