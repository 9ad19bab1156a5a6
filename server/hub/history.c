#include "history.h"

#include <stdlib.h>

void history_init(struct history *h, int64_t floor)
{
    *h = (struct history){.floor = floor, .lost = INT64_MIN};
}

void history_done(struct history *h)
{
    while (history_drop_oldest(h))
        ;
    free(h->ring);
    h->ring = NULL;
    h->capacity = 0;
}

static void grow(struct history *h)
{
    size_t capacity = h->capacity ? h->capacity * 2 : 8;
    struct publication **ring = xmalloc(capacity * sizeof(struct publication *));
    for (size_t i = 0; i < h->count; i++)
        ring[i] = history_get(h, i);
    free(h->ring);
    h->ring = ring;
    h->capacity = capacity;
    h->first = 0;
}

static void let_go(struct history *h, const struct publication *p)
{
    if (p->offset > h->floor)
        h->floor = p->offset;
    if (p->expired && p->offset > h->lost)
        h->lost = p->offset;
}

bool history_drop_oldest(struct history *h)
{
    if (h->count == 0)
        return false;
    struct publication *p = history_get(h, 0);
    let_go(h, p);
    h->first = (h->first + 1) & (h->capacity - 1);
    h->count--;
    h->bytes -= publication_size(p);
    publication_unref(p);
    return true;
}

void history_append(struct history *h, struct publication *p, size_t limit)
{
    if (limit == 0) {
        let_go(h, p);
        return;
    }
    while (h->count >= limit)
        history_drop_oldest(h);
    if (h->count == h->capacity)
        grow(h);
    h->ring[(h->first + h->count) & (h->capacity - 1)] = publication_ref(p);
    h->count++;
    h->bytes += publication_size(p);
}

void history_expire(struct history *h, int64_t oldest_ms)
{
    while (h->count && history_get(h, 0)->time_ms < oldest_ms)
        history_drop_oldest(h);
}

size_t history_after(const struct history *h, int64_t offset)
{
    size_t low = 0, high = h->count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (history_get(h, mid)->offset <= offset)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

size_t history_missed(const struct history *h, int64_t offset)
{
    size_t i = history_after(h, offset);
    while (i > 0 && history_get(h, i - 1)->offset == offset && history_get(h, i - 1)->expired)
        i--;
    return i;
}
