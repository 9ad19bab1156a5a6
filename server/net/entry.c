/* Input of newcomers: taken in turn, and a little of it in each turn of the loop.
 *
 * Clients that all come back at once ask for much at once: handshakes, subscriptions, what they missed. Their requests wait
 * here, so that those who are there already have their messages meanwhile. */
#include <stdlib.h>
#include <utlist.h>

#include "internal.h"
#include "util/clock.h"
#include "util/metrics.h"

#define NEWCOMER_MS 1000
#define TURN_NS 100000u          /* of a loop turn for newcomers; the last of them may take longer */
#define HELD_BYTES_ONE (64u << 10) /* of a connection, and of all: who brings more than that is served at once */
#define HELD_BYTES_ALL (16u << 20)

struct entry {
    struct entry *prev, *next;
    struct conn *conn;
    struct buf input;
};

bool entry_wanted(const struct conn *c)
{
    return c->entry || net_now(c->net) - c->accepted_ms < NEWCOMER_MS;
}

bool entries_waiting(const struct net *n)
{
    return n->entries != NULL;
}

void entry_take(struct conn *c)
{
    struct net *n = c->net;
    struct entry *e = c->entry;

    c->entry = NULL;
    DL_DELETE(n->entries, e);
    n->held_bytes -= e->input.len;
    metric_add(M_NEWCOMERS_WAITING, -1);
    conn_input(c, e->input.data, e->input.len);
    buf_done(&e->input);
    free(e);
}

void entry_hold(struct conn *c, const char *data, size_t len)
{
    struct net *n = c->net;

    if (!c->entry) {
        c->entry = xcalloc(1, sizeof *c->entry);
        c->entry->conn = c;
        DL_APPEND(n->entries, c->entry);
        metric_add(M_NEWCOMERS_WAITING, 1);
        uv_idle_start(&n->entering, net_enter);
    }
    buf_append(&c->entry->input, data, len);
    n->held_bytes += len;
    if (c->entry->input.len > HELD_BYTES_ONE || n->held_bytes > HELD_BYTES_ALL)
        entry_take(c);
}

void net_enter(uv_idle_t *idle)
{
    struct net *n = idle->data;
    uint64_t end = clock_mono_ns() + TURN_NS;

    do {
        if (!n->entries) {
            uv_idle_stop(idle);
            return;
        }
        entry_take(n->entries->conn);
    } while (clock_mono_ns() < end);
}
