#include "embedded/record_set.h"

#include <endian.h>
#include <stdlib.h>

enum { HEADER_LENGTHS = 8 };
#define VALUE_ABSENT UINT32_MAX

size_t emb_headers_size(const struct bridge_header *headers, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += HEADER_LENGTHS + headers[i].name.len + headers[i].value.len;
    return size;
}

static char *put(char *out, const void *data, size_t len)
{
    if (len > 0)
        memcpy(out, data, len);
    return out + len;
}

void emb_headers_encode(const struct bridge_header *headers, size_t count, char *out, struct bridge_header *ret_views)
{
    for (size_t i = 0; i < count; i++) {
        struct bytes name = headers[i].name, value = headers[i].value;
        uint32_t lengths[2] = {htole32((uint32_t)name.len), value.data ? htole32((uint32_t)value.len) : VALUE_ABSENT};
        out = put(out, lengths, sizeof lengths);
        if (ret_views)
            ret_views[i] = (struct bridge_header){.name = {out, name.len},
                                                  .value = {value.data ? out + name.len : NULL, value.len}};
        out = put(put(out, name.data, name.len), value.data, value.len);
    }
}

ssize_t emb_headers_decode(struct bytes encoded, struct bridge_header *out, size_t capacity)
{
    size_t count = 0;
    const char *p = encoded.data, *end = encoded.data ? p + encoded.len : p;
    for (; p < end; count++) {
        uint32_t lengths[2];
        if (end - p < HEADER_LENGTHS)
            return -EBADMSG;
        memcpy(lengths, p, sizeof lengths);
        p += HEADER_LENGTHS;
        bool absent = lengths[1] == VALUE_ABSENT;
        uint64_t name_len = le32toh(lengths[0]), value_len = absent ? 0 : le32toh(lengths[1]);
        if (name_len + value_len > (uint64_t)(end - p))
            return -EBADMSG;
        if (count < capacity)
            out[count] = (struct bridge_header){{p, name_len}, {absent ? NULL : p + name_len, value_len}};
        p += name_len + value_len;
    }
    return (ssize_t)count;
}

static struct bridge_record *record_add(struct record_set *set)
{
    if (set->count == set->capacity) {
        set->capacity = set->capacity ? set->capacity * 2 : 16;
        set->records = xrealloc(set->records, set->capacity * sizeof *set->records);
    }
    return &set->records[set->count++];
}

/* The data may move while it grows: views hold their distance from its start, plus one so that it is not NULL. */
static struct bytes keep(struct record_set *set, struct bytes b)
{
    if (!b.data)
        return BYTES_NULL;
    struct bytes view = {(const char *)(uintptr_t)(set->data.len + 1), b.len};
    buf_append_bytes(&set->data, b);
    return view;
}

static struct bytes settle(const struct record_set *set, struct bytes view)
{
    if (!view.data)
        return BYTES_NULL;
    return (struct bytes){buf_bytes(&set->data).data + ((uintptr_t)view.data - 1), view.len};
}

void emb_record_set_copy(struct record_set *set, int32_t partition, const struct store_record *r)
{
    /* Until the set is sealed the topic's place holds the encoded headers. */
    *record_add(set) = (struct bridge_record){
        .partition = partition,
        .offset = r->offset,
        .time_ms = r->time_ms,
        .key = keep(set, r->key),
        .payload = keep(set, r->payload),
        .topic = keep(set, r->headers),
    };
    if (r->headers.data) {
        ssize_t n = emb_headers_decode(r->headers, NULL, 0);
        set->header_count += n > 0 ? (size_t)n : 0;
    }
}

void emb_record_set_point(struct record_set *set, const struct bridge_record *r)
{
    *record_add(set) = *r;
}

int emb_record_set_seal(struct record_set *set, struct bytes topic)
{
    int error = 0;
    size_t used = 0;
    set->headers = set->header_count ? xcalloc(set->header_count, sizeof *set->headers) : NULL;
    for (size_t i = 0; i < set->count; i++) {
        struct bridge_record *r = &set->records[i];
        ssize_t n = emb_headers_decode(settle(set, r->topic), set->headers + used, set->header_count - used);
        if (n < 0)
            error = (int)n;
        r->headers = n > 0 ? set->headers + used : NULL;
        r->header_count = n > 0 ? (size_t)n : 0;
        used += r->header_count;
        r->key = settle(set, r->key);
        r->payload = settle(set, r->payload);
        r->topic = topic;
    }
    return error;
}

void emb_record_set_done(struct record_set *set)
{
    free(set->records);
    free(set->headers);
    buf_done(&set->data);
    *set = (struct record_set){0};
}
