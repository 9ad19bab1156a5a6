/* One item in a channel: offset, time, key, tags, who published it, where it is, payload bytes.
 *
 * Immutable after its creation and shared inside the hub thread by a plain reference count; other threads only ever see
 * the frames made from it. */
#ifndef CRIER_HUB_PUBLICATION_H
#define CRIER_HUB_PUBLICATION_H

#include "util/bytes.h"
#include "util/geo.h"

/* What its channel's table had under its key. */
enum publication_before {
    BEFORE_UNKNOWN, /* nobody looked, or the table does not reach back to the beginning */
    BEFORE_NOWHERE, /* no entry, or one without a place */
    BEFORE_PLACED,
};

struct publication {
    int64_t offset;
    int64_t time_ms;
    uint64_t version; /* 0: none */
    uint32_t refs;
    uint32_t key_len, tags_len, info_len, epoch_len, payload_len;
    int32_t latitude_e6, longitude_e6; /* degrees * 1e6, where has_geo */
    int32_t before_latitude_e6, before_longitude_e6; /* of the entry before, where BEFORE_PLACED */
    uint8_t before;   /* set once, by the channel that takes it */
    bool retagged;    /* that entry had, or may have had, other tags */
    bool has_key;
    int8_t is_json;   /* of the payload, once somebody asked: 1 yes, -1 no */
    bool removed;     /* tombstone: deletes the key, has no payload */
    bool has_geo;
    bool wants_delta; /* the publisher asked for deltas against the one before */
    bool unnumbered;  /* not in the history: clients are told no offset; `offset` is that of the one before it */
    bool expired;     /* a removal that no record of the broker stands for: `offset` is that of the one before it */
    char data[];      /* key, tags, info, version's epoch, payload */
};

struct publication_parts {
    int64_t offset, time_ms;
    struct bytes key;     /* data NULL: none */
    struct bytes tags;    /* JSON object of strings, or empty */
    struct bytes info;    /* JSON of the publisher's ClientInfo; data NULL: none */
    struct bytes payload; /* data NULL: tombstone */
    uint64_t version;
    struct bytes version_epoch;
    int32_t latitude_e6, longitude_e6;
    bool has_geo, wants_delta, unnumbered, expired;
};

struct publication *publication_new(const struct publication_parts *parts);
struct publication *publication_ref(struct publication *p);
/* A copy of its own, what was before it included. */
struct publication *publication_clone(const struct publication *p);
void publication_unref(struct publication *p); /* accepts NULL */

static inline struct bytes publication_key(const struct publication *p)
{
    return p->has_key ? (struct bytes){p->data, p->key_len} : BYTES_NULL;
}

static inline struct bytes publication_tags(const struct publication *p)
{
    return (struct bytes){p->data + p->key_len, p->tags_len};
}

static inline struct bytes publication_info(const struct publication *p)
{
    return p->info_len ? (struct bytes){p->data + p->key_len + p->tags_len, p->info_len} : BYTES_NULL;
}

static inline bool publication_is_in(const struct publication *p, const struct geo_box *box)
{
    return p->has_geo && !p->removed && geo_box_contains(box, p->latitude_e6, p->longitude_e6);
}

static inline struct bytes publication_version_epoch(const struct publication *p)
{
    return (struct bytes){p->data + p->key_len + p->tags_len + p->info_len, p->epoch_len};
}

static inline struct bytes publication_payload(const struct publication *p)
{
    return p->removed
               ? BYTES_NULL
               : (struct bytes){p->data + p->key_len + p->tags_len + p->info_len + p->epoch_len, p->payload_len};
}

/* The payload is one JSON value. */
bool publication_is_json(struct publication *p);

static inline size_t publication_size(const struct publication *p)
{
    return sizeof *p + p->key_len + p->tags_len + p->info_len + p->epoch_len + p->payload_len;
}

#endif
