#include "realtimemap_fleet_private.h"

#include <stdlib.h>

/* ---- rings ---- */

static void ring_push(struct ring *r, size_t limit, const struct fleet_point *p)
{
    if (limit == 0)
        return;
    if (r->count == r->capacity && r->capacity < limit) {
        size_t capacity = r->capacity ? r->capacity * 2 : 16;
        capacity = capacity > limit ? limit : capacity;
        struct fleet_point *points = xmalloc(capacity * sizeof *points);
        for (size_t i = 0; i < r->count; i++)
            points[i] = r->points[(r->head + i) % r->capacity];
        free(r->points);
        *r = (struct ring){.points = points, .capacity = capacity, .count = r->count};
    }
    if (r->count == r->capacity) {
        r->points[r->head] = *p;
        r->head = (r->head + 1) % r->capacity;
    } else {
        r->points[(r->head + r->count++) % r->capacity] = *p;
    }
}

const struct fleet_point *fleet_ring_get(const struct ring *r, size_t i)
{
    return &r->points[(r->head + i) % r->capacity];
}

static void ring_clear(struct ring *r)
{
    free(r->points);
    *r = (struct ring){0};
}

/* ---- life ---- */

struct fleet *fleet_new(const struct fleet_limits *limits, bool simulated, struct geofences *zones)
{
    struct fleet *f = xcalloc(1, sizeof *f);
    pthread_mutex_init(&f->lock, NULL);
    f->limits = *limits;
    f->simulated = simulated;
    f->zones = zones;
    return f;
}

static void forget(struct fleet *f, struct entry *e)
{
    f->totals.points -= e->trail.count + e->replay.count;
    HASH_DEL(f->by_key, e);
    f->slots[e->slot] = NULL;
    f->count--;
    if (f->zones)
        geofences_forget(f->zones, bytes_of(e->v.key));
    ring_clear(&e->trail);
    ring_clear(&e->replay);
    free(e->seen);
    free(e);
}

void fleet_free(struct fleet *f)
{
    if (!f)
        return;
    while (f->by_key)
        forget(f, f->by_key);
    free(f->slots);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

static size_t free_slot(struct fleet *f)
{
    for (size_t i = 0; f->count < f->slot_count && i < f->slot_count; i++)
        if (!f->slots[i])
            return i;
    f->slots = xrealloc(f->slots, (f->slot_count + 1) * sizeof(struct entry *));
    return f->slot_count++;
}

struct entry *fleet_entry(struct fleet *f, struct bytes key)
{
    struct entry *e;
    HASH_FIND(hh, f->by_key, key.data, key.len, e);
    return e;
}

static struct entry *add(struct fleet *f, struct bytes key)
{
    struct entry *e = xcalloc(1, sizeof *e);
    memcpy(e->v.key, key.data, key.len);
    e->seen = xcalloc((size_t)f->limits.seen + 1, sizeof *e->seen);
    e->slot = free_slot(f);
    f->slots[e->slot] = e;
    f->count++;
    HASH_ADD_KEYPTR(hh, f->by_key, e->v.key, key.len, e);
    return e;
}

/* ---- one message ---- */

/* Of topic, event and time: what makes two messages the same one. Never 0. */
static uint64_t fingerprint(const struct fleet_message *m)
{
    uint64_t hash = 14695981039346656037u ^ (uint64_t)m->position->time_ms;
    for (size_t i = 0; i < m->topic_text.len; i++)
        hash = (hash ^ (unsigned char)m->topic_text.data[i]) * 1099511628211u;
    hash = (hash ^ (uint64_t)m->position->event) * 1099511628211u;
    return hash ? hash : 1;
}

static bool seen_before(const struct fleet *f, struct entry *e, uint64_t print)
{
    for (size_t i = 0; i < (size_t)f->limits.seen; i++)
        if (e->seen[i] == print)
            return true;
    e->seen[e->seen_at] = print;
    e->seen_at = f->limits.seen ? (e->seen_at + 1) % (size_t)f->limits.seen : 0;
    return false;
}

/* Cut at the end of a character. */
static void copy_text(char *out, size_t size, struct bytes text)
{
    size_t len = text.len < size ? text.len : size - 1;
    while (len && len < text.len && ((unsigned char)text.data[len] & 0xc0) == 0x80)
        len--;
    if (len)
        memcpy(out, text.data, len);
    out[len] = 0;
}

/* A field that a message lacks keeps its value, as most events carry only a part of them. */
static void copy_known(char *out, size_t size, struct bytes text)
{
    if (text.data)
        copy_text(out, size, text);
}

static void take_names(struct fleet_vehicle *v, const struct fleet_message *m)
{
    const struct hfp_topic *t = m->topic;
    const struct hfp_position *p = m->position;
    copy_text(v->operator_id, sizeof v->operator_id, t->operator_id);
    v->mode = t->mode;
    if (!t->journey) { /* a vehicle off duty belongs to no line */
        v->line[0] = v->route[0] = v->headsign[0] = v->next_stop[0] = 0;
        v->direction = 0;
        return;
    }
    copy_known(v->line, sizeof v->line, p->line);
    copy_known(v->route, sizeof v->route, p->route.data ? p->route : t->route);
    copy_known(v->headsign, sizeof v->headsign, t->headsign);
    copy_text(v->next_stop, sizeof v->next_stop, t->next_stop);
    if (t->direction.len == 1 && (t->direction.data[0] == '1' || t->direction.data[0] == '2'))
        v->direction = (unsigned)(t->direction.data[0] - '0');
}

static void take_doors(struct fleet_vehicle *v, const struct hfp_position *p)
{
    bool open = v->flags & FLEET_DOORS_OPEN;
    if (p->has_doors)
        open = p->doors_open;
    else if (p->event == HFP_DOO || p->event == HFP_DOC)
        open = p->event == HFP_DOO;
    v->flags = (v->flags & ~(unsigned)FLEET_DOORS_OPEN) | (open ? FLEET_DOORS_OPEN : 0);
    v->at.doors_open = open;
}

/* Without a fix the last position stays, and is marked. */
static void take_place(struct fleet_vehicle *v, const struct hfp_position *p, int64_t time_ms)
{
    v->flags = (v->flags & ~(unsigned)FLEET_NO_FIX) | (p->has_fix ? 0 : FLEET_NO_FIX);
    if (p->has_heading)
        v->at.heading = (uint16_t)p->heading;
    if (p->has_speed)
        v->at.speed_cms = p->speed_ms < 655 ? (uint16_t)(p->speed_ms * 100 + 0.5) : UINT16_MAX;
    if (!p->has_fix)
        return;
    v->placed = true;
    v->at.latitude_e6 = p->latitude_e6;
    v->at.longitude_e6 = p->longitude_e6;
    v->at.time_ms = time_ms;
}

static int64_t time_of(const struct fleet_message *m)
{
    return m->position->has_time ? m->position->time_ms : m->heard_ms;
}

static void take(struct fleet_vehicle *v, const struct fleet_message *m)
{
    v->time_ms = time_of(m);
    v->heard_ms = m->heard_ms;
    take_names(v, m);
    take_doors(v, m->position);
    take_place(v, m->position, v->time_ms);
    if (m->position->has_delay)
        v->delay_s = m->position->delay_s;
    v->occupancy = m->position->occupancy > 0 ? (unsigned)m->position->occupancy : 0;
}

static size_t key_of(const struct hfp_topic *t, char out[FLEET_KEY_BYTES])
{
    size_t len = t->operator_id.len + 1 + t->vehicle.len;
    if (len >= FLEET_KEY_BYTES)
        return 0;
    memcpy(out, t->operator_id.data, t->operator_id.len);
    out[t->operator_id.len] = '.';
    memcpy(out + t->operator_id.len + 1, t->vehicle.data, t->vehicle.len);
    out[len] = 0;
    return len;
}

static void record(struct fleet *f, struct entry *e)
{
    size_t before = e->trail.count + e->replay.count;
    const struct fleet_point *last = e->replay.count ? fleet_ring_get(&e->replay, e->replay.count - 1) : NULL;
    ring_push(&e->trail, (size_t)f->limits.trail, &e->v.at);
    if (!last || e->v.at.time_ms - last->time_ms >= f->limits.replay_step_ms)
        ring_push(&e->replay, (size_t)f->limits.replay, &e->v.at);
    f->totals.points += e->trail.count + e->replay.count - before;
}

/* The feed began anew, or a clock was set: what was kept lies in the future now. */
static void begin_anew(struct fleet *f, struct entry *e)
{
    f->totals.points -= e->trail.count + e->replay.count;
    ring_clear(&e->trail);
    ring_clear(&e->replay);
}

static enum fleet_outcome apply(struct fleet *f, const struct fleet_message *m, struct fleet_vehicle *ret,
                                struct fleet_vehicle *ret_was)
{
    char key[FLEET_KEY_BYTES];
    size_t len = key_of(m->topic, key);
    struct entry *e = len ? fleet_entry(f, (struct bytes){key, len}) : NULL;
    if (!e && (!len || f->count >= (size_t)f->limits.vehicles))
        return FLEET_FULL;
    ret_was->key[0] = 0;
    if (!e)
        e = add(f, (struct bytes){key, len});
    else if (e->v.placed)
        *ret_was = e->v;
    if (seen_before(f, e, fingerprint(m)))
        return FLEET_REPEATED;
    int64_t back_ms = e->v.time_ms - time_of(m);
    if (back_ms > 0 && back_ms <= f->limits.reorder_ms)
        return FLEET_LATE;
    if (back_ms > 0)
        begin_anew(f, e);
    e->v.flags |= f->simulated ? FLEET_SIMULATED : 0;
    take(&e->v, m);
    f->totals.newest_ms = e->v.time_ms > f->totals.newest_ms || back_ms > 0 ? e->v.time_ms : f->totals.newest_ms;
    if (!e->v.placed)
        return FLEET_UNPLACED;
    if (m->position->has_fix) {
        record(f, e);
        if (f->zones)
            geofences_update(f->zones, m->topic->operator_id, bytes_of(e->v.key), e->v.at.latitude_e6,
                             e->v.at.longitude_e6, m->on_crossing, m->arg);
    }
    *ret = e->v;
    return FLEET_CHANGED;
}

enum fleet_outcome fleet_apply(struct fleet *f, const struct fleet_message *m, struct fleet_vehicle *ret,
                               struct fleet_vehicle *ret_was)
{
    pthread_mutex_lock(&f->lock);
    enum fleet_outcome outcome = apply(f, m, ret, ret_was);
    f->totals.outcomes[outcome]++;
    pthread_mutex_unlock(&f->lock);
    return outcome;
}

enum fleet_outcome fleet_describe(const struct fleet_message *m, bool simulated, struct fleet_vehicle *ret)
{
    *ret = (struct fleet_vehicle){.flags = simulated ? FLEET_SIMULATED : 0};
    if (!key_of(m->topic, ret->key))
        return FLEET_FULL;
    take(ret, m);
    return ret->placed ? FLEET_CHANGED : FLEET_UNPLACED;
}

void fleet_expire(struct fleet *f, int64_t before_ms, void (*on_gone)(const struct fleet_vehicle *v, void *arg),
                  void *arg)
{
    pthread_mutex_lock(&f->lock);
    struct entry *e, *next;
    HASH_ITER (hh, f->by_key, e, next) {
        if (e->v.heard_ms >= before_ms)
            continue;
        if (e->v.placed)
            on_gone(&e->v, arg);
        forget(f, e);
    }
    pthread_mutex_unlock(&f->lock);
}
