#include "places.h"

#include <stdlib.h>
#include <uthash.h>

struct places_cell {
    struct {
        uint32_t row, column;
    } id;
    struct place **items;
    size_t count, capacity;
    UT_hash_handle hh;
};

static struct places_cell *cell_get(struct places *s, int32_t latitude_e6, int32_t longitude_e6)
{
    struct places_cell *c, key = {.id = {geo_row(&geo_kilometre, latitude_e6), geo_column(&geo_kilometre, longitude_e6)}};
    HASH_FIND(hh, s->cells, &key.id, sizeof key.id, c);
    if (c)
        return c;
    c = xcalloc(1, sizeof *c);
    c->id.row = key.id.row;
    c->id.column = key.id.column;
    HASH_ADD(hh, s->cells, id, sizeof c->id, c);
    return c;
}

void places_add(struct places *s, struct place *p, int32_t latitude_e6, int32_t longitude_e6)
{
    struct places_cell *c = cell_get(s, latitude_e6, longitude_e6);
    if (c->count == c->capacity) {
        c->capacity = c->capacity ? c->capacity * 2 : 4;
        c->items = xrealloc(c->items, c->capacity * sizeof(struct place *));
    }
    *p = (struct place){.cell = c, .index = c->count};
    c->items[c->count++] = p;
}

void places_remove(struct places *s, struct place *p)
{
    struct places_cell *c = p->cell;
    if (!c)
        return;
    struct place *last = c->items[--c->count];
    c->items[p->index] = last;
    last->index = p->index;
    p->cell = NULL;
    if (c->count)
        return;
    HASH_DEL(s->cells, c);
    free(c->items);
    free(c);
}

struct visit {
    struct geo_cells except[2];
    unsigned except_count;
    void (*fn)(struct place *p, void *arg);
    void *arg;
};

static void visit_cell(const struct places_cell *c, const struct visit *v)
{
    for (unsigned i = 0; i < v->except_count; i++)
        if (geo_cells_inside(&v->except[i], c->id.row, c->id.column))
            return;
    for (size_t i = 0; i < c->count; i++)
        v->fn(c->items[i], v->arg);
}

static void visit_by_place(const struct places *s, const struct geo_cells *cells, const struct visit *v)
{
    struct places_cell *c, key;
    for (key.id.row = cells->south; key.id.row <= cells->north; key.id.row++)
        for (key.id.column = cells->west; key.id.column <= cells->east; key.id.column++) {
            HASH_FIND(hh, s->cells, &key.id, sizeof key.id, c);
            if (c)
                visit_cell(c, v);
        }
}

/* A small box looks its cells up, a large one walks over those that there are. */
void places_each(const struct places *s, const struct geo_box *box, const struct geo_box *except,
                 void (*fn)(struct place *p, void *arg), void *arg)
{
    struct visit v = {.fn = fn, .arg = arg};
    struct geo_cells ranges[2];
    unsigned count = geo_box_cells(&geo_kilometre, box, ranges);
    if (except)
        v.except_count = geo_box_cells(&geo_kilometre, except, v.except);
    for (unsigned i = 0; i < count; i++) {
        if (geo_cells_count(&ranges[i]) <= HASH_COUNT(s->cells)) {
            visit_by_place(s, &ranges[i], &v);
            continue;
        }
        for (const struct places_cell *c = s->cells; c; c = c->hh.next)
            if (geo_cells_contain(&ranges[i], c->id.row, c->id.column))
                visit_cell(c, &v);
    }
}
