/* Bytes that are appended at one end and dropped at the other, contiguous in memory.
 *
 * Positions count the bytes ever appended and never go back; pointers into it are valid until the next append. */
#ifndef CRIER_LOOP_BYTE_RUN_H
#define CRIER_LOOP_BYTE_RUN_H

#include "util/bytes.h"

struct byte_run {
    char *data;
    size_t capacity;
    size_t start, end;  /* live bytes in `data` */
    uint64_t start_pos; /* position of `start` */
};

void byte_run_done(struct byte_run *r);
/* `wide` bytes are what it is going to have at most, if all goes well: it grows to twice that. */
void byte_run_append(struct byte_run *r, const void *data, size_t len, size_t wide);
/* Forgets what is before a position. */
void byte_run_drop(struct byte_run *r, uint64_t pos);

static inline size_t byte_run_live(const struct byte_run *r)
{
    return r->end - r->start;
}

static inline uint64_t byte_run_end(const struct byte_run *r)
{
    return r->start_pos + byte_run_live(r);
}

static inline struct bytes byte_run_between(const struct byte_run *r, uint64_t from, uint64_t to)
{
    if (from == to)
        return (struct bytes){"", 0};
    return (struct bytes){r->data + r->start + (from - r->start_pos), (size_t)(to - from)};
}

#endif
