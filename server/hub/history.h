/* The newest publications of one channel, bounded by count and age, in ascending offsets.
 *
 * Owned by its channel, hub thread only. `floor` says how far back it reaches: every publication of the channel with an
 * offset above the floor is in here, so a resume from `floor` or later is complete. */
#ifndef CRIER_HUB_HISTORY_H
#define CRIER_HUB_HISTORY_H

#include "publication.h"

struct history {
    struct publication **ring;
    size_t capacity; /* power of two, 0 before the first append */
    size_t first, count;
    size_t bytes;
    int64_t floor;
    int64_t lost; /* offset of the newest removal without a record that it let go; INT64_MIN none. Positions up to it do not
                     tell what a client knows */
};

void history_init(struct history *h, int64_t floor);
void history_done(struct history *h);
/* Takes a reference of its own. `limit` publications are kept at most; 0 keeps none and only moves the floor. */
void history_append(struct history *h, struct publication *p, size_t limit);
/* Drops what is older than `oldest_ms` (wall clock). */
void history_expire(struct history *h, int64_t oldest_ms);
/* Drops the oldest one; false when empty. */
bool history_drop_oldest(struct history *h);
/* Index of the first publication above `offset`; history_get() takes indexes below count. */
size_t history_after(const struct history *h, int64_t offset);
/* The same for who resumes from there: removals that share the offset of the publication before them are said again. */
size_t history_missed(const struct history *h, int64_t offset);

static inline struct publication *history_get(const struct history *h, size_t i)
{
    return h->ring[(h->first + i) & (h->capacity - 1)];
}

#endif
