#include "byte_run.h"

#include <stdlib.h>

#include "util/metrics.h"

void byte_run_done(struct byte_run *r)
{
    metric_add(M_FRAME_LOG_BYTES, -(int64_t)r->capacity);
    free(r->data);
    *r = (struct byte_run){0};
}

/* Doubling up to twice the width means that the bytes are moved to the front once per `wide` appended at most. */
static void reserve(struct byte_run *r, size_t need, size_t wide)
{
    size_t live = byte_run_live(r);
    if (r->end + need <= r->capacity)
        return;
    if (r->start)
        memmove(r->data, r->data + r->start, live);
    r->start = 0;
    r->end = live;
    size_t wanted = r->capacity ? r->capacity : 1024;
    while (wanted < live + need || (wanted < 2 * live && wanted < 2 * wide))
        wanted *= 2;
    if (wanted > r->capacity) {
        metric_add(M_FRAME_LOG_BYTES, (int64_t)(wanted - r->capacity));
        r->data = xrealloc(r->data, wanted);
        r->capacity = wanted;
    }
}

void byte_run_append(struct byte_run *r, const void *data, size_t len, size_t wide)
{
    if (len == 0)
        return;
    reserve(r, len, wide);
    memcpy(r->data + r->end, data, len);
    r->end += len;
}

void byte_run_drop(struct byte_run *r, uint64_t pos)
{
    r->start += (size_t)(pos - r->start_pos);
    r->start_pos = pos;
    if (r->start == r->end)
        r->start = r->end = 0;
}
