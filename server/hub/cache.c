#include "cache.h"

bool cache_recover(const struct channel *c, const char *epoch, int64_t offset,
                   bool (*fits)(const struct publication *p, const void *arg), const void *arg, struct publication **ret)
{
    const struct history *h = &c->history;
    size_t i = h->count;
    while (i > 0 && fits && !fits(history_get(h, i - 1), arg))
        i--;
    if (i == 0)
        return false;
    struct publication *newest = history_get(h, i - 1);
    bool has_it = strcmp(epoch, c->epoch) == 0 && offset >= newest->offset && offset <= channel_position(c);
    *ret = has_it ? NULL : newest;
    return true;
}
