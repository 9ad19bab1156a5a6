/* The newest publication of each key of a keyed channel: in the order of changes, and in the order of keys.
 *
 * Owned by its channel, hub thread only. A tombstone removes its key. The order of keys
 * and the index of places are made by the first who asks. */
#ifndef CRIER_HUB_KEYED_H
#define CRIER_HUB_KEYED_H

#include "places.h"
#include "publication.h"
#include "version.h"

struct keyed_entry;

struct keyed {
    struct keyed_entry *by_key; /* hash */
    struct keyed_entry *list;   /* ascending offsets */
    struct keyed_entry *root;   /* search tree in byte order of keys, where `ordered` */
    bool ordered;
    uint64_t random; /* of the tree's shape */
    struct places places; /* of entries that have one, where `placed` */
    bool placed;
    size_t count;
    size_t bytes;
};

void keyed_init(struct keyed *k);
void keyed_done(struct keyed *k);
/* Stores or, for a tombstone, removes. A publication without key has no place here and is ignored. */
void keyed_put(struct keyed *k, struct publication *p);
/* Byte order of keys. */
int keyed_compare(struct bytes a, struct bytes b);
/* Newest publication of a key, NULL when it has none. */
struct publication *keyed_find(const struct keyed *k, struct bytes key);
/* Version of a key that it had with its newest publication or one before; NULL when it is not there. */
const struct version *keyed_version(const struct keyed *k, struct bytes key);
/* The entry that was changed longest ago, NULL when empty. */
struct publication *keyed_oldest(const struct keyed *k);
/* Calls `fn` for each entry above `offset`, ascending. */
void keyed_each_after(const struct keyed *k, int64_t offset, void (*fn)(struct publication *p, void *arg), void *arg);
/* Calls `fn` for each entry behind `key` (data NULL: all) in byte order of keys until it returns false. Must not change
 * the table. */
void keyed_each_key_after(struct keyed *k, struct bytes key, bool (*fn)(struct publication *p, void *arg), void *arg);
enum keyed_order { KEYED_BY_OFFSET, KEYED_BY_KEY };
/* The entries that lie in a box and not in the box `except` (NULL none), ascending; `*ret` is the caller's to free(), its
 * publications are the table's. */
size_t keyed_in_box(struct keyed *k, const struct geo_box *box, const struct geo_box *except, enum keyed_order order,
                    struct publication ***ret);
/* The key lives on as if it had been published now. False when it is not there. */
bool keyed_renew(struct keyed *k, struct bytes key, int64_t now_ms);
/* Calls `fn`, which may remove the entry, for each that was neither published nor renewed since `oldest_ms`. */
void keyed_each_expired(const struct keyed *k, int64_t oldest_ms, void (*fn)(struct publication *p, void *arg), void *arg);

#endif
