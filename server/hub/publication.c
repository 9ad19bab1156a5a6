#include "publication.h"

#include <stdlib.h>

#include "proto/json_scan.h"

struct publication *publication_new(const struct publication_parts *parts)
{
    const struct bytes pieces[] = {parts->key, parts->tags, parts->info, parts->version_epoch, parts->payload};
    size_t size = 0;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        size += pieces[i].len;
    struct publication *p = xmalloc(sizeof *p + size);
    *p = (struct publication){
        .offset = parts->offset,
        .time_ms = parts->time_ms,
        .version = parts->version,
        .refs = 1,
        .key_len = (uint32_t)parts->key.len,
        .tags_len = (uint32_t)parts->tags.len,
        .info_len = (uint32_t)parts->info.len,
        .epoch_len = (uint32_t)parts->version_epoch.len,
        .payload_len = (uint32_t)parts->payload.len,
        .latitude_e6 = parts->latitude_e6,
        .longitude_e6 = parts->longitude_e6,
        .before = BEFORE_UNKNOWN,
        .retagged = true,
        .has_key = parts->key.data != NULL,
        .removed = parts->payload.data == NULL,
        .has_geo = parts->has_geo,
        .wants_delta = parts->wants_delta,
        .unnumbered = parts->unnumbered,
        .expired = parts->expired,
    };
    char *at = p->data;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        if (pieces[i].len)
            memcpy(at, pieces[i].data, pieces[i].len);
        at += pieces[i].len;
    }
    return p;
}

struct publication *publication_ref(struct publication *p)
{
    p->refs++;
    return p;
}

struct publication *publication_clone(const struct publication *p)
{
    struct publication *copy = xmalloc(publication_size(p));
    memcpy(copy, p, publication_size(p));
    copy->refs = 1;
    return copy;
}

void publication_unref(struct publication *p)
{
    if (p && --p->refs == 0)
        free(p);
}

bool publication_is_json(struct publication *p)
{
    if (!p->is_json)
        p->is_json = json_is_value(publication_payload(p), JSON_DEPTH_MAX) ? 1 : -1;
    return p->is_json > 0;
}
