#include "delta.h"

#include <errno.h>
#include <stdlib.h>
#include <uthash.h>

#include "proto/fossil.h"

struct delta_link {
    struct publication *publication; /* holds the hash key, too */
    UT_hash_handle hh;
};

void delta_chain_init(struct delta_chain *c, bool by_key)
{
    *c = (struct delta_chain){.by_key = by_key};
}

static void remove_link(struct delta_chain *c, struct delta_link *l)
{
    HASH_DEL(c->links, l);
    publication_unref(l->publication);
    free(l);
}

void delta_chain_done(struct delta_chain *c)
{
    struct delta_link *l, *next;
    HASH_ITER(hh, c->links, l, next)
        remove_link(c, l);
}

static struct bytes key_of(const struct delta_chain *c, const struct publication *p)
{
    return c->by_key && p->has_key ? publication_key(p) : (struct bytes){"", 0};
}

static void put(struct delta_chain *c, struct publication *p)
{
    struct bytes key = key_of(c, p);
    struct delta_link *l = xcalloc(1, sizeof *l);
    l->publication = publication_ref(p);
    HASH_ADD_KEYPTR(hh, c->links, key.data, key.len, l);
}

/* As text, if it is any, so that it fits into a JSON string; what is no text goes to clients that take bytes. */
static bool append_delta(struct publication *before, struct publication *p, struct buf *out)
{
    struct bytes source = publication_payload(before), target = publication_payload(p);
    int r = fossil_delta(source, target, true, out);
    return (r == -EILSEQ ? fossil_delta(source, target, false, out) : r) == 0;
}

/* What is not in the history, or removes, is no base: a client that resumes has not got it, or has nothing. */
bool delta_chain_next(struct delta_chain *c, struct publication *p, bool wanted, struct buf *out)
{
    struct bytes key = key_of(c, p);
    struct delta_link *l;
    HASH_FIND(hh, c->links, key.data, key.len, l);
    bool made = l && wanted && !p->removed && !p->unnumbered && append_delta(l->publication, p, out);
    if (l)
        remove_link(c, l);
    if (!p->removed && !p->unnumbered)
        put(c, p);
    return made;
}
