/* Frames of the typed wire. */
#include "frame_forms.h"
#include "proto/ws_frame.h"

static enum typed_form typed_form_of(enum frame_form form)
{
    switch (form) {
    case FORM_TYPED_STRING:
        return TYPED_FORM_TEXT_STRING;
    case FORM_TYPED_BODY:
        return TYPED_FORM_TEXT_BODY;
    case FORM_TYPED_OBJECT:
        return TYPED_FORM_TEXT_OBJECT;
    default:
        return TYPED_FORM_BINARY;
    }
}

static enum ws_opcode opcode_of(enum frame_form form)
{
    return typed_form_of(form) != TYPED_FORM_BINARY ? WS_TEXT : WS_BINARY;
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

uint8_t frame_typed_append(struct frame_builder *b, struct publication *p)
{
    CLEANUP_BUF transcoded = BUF_INIT;
    b->scratch.len = 0;
    struct bytes payload = typed_payload(p, &b->scratch);
    if (b->form == FORM_TYPED_PROTOBUF)
        payload = frame_transcoded(b, payload, &transcoded);
    const struct typed_envelope e = {.type = b->channel->message_type,
                                     .id = BYTES_NULL,
                                     .channel = b->channel->name,
                                     .offset = p->unnumbered ? -1 : p->offset,
                                     .key = b->channel->keyed ? publication_key(p) : BYTES_NULL};
    frame_append_typed(&b->bytes, b->form, &e, payload, BYTES_NULL);
    return 0;
}

void frame_typed_notice(struct frame_builder *b, const struct frame_notice *n)
{
    const struct typed_envelope e = {.type = n->type, .id = BYTES_NULL, .channel = BYTES_NULL, .offset = -1};
    frame_append_typed(&b->bytes, b->form, &e, n->json, BYTES_NULL);
}
