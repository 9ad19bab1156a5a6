#include "frame_log.h"

#include <stdlib.h>

void frame_log_init(struct frame_log *log, size_t limit_bytes, int64_t base_offset)
{
    *log = (struct frame_log){.limit_bytes = limit_bytes, .base_offset = base_offset};
}

void frame_log_done(struct frame_log *log)
{
    byte_run_done(&log->bytes);
    byte_run_done(&log->texts);
    free(log->marks);
    free(log->metas);
    *log = (struct frame_log){0};
}

static struct frame_log_mark *mark_at(const struct frame_log *log, uint64_t seq)
{
    return &log->marks[seq & (log->mark_capacity - 1)];
}

static struct frame_log_meta *meta_at(const struct frame_log *log, uint64_t seq)
{
    return &log->metas[seq & (log->mark_capacity - 1)];
}

static uint64_t position_before(const struct frame_log *log, uint64_t seq)
{
    return seq == log->base ? log->bytes.start_pos : mark_at(log, seq - 1)->end_pos;
}

void frame_log_reset(struct frame_log *log, int64_t base_offset)
{
    byte_run_drop(&log->bytes, byte_run_end(&log->bytes));
    byte_run_drop(&log->texts, byte_run_end(&log->texts));
    log->base = log->head;
    log->base_offset = base_offset;
}

static void drop_before(struct frame_log *log, uint64_t base)
{
    byte_run_drop(&log->bytes, mark_at(log, base - 1)->end_pos);
    if (log->metas)
        byte_run_drop(&log->texts, base < log->head ? meta_at(log, base)->text_pos : byte_run_end(&log->texts));
    log->base_offset = mark_at(log, base - 1)->offset;
    log->base = base;
}

/* Bytes that go when the frames before `base` go. */
static size_t freed_by(const struct frame_log *log, uint64_t base)
{
    uint64_t text_pos = !log->metas         ? log->texts.start_pos
                        : base < log->head ? meta_at(log, base)->text_pos
                                           : byte_run_end(&log->texts);
    return (size_t)(mark_at(log, base - 1)->end_pos - log->bytes.start_pos + (text_pos - log->texts.start_pos));
}

/* Drops frames from the front until `need` more bytes stay within the limit. */
static void make_room(struct frame_log *log, size_t need)
{
    size_t live = byte_run_live(&log->bytes) + byte_run_live(&log->texts);
    uint64_t base = log->base;
    if (live + need <= log->limit_bytes)
        return;
    size_t excess = live + need - log->limit_bytes;
    while (base < log->head && (base == log->base || freed_by(log, base) < excess))
        base++;
    if (base > log->base)
        drop_before(log, base);
}

static void *grown_ring(const struct frame_log *log, void *ring, size_t capacity, size_t size)
{
    char *grown = xcalloc(capacity, size), *old = ring;
    for (uint64_t seq = log->base; seq < log->head; seq++)
        memcpy(grown + (seq & (capacity - 1)) * size, old + (seq & (log->mark_capacity - 1)) * size, size);
    free(ring);
    return grown;
}

static void reserve_marks(struct frame_log *log, size_t need)
{
    size_t live = (size_t)(log->head - log->base);
    if (live + need <= log->mark_capacity)
        return;
    size_t capacity = log->mark_capacity ? log->mark_capacity : 16;
    while (capacity < live + need)
        capacity *= 2;
    log->marks = grown_ring(log, log->marks, capacity, sizeof *log->marks);
    if (log->metas)
        log->metas = grown_ring(log, log->metas, capacity, sizeof *log->metas);
    log->mark_capacity = capacity;
}

/* Frames without a meta get an empty one, so that each knows where its text would be. */
static void append_metas(struct frame_log *log, const struct frame_block *block)
{
    if (!log->metas)
        log->metas = xcalloc(log->mark_capacity, sizeof *log->metas);
    uint64_t begin = byte_run_end(&log->texts), at = begin;
    for (uint32_t i = 0; i < block->count; i++) {
        const struct frame_meta m = block->metas ? block->metas[i] : (struct frame_meta){0};
        *meta_at(log, log->head + i) = (struct frame_log_meta){.text_pos = at, .meta = m};
        at += m.key_len + m.tags_len;
    }
    byte_run_append(&log->texts, block->meta_bytes, (size_t)(at - begin), log->limit_bytes);
}

void frame_log_append(struct frame_log *log, const struct frame_block *block)
{
    bool metas = !log->bare && (block->metas || log->metas);
    make_room(log, block->len + (metas ? block->meta_len : 0));
    reserve_marks(log, block->count);
    uint64_t pos = byte_run_end(&log->bytes);
    byte_run_append(&log->bytes, block->bytes, block->len, log->limit_bytes);
    for (uint32_t i = 0; i < block->count; i++)
        *mark_at(log, log->head + i) =
            (struct frame_log_mark){.end_pos = pos + block->marks[i].end, .offset = block->marks[i].offset};
    if (metas)
        append_metas(log, block);
    log->head += block->count;
}

int64_t frame_log_offset_before(const struct frame_log *log, uint64_t seq)
{
    return seq == log->base ? log->base_offset : mark_at(log, seq - 1)->offset;
}

struct frame_facts frame_log_facts(const struct frame_log *log, uint64_t seq)
{
    if (!log->metas)
        return (struct frame_facts){.key = {"", 0}, .tags = {"", 0}};
    const struct frame_log_meta *m = meta_at(log, seq);
    uint64_t tags = m->text_pos + m->meta.key_len;
    return (struct frame_facts){.key = byte_run_between(&log->texts, m->text_pos, tags),
                                .tags = byte_run_between(&log->texts, tags, tags + m->meta.tags_len),
                                .latitude_e6 = m->meta.latitude_e6,
                                .longitude_e6 = m->meta.longitude_e6,
                                .was_latitude_e6 = m->meta.was_latitude_e6,
                                .was_longitude_e6 = m->meta.was_longitude_e6,
                                .flags = m->meta.flags};
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
    return byte_run_between(&log->bytes, position_before(log, first), mark_at(log, next - 1)->end_pos);
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
    *ret_next = byte_run_end(&log->bytes) - from <= limit ? log->head : last_within(log, seq, from, limit);
    return frame_log_between(log, seq, *ret_next);
}
