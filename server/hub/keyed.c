#include "keyed.h"

#include <stdlib.h>
#include <uthash.h>
#include <utlist.h>

struct keyed_entry {
    struct publication *publication; /* holds the hash key, too */
    struct version version;          /* a publication without one leaves it */
    struct keyed_entry *prev, *next;
    UT_hash_handle hh;
};

void keyed_init(struct keyed *k)
{
    *k = (struct keyed){0};
}

static void detach(struct keyed *k, struct keyed_entry *e)
{
    HASH_DEL(k->by_key, e);
    DL_DELETE(k->list, e);
    k->count--;
    k->bytes -= publication_size(e->publication);
    publication_unref(e->publication);
}

static void entry_free(struct keyed_entry *e)
{
    if (e)
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
}

void keyed_put(struct keyed *k, struct publication *p)
{
    struct bytes key = publication_key(p);
    struct keyed_entry *e;
    if (!key.data)
        return;

    HASH_FIND(hh, k->by_key, key.data, key.len, e);
    if (e)
        detach(k, e);
    if (p->removed) {
        entry_free(e);
        return;
    }
    if (!e)
        e = xcalloc(1, sizeof *e);
    e->publication = publication_ref(p);
    version_set(&e->version, p->version, publication_version_epoch(p));
    HASH_ADD_KEYPTR(hh, k->by_key, publication_key(p).data, key.len, e);
    DL_APPEND(k->list, e);
    k->count++;
    k->bytes += publication_size(p);
}

struct publication *keyed_find(const struct keyed *k, struct bytes key)
{
    struct keyed_entry *e;
    HASH_FIND(hh, k->by_key, key.data, key.len, e);
    return e ? e->publication : NULL;
}

const struct version *keyed_version(const struct keyed *k, struct bytes key)
{
    struct keyed_entry *e;
    HASH_FIND(hh, k->by_key, key.data, key.len, e);
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
