/* Which publications of a channel's memory a request for its history means.
 *
 * A page is good until the channel's next publication. Hub thread. */
#ifndef CRIER_HUB_HISTORY_PAGE_H
#define CRIER_HUB_HISTORY_PAGE_H

#include "hub/channel.h"

struct history_request {
    size_t limit; /* publications at most */
    bool reverse; /* newest first; with a position: those before it */
    bool has_since;
    const char *epoch; /* "": any */
    int64_t offset;    /* excluded */
};

enum history_reach {
    HISTORY_HERE,    /* the page is all that was asked for */
    HISTORY_DEEPER,  /* memory does not reach; forwards the page is of no use, backwards it is the beginning */
    HISTORY_UNKNOWN, /* another epoch, or ahead of the channel */
};

struct history_page {
    size_t first, count;
    bool reverse;
    bool more; /* in memory, beyond the limit */
};

enum history_reach history_select(const struct channel *c, const struct history_request *r, struct history_page *ret);

static inline struct publication *history_page_get(const struct history *h, const struct history_page *page, size_t i)
{
    return history_get(h, page->reverse ? page->first + page->count - 1 - i : page->first + i);
}

#endif
