/* interval_ms on a keyed channel delivers only the newest of each key. */
#include <stdlib.h>

#include "channel.h"

/* The first publication of a key that is left out: what was before it is what clients know of. */
struct first {
    struct publication *publication;
    UT_hash_handle hh;
};

static struct first *find_first(struct first *firsts, const struct publication *p)
{
    struct first *f = NULL;
    if (firsts && p->has_key)
        HASH_FIND(hh, firsts, publication_key(p).data, p->key_len, f);
    return f;
}

/* Takes the reference. */
static void leave_out(struct first **firsts, struct publication *p)
{
    if (find_first(*firsts, p)) {
        publication_unref(p);
        return;
    }
    struct first *f = xcalloc(1, sizeof *f);
    f->publication = p;
    HASH_ADD_KEYPTR(hh, *firsts, publication_key(p).data, p->key_len, f);
}

/* As it follows on what clients know; takes the reference. The history keeps the one that it was: what is left out here
 * is before it there. */
static struct publication *bridge_over(struct first *firsts, struct publication *p)
{
    const struct first *f = find_first(firsts, p);
    if (!f)
        return p;
    struct publication *copy = publication_clone(p);
    copy->before = f->publication->before;
    copy->before_latitude_e6 = f->publication->before_latitude_e6;
    copy->before_longitude_e6 = f->publication->before_longitude_e6;
    copy->retagged = true;
    publication_unref(p);
    return copy;
}

static void free_firsts(struct first *firsts)
{
    struct first *f, *next;
    HASH_ITER(hh, firsts, f, next)
    {
        HASH_DEL(firsts, f);
        publication_unref(f->publication);
        free(f);
    }
}

void channel_conflate_fresh(struct channel *c)
{
    struct first *firsts = NULL;
    size_t kept = 0;
    for (size_t i = 0; i < c->fresh_count; i++) {
        if (channel_is_newest_of_key(c, c->fresh[i]))
            c->fresh[kept++] = bridge_over(firsts, c->fresh[i]);
        else
            leave_out(&firsts, c->fresh[i]);
    }
    c->fresh_count = kept;
    free_firsts(firsts);
}
