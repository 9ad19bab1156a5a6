/* One item in a channel: offset, time, key, tags, payload bytes.
 *
 * Immutable after its creation and shared inside the hub thread by a plain reference count; other threads only ever see
 * the frames made from it. */
#ifndef CRIER_HUB_PUBLICATION_H
#define CRIER_HUB_PUBLICATION_H

#include "util/bytes.h"

struct publication {
    int64_t offset;
    int64_t time_ms;
    uint32_t refs;
    uint32_t key_len;
    uint32_t tags_len;
    uint32_t payload_len;
    bool has_key;
    bool removed; /* tombstone: deletes the key, has no payload */
    int8_t is_json; /* of the payload, once somebody asked: 1 yes, -1 no */
    char data[];  /* key, tags (a JSON object or nothing), payload */
};

struct publication_parts {
    int64_t offset, time_ms;
    struct bytes key;     /* data NULL: none */
    struct bytes tags;    /* JSON object, or empty */
    struct bytes payload; /* data NULL: tombstone */
};

struct publication *publication_new(const struct publication_parts *parts);
struct publication *publication_ref(struct publication *p);
void publication_unref(struct publication *p); /* accepts NULL */

static inline struct bytes publication_key(const struct publication *p)
{
    return p->has_key ? (struct bytes){p->data, p->key_len} : BYTES_NULL;
}

static inline struct bytes publication_tags(const struct publication *p)
{
    return (struct bytes){p->data + p->key_len, p->tags_len};
}

static inline struct bytes publication_payload(const struct publication *p)
{
    return p->removed ? BYTES_NULL : (struct bytes){p->data + p->key_len + p->tags_len, p->payload_len};
}

/* The payload is one JSON value. */
bool publication_is_json(struct publication *p);

static inline size_t publication_size(const struct publication *p)
{
    return sizeof *p + p->key_len + p->tags_len + p->payload_len;
}

#endif
