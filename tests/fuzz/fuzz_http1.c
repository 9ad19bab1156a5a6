/* Any bytes as a request head, a path, a query and a chunked body. What comes out must not depend on how they were cut. */
#include "http1.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static ssize_t head_end(const char *data, size_t size, size_t step)
{
    size_t scanned = 0;
    ssize_t r = 0;
    for (size_t n = step; r == 0 && n < size; n += step)
        r = http1_head_end(data, n, &scanned);
    return r ? r : http1_head_end(data, size, &scanned);
}

static bool inside(struct bytes view, const char *data, size_t size)
{
    return !view.data || bytes_eq_str(view, "/") || (view.data >= data && view.data + view.len <= data + size);
}

static void decode_path(struct bytes raw)
{
    CLEANUP_BUF path = BUF_INIT;
    if (http1_path_decode(raw, &path) < 0)
        return;
    for (size_t i = 0; i < path.len; i++)
        require((unsigned char)path.data[i] >= 0x20 && path.data[i] != '\\');
    buf_append(&path, "/", 2);
    require(!strstr(path.data, "/../"));
}

static void parse_head(const char *data, size_t size)
{
    static struct http1_head h;
    CLEANUP_BUF value = BUF_INIT;

    if (http1_head_parse(data, size, &h) < 0)
        return;
    require(inside(h.path, data, size) && inside(h.query, data, size) && inside(h.host, data, size));
    require(h.field_count <= HTTP1_FIELDS_MAX && !(h.chunked && h.content_length >= 0));
    for (size_t i = 0; i < h.field_count; i++) {
        require(http1_is_token(h.fields[i].name) && inside(h.fields[i].value, data, size));
        require(!memchr(h.fields[i].value.data, '\n', h.fields[i].value.len));
        require(!memchr(h.fields[i].value.data, '\r', h.fields[i].value.len));
    }
    http1_field_has_token(&h, "connection", "upgrade");
    if (h.query.data)
        http1_query_get(h.query, "a", &value);
    decode_path(h.path);
}

static int dechunk(const char *data, size_t size, size_t step, struct buf *body, size_t *ret_end)
{
    struct http1_chunked c = {0};
    for (size_t at = 0; at < size;) {
        size_t used = 0, n = size - at < step ? size - at : step;
        struct bytes piece;
        int r = http1_chunked_next(&c, data + at, n, &used, &piece);
        require(used <= n);
        at += used;
        if (r == HTTP1_CHUNK_DATA)
            buf_append_bytes(body, piece);
        else if (r != HTTP1_CHUNK_MORE) {
            *ret_end = at;
            return r;
        }
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    CLEANUP_BUF whole = BUF_INIT;
    CLEANUP_BUF pieces = BUF_INIT;
    size_t end[2] = {0};

    if (size < 2)
        return 0;
    size_t step = 1u + bytes[0] % 40u;
    const char *data = (const char *)bytes + 1;
    size--;

    ssize_t head = head_end(data, size, size);
    require(head_end(data, size, step) == head && head <= (ssize_t)size);
    if (head > 0)
        parse_head(data, (size_t)head);
    parse_head(data, size);
    decode_path((struct bytes){data, size});
    int a = dechunk(data, size, size, &whole, &end[0]), b = dechunk(data, size, step, &pieces, &end[1]);
    require(a == b && end[0] == end[1] && bytes_eq(buf_bytes(&whole), buf_bytes(&pieces)));
    return 0;
}
