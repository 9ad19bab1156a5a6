#include "keyed.h"

#include <stdlib.h>
#include <uthash.h>
#include <utlist.h>

struct keyed_entry {
    struct publication *publication; /* holds the hash key, too */
    struct version version;          /* a publication without one leaves it */
    int64_t renewed_ms;
    struct keyed_entry *prev, *next;
    struct keyed_entry *left, *right; /* of the tree: smaller and larger keys */
    uint32_t priority;                /* above those of both */
    struct place place;
    UT_hash_handle hh;
};

void keyed_init(struct keyed *k)
{
    *k = (struct keyed){0};
}

/* ---- the order of keys: a treap, whose random priorities keep it shallow whatever keys come in whatever order ---- */

int keyed_compare(struct bytes key, struct bytes other)
{
    size_t common = key.len < other.len ? key.len : other.len;
    int order = common ? memcmp(key.data, other.data, common) : 0;
    return order ? order : (key.len > other.len) - (key.len < other.len);
}

static int compare(struct bytes key, const struct keyed_entry *e)
{
    return keyed_compare(key, publication_key(e->publication));
}

static uint32_t next_priority(struct keyed *k)
{
    uint64_t x = k->random += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(x >> 32);
}

static void order_insert(struct keyed *k, struct keyed_entry *e)
{
    struct bytes key = publication_key(e->publication);
    struct keyed_entry **at = &k->root, **smaller = &e->left, **larger = &e->right;
    e->priority = next_priority(k);
    while (*at && (*at)->priority >= e->priority)
        at = compare(key, *at) < 0 ? &(*at)->left : &(*at)->right;
    struct keyed_entry *rest = *at;
    *at = e;
    while (rest) {
        if (compare(key, rest) < 0) {
            *larger = rest;
            larger = &rest->left;
            rest = rest->left;
        } else {
            *smaller = rest;
            smaller = &rest->right;
            rest = rest->right;
        }
    }
    *smaller = *larger = NULL;
}

static void order_remove(struct keyed *k, const struct keyed_entry *e)
{
    struct keyed_entry **at = &k->root, *a = e->left, *b = e->right;
    while (*at != e)
        at = compare(publication_key(e->publication), *at) < 0 ? &(*at)->left : &(*at)->right;
    while (a && b) {
        struct keyed_entry *upper = a->priority >= b->priority ? a : b;
        *at = upper;
        at = upper == a ? &a->right : &b->left;
        if (upper == a)
            a = a->right;
        else
            b = b->left;
    }
    *at = a ? a : b;
}

struct walk {
    struct bytes after;
    bool (*fn)(struct publication *p, void *arg);
    void *arg;
};

static bool visit(const struct keyed_entry *e, const struct walk *w)
{
    if (!e)
        return true;
    if (w->after.data && compare(w->after, e) >= 0)
        return visit(e->right, w);
    return visit(e->left, w) && w->fn(e->publication, w->arg) && visit(e->right, w);
}

void keyed_each_key_after(struct keyed *k, struct bytes key, bool (*fn)(struct publication *p, void *arg), void *arg)
{
    if (!k->ordered) {
        k->ordered = true;
        k->random = (uint64_t)(uintptr_t)k ^ (uint64_t)(uintptr_t)k->list << 17;
        for (struct keyed_entry *e = k->list; e; e = e->next)
            order_insert(k, e);
    }
    const struct walk w = {.after = key, .fn = fn, .arg = arg};
    visit(k->root, &w);
}

/* ---- places ---- */

static void settle(struct keyed *k, struct keyed_entry *e)
{
    const struct publication *p = e->publication;
    if (k->placed && p->has_geo)
        places_add(&k->places, &e->place, p->latitude_e6, p->longitude_e6);
}

struct found {
    const struct geo_box *box, *except;
    struct publication **list;
    size_t count, capacity;
};

static void add_found(struct place *place, void *arg)
{
    struct found *f = arg;
    struct keyed_entry *e = (struct keyed_entry *)((char *)place - offsetof(struct keyed_entry, place));
    if (!publication_is_in(e->publication, f->box) ||
        (f->except && publication_is_in(e->publication, f->except)))
        return;
    if (f->count == f->capacity) {
        f->capacity = f->capacity ? f->capacity * 2 : 64;
        f->list = xrealloc(f->list, f->capacity * sizeof(struct publication *));
    }
    f->list[f->count++] = e->publication;
}

static int by_offset(const void *a, const void *b)
{
    int64_t x = (*(struct publication *const *)a)->offset, y = (*(struct publication *const *)b)->offset;
    return (x > y) - (x < y);
}

static int by_key(const void *a, const void *b)
{
    return keyed_compare(publication_key(*(struct publication *const *)a), publication_key(*(struct publication *const *)b));
}

size_t keyed_in_box(struct keyed *k, const struct geo_box *box, const struct geo_box *except, enum keyed_order order,
                    struct publication ***ret)
{
    struct found found = {.box = box, .except = except};
    if (!k->placed) {
        k->placed = true;
        for (struct keyed_entry *e = k->list; e; e = e->next)
            settle(k, e);
    }
    places_each(&k->places, box, except, add_found, &found);
    if (found.count)
        qsort(found.list, found.count, sizeof(struct publication *), order == KEYED_BY_KEY ? by_key : by_offset);
    *ret = found.list;
    return found.count;
}

/* ---- the table ---- */

static void detach(struct keyed *k, struct keyed_entry *e)
{
    HASH_DEL(k->by_key, e);
    DL_DELETE(k->list, e);
    places_remove(&k->places, &e->place);
    k->count--;
    k->bytes -= publication_size(e->publication);
    publication_unref(e->publication);
}

static void entry_free(struct keyed_entry *e)
{
    version_done(&e->version);
    free(e);
}

void keyed_done(struct keyed *k)
{
    while (k->list) {
        struct keyed_entry *e = k->list;
        detach(k, e);
        entry_free(e);
    }
    k->root = NULL;
    k->ordered = k->placed = false;
}

static struct keyed_entry *find(const struct keyed *k, struct bytes key)
{
    struct keyed_entry *e;
    HASH_FIND(hh, k->by_key, key.data, key.len, e);
    return e;
}

static void remove_entry(struct keyed *k, struct keyed_entry *e)
{
    if (k->ordered)
        order_remove(k, e);
    detach(k, e);
    entry_free(e);
}

void keyed_put(struct keyed *k, struct publication *p)
{
    struct bytes key = publication_key(p);
    if (!key.data)
        return;
    struct keyed_entry *e = find(k, key);
    bool is_new = !e;
    if (p->removed) {
        if (e)
            remove_entry(k, e);
        return;
    }
    publication_ref(p);
    if (e)
        detach(k, e);
    else
        e = xcalloc(1, sizeof *e);
    e->publication = p;
    version_set(&e->version, p->version, publication_version_epoch(p));
    HASH_ADD_KEYPTR(hh, k->by_key, publication_key(p).data, key.len, e);
    DL_APPEND(k->list, e);
    settle(k, e);
    if (is_new && k->ordered)
        order_insert(k, e);
    k->count++;
    k->bytes += publication_size(p);
}

struct publication *keyed_find(const struct keyed *k, struct bytes key)
{
    const struct keyed_entry *e = find(k, key);
    return e ? e->publication : NULL;
}

const struct version *keyed_version(const struct keyed *k, struct bytes key)
{
    const struct keyed_entry *e = find(k, key);
    return e ? &e->version : NULL;
}

struct publication *keyed_oldest(const struct keyed *k)
{
    return k->list ? k->list->publication : NULL;
}

void keyed_each_after(const struct keyed *k, int64_t offset, void (*fn)(struct publication *p, void *arg), void *arg)
{
    if (!k->list)
        return;
    /* The wanted part is the tail of the list: walk back to where it begins (utlist: the head's prev is the tail). */
    struct keyed_entry *begin = NULL;
    for (struct keyed_entry *e = k->list->prev; e->publication->offset > offset; e = e->prev) {
        begin = e;
        if (e == k->list)
            break;
    }
    for (struct keyed_entry *e = begin; e; e = e->next)
        fn(e->publication, arg);
}

/* ---- life time of keys ---- */

bool keyed_renew(struct keyed *k, struct bytes key, int64_t now_ms)
{
    struct keyed_entry *e = find(k, key);
    if (e)
        e->renewed_ms = now_ms;
    return e != NULL;
}

/* The list is in the order of publication, so the first young one ends it. */
void keyed_each_expired(const struct keyed *k, int64_t oldest_ms, void (*fn)(struct publication *p, void *arg), void *arg)
{
    struct keyed_entry *e, *next;
    for (e = k->list; e && e->publication->time_ms < oldest_ms; e = next) {
        next = e->next;
        if (e->renewed_ms < oldest_ms)
            fn(e->publication, arg);
    }
}
