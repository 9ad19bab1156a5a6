#include "realtimemap_fleet_private.h"

size_t fleet_read(struct fleet *f, size_t *at, struct fleet_vehicle out[FLEET_CHUNK])
{
    size_t n = 0;
    pthread_mutex_lock(&f->lock);
    for (; *at < f->slot_count && n < FLEET_CHUNK; ++*at)
        if (f->slots[*at] && f->slots[*at]->v.placed)
            out[n++] = f->slots[*at]->v;
    pthread_mutex_unlock(&f->lock);
    return n;
}

bool fleet_find(struct fleet *f, struct bytes key, struct fleet_vehicle *ret)
{
    pthread_mutex_lock(&f->lock);
    const struct entry *e = fleet_entry(f, key);
    if (e)
        *ret = e->v;
    pthread_mutex_unlock(&f->lock);
    return e != NULL;
}

static void append_ring(struct buf *out, const struct ring *r, int64_t from_ms, int64_t to_ms)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct fleet_point *p = fleet_ring_get(r, i);
        if (p->time_ms >= from_ms && p->time_ms <= to_ms)
            buf_append(out, p, sizeof *p);
    }
}

bool fleet_trail(struct fleet *f, struct bytes key, struct buf *out)
{
    buf_reserve(out, (size_t)f->limits.trail * sizeof(struct fleet_point));
    pthread_mutex_lock(&f->lock);
    const struct entry *e = fleet_entry(f, key);
    if (e)
        append_ring(out, &e->trail, INT64_MIN, INT64_MAX);
    pthread_mutex_unlock(&f->lock);
    return e != NULL;
}

size_t fleet_slots(struct fleet *f)
{
    pthread_mutex_lock(&f->lock);
    size_t n = f->slot_count;
    pthread_mutex_unlock(&f->lock);
    return n;
}

bool fleet_replay(struct fleet *f, size_t slot, int64_t from_ms, int64_t to_ms, struct fleet_vehicle *ret,
                  struct buf *out)
{
    buf_reserve(out, (size_t)f->limits.replay * sizeof(struct fleet_point));
    pthread_mutex_lock(&f->lock);
    const struct entry *e = slot < f->slot_count ? f->slots[slot] : NULL;
    if (e) {
        *ret = e->v;
        append_ring(out, &e->replay, from_ms, to_ms);
    }
    pthread_mutex_unlock(&f->lock);
    return e != NULL;
}

void fleet_totals(struct fleet *f, struct fleet_totals *ret)
{
    pthread_mutex_lock(&f->lock);
    *ret = f->totals;
    ret->vehicles = f->count;
    pthread_mutex_unlock(&f->lock);
}

void fleet_with_zones(struct fleet *f, void (*fn)(struct geofences *zones, void *arg), void *arg)
{
    pthread_mutex_lock(&f->lock);
    fn(f->zones, arg);
    pthread_mutex_unlock(&f->lock);
}
