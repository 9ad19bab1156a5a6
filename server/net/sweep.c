/* The one timer of a net: deadlines, keepalive and half-open detection for all its connections, a slice at a time. */
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "internal.h"
#include "util/error.h"
#include "util/metrics.h"

#define SLICES 4 /* ticks in which every connection is looked at once */
#define SLICE_MIN 256
#define STUCK_MS 60000 /* for a peer that takes nothing, where limits.ping_ms is 0 */

/* Bytes the kernel holds for the peer; moves as long as the peer reads, because we refill it. */
static int unacknowledged(const struct conn *c)
{
    int bytes = 0;
    return ioctl(c->fd, SIOCOUTQ, &bytes) < 0 ? -1 : bytes;
}

/* While blocked we do not read, so only acknowledgements show that the peer lives. */
static void sweep_blocked(struct conn *c, uint64_t now)
{
    const struct config_limits *l = &c->net->config->limits;
    uint64_t patience = l->ping_ms ? (uint64_t)(l->ping_ms + l->pong_ms) : STUCK_MS;
    int queued = unacknowledged(c);

    if (queued != c->queued) {
        c->queued = queued;
        c->progress_ms = now;
    } else if (now - c->progress_ms > patience) {
        metric_add(M_IDLE_CLOSED, 1);
        conn_doom(c);
    }
}

static void sweep_http(struct conn *c, uint64_t now)
{
    if (c->deadline_ms == 0 || now < c->deadline_ms)
        return;
    metric_add(c->idle ? M_IDLE_CLOSED : M_LIMIT_HANDSHAKE, 1);
    if (c->http)
        http_refuse(c, 408);
    else
        conn_doom(c);
}

static void sweep_ws(struct conn *c, uint64_t now)
{
    static const char ping[2] = {(char)0x89, 0};
    const struct config_limits *l = &c->net->config->limits;
    struct ws_conn *w = c->ws;
    uint64_t silence = now - c->rx_ms;

    if (silence < (uint64_t)l->ping_ms)
        c->pinged = false;
    if (w->message_start_ms && !w->ops->unlimited && l->message_ms &&
        now - w->message_start_ms > (uint64_t)l->message_ms) {
        metric_add(M_LIMIT_MESSAGE_TIME, 1);
        ws_fail(w, CLOSE_POLICY, "message took too long");
    } else if (l->idle_ms && now - w->last_message_ms > (uint64_t)l->idle_ms) {
        metric_add(M_IDLE_CLOSED, 1);
        ws_close(w, CLOSE_NORMAL, "idle");
    } else if (l->ping_ms && silence >= (uint64_t)(l->ping_ms + l->pong_ms) && c->pinged) {
        metric_add(M_IDLE_CLOSED, 1);
        conn_doom(c);
    } else if (l->ping_ms && silence >= (uint64_t)l->ping_ms && !c->pinged) {
        c->pinged = conn_write(c, ping, sizeof ping) == 0;
    }
}

static void sweep_conn(struct conn *c, uint64_t now)
{
    if (c->doomed || !c->carrier)
        return;
    if (c->phase == CONN_WS_CLOSING || c->phase == CONN_LINGER) {
        if (c->deadline_ms && now >= c->deadline_ms)
            conn_doom(c);
        else if (c->blocked)
            sweep_blocked(c, now);
    } else if (c->blocked) {
        sweep_blocked(c, now);
    } else if (c->phase == CONN_HTTP) {
        sweep_http(c, now);
    } else if (c->phase == CONN_WS) {
        sweep_ws(c, now);
    } /* a stream: its wire's pings show the kernel whether the peer lives */
}

void net_sweep(uv_timer_t *timer)
{
    struct net *n = timer->data;
    uint64_t now = net_now(n);
    size_t slice = (n->conn_count + SLICES - 1) / SLICES;

    if (slice < SLICE_MIN)
        slice = SLICE_MIN;
    if (slice > n->conn_count)
        slice = n->conn_count;
    while (slice-- > 0) {
        if (n->sweep_at >= n->conn_count)
            n->sweep_at = 0;
        sweep_conn(n->conns[n->sweep_at++], now);
    }
    listener_resume(n);
}
