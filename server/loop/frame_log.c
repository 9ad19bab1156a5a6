#include "frame_log.h"

#include <stdlib.h>

#include "util/metrics.h"

void frame_log_init(struct frame_log *log, size_t limit_bytes, int64_t base_offset)
{
    *log = (struct frame_log){.limit_bytes = limit_bytes, .base_offset = base_offset};
}

void frame_log_done(struct frame_log *log)
{
    metric_add(M_FRAME_LOG_BYTES, -(int64_t)log->capacity);
    free(log->bytes);
    free(log->marks);
    *log = (struct frame_log){0};
}

static struct frame_log_mark *mark_at(const struct frame_log *log, uint64_t seq)
{
    return &log->marks[seq & (log->mark_capacity - 1)];
}

static uint64_t position_before(const struct frame_log *log, uint64_t seq)
{
    return seq == log->base ? log->start_pos : mark_at(log, seq - 1)->end_pos;
}

void frame_log_reset(struct frame_log *log, int64_t base_offset)
{
    log->start_pos += log->end - log->start;
    log->start = log->end = 0;
    log->base = log->head;
    log->base_offset = base_offset;
}

/* Drops frames from the front until `need` more bytes stay within the limit. */
static void make_room(struct frame_log *log, size_t need)
{
    uint64_t base = log->base;
    size_t live = log->end - log->start;
    if (live + need <= log->limit_bytes)
        return;
    size_t excess = live + need - log->limit_bytes;
    while (base < log->head && mark_at(log, base)->end_pos - log->start_pos < excess)
        base++;
    if (base < log->head)
        base++;
    if (base == log->base)
        return;
    log->base_offset = mark_at(log, base - 1)->offset;
    uint64_t pos = mark_at(log, base - 1)->end_pos;
    log->start += (size_t)(pos - log->start_pos);
    log->start_pos = pos;
    log->base = base;
}

/* Doubling up to twice the limit means that the bytes are moved to the front once per `limit_bytes` appended at most. */
static void reserve_bytes(struct frame_log *log, size_t need)
{
    size_t live = log->end - log->start;
    if (log->end + need <= log->capacity)
        return;
    if (log->start)
        memmove(log->bytes, log->bytes + log->start, live);
    log->start = 0;
    log->end = live;
    size_t wanted = log->capacity ? log->capacity : 1024;
    while (wanted < live + need || (wanted < 2 * live && wanted < 2 * log->limit_bytes))
        wanted *= 2;
    if (wanted > log->capacity) {
        metric_add(M_FRAME_LOG_BYTES, (int64_t)(wanted - log->capacity));
        log->bytes = xrealloc(log->bytes, wanted);
        log->capacity = wanted;
    }
}

static void reserve_marks(struct frame_log *log, size_t need)
{
    size_t live = (size_t)(log->head - log->base);
    if (live + need <= log->mark_capacity)
        return;
    size_t capacity = log->mark_capacity ? log->mark_capacity : 16;
    while (capacity < live + need)
        capacity *= 2;
    struct frame_log_mark *marks = xmalloc(capacity * sizeof *marks);
    for (uint64_t seq = log->base; seq < log->head; seq++)
        marks[seq & (capacity - 1)] = *mark_at(log, seq);
    free(log->marks);
    log->marks = marks;
    log->mark_capacity = capacity;
}

void frame_log_append(struct frame_log *log, const struct frame_block *block)
{
    make_room(log, block->len);
    reserve_bytes(log, block->len);
    reserve_marks(log, block->count);
    memcpy(log->bytes + log->end, block->bytes, block->len);
    uint64_t pos = log->start_pos + (log->end - log->start);
    for (uint32_t i = 0; i < block->count; i++)
        *mark_at(log, log->head + i) =
            (struct frame_log_mark){.end_pos = pos + block->marks[i].end, .offset = block->marks[i].offset};
    log->end += block->len;
    log->head += block->count;
}

int64_t frame_log_offset_before(const struct frame_log *log, uint64_t seq)
{
    return seq == log->base ? log->base_offset : mark_at(log, seq - 1)->offset;
}

uint64_t frame_log_seek(const struct frame_log *log, uint64_t from, int64_t offset)
{
    uint64_t low = from, high = log->head;
    while (low < high) {
        uint64_t mid = low + (high - low) / 2;
        if (mark_at(log, mid)->offset <= offset)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct bytes frame_log_between(const struct frame_log *log, uint64_t first, uint64_t next)
{
    if (first >= next)
        return (struct bytes){"", 0};
    uint64_t from = position_before(log, first), end = mark_at(log, next - 1)->end_pos;
    return (struct bytes){log->bytes + log->start + (from - log->start_pos), (size_t)(end - from)};
}

/* Sequence number behind the last frame that ends within `limit` bytes of `from`. */
static uint64_t last_within(const struct frame_log *log, uint64_t seq, uint64_t from, size_t limit)
{
    uint64_t low = seq + 1, high = log->head;
    while (low < high) {
        uint64_t mid = low + (high - low + 1) / 2;
        if (mark_at(log, mid - 1)->end_pos - from <= limit)
            low = mid;
        else
            high = mid - 1;
    }
    return low;
}

struct bytes frame_log_slice(const struct frame_log *log, uint64_t seq, size_t limit, uint64_t *ret_next)
{
    uint64_t from = position_before(log, seq);
    uint64_t end = log->start_pos + (log->end - log->start);
    *ret_next = end - from <= limit ? log->head : last_within(log, seq, from, limit);
    return frame_log_between(log, seq, *ret_next);
}
