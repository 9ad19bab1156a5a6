#include "history_page.h"

/* Index behind the last publication before `offset`. */
static size_t before(const struct history *h, int64_t offset)
{
    return offset == INT64_MIN ? 0 : history_after(h, offset - 1);
}

enum history_reach history_select(const struct channel *c, const struct history_request *r, struct history_page *ret)
{
    const struct history *h = &c->history;
    size_t first = 0, end = h->count;
    bool known = !*r->epoch || strcmp(r->epoch, c->epoch) == 0;

    if (r->has_since && (!known || r->offset > channel_position(c)))
        return HISTORY_UNKNOWN;
    if (r->has_since && r->reverse)
        end = before(h, r->offset);
    else if (r->has_since)
        first = history_after(h, r->offset);
    size_t count = end - first < r->limit ? end - first : r->limit;
    *ret = (struct history_page){
        .first = r->reverse ? end - count : first, .count = count, .reverse = r->reverse, .more = end - first > count};
    if (!r->has_since || r->limit == 0)
        return HISTORY_HERE;
    bool reaches = r->reverse ? count == r->limit || h->floor < 0 : r->offset >= h->floor;
    return reaches ? HISTORY_HERE : HISTORY_DEEPER;
}
