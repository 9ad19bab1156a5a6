/* Newcomers: what connections in their first second send waits here for its turn, and gets a share of the loop's time.
 *
 * Clients that all come back at once ask for much at once: handshakes, subscriptions, what they missed. Those who are there
 * already have their messages meanwhile. While somebody waits nothing is accepted: the rest of a herd waits in the kernel. */
#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <utlist.h>

#include "internal.h"
#include "util/clock.h"
#include "util/metrics.h"

#define NEWCOMER_MS 1000
#define CREDIT_NS 1000000          /* most that is saved up: how long a turn may get, but for its last newcomer */
#define PAUSE_NS 100000            /* when the share is used up; the timers of the loop are too coarse */
#define BUSY_MS 200                /* after deliveries others are expected to wait for more */
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

static void on_idle(uv_idle_t *idle);

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
        if (!n->entries && !n->entry_pausing)
            uv_idle_start(&n->entering, on_idle);
        c->entry = xcalloc(1, sizeof *c->entry);
        c->entry->conn = c;
        DL_APPEND(n->entries, c->entry);
        metric_add(M_NEWCOMERS_WAITING, 1);
    }
    buf_append(&c->entry->input, data, len);
    n->held_bytes += len;
    if (c->entry->input.len > HELD_BYTES_ONE || n->held_bytes > HELD_BYTES_ALL)
        entry_take(c);
}

/* ---- the share ---- */

/* All of it, while there is nobody to be held up. */
static int64_t share_of(const struct net *n)
{
    return net_now(n) < n->busy_until_ms ? n->config->limits.newcomer_percent : 100;
}

void net_deliveries(struct net *n)
{
    n->busy_until_ms = net_now(n) + BUSY_MS;
}

/* Their credit grows with the time that is not theirs. */
bool entries_begin(struct net *n)
{
    int64_t share = share_of(n);
    uint64_t now = clock_mono_ns();

    if (share == 100)
        n->entry_credit_ns = CREDIT_NS;
    else
        n->entry_credit_ns += (int64_t)(now - n->entry_clock_ns) * share / (100 - share);
    if (n->entry_credit_ns > CREDIT_NS)
        n->entry_credit_ns = CREDIT_NS;
    n->entry_clock_ns = now;
    return n->entry_credit_ns > 0;
}

bool entries_go_on(struct net *n)
{
    uint64_t now = clock_mono_ns();
    n->entry_credit_ns -= (int64_t)(now - n->entry_clock_ns);
    n->entry_clock_ns = now;
    return n->entry_credit_ns > 0;
}

void entries_pause(struct net *n)
{
    if (n->entry_pausing)
        return;
    const struct itimerspec once = {.it_value.tv_nsec = PAUSE_NS};
    n->entry_pausing = timerfd_settime(n->entry_fd, 0, &once, NULL) == 0;
}

static void serve(struct net *n)
{
    bool more = entries_begin(n);
    while (n->entries && more) {
        entry_take(n->entries->conn);
        more = entries_go_on(n);
    }
    if (n->entries && share_of(n) < 100)
        entries_pause(n);
    if (!n->entries || n->entry_pausing)
        uv_idle_stop(&n->entering);
    else
        uv_idle_start(&n->entering, on_idle);
    if (!n->entries)
        listener_resume(n);
}

static void on_idle(uv_idle_t *idle)
{
    serve(idle->data);
}

static void on_pause_over(uv_poll_t *poll, int status, int events)
{
    struct net *n = poll->data;
    uint64_t count;
    (void)status, (void)events;
    if (read(n->entry_fd, &count, sizeof count) < 0 && errno == EAGAIN)
        return;
    n->entry_pausing = false;
    serve(n);
}

int entries_init(struct net *n)
{
    n->entry_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (n->entry_fd < 0)
        return -errno;
    uv_idle_init(n->loop, &n->entering);
    uv_poll_init(n->loop, &n->entry_pause, n->entry_fd);
    uv_poll_start(&n->entry_pause, UV_READABLE, on_pause_over);
    n->entering.data = n->entry_pause.data = n;
    n->open_handles += 2;
    return 0;
}

void entries_close(struct net *n, uv_close_cb on_closed)
{
    if (n->entry_fd < 0)
        return;
    uv_close((uv_handle_t *)&n->entering, on_closed);
    uv_close((uv_handle_t *)&n->entry_pause, on_closed);
    close(n->entry_fd);
}
