#include "realtimemap_tracks.h"

#include "realtimemap_json.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <uthash.h>

#define CELL_LATITUDE_E6  270 /* 30 m */
#define CELL_LONGITUDE_E6 540
#define WAYS_MAX          6     /* out of one cell */
#define GAP_MS            10000 /* longer between two positions: what lies between is not known */
#define JUMP_M            400
#define MEAN_OF           200 /* positions; later ones weigh as the 200th */
#define COPY_CHUNK        512

struct cell_id {
    int32_t y, x;
};

struct cell {
    struct cell_id id;
    float latitude, longitude; /* mean, e6 from the cell's corner */
    uint16_t positions;
    uint8_t way_count;
    uint32_t ways[WAYS_MAX]; /* cells with a higher or lower number; each way is in both */
    UT_hash_handle hh;
};

/* What a reader copies. */
struct vertex {
    int32_t latitude_e6, longitude_e6;
    uint32_t ways[WAYS_MAX];
    uint8_t way_count;
    uint8_t drawn; /* bit per way */
};

struct tracks {
    pthread_mutex_t lock;
    struct cell *by_id;
    struct cell *cells; /* never moves: made with its final size */
    size_t count, limit, ways;
};

struct tracks *tracks_new(size_t limit)
{
    struct tracks *t = xcalloc(1, sizeof *t);
    pthread_mutex_init(&t->lock, NULL);
    t->limit = limit;
    t->cells = xcalloc(limit ? limit : 1, sizeof *t->cells);
    return t;
}

void tracks_free(struct tracks *t)
{
    if (!t)
        return;
    HASH_CLEAR(hh, t->by_id);
    pthread_mutex_destroy(&t->lock);
    free(t->cells);
    free(t);
}

static struct cell_id id_of(const struct fleet_point *p)
{
    return (struct cell_id){(int32_t)floor((double)p->latitude_e6 / CELL_LATITUDE_E6),
                            (int32_t)floor((double)p->longitude_e6 / CELL_LONGITUDE_E6)};
}

/* NULL when there is no room. */
static struct cell *cell_at(struct tracks *t, const struct fleet_point *p)
{
    const struct cell_id id = id_of(p);
    struct cell *c;
    HASH_FIND(hh, t->by_id, &id, sizeof id, c);
    if (c || t->count == t->limit)
        return c;
    c = &t->cells[t->count++];
    c->id = id;
    HASH_ADD(hh, t->by_id, id, sizeof c->id, c);
    return c;
}

static void take_position(struct cell *c, const struct fleet_point *p)
{
    c->positions += c->positions < MEAN_OF;
    c->latitude += ((float)(p->latitude_e6 - c->id.y * CELL_LATITUDE_E6) - c->latitude) / (float)c->positions;
    c->longitude += ((float)(p->longitude_e6 - c->id.x * CELL_LONGITUDE_E6) - c->longitude) / (float)c->positions;
}

static bool has_way(const struct cell *c, uint32_t to)
{
    for (unsigned i = 0; i < c->way_count; i++)
        if (c->ways[i] == to)
            return true;
    return false;
}

static void join(struct tracks *t, struct cell *a, struct cell *b)
{
    uint32_t from = (uint32_t)(a - t->cells), to = (uint32_t)(b - t->cells);
    if (a->way_count == WAYS_MAX || b->way_count == WAYS_MAX || has_way(a, to))
        return;
    a->ways[a->way_count++] = to;
    b->ways[b->way_count++] = from;
    t->ways++;
}

static bool is_way(const struct fleet_point *from, const struct fleet_point *to)
{
    int64_t gap_ms = to->time_ms - from->time_ms;
    return gap_ms >= 0 && gap_ms <= GAP_MS &&
           geofence_distance_m(from->latitude_e6 / 1e6, from->longitude_e6 / 1e6, to->latitude_e6 / 1e6,
                               to->longitude_e6 / 1e6) <= JUMP_M;
}

void tracks_add(struct tracks *t, const struct fleet_point *from, const struct fleet_point *to)
{
    struct cell_id a_id = id_of(from), b_id = id_of(to);
    if ((a_id.y == b_id.y && a_id.x == b_id.x) || !is_way(from, to))
        return;
    pthread_mutex_lock(&t->lock);
    struct cell *a = cell_at(t, from), *b = cell_at(t, to);
    if (a)
        take_position(a, from);
    if (b)
        take_position(b, to);
    if (a && b)
        join(t, a, b);
    pthread_mutex_unlock(&t->lock);
}

void tracks_totals(struct tracks *t, size_t *ret_cells, size_t *ret_ways)
{
    pthread_mutex_lock(&t->lock);
    *ret_cells = t->count;
    *ret_ways = t->ways;
    pthread_mutex_unlock(&t->lock);
}

/* ---- drawing ---- */

static struct vertex vertex_of(const struct cell *c)
{
    struct vertex v = {
        .latitude_e6 = c->id.y * CELL_LATITUDE_E6 + (int32_t)c->latitude,
        .longitude_e6 = c->id.x * CELL_LONGITUDE_E6 + (int32_t)c->longitude,
        .way_count = c->way_count,
    };
    memcpy(v.ways, c->ways, sizeof v.ways);
    return v;
}

/* Cells come in the order of their numbers, so ways to cells that were added during the copy lead beyond its end. */
static struct vertex *copy_cells(struct tracks *t, size_t *ret_count)
{
    size_t count, ways;
    tracks_totals(t, &count, &ways);
    struct vertex *vertices = xmalloc((count ? count : 1) * sizeof *vertices);
    for (size_t at = 0; at < count;) {
        size_t end = at + COPY_CHUNK < count ? at + COPY_CHUNK : count;
        pthread_mutex_lock(&t->lock);
        for (; at < end; at++)
            vertices[at] = vertex_of(&t->cells[at]);
        pthread_mutex_unlock(&t->lock);
    }
    *ret_count = count;
    return vertices;
}

struct drawing {
    struct vertex *vertices;
    size_t count, left; /* ways that may still be drawn */
    const struct map_box *box;
    struct buf *out;
    bool any;
};

static bool is_inside(const struct map_box *b, const struct vertex *v)
{
    return v->latitude_e6 >= b->south_e6 && v->latitude_e6 <= b->north_e6 && v->longitude_e6 >= b->west_e6 &&
           v->longitude_e6 <= b->east_e6;
}

static void write_vertex(struct drawing *d, const struct vertex *v)
{
    buf_append_str(d->out, "[");
    map_write_degrees(d->out, v->longitude_e6);
    buf_append_str(d->out, ",");
    map_write_degrees(d->out, v->latitude_e6);
    buf_append_str(d->out, "]");
}

/* Marks the way in both of its cells. */
static void mark_drawn(struct drawing *d, uint32_t from, unsigned way)
{
    struct vertex *to = &d->vertices[d->vertices[from].ways[way]];
    d->vertices[from].drawn |= (uint8_t)(1u << way);
    for (unsigned i = 0; i < to->way_count; i++)
        if (to->ways[i] == from)
            to->drawn |= (uint8_t)(1u << i);
}

/* A way out of this cell that is not drawn yet; false when there is none. */
static bool next_way(const struct drawing *d, uint32_t from, unsigned *ret_way)
{
    const struct vertex *v = &d->vertices[from];
    for (unsigned i = 0; i < v->way_count; i++) {
        if (v->drawn >> i & 1 || v->ways[i] >= d->count || !is_inside(d->box, &d->vertices[v->ways[i]]))
            continue;
        *ret_way = i;
        return true;
    }
    return false;
}

/* One line that goes on for as long as there is a way. */
static void draw_line(struct drawing *d, uint32_t from)
{
    unsigned way;
    buf_append_str(d->out, d->any ? ",[" : "[");
    d->any = true;
    write_vertex(d, &d->vertices[from]);
    while (d->left && next_way(d, from, &way)) {
        mark_drawn(d, from, way);
        from = d->vertices[from].ways[way];
        buf_append_str(d->out, ",");
        write_vertex(d, &d->vertices[from]);
        d->left--;
    }
    buf_append_str(d->out, "]");
}

void tracks_write(struct tracks *t, const struct map_box *box, size_t limit, struct buf *out)
{
    struct drawing d = {.left = limit, .box = box, .out = out};
    unsigned way;
    d.vertices = copy_cells(t, &d.count);
    buf_append_str(out, "{\"type\":\"FeatureCollection\",\"features\":[{\"type\":\"Feature\",\"properties\":{},"
                        "\"geometry\":{\"type\":\"MultiLineString\",\"coordinates\":[");
    for (uint32_t i = 0; i < d.count && d.left; i++)
        while (d.left && is_inside(box, &d.vertices[i]) && next_way(&d, i, &way))
            draw_line(&d, i);
    buf_append_str(out, "]}}]}\n");
    free(d.vertices);
}
