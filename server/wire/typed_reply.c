#include "typed_wire.h"

#include <errno.h>
#include <stdlib.h>

#include "loop/engine.h"
#include "wire/schema.h"
#include "util/metrics.h"

/* Payload in the codec that the session speaks. */
static struct bytes transcode(struct session *s, uint32_t type, enum crier_codec codec, struct bytes payload,
                              struct buf *scratch)
{
    const struct modules *m = s->loop->engine->modules;
    bool protobuf = s->form == FORM_TYPED_PROTOBUF;
    const char *reason;

    if (type >= TYPED_RESERVED || protobuf == (codec == CRIER_PROTOBUF))
        return payload;
    int r = protobuf ? schema_to_protobuf(m, type, payload, scratch, &reason)
                     : schema_to_json(m, type, payload, scratch, &reason);
    return r == 0 ? buf_bytes(scratch) : payload;
}

void typed_send(struct session *s, uint32_t type, struct bytes id, enum crier_codec codec, struct bytes payload)
{
    CLEANUP_BUF out = BUF_INIT;
    CLEANUP_BUF transcoded = BUF_INIT;
    const struct typed_envelope e = {.type = type, .id = id, .channel = BYTES_NULL, .offset = -1};
    frame_append_typed(&out, s->form, &e, transcode(s, type, codec, payload, &transcoded), BYTES_NULL);
    session_send(s, buf_bytes(&out));
}

static bool speaks_binary(const struct session *s)
{
    return s->form == FORM_TYPED_BINARY || s->form == FORM_TYPED_PROTOBUF;
}

/* `member` is "ok":{...} or "error":{...}. The binary form has no room for an id, so the payload carries it there; the
 * text forms carry the member beside the payload, too, for clients that look at the envelope only. */
static void send_outcome(struct session *s, uint32_t type, struct bytes id, const struct buf *member)
{
    CLEANUP_BUF payload = BUF_INIT;
    CLEANUP_BUF out = BUF_INIT;

    buf_append_str(&payload, "{");
    if (id.data && speaks_binary(s)) {
        buf_append_str(&payload, "\"id\":");
        buf_append_bytes(&payload, id);
        buf_append_str(&payload, ",");
    }
    buf_append_bytes(&payload, buf_bytes(member));
    buf_append_str(&payload, "}");
    const struct typed_envelope e = {.type = type, .id = id, .channel = BYTES_NULL, .offset = -1};
    frame_append_typed(&out, s->form, &e, buf_bytes(&payload), buf_bytes(member));
    session_send(s, buf_bytes(&out));
}

void typed_reply_error(struct session *s, struct bytes id, enum crier_error error, const char *message)
{
    CLEANUP_BUF member = BUF_INIT;
    const struct crier_error_info *info = crier_error_info(error);
    buf_printf(&member, "\"error\":{\"code\":%d,\"message\":", (int)error);
    buf_append_json_string(&member, bytes_of(message && *message ? message : info->message));
    buf_printf(&member, ",\"temporary\":%s}", info->temporary ? "true" : "false");
    send_outcome(s, TYPED_ERROR, id, &member);
}

void typed_reply_ok(struct session *s, struct bytes id)
{
    CLEANUP_BUF member = BUF_INIT;
    buf_append_str(&member, "\"ok\":{}");
    send_outcome(s, TYPED_OK, id, &member);
}

void typed_reply_stored(struct session *s, struct bytes id, int32_t partition, int64_t offset, const char *epoch)
{
    CLEANUP_BUF member = BUF_INIT;
    if (!id.data && !speaks_binary(s))
        return; /* nobody asks; the binary form has no ids to ask with */
    buf_append_str(&member, "\"ok\":");
    stored_append(&member, partition, offset, epoch);
    send_outcome(s, TYPED_OK, id, &member);
}
