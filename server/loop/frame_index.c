#include "frame_index.h"

#include <stdlib.h>

#define ROW_COST 32 /* finding a row costs as much as looking at so many frames */

/* Where a frame's key is or was. */
struct spot {
    uint32_t row, column;
    uint64_t seq;
};

void frame_index_done(struct frame_index *x)
{
    buf_done(&x->spots);
    buf_done(&x->others);
    buf_done(&x->found);
}

void frame_index_forget(struct frame_index *x)
{
    x->from = x->to = 0;
    x->spots.len = x->others.len = 0;
}

/* ---- making ---- */

static struct spot *spots_of(const struct frame_index *x, size_t *ret_count)
{
    *ret_count = x->spots.len / sizeof(struct spot);
    return (struct spot *)(void *)x->spots.data;
}

static void add_spot(struct frame_index *x, int32_t latitude_e6, int32_t longitude_e6, uint64_t seq)
{
    const struct spot spot = {geo_row(&geo_kilometre, latitude_e6), geo_column(&geo_kilometre, longitude_e6), seq};
    buf_append(&x->spots, &spot, sizeof spot);
}

static void add(struct frame_index *x, const struct frame_meta *m, uint64_t seq)
{
    if (m->flags & (FRAME_JOIN_LEAVE | FRAME_WAS_UNKNOWN)) {
        buf_append(&x->others, &seq, sizeof seq);
        return;
    }
    if (m->flags & FRAME_HAS_GEO)
        add_spot(x, m->latitude_e6, m->longitude_e6, seq);
    if (m->flags & FRAME_WAS_PLACED)
        add_spot(x, m->was_latitude_e6, m->was_longitude_e6, seq);
}

static int compare_spots(const void *a, const void *b)
{
    const struct spot *x = a, *y = b;
    if (x->row != y->row)
        return x->row < y->row ? -1 : 1;
    return (x->column > y->column) - (x->column < y->column);
}

static void cover(struct frame_index *x, const struct frame_log *log, uint64_t from, uint64_t end)
{
    size_t count;
    if (x->from <= from && end <= x->to)
        return;
    frame_index_forget(x);
    for (uint64_t seq = from; seq < end; seq++) {
        const struct frame_meta *m = frame_log_meta(log, seq);
        if (m)
            add(x, m, seq);
    }
    struct spot *spots = spots_of(x, &count);
    if (count)
        qsort(spots, count, sizeof *spots, compare_spots);
    x->from = from;
    x->to = end;
}

/* ---- looking ---- */

/* The first spot that is not before the cell. */
static size_t first_from(const struct spot *spots, size_t count, uint32_t row, uint32_t column)
{
    const struct spot cell = {.row = row, .column = column};
    size_t low = 0, high = count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (compare_spots(&spots[mid], &cell) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* The columns of a row lie side by side. */
static void find_in(struct frame_index *x, const struct geo_cells *cells, uint64_t from, uint64_t end)
{
    size_t count, i = 0;
    const struct spot *spots = spots_of(x, &count);
    for (uint32_t row = cells->south; row <= cells->north && i < count; row++) {
        i += first_from(spots + i, count - i, row, cells->west);
        for (; i < count && spots[i].row == row && spots[i].column <= cells->east; i++)
            if (spots[i].seq >= from && spots[i].seq < end)
                buf_append(&x->found, &spots[i].seq, sizeof spots[i].seq);
    }
}

static void find_others(struct frame_index *x, uint64_t from, uint64_t end)
{
    const uint64_t *others = (const uint64_t *)(const void *)x->others.data;
    for (size_t i = 0; i < x->others.len / sizeof *others; i++)
        if (others[i] >= from && others[i] < end)
            buf_append(&x->found, &others[i], sizeof others[i]);
}

static int compare_sequences(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* In order, each once: a key that moved inside of the box was found where it was, too. */
static size_t tidy(struct frame_index *x)
{
    uint64_t *seqs = (uint64_t *)(void *)x->found.data;
    size_t count = x->found.len / sizeof *seqs, kept = 0;
    if (count)
        qsort(seqs, count, sizeof *seqs, compare_sequences);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || seqs[i] != seqs[kept - 1])
            seqs[kept++] = seqs[i];
    return kept;
}

size_t frame_index_look(struct frame_index *x, const struct frame_log *log, const struct geo_box *box, uint64_t from,
                        uint64_t end, const uint64_t **ret)
{
    struct geo_cells ranges[2];
    unsigned count = geo_box_cells(&geo_kilometre, box, ranges);
    uint64_t rows = 0;
    for (unsigned i = 0; i < count; i++)
        rows += ranges[i].north - ranges[i].south + 1;
    if (rows * ROW_COST > end - from)
        return (size_t)-1;
    cover(x, log, from, end);
    x->found.len = 0;
    for (unsigned i = 0; i < count; i++)
        find_in(x, &ranges[i], from, end);
    find_others(x, from, end);
    size_t found = tidy(x);
    *ret = (const uint64_t *)(const void *)x->found.data;
    return found;
}
