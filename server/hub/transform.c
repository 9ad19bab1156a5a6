#include "transform.h"

#include <errno.h>
#include <stdlib.h>

#include "hub/hub.h"
#include "hub/source.h"
#include "util/clock.h"

struct ticker {
    uint64_t period_ms, due_ms;
    void (*fn)(void *arg);
    void *arg;
};

struct collector {
    void (*fn)(struct buf *out, void *arg);
    void *arg;
};

static struct {
    struct transform *transforms;
    size_t transform_count;
    struct ticker *tickers;
    size_t ticker_count;
    struct collector *collectors;
    size_t collector_count;
} registered;

int transform_register(const struct transform *t)
{
    if (transform_find(t->name))
        return -EEXIST;
    registered.transforms =
        xrealloc(registered.transforms, (registered.transform_count + 1) * sizeof *registered.transforms);
    struct transform *copy = &registered.transforms[registered.transform_count++];
    *copy = *t;
    copy->name = xstrdup(t->name);
    return 0;
}

const struct transform *transform_find(const char *name)
{
    for (size_t i = 0; i < registered.transform_count; i++)
        if (strcmp(registered.transforms[i].name, name) == 0)
            return &registered.transforms[i];
    return NULL;
}

void transform_every(uint64_t period_ms, void (*fn)(void *arg), void *arg)
{
    registered.tickers = xrealloc(registered.tickers, (registered.ticker_count + 1) * sizeof *registered.tickers);
    registered.tickers[registered.ticker_count++] = (struct ticker){.period_ms = period_ms, .fn = fn, .arg = arg};
}

void transforms_tick(uint64_t now_ms)
{
    for (size_t i = 0; i < registered.ticker_count; i++) {
        struct ticker *t = &registered.tickers[i];
        if (now_ms < t->due_ms)
            continue;
        t->due_ms = now_ms + t->period_ms;
        t->fn(t->arg);
    }
}

void transform_on_metrics(void (*fn)(struct buf *out, void *arg), void *arg)
{
    registered.collectors =
        xrealloc(registered.collectors, (registered.collector_count + 1) * sizeof *registered.collectors);
    registered.collectors[registered.collector_count++] = (struct collector){fn, arg};
}

void transforms_render(struct buf *out)
{
    for (size_t i = 0; i < registered.collector_count; i++)
        registered.collectors[i].fn(out, registered.collectors[i].arg);
}

void transforms_done(void)
{
    for (size_t i = 0; i < registered.transform_count; i++)
        free(registered.transforms[i].name);
    free(registered.transforms);
    free(registered.tickers);
    free(registered.collectors);
    memset(&registered, 0, sizeof registered);
}

bool hub_keep(struct hub *hub, const struct keep *k)
{
    enum crier_error error;
    struct channel *c = hub_channel(hub, k->channel, &error);
    if (!c || c->numbering == NUMBERED_BY_BROKER || source_of_channel(hub, k->channel))
        return false;
    if (c->numbering == NUMBERED_NOT_YET)
        channel_number_here(c);
    const struct publication_parts parts = {
        .offset = c->top + 1, .time_ms = clock_wall_ms(), .key = k->key, .tags = k->tags, .payload = k->payload};
    channel_append(c, publication_new(&parts));
    return true;
}
