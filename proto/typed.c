#include "typed.h"

#include "json_scan.h"

#include <errno.h>

#define ID_BYTES_MAX 128

static int bad(const char **ret_reason, const char *reason)
{
    *ret_reason = reason;
    return -EBADMSG;
}

static uint32_t get_le32(const char *p)
{
    const unsigned char *b = (const unsigned char *)p;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static int decode_binary(struct bytes message, struct typed_message *ret, const char **ret_reason)
{
    if (message.len < 4)
        return bad(ret_reason, "binary message is shorter than its 4 byte type");
    *ret = (struct typed_message){
        .type = get_le32(message.data),
        .form = TYPED_FORM_BINARY,
        .payload = {message.data + 4, message.len - 4},
    };
    return 0;
}

/* Raw values of the members that we know; data NULL: absent. */
struct members {
    struct bytes type, id, payload, body;
};

static struct bytes *find_slot(struct members *m, struct bytes raw_name)
{
    if (json_name_is(raw_name, "type"))
        return &m->type;
    if (json_name_is(raw_name, "payload"))
        return &m->payload;
    if (json_name_is(raw_name, "body"))
        return &m->body;
    return json_name_is(raw_name, "id") ? &m->id : NULL;
}

/* The envelope is checked by JSON_RFC: a payload string may hold \u0000 and has rules of its own. Other payloads are
 * checked strictly in read_payload(). */
static int read_members(struct json_cursor *c, struct members *m)
{
    struct json_member member;
    int r = json_enter_object(c);
    while (r == 0 && (r = json_next_member(c, &member)) == 0) {
        struct bytes *slot = find_slot(m, member.name);
        if (slot && slot->data && slot != &m->body) {
            c->reason = "type, id or payload is there twice";
            return -EBADMSG;
        }
        if (slot)
            *slot = member.value;
    }
    return r < 0 ? r : json_expect_end(c);
}

static int read_type(struct bytes raw, uint32_t *ret, const char **ret_reason)
{
    int64_t value;
    if (!raw.data)
        return bad(ret_reason, "type is missing");
    if (json_parse_int64(raw, &value) < 0 || raw.data[0] == '-' || value > UINT32_MAX)
        return bad(ret_reason, "type must be an integer from 0 to 4294967295");
    *ret = (uint32_t)value;
    return 0;
}

static int read_id(struct bytes raw, unsigned depth_limit, struct bytes *ret, const char **ret_reason)
{
    if (!raw.data || bytes_eq_str(raw, "null"))
        return 0;
    bool scalar = raw.data[0] == '"' || raw.data[0] == '-' || (raw.data[0] >= '0' && raw.data[0] <= '9');
    if (!scalar || raw.len > ID_BYTES_MAX)
        return bad(ret_reason, "id must be a string or a number of at most 128 bytes");
    int err = json_check(raw, depth_limit, JSON_STRICT, ret_reason);
    if (err == 0)
        *ret = raw;
    return err;
}

static int read_payload(struct bytes raw, unsigned depth_limit, struct buf *scratch, struct typed_message *ret,
                        const char **ret_reason)
{
    if (!raw.data) {
        ret->payload = BYTES_LIT("");
        return 0;
    }
    if (raw.data[0] != '"') {
        ret->form = TYPED_FORM_TEXT_OBJECT;
        ret->payload = raw;
        return json_check(raw, depth_limit, JSON_STRICT, ret_reason);
    }
    ret->payload = (struct bytes){raw.data + 1, raw.len - 2};
    if (!memchr(raw.data, '\\', raw.len))
        return 0;
    scratch->len = 0;
    if (json_unescape(raw, scratch) < 0)
        return bad(ret_reason, "lone surrogate in the payload");
    ret->payload = buf_bytes(scratch);
    return 0;
}

static int decode_text(struct bytes message, unsigned depth_limit, struct buf *scratch, struct typed_message *ret,
                       const char **ret_reason)
{
    struct json_cursor c = json_cursor_at(message, depth_limit, JSON_RFC);
    struct members members = {0};
    struct typed_message m = {.form = TYPED_FORM_TEXT_STRING};
    int err = read_members(&c, &members);
    if (err < 0)
        *ret_reason = c.reason;
    if (err == 0)
        err = read_type(members.type, &m.type, ret_reason);
    if (err == 0)
        err = read_id(members.id, depth_limit, &m.id, ret_reason);
    if (err == 0 && !members.payload.data && members.body.data && members.body.data[0] == '"') {
        members.payload = members.body;
        m.form = TYPED_FORM_TEXT_BODY;
    }
    if (err == 0)
        err = read_payload(members.payload, depth_limit, scratch, &m, ret_reason);
    if (err == 0)
        *ret = m;
    return err;
}

int typed_decode(bool text, struct bytes message, unsigned depth_limit, struct buf *scratch,
                 struct typed_message *ret, const char **ret_reason)
{
    return text ? decode_text(message, depth_limit, scratch, ret, ret_reason)
                : decode_binary(message, ret, ret_reason);
}

static void encode_binary(struct buf *out, uint32_t type, struct bytes payload)
{
    const unsigned char head[4] = {type & 0xff, type >> 8 & 0xff, type >> 16 & 0xff, type >> 24};
    buf_append(out, head, sizeof head);
    buf_append_bytes(out, payload);
}

static void encode_payload(struct buf *out, enum typed_form form, struct bytes payload)
{
    if (form != TYPED_FORM_TEXT_OBJECT)
        json_append_text(out, payload);
    else if (!payload.data)
        buf_append_str(out, "null");
    else if (json_is_value(payload, JSON_DEPTH_MAX))
        buf_append_bytes(out, payload);
    else
        json_append_text(out, payload);
}

void typed_encode(struct buf *out, enum typed_form form, const struct typed_envelope *e, struct bytes payload)
{
    if (form == TYPED_FORM_BINARY) {
        encode_binary(out, e->type, payload);
        return;
    }
    buf_append_str(out, "{\"type\":");
    buf_append_int(out, e->type);
    if (e->id.data) {
        buf_append_str(out, ",\"id\":");
        buf_append_bytes(out, e->id);
    }
    if (e->channel.data) {
        buf_append_str(out, ",\"channel\":");
        json_append_text(out, e->channel);
    }
    if (e->offset >= 0) {
        buf_append_str(out, ",\"offset\":");
        buf_append_int(out, e->offset);
    }
    if (e->key.data) {
        buf_append_str(out, ",\"key\":");
        json_append_text(out, e->key);
    }
    buf_append_str(out, form == TYPED_FORM_TEXT_BODY ? ",\"body\":" : ",\"payload\":");
    encode_payload(out, form, payload);
    buf_append_str(out, "}");
}
