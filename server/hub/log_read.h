/* Reads what a channel had before its memory begins back from the broker's log, forwards or backwards from a position.
 *
 * Hub thread only. Bounded: records looked at and bytes kept by one read, reads at a time, reads that wait their turn. The
 * channel stays in memory until on_read. */
#ifndef CRIER_HUB_LOG_READ_H
#define CRIER_HUB_LOG_READ_H

#include "hub/hub.h"

struct log_read;

struct log_read_result {
    enum crier_error error;
    const char *detail; /* static; NULL: the table's text */
    struct publication **items; /* in the asked order; good during the call */
    size_t count;
    bool more; /* there are, or may be, further ones */
};

struct log_read_request {
    int64_t from; /* position: only what is after it, or before it when `reverse` */
    bool reverse;
    size_t limit; /* publications at most, above 0 */
    void (*on_read)(struct channel *c, void *arg, const struct log_read_result *result);
    void *arg;
};

/* One partition of a log that can be read by position feeds the channel, and its bridge is there. */
bool log_is_readable(const struct channel *c);
/* on_read follows exactly once, unless it returns false: too many reads wait already. */
bool log_read_start(struct channel *c, const struct log_read_request *request);
/* Before the bridges close: those that wait for their turn are answered with an error. */
void log_reads_cancel(struct hub *hub);

#endif
