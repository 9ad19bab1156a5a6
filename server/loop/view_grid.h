/* The newest item of each key with its place, in the cells of a grid: what views look at.
 *
 * Changes come in ticks. Between two ticks the grid is what every viewer has been told, so a viewer needs no memory of
 * its own: what it has to hear of a tick, or of a change of its box, follows from its box alone. One thread; what is
 * handed out is valid until the next tick begins. */
#ifndef CRIER_LOOP_VIEW_GRID_H
#define CRIER_LOOP_VIEW_GRID_H

#include "proto/tag_filter.h"
#include "util/bytes.h"
#include "util/geo.h"

#define GRID_FORMS 4

struct grid_options {
    struct geo_grid cell;
    unsigned forms;
    const char *separators[GRID_FORMS]; /* between two items of a form */
    /* Writes an item in a form. Called at most once an item and change. */
    void (*encode)(void *arg, unsigned form, struct bytes key, struct bytes payload, struct buf *out);
    void *arg;
};

struct grid;
struct grid *grid_new(const struct grid_options *options);
void grid_free(struct grid *g); /* accepts NULL; after the last filter of it was given back */
/* Forgets all items; filters stay good. */
void grid_clear(struct grid *g);

/* ---- ticks ---- */

struct grid_change {
    struct bytes key, tags, payload; /* tags: JSON object of strings, or empty */
    bool has_geo;                    /* false: the item is nowhere to be seen */
    int32_t latitude_e6, longitude_e6;
};

void grid_begin(struct grid *g);
/* Several changes of one key within a tick count as one. */
void grid_put(struct grid *g, const struct grid_change *c);
void grid_remove(struct grid *g, struct bytes key);
void grid_end(struct grid *g);
size_t grid_count(const struct grid *g);
/* Items that the last tick changed or removed. */
size_t grid_changed(const struct grid *g);

/* ---- filters ---- */

/* Shared by all who ask for the same; remembers its verdicts on the tags that it met. */
struct grid_filter;
/* `json`: a FilterNode as in proto/tag_filter.h. -EINVAL or -E2BIG with a static reason. */
int grid_filter_get(struct grid *g, struct bytes json, struct grid_filter **ret, const char **ret_reason);
void grid_filter_unref(struct grid_filter *f); /* accepts NULL */

/* ---- what viewers hear ---- */

struct grid_viewer {
    struct geo_box box;
    struct grid_filter *filter; /* NULL: everything */
};

struct grid_news {
    struct buf items; /* in the form, with separators */
    size_t item_count;
    struct buf left; /* struct bytes: keys that are not to be seen any more */
    size_t left_count;
};

void grid_news_reset(struct grid_news *n);
void grid_news_done(struct grid_news *n);

/* Of the last tick. */
void grid_collect(struct grid *g, const struct grid_viewer *v, unsigned form, struct grid_news *out);
/* Everything that is to be seen. */
void grid_snapshot(struct grid *g, const struct grid_viewer *v, unsigned form, struct grid_news *out);
/* Of a move from one box, or filter, to another. */
void grid_move(struct grid *g, const struct grid_viewer *from, const struct grid_viewer *to, unsigned form,
               struct grid_news *out);

#endif
