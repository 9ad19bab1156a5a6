#include "embedded/driver.h"

#include <stdio.h>

#include "util/clock.h"

struct round {
    struct worker *w;
    struct cleaner *c;
};

static bool on_topic(void *arg, struct bytes name)
{
    struct round *round = arg;
    struct cleaner *c = round->c;
    size_t after = strlen(c->after), shorter = after < name.len ? after : name.len;
    int order = memcmp(name.data, c->after, shorter);
    if (order < 0 || (order == 0 && name.len <= after))
        return true; /* had its turn */
    struct store_topic *t;
    if (store_topic_find(round->w->store, name, &t) == 0)
        c->topics[c->count++] = t;
    return c->count < CLEAN_TOPICS;
}

/* The next topics in order of their names; after the last one from the first again. */
void emb_cleaner_tick(struct worker *w)
{
    struct cleaner *c = &w->cleaner;
    if (c->at < c->count)
        return; /* still busy with the last round */
    c->count = c->at = 0;
    c->partition = 0;
    store_topics_each(w->store, true, on_topic, &(struct round){w, c});
    if (c->count == CLEAN_TOPICS)
        snprintf(c->after, sizeof c->after, "%s", c->topics[c->count - 1]->name);
    else
        c->after[0] = 0;
}

static int clean(struct worker *w, struct store_partition *p, bool *ret_more)
{
    int64_t now = clock_wall_ms();
    if (p->topic->compact)
        return store_compact(w->store, p, now, w->settings.compact_lag_ms, w->settings.tombstone_ms, CLEAN_RECORDS,
                             ret_more);
    return store_retain(w->store, p, now, CLEAN_RECORDS, ret_more);
}

/* One transaction at most. What fails is tried again in the next round. */
bool emb_cleaner_step(struct worker *w)
{
    struct cleaner *c = &w->cleaner;
    if (c->at >= c->count)
        return false;
    struct store_topic *t = c->topics[c->at];
    bool more = false;
    if (clean(w, &t->partitions[c->partition], &more) == 0 && more)
        return true;
    if (++c->partition == t->partition_count) {
        c->partition = 0;
        c->at++;
    }
    return c->at < c->count;
}
