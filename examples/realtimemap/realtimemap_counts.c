#include "realtimemap_counts.h"

#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>

#define KEY_BYTES 40

struct count {
    char key[KEY_BYTES];
    size_t vehicles, told;
    UT_hash_handle hh;
};

struct counts {
    struct count *by_key;
};

struct counts *counts_new(void)
{
    return xcalloc(1, sizeof(struct counts));
}

void counts_free(struct counts *c)
{
    struct count *n, *next;
    if (!c)
        return;
    HASH_ITER (hh, c->by_key, n, next) {
        HASH_DEL(c->by_key, n);
        free(n);
    }
    free(c);
}

static void add(struct counts *c, const char *key, int by)
{
    struct count *n;
    HASH_FIND_STR(c->by_key, key, n);
    if (!n) {
        n = xcalloc(1, sizeof *n);
        snprintf(n->key, sizeof n->key, "%s", key);
        HASH_ADD_STR(c->by_key, key, n);
    }
    n->vehicles = (size_t)((long)n->vehicles + by);
}

static void add_vehicle(struct counts *c, const struct fleet_vehicle *v, int by)
{
    char key[KEY_BYTES];
    add(c, "all", by);
    snprintf(key, sizeof key, "mode:%s", hfp_mode_name(v->mode));
    add(c, key, by);
    snprintf(key, sizeof key, "operator:%s", v->operator_id);
    add(c, key, by);
    if (!*v->line)
        return;
    snprintf(key, sizeof key, "line:%s", v->line);
    add(c, key, by);
}

void counts_move(struct counts *c, const struct fleet_vehicle *was, const struct fleet_vehicle *now)
{
    if (was && now && was->mode == now->mode && strcmp(was->line, now->line) == 0 &&
        strcmp(was->operator_id, now->operator_id) == 0)
        return;
    if (was)
        add_vehicle(c, was, -1);
    if (now)
        add_vehicle(c, now, 1);
}

void counts_flush(struct counts *c, void (*fn)(const char *key, size_t vehicles, void *arg), void *arg)
{
    struct count *n, *next;
    HASH_ITER (hh, c->by_key, n, next) {
        if (n->vehicles != n->told)
            fn(n->key, n->vehicles, arg);
        n->told = n->vehicles;
        if (n->vehicles > 0)
            continue;
        HASH_DEL(c->by_key, n);
        free(n);
    }
}
