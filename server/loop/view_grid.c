#include "view_grid_private.h"

#include <stdlib.h>

struct grid *grid_new(const struct grid_options *options)
{
    struct grid *g = xcalloc(1, sizeof *g);
    g->options = *options;
    g->tick = 1;
    return g;
}

/* ---- tags ---- */

static struct grid_tags *tags_get(struct grid *g, struct bytes text)
{
    struct grid_tags *t;
    HASH_FIND(hh, g->tags, text.data ? text.data : "", text.len, t);
    if (t) {
        t->refs++;
        return t;
    }
    t = xcalloc(1, sizeof *t);
    g->serial = g->serial == INT32_MAX ? 1 : g->serial + 1;
    *t = (struct grid_tags){.refs = 1, .serial = g->serial, .text = bytes_dup(text), .len = text.len};
    t->number = g->free_number_count ? g->free_numbers[--g->free_number_count] : g->numbers++;
    HASH_ADD_KEYPTR(hh, g->tags, t->text, t->len, t);
    return t;
}

static void tags_unref(struct grid *g, struct grid_tags *t)
{
    if (!t || --t->refs > 0)
        return;
    if (g->free_number_count == g->free_number_capacity) {
        g->free_number_capacity = g->free_number_capacity ? g->free_number_capacity * 2 : 16;
        g->free_numbers = xrealloc(g->free_numbers, g->free_number_capacity * sizeof *g->free_numbers);
    }
    g->free_numbers[g->free_number_count++] = t->number;
    HASH_DEL(g->tags, t);
    free(t->text);
    free(t);
}

/* ---- cells ---- */

static struct grid_cell *cell_get(struct grid *g, int32_t latitude_e6, int32_t longitude_e6)
{
    struct grid_cell *c, key = {.id = {geo_row(&g->options.cell, latitude_e6), geo_column(&g->options.cell, longitude_e6)}};
    HASH_FIND(hh, g->cells, &key.id, sizeof key.id, c);
    if (c)
        return c;
    c = xcalloc(1, sizeof *c);
    c->id.y = key.id.y;
    c->id.x = key.id.x;
    HASH_ADD(hh, g->cells, id, sizeof c->id, c);
    return c;
}

static void cell_add(struct grid_cell *c, struct grid_item *item)
{
    if (c->count == c->capacity) {
        c->capacity = c->capacity ? c->capacity * 2 : 4;
        c->items = xrealloc(c->items, c->capacity * sizeof(struct grid_item *));
    }
    item->index = c->count;
    c->items[c->count++] = item;
}

static void cell_take_out(struct grid_cell *c, const struct grid_item *item)
{
    struct grid_item *last = c->items[--c->count];
    c->items[item->index] = last;
    last->index = item->index;
}

static void cell_free(struct grid *g, struct grid_cell *c)
{
    HASH_DEL(g->cells, c);
    free(c->items);
    free(c);
}

static void touch(struct grid *g, struct grid_cell *c)
{
    if (c->touched == g->tick)
        return;
    c->touched = g->tick;
    if (g->touched_count == g->touched_capacity) {
        g->touched_capacity = g->touched_capacity ? g->touched_capacity * 2 : 64;
        g->touched = xrealloc(g->touched, g->touched_capacity * sizeof *g->touched);
    }
    g->touched[g->touched_count++] = (struct grid_touched){grid_place_key(c->id.y, c->id.x), c};
}

/* ---- items ---- */

static void item_free(struct grid *g, struct grid_item *item)
{
    tags_unref(g, item->at.tags);
    for (unsigned i = 0; i < GRID_FORMS; i++)
        buf_done(&item->encoded[i]);
    buf_done(&item->payload);
    free(item->key);
    free(item);
}

struct bytes grid_encoding(struct grid *g, struct grid_item *item, unsigned form)
{
    struct buf *out = &item->encoded[form];
    if (out->len == 0)
        g->options.encode(g->options.arg, form, (struct bytes){item->key, item->key_len}, buf_bytes(&item->payload), out);
    return buf_bytes(out);
}

static struct grid_item *find(const struct grid *g, struct bytes key)
{
    struct grid_item *item;
    HASH_FIND(hh, g->items, key.data, key.len, item);
    return item;
}

/* ---- ticks ---- */

/* What the last tick removed was kept until here, because its lists name it. */
static void end_delta(struct grid *g, struct grid_delta *d)
{
    tags_unref(g, d->was.tags);
    if (d->removed)
        item_free(g, d->item);
    else
        d->item->delta = NULL;
    free(d);
}

void grid_begin(struct grid *g)
{
    while (g->deltas) {
        struct grid_delta *d = g->deltas;
        g->deltas = d->next;
        end_delta(g, d);
    }
    for (size_t i = 0; i < g->touched_count; i++) {
        struct grid_cell *c = g->touched[i].cell;
        c->arrived = c->gone = NULL;
        if (c->count == 0)
            cell_free(g, c);
    }
    for (unsigned i = 0; i < g->options.forms; i++)
        g->arenas[i].len = 0;
    g->touched_count = g->delta_count = 0;
    g->tick++;
}

/* The first change of an item in a tick remembers where viewers believe it to be. */
static struct grid_delta *delta_of(struct grid *g, struct grid_item *item)
{
    struct grid_delta *d = item->delta;
    if (d)
        return d;
    d = xcalloc(1, sizeof *d);
    d->item = item;
    d->was = item->at;
    if (d->was.tags)
        d->was.tags->refs++;
    d->next = g->deltas;
    g->deltas = item->delta = d;
    g->delta_count++;
    return d;
}

static const struct geo_box globe = {-GEO_LATITUDE_MAX_E6, -GEO_LONGITUDE_MAX_E6, GEO_LATITUDE_MAX_E6,
                                     GEO_LONGITUDE_MAX_E6};

void grid_put(struct grid *g, const struct grid_change *c)
{
    struct grid_item *item = find(g, c->key);
    if (!item) {
        item = xcalloc(1, sizeof *item);
        item->key = bytes_dup(c->key);
        item->key_len = c->key.len;
        HASH_ADD_KEYPTR(hh, g->items, item->key, item->key_len, item);
    }
    delta_of(g, item)->removed = false;
    struct grid_tags *before = item->at.tags;
    item->at.tags = tags_get(g, c->tags);
    tags_unref(g, before);
    item->at.placed = c->has_geo && geo_box_contains(&globe, c->latitude_e6, c->longitude_e6);
    item->at.latitude_e6 = c->latitude_e6;
    item->at.longitude_e6 = c->longitude_e6;
    item->payload.len = 0;
    buf_append_bytes(&item->payload, c->payload);
    for (unsigned i = 0; i < g->options.forms; i++)
        item->encoded[i].len = 0;
}

void grid_remove(struct grid *g, struct bytes key)
{
    struct grid_item *item = find(g, key);
    if (!item)
        return;
    delta_of(g, item)->removed = true;
    item->at.placed = false;
}

/* Puts the item into the cell of its new place, and into the lists of the cells that it came to and left. */
static void settle(struct grid *g, struct grid_delta *d)
{
    struct grid_item *item = d->item;
    struct grid_cell *was = d->was.cell;
    struct grid_cell *now = item->at.placed ? cell_get(g, item->at.latitude_e6, item->at.longitude_e6) : NULL;
    item->at.cell = now;
    if (was != now && was) {
        cell_take_out(was, item);
        touch(g, was);
        d->next_gone = was->gone;
        was->gone = d;
    }
    if (was != now && now)
        cell_add(now, item);
    if (now) {
        touch(g, now);
        d->next_arrived = now->arrived;
        now->arrived = d;
    }
    if (d->removed)
        HASH_DEL(g->items, item);
}

static int by_place(const void *a, const void *b)
{
    const struct grid_touched *x = a, *y = b;
    return x->place < y->place ? -1 : x->place > y->place;
}

void grid_end(struct grid *g)
{
    for (struct grid_delta *d = g->deltas; d; d = d->next)
        settle(g, d);
    if (g->touched_count)
        qsort(g->touched, g->touched_count, sizeof *g->touched, by_place);
}

size_t grid_count(const struct grid *g)
{
    return HASH_COUNT(g->items);
}

size_t grid_changed(const struct grid *g)
{
    return g->delta_count;
}

void grid_clear(struct grid *g)
{
    struct grid_item *item, *next_item;
    struct grid_cell *c, *next_cell;
    grid_begin(g);
    HASH_ITER(hh, g->items, item, next_item)
    {
        HASH_DEL(g->items, item);
        item_free(g, item);
    }
    HASH_ITER(hh, g->cells, c, next_cell)
        cell_free(g, c);
}

void grid_free(struct grid *g)
{
    if (!g)
        return;
    grid_clear(g);
    for (unsigned i = 0; i < GRID_FORMS; i++)
        buf_done(&g->arenas[i]);
    free(g->free_numbers);
    free(g->touched);
    free(g);
}
