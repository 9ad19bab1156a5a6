#include "tags.h"

#include <errno.h>

#include "proto/json_scan.h"

#define TAG_NAME_MAX 255

void json_append_line(struct buf *out, struct bytes value)
{
    size_t start = out->len;
    buf_append_bytes(out, value);
    for (size_t i = start; i < out->len; i++)
        if (out->data[i] == '\n' || out->data[i] == '\r')
            out->data[i] = ' ';
}

void tags_append_one(struct buf *out, struct bytes name, struct bytes value)
{
    buf_append_str(out, out->len ? "," : "{");
    json_append_text(out, name);
    buf_append_str(out, ":");
    json_append_text(out, value);
}

static bool has_nul(struct bytes s)
{
    return s.len && memchr(s.data, 0, s.len);
}

/* True when the object that begins with `text` has this member. */
static bool has_member(const struct buf *text, struct bytes name)
{
    CLEANUP_BUF object = BUF_INIT;
    struct json_member m;
    if (text->len == 0)
        return false;
    buf_append_bytes(&object, buf_bytes(text));
    buf_append_str(&object, "}");
    struct json_cursor c = json_cursor_at(buf_bytes(&object), JSON_DEPTH_DEFAULT, JSON_RFC);
    CLEANUP_BUF wanted = BUF_INIT;
    buf_append_bytes(&wanted, name);
    buf_append(&wanted, "", 1);
    if (json_enter_object(&c) < 0)
        return false;
    while (json_next_member(&c, &m) == 0)
        if (json_name_is(m.name, wanted.data))
            return true;
    return false;
}

/* Takes the next member of an object of strings. 1 at its end, -EBADMSG when it is no such object. */
static int next_tag(struct json_cursor *c, struct buf *ret_name, struct buf *ret_value)
{
    struct json_member m;
    int r = json_next_member(c, &m);
    if (r != 0)
        return r < 0 ? -EBADMSG : 1;
    ret_name->len = ret_value->len = 0;
    const struct bytes quoted = {m.name.data - 1, m.name.len + 2};
    return json_unescape(quoted, ret_name) < 0 || json_unescape(m.value, ret_value) < 0 ? -EBADMSG : 0;
}

static bool fits(const struct buf *name, const struct buf *value)
{
    return name->len <= TAG_NAME_MAX && !has_nul(buf_bytes(name)) && !has_nul(buf_bytes(value));
}

int tags_append(struct buf *out, struct bytes object)
{
    struct json_cursor c = json_cursor_at(object, JSON_DEPTH_DEFAULT, JSON_STRICT);
    CLEANUP_BUF text = BUF_INIT, name = BUF_INIT, value = BUF_INIT;
    size_t count = 0;
    int r;

    if (json_enter_object(&c) < 0)
        return -EBADMSG;
    while ((r = next_tag(&c, &name, &value)) == 0) {
        if (!fits(&name, &value) || has_member(&text, buf_bytes(&name)))
            return -EBADMSG;
        if (++count > TAGS_MAX)
            return -E2BIG;
        tags_append_one(&text, buf_bytes(&name), buf_bytes(&value));
    }
    if (r < 0 || json_expect_end(&c) < 0)
        return -EBADMSG;
    if (text.len) {
        buf_append_str(&text, "}");
        buf_append_bytes(out, buf_bytes(&text));
    }
    return 0;
}

void tags_to_headers(struct header_list *out, struct bytes object)
{
    struct json_cursor c = json_cursor_at(object, JSON_DEPTH_DEFAULT, JSON_STRICT);
    CLEANUP_BUF header = BUF_INIT, name = BUF_INIT, value = BUF_INIT;
    if (object.len == 0 || json_enter_object(&c) < 0)
        return;
    while (next_tag(&c, &name, &value) == 0) {
        header.len = 0;
        buf_append_str(&header, TAG_HEADER_PREFIX);
        buf_append_bytes(&header, buf_bytes(&name));
        header_list_add(out, buf_bytes(&header), buf_bytes(&value));
    }
}

void tags_append_headers(struct buf *out, const struct bridge_record *r)
{
    const struct bytes prefix = BYTES_LIT(TAG_HEADER_PREFIX);
    size_t count = 0;
    for (size_t i = 0; i < r->header_count && count < TAGS_MAX; i++) {
        struct bytes name = r->headers[i].name;
        if (name.len <= prefix.len || memcmp(name.data, prefix.data, prefix.len) != 0)
            continue;
        name = (struct bytes){name.data + prefix.len, name.len - prefix.len};
        struct bytes value = r->headers[i].value.data ? r->headers[i].value : BYTES_LIT("");
        count++;
        if (name.len <= TAG_NAME_MAX && !has_nul(name) && !has_member(out, name))
            tags_append_one(out, name, value);
    }
}

struct bytes info_of_record(const struct bridge_record *r)
{
    struct bytes info = record_header(r, BYTES_LIT(INFO_HEADER));
    struct json_cursor c = json_cursor_at(info, JSON_DEPTH_DEFAULT, JSON_STRICT);
    if (!info.data || json_enter_object(&c) < 0 || json_check(info, JSON_DEPTH_DEFAULT, JSON_STRICT, NULL) < 0)
        return BYTES_NULL;
    return info;
}
