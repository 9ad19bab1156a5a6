#include "view_grid_private.h"

void grid_news_reset(struct grid_news *n)
{
    n->items.len = n->left.len = n->item_count = n->left_count = 0;
}

void grid_news_done(struct grid_news *n)
{
    buf_done(&n->items);
    buf_done(&n->left);
}

/* ---- boxes ---- */

static bool sees(const struct grid_viewer *v, const struct grid_place *p)
{
    return p->placed && geo_box_contains(&v->box, p->latitude_e6, p->longitude_e6) && grid_filter_shows(v->filter, p->tags);
}

/* ---- news ---- */

struct look {
    struct grid *grid;
    const struct grid_viewer *viewer, *other; /* other: the box before, or after */
    unsigned form;
    struct grid_news *out;
};

static void add_bytes(struct look *l, struct bytes items, size_t count)
{
    if (l->out->item_count)
        buf_append_str(&l->out->items, l->grid->options.separators[l->form]);
    buf_append_bytes(&l->out->items, items);
    l->out->item_count += count;
}

static void add_item(struct look *l, struct grid_item *item)
{
    add_bytes(l, grid_encoding(l->grid, item, l->form), 1);
}

static void add_left(struct look *l, const struct grid_item *item)
{
    const struct bytes key = {item->key, item->key_len};
    buf_append(&l->out->left, &key, sizeof key);
    l->out->left_count++;
}

typedef void (*cell_fn)(struct look *l, struct grid_cell *c, bool interior);

static void each_by_place(struct look *l, const struct geo_cells *r, cell_fn fn)
{
    struct grid_cell key;
    for (key.id.y = r->south; key.id.y <= r->north; key.id.y++) {
        for (key.id.x = r->west; key.id.x <= r->east; key.id.x++) {
            struct grid_cell *c;
            HASH_FIND(hh, l->grid->cells, &key.id, sizeof key.id, c);
            if (c)
                fn(l, c, geo_cells_inside(r, c->id.y, c->id.x));
        }
    }
}

/* A small box looks its cells up, a large one walks over those that there are. */
static void each_cell(struct look *l, const struct geo_box *box, cell_fn fn)
{
    struct geo_cells ranges[2];
    unsigned count = geo_box_cells(&l->grid->options.cell, box, ranges);
    for (unsigned i = 0; i < count; i++) {
        if (geo_cells_count(&ranges[i]) <= HASH_COUNT(l->grid->cells)) {
            each_by_place(l, &ranges[i], fn);
            continue;
        }
        for (struct grid_cell *c = l->grid->cells; c; c = c->hh.next)
            if (geo_cells_contain(&ranges[i], c->id.y, c->id.x))
                fn(l, c, geo_cells_inside(&ranges[i], c->id.y, c->id.x));
    }
}

/* The first touched cell from `i` on that is not before the place. */
static size_t touched_from(const struct grid *g, size_t i, uint64_t place)
{
    size_t end = g->touched_count;
    while (i < end) {
        size_t middle = i + (end - i) / 2;
        if (g->touched[middle].place < place)
            i = middle + 1;
        else
            end = middle;
    }
    return i;
}

/* They are sorted: within a row one after the other, and over what lies outside of the box to the next row. */
static void each_touched_in(struct look *l, const struct geo_cells *r, cell_fn fn)
{
    const struct grid *g = l->grid;
    size_t i = touched_from(g, 0, grid_place_key(r->south, r->west));
    while (i < g->touched_count && g->touched[i].place <= grid_place_key(r->north, r->east)) {
        uint32_t y = (uint32_t)(g->touched[i].place >> 32), x = (uint32_t)g->touched[i].place;
        if (x < r->west) {
            i = touched_from(g, i + 1, grid_place_key(y, r->west));
        } else if (x > r->east) {
            i = touched_from(g, i + 1, grid_place_key(y + 1, r->west));
        } else {
            fn(l, g->touched[i].cell, geo_cells_inside(r, y, x));
            i++;
        }
    }
}

static void each_touched(struct look *l, const struct geo_box *box, cell_fn fn)
{
    struct geo_cells ranges[2];
    unsigned count = geo_box_cells(&l->grid->options.cell, box, ranges);
    for (unsigned i = 0; i < count; i++)
        each_touched_in(l, &ranges[i], fn);
}

/* ---- of a tick ---- */

/* What came to a cell or changed in it, as one run of bytes for all viewers that contain the cell. */
static const struct grid_batch *batch_of(struct look *l, struct grid_cell *c)
{
    struct grid_batch *b = &c->batches[l->form];
    struct buf *arena = &l->grid->arenas[l->form];
    if (b->tick == l->grid->tick)
        return b;
    *b = (struct grid_batch){.tick = l->grid->tick, .offset = arena->len};
    for (struct grid_delta *d = c->arrived; d; d = d->next_arrived, b->count++) {
        if (b->count)
            buf_append_str(arena, l->grid->options.separators[l->form]);
        buf_append_bytes(arena, grid_encoding(l->grid, d->item, l->form));
    }
    b->len = arena->len - b->offset;
    return b;
}

static void collect_each(struct look *l, struct grid_cell *c)
{
    for (struct grid_delta *d = c->arrived; d; d = d->next_arrived) {
        if (sees(l->viewer, &d->item->at))
            add_item(l, d->item);
        else if (d->was.cell == c && sees(l->viewer, &d->was))
            add_left(l, d->item);
    }
}

static void collect_cell(struct look *l, struct grid_cell *c, bool interior)
{
    if (c->touched != l->grid->tick)
        return;
    if (!interior || l->viewer->filter) {
        collect_each(l, c);
    } else if (c->arrived) {
        const struct grid_batch *b = batch_of(l, c);
        add_bytes(l, (struct bytes){l->grid->arenas[l->form].data + b->offset, b->len}, b->count);
    }
    for (struct grid_delta *d = c->gone; d; d = d->next_gone)
        if (sees(l->viewer, &d->was) && !sees(l->viewer, &d->item->at))
            add_left(l, d->item);
}

void grid_collect(struct grid *g, const struct grid_viewer *v, unsigned form, struct grid_news *out)
{
    struct look l = {.grid = g, .viewer = v, .form = form, .out = out};
    each_touched(&l, &v->box, collect_cell);
}

/* ---- of boxes ---- */

static void collect_all(struct look *l, struct grid_cell *c, bool interior)
{
    bool all = interior && !l->viewer->filter;
    for (size_t i = 0; i < c->count; i++)
        if (all || sees(l->viewer, &c->items[i]->at))
            add_item(l, c->items[i]);
}

void grid_snapshot(struct grid *g, const struct grid_viewer *v, unsigned form, struct grid_news *out)
{
    struct look l = {.grid = g, .viewer = v, .form = form, .out = out};
    each_cell(&l, &v->box, collect_all);
}

static void collect_new(struct look *l, struct grid_cell *c, bool interior)
{
    (void)interior;
    for (size_t i = 0; i < c->count; i++)
        if (sees(l->viewer, &c->items[i]->at) && !sees(l->other, &c->items[i]->at))
            add_item(l, c->items[i]);
}

static void collect_lost(struct look *l, struct grid_cell *c, bool interior)
{
    (void)interior;
    for (size_t i = 0; i < c->count; i++)
        if (sees(l->viewer, &c->items[i]->at) && !sees(l->other, &c->items[i]->at))
            add_left(l, c->items[i]);
}

void grid_move(struct grid *g, const struct grid_viewer *from, const struct grid_viewer *to, unsigned form,
               struct grid_news *out)
{
    struct look arriving = {.grid = g, .viewer = to, .other = from, .form = form, .out = out};
    struct look leaving = {.grid = g, .viewer = from, .other = to, .form = form, .out = out};
    each_cell(&arriving, &to->box, collect_new);
    each_cell(&leaving, &from->box, collect_lost);
}
