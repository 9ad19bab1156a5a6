#include "channels_writer.h"

#include "json_scan.h"
#include "utf8.h"

static void put_without(struct buf *out, struct bytes s, char unwanted)
{
    for (const char *end = s.data + s.len; s.data < end;) {
        const char *found = memchr(s.data, unwanted, (size_t)(end - s.data));
        buf_append(out, s.data, (size_t)((found ? found : end) - s.data));
        s.data = found ? found + 1 : end;
    }
}

void channels_put_raw(struct buf *out, struct bytes json)
{
    if (json.len == 0)
        return;
    if (!memchr(json.data, '\r', json.len)) {
        put_without(out, json, '\n');
        return;
    }
    CLEANUP_BUF one_line = BUF_INIT;
    put_without(&one_line, json, '\r');
    put_without(out, buf_bytes(&one_line), '\n');
}

void channels_put_text(struct buf *out, struct bytes s)
{
    if (s.len == 0)
        buf_append(out, "\"\"", 2);
    else if (utf8_valid(s.data, s.len))
        buf_append_json_string(out, s);
    else
        json_append_text(out, s);
}

/* Protobuf: strings have to be UTF-8, or strict clients refuse the whole message. */
static void put_pb_string(struct buf *out, uint32_t number, struct bytes s)
{
    static const char replacement[] = "\xef\xbf\xbd";
    const char *end = s.data + s.len;
    if (utf8_valid(s.data, s.len)) {
        pb_append_bytes(out, number, s);
        return;
    }
    pb_append_tag(out, number, PB_BYTES);
    struct pb_mark mark = pb_open(out, s.len);
    for (const char *p = s.data; p < end;) {
        size_t n = json_utf8_length(p, end);
        buf_append(out, n ? p : replacement, n ? n : sizeof replacement - 1);
        p += n ? n : 1;
    }
    pb_close(out, mark);
}

static void put_decimal(struct buf *out, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    buf_append(out, digits + at, sizeof digits - at);
}

void channels_put_number_always(struct channels_writer *w, struct channels_name name, uint64_t value)
{
    if (channels_writes_json(w)) {
        channels_put_key(w, name);
        put_decimal(w->out, value);
    } else if (value) {
        pb_append_tag(w->out, name.number, PB_VARINT);
        pb_append_varint(w->out, value);
    }
}

void channels_put_number(struct channels_writer *w, struct channels_name name, uint64_t value)
{
    if (value)
        channels_put_number_always(w, name, value);
}

void channels_put_bool(struct channels_writer *w, struct channels_name name, bool value)
{
    if (!value)
        return;
    if (channels_writes_json(w)) {
        channels_put_key(w, name);
        buf_append(w->out, "true", 4);
    } else {
        channels_put_number_always(w, name, 1);
    }
}

void channels_put_string_always(struct channels_writer *w, struct channels_name name, struct bytes value)
{
    if (channels_writes_json(w)) {
        channels_put_key(w, name);
        channels_put_text(w->out, value);
    } else if (value.len) {
        put_pb_string(w->out, name.number, value);
    }
}

void channels_put_string(struct channels_writer *w, struct channels_name name, struct bytes value)
{
    if (value.len)
        channels_put_string_always(w, name, value);
}

void channels_put_data(struct channels_writer *w, struct channels_name name, struct bytes value)
{
    if (value.len == 0)
        return;
    if (channels_writes_json(w)) {
        channels_put_key(w, name);
        channels_put_raw(w->out, value);
    } else {
        pb_append_bytes(w->out, name.number, value);
    }
}

struct pb_mark channels_open(struct channels_writer *w, struct channels_name name, size_t expected)
{
    if (channels_writes_json(w)) {
        channels_put_key(w, name);
        buf_append(w->out, "{", 1);
        w->comma = false;
        return (struct pb_mark){0, 0};
    }
    pb_append_tag(w->out, name.number, PB_BYTES);
    return pb_open(w->out, expected);
}

void channels_close(struct channels_writer *w, struct pb_mark mark)
{
    if (channels_writes_json(w)) {
        buf_append(w->out, "}", 1);
        w->comma = true;
    } else {
        pb_close(w->out, mark);
    }
}

/* ---- JSON that came along, as protobuf ---- */

/* A raw JSON string as a string field; the scratch is for those with escapes. */
static void put_unescaped(struct buf *out, uint32_t number, struct bytes raw, struct buf *scratch)
{
    scratch->len = 0;
    if (!memchr(raw.data, '\\', raw.len))
        put_pb_string(out, number, (struct bytes){raw.data + 1, raw.len - 2});
    else if (json_unescape(raw, scratch) == 0)
        put_pb_string(out, number, buf_bytes(scratch));
}

void channels_put_info_fields(struct buf *out, struct bytes info)
{
    static const struct {
        const char *name;
        uint32_t number;
        bool is_string;
    } fields[] = {{"user", 1, true}, {"client", 2, true}, {"conn_info", 3, false}, {"chan_info", 4, false}};
    CLEANUP_BUF scratch = BUF_INIT;
    struct json_cursor c = json_cursor_at(info, JSON_DEPTH_MAX, JSON_RFC);
    struct json_member m;
    int err = json_enter_object(&c);
    while (err == 0 && (err = json_next_member(&c, &m)) == 0)
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
            if (!json_name_is(m.name, fields[i].name) || (fields[i].is_string && m.value.data[0] != '"'))
                continue;
            if (!fields[i].is_string)
                pb_append_bytes(out, fields[i].number, m.value);
            else if (m.value.len > 2)
                put_unescaped(out, fields[i].number, m.value, &scratch);
        }
}

void channels_put_info(struct channels_writer *w, struct channels_name name, struct bytes info)
{
    if (!info.data)
        return;
    if (channels_writes_json(w)) {
        channels_put_data(w, name, info);
        return;
    }
    struct pb_mark mark = channels_open(w, name, info.len);
    channels_put_info_fields(w->out, info);
    channels_close(w, mark);
}

static void put_tag_entries(struct buf *out, uint32_t number, struct bytes tags)
{
    CLEANUP_BUF scratch = BUF_INIT;
    struct json_cursor c = json_cursor_at(tags, 1, JSON_RFC);
    struct json_member m;
    int err = json_enter_object(&c);
    while (err == 0 && (err = json_next_member(&c, &m)) == 0) {
        if (m.value.data[0] != '"')
            continue;
        pb_append_tag(out, number, PB_BYTES);
        struct pb_mark mark = pb_open(out, m.name.len + m.value.len);
        put_unescaped(out, 1, (struct bytes){m.name.data - 1, m.name.len + 2}, &scratch);
        put_unescaped(out, 2, m.value, &scratch);
        pb_close(out, mark);
    }
}

void channels_put_tags(struct channels_writer *w, struct channels_name name, struct bytes tags)
{
    if (tags.len == 0)
        return;
    if (channels_writes_json(w))
        channels_put_data(w, name, tags);
    else
        put_tag_entries(w->out, name.number, tags);
}

void channels_put_items(struct channels_writer *w, struct channels_name name, const struct channels_items *items)
{
    bool json = channels_writes_json(w);
    size_t start = 0;
    if (json)
        channels_put_key(w, name);
    if (json)
        buf_append(w->out, "[", 1);
    for (size_t i = 0; i < items->count; start = items->ends[i++]) {
        struct bytes item = {items->bytes.data + start, items->ends[i] - start};
        if (json && i)
            buf_append(w->out, ",", 1);
        if (json)
            buf_append_bytes(w->out, item);
        else
            pb_append_bytes(w->out, name.number, item);
    }
    if (json)
        buf_append(w->out, "]", 1);
}
