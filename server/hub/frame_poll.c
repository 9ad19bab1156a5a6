/* Items for GET /channels/..., and payloads alone. */
#include "frame_forms.h"
#include "proto/utf8.h"
#include "util/base64.h"

static void append_poll_data(struct buf *out, struct publication *p)
{
    struct bytes payload = publication_payload(p);
    if (publication_is_json(p)) {
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

uint8_t frame_poll_append(struct frame_builder *b, struct publication *p)
{
    struct buf *out = &b->bytes;
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
    if (p->info_len) {
        buf_append_str(out, ",\"info\":");
        buf_append_bytes(out, publication_info(p));
    }
    if (p->removed)
        buf_append_str(out, ",\"removed\":true");
    else
        append_poll_data(out, p);
    buf_append_str(out, "},");
    return 0;
}

uint8_t frame_payload_append(struct frame_builder *b, struct publication *p)
{
    CLEANUP_BUF transcoded = BUF_INIT;
    struct bytes payload = publication_payload(p);
    if (b->form == FORM_PAYLOAD_PROTOBUF && payload.data)
        payload = frame_transcoded(b, payload, &transcoded);
    buf_append_bytes(&b->bytes, payload);
    return 0;
}
