/* Inside of the grid: items, cells, tags, and what a tick changed.
 *
 * Owned by the grid. Changes and their lists are valid until the next tick begins. */
#ifndef CRIER_LOOP_VIEW_GRID_PRIVATE_H
#define CRIER_LOOP_VIEW_GRID_PRIVATE_H

#include "view_grid.h"

#include <uthash.h>

/* Equal tags of many items are one. */
struct grid_tags {
    uint32_t refs;
    uint32_t number; /* small, reused: index into the verdicts of filters */
    uint32_t serial; /* of 31 bits, not reused for long: tells whether a verdict is about these tags */
    char *text;
    size_t len;
    UT_hash_handle hh;
};

struct grid_place {
    bool placed;
    int32_t latitude_e6, longitude_e6;
    struct grid_cell *cell; /* NULL: not placed */
    struct grid_tags *tags;
};

struct grid_item {
    char *key;
    size_t key_len;
    struct grid_place at;
    size_t index; /* in its cell */
    struct buf payload;
    struct buf encoded[GRID_FORMS]; /* empty: not asked for since the last change */
    struct grid_delta *delta;       /* of this tick; NULL none */
    UT_hash_handle hh;
};

/* What a tick did to one item. */
struct grid_delta {
    struct grid_item *item;
    struct grid_place was;
    bool removed;
    struct grid_delta *next;         /* in the tick */
    struct grid_delta *next_arrived; /* in the list of the cell where the item is now */
    struct grid_delta *next_gone;    /* in the list of the cell that it left */
};

struct grid_batch {
    uint64_t tick; /* of which it is */
    size_t offset, len, count;
};

struct grid_cell {
    struct {
        uint32_t y, x;
    } id;
    struct grid_item **items;
    size_t count, capacity;
    uint64_t touched; /* tick in which it is in the list of touched cells */
    struct grid_delta *arrived, *gone;
    struct grid_batch batches[GRID_FORMS]; /* `arrived`, encoded one behind the other, in the grid's arena */
    UT_hash_handle hh;
};

/* A cell that something came to or left. */
struct grid_touched {
    uint64_t place; /* grid_place_key() */
    struct grid_cell *cell;
};

struct grid {
    struct grid_options options;
    struct grid_item *items;
    struct grid_cell *cells;
    struct grid_tags *tags;
    uint32_t *free_numbers;
    size_t free_number_count, free_number_capacity;
    uint32_t numbers, serial;
    struct grid_filter *filters;

    uint64_t tick;
    struct grid_delta *deltas;
    size_t delta_count;
    struct grid_touched *touched; /* after the tick by place */
    size_t touched_count, touched_capacity;
    struct buf arenas[GRID_FORMS];
};

struct grid_filter {
    struct grid *grid;
    uint32_t refs;
    struct tag_filter *compiled;
    char *text;
    uint32_t *verdicts; /* by number of the tags: their serial, and in the lowest bit whether they are shown */
    size_t verdict_count;
    UT_hash_handle hh;
};

/* Orders cells by row, and by column within one. */
static inline uint64_t grid_place_key(uint32_t y, uint32_t x)
{
    return (uint64_t)y << 32 | x;
}

struct bytes grid_encoding(struct grid *g, struct grid_item *item, unsigned form);
bool grid_filter_shows(struct grid_filter *f, const struct grid_tags *tags);

#endif
