/* Things by where they are: what lies in a box is found by the cells that the box touches.
 *
 * Owned by whoever has the things, one thread. A thing embeds its place and is in one set at most. */
#ifndef CRIER_HUB_PLACES_H
#define CRIER_HUB_PLACES_H

#include "util/geo.h"

struct places_cell;

struct place {
    struct places_cell *cell; /* NULL: in no set */
    size_t index;
};

struct places {
    struct places_cell *cells; /* hash */
};

void places_add(struct places *s, struct place *p, int32_t latitude_e6, int32_t longitude_e6);
void places_remove(struct places *s, struct place *p); /* nothing where it is in no set */
/* Calls `fn` for each one in a cell that the box touches, but not for cells that lie in the box `except` (NULL none): the
 * exact test is the caller's. Must not change the set. */
void places_each(const struct places *s, const struct geo_box *box, const struct geo_box *except,
                 void (*fn)(struct place *p, void *arg), void *arg);

#endif
