#include "hub.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "hub/bridge_instance.h"
#include "hub/dead_letter.h"
#include "hub/log_read.h"
#include "hub/mirror.h"
#include "hub/publish.h"
#include "hub/relay.h"
#include "hub/resume.h"
#include "hub/source.h"
#include "hub/transform.h"
#include "util/clock.h"
#include "util/metrics.h"

#define SWEEP_MS 200
#define CHANNEL_SWEEP_MS 2000
#define BACKLOG_HIGH (64 << 20) /* bytes posted to one loop and not taken: bridges pause */
#define BACKLOG_LOW (16 << 20)

/* ---- channels ---- */

bool channel_name_valid(const struct config *config, struct bytes name)
{
    if (name.len == 0 || name.len > (size_t)config->limits.channel_name_bytes)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  memchr("_.:-#$,@~=!", c, 11);
        if (!ok)
            return false;
    }
    return true;
}

struct channel *hub_channel_find(struct hub *hub, struct bytes name)
{
    struct channel *c;
    HASH_FIND(hh, hub->channels, name.data, name.len, c);
    return c;
}

struct channel *hub_channel(struct hub *hub, struct bytes name, enum crier_error *ret_error)
{
    struct channel *c = hub_channel_find(hub, name);
    if (c)
        return c;
    const struct config_namespace *ns = config_namespace_of(hub->config, name);
    if (!channel_name_valid(hub->config, name)) {
        *ret_error = CRIER_ERR_BAD_REQUEST;
        return NULL;
    }
    if (!ns) {
        *ret_error = CRIER_ERR_UNKNOWN_CHANNEL;
        return NULL;
    }
    if (HASH_COUNT(hub->channels) >= (size_t)hub->config->limits.channels) {
        *ret_error = CRIER_ERR_LIMIT_EXCEEDED;
        metric_add(M_LIMIT_CHANNELS, 1);
        return NULL;
    }
    c = channel_new(hub, name, ns);
    HASH_ADD_KEYPTR(hh, hub->channels, c->frame.name.data, c->frame.name.len, c);
    return c;
}

static void forget_channel(struct hub *hub, struct channel *c)
{
    struct partition *origin = c->numbering == NUMBERED_BY_BROKER ? c->origin : NULL;
    if (origin && c->history.floor > origin->forgotten)
        origin->forgotten = c->history.floor;
    if (origin && c->history.lost > origin->lost)
        origin->lost = c->history.lost;
    HASH_DEL(hub->channels, c);
    channel_free(c);
}

void hub_queue_channel(struct hub *hub, struct channel *c)
{
    if (c->queued)
        return;
    c->queued = true;
    c->next_queued = NULL;
    if (hub->queued_last)
        hub->queued_last->next_queued = c;
    else
        hub->queued_first = c;
    hub->queued_last = c;
}

struct block_message {
    struct inbox_message message; /* first */
    struct hub_loop *loop;
    void *peer;
    struct frame_block *block;
};

static void deliver_block(struct inbox_message *m, void *owner)
{
    struct block_message *b = (struct block_message *)m;
    (void)owner;
    atomic_fetch_sub_explicit(&b->loop->backlog_bytes, (int64_t)b->block->len, memory_order_relaxed);
    b->loop->on_block(b->peer, b->block);
    free(b);
}

void hub_send_block(struct hub *hub, unsigned loop, void *peer, struct frame_block *block)
{
    struct block_message *b = xmalloc(sizeof *b);
    b->message.deliver = deliver_block;
    b->loop = hub->loops[loop];
    b->peer = peer;
    b->block = block;
    atomic_fetch_add_explicit(&b->loop->backlog_bytes, (int64_t)block->len, memory_order_relaxed);
    inbox_post(b->loop->inbox, &b->message);
}

struct epoch_message {
    struct inbox_message message; /* first */
    struct hub_loop *loop;
    void *peer;
    int64_t position;
    char epoch[CHANNEL_EPOCH_SIZE];
};

static void deliver_epoch(struct inbox_message *m, void *owner)
{
    struct epoch_message *e = (struct epoch_message *)m;
    (void)owner;
    e->loop->on_epoch(e->peer, e->epoch, e->position);
    free(e);
}

void hub_send_epoch(struct hub *hub, unsigned loop, void *peer, const struct channel *c)
{
    struct epoch_message *e = xmalloc(sizeof *e);
    e->message.deliver = deliver_epoch;
    e->loop = hub->loops[loop];
    e->peer = peer;
    e->position = channel_position(c);
    memcpy(e->epoch, c->epoch, sizeof e->epoch);
    inbox_post(e->loop->inbox, &e->message);
}

/* ---- turns ---- */

static void on_interval(uv_timer_t *timer)
{
    (void)timer; /* the end of this turn does the work */
}

static void flush_queued(struct hub *hub)
{
    struct channel *c = hub->queued_first;
    uint64_t now = c ? clock_mono_ms() : 0, next_due = 0;

    hub->queued_first = hub->queued_last = NULL;
    while (c) {
        struct channel *next = c->next_queued;
        c->queued = false;
        if (!channel_flush(c, now)) {
            hub_queue_channel(hub, c);
            if (!next_due || c->flush_due_ms < next_due)
                next_due = c->flush_due_ms;
        }
        c = next;
    }
    if (next_due)
        uv_timer_start(&hub->interval, on_interval, next_due > now ? next_due - now : 0, 0);
}

static void on_turn_end(uv_prepare_t *prepare)
{
    struct hub *hub = prepare->data;
    flush_queued(hub);
    hub_finish_behind(hub);
    metric_observe(H_HUB_TURN_US, turn_clock_lap(&hub->turn, hub->loop));
}

/* ---- housekeeping ---- */

static void sweep_channels(struct hub *hub, uint64_t now)
{
    struct channel *c, *next;
    int64_t wall = clock_wall_ms();
    HASH_ITER(hh, hub->channels, c, next)
        if (channel_sweep(c, now, wall))
            forget_channel(hub, c);
}

/* Loops that do not keep up make the bridges wait; a high and a low mark keep it from flapping. */
static void watch_backlog(struct hub *hub)
{
    int64_t worst = 0;
    for (size_t i = 0; i < hub->loop_count; i++) {
        int64_t n = atomic_load_explicit(&hub->loops[i]->backlog_bytes, memory_order_relaxed);
        worst = n > worst ? n : worst;
    }
    bool pause = hub->paused ? worst > BACKLOG_LOW : worst > BACKLOG_HIGH;
    if (pause == hub->paused)
        return;
    hub->paused = pause;
    log_warn(pause ? "loops are behind, bridges paused" : "loops caught up, bridges resumed", LOG_INT("bytes", worst));
    for (size_t i = 0; i < hub->source_count; i++)
        source_set_paused(&hub->sources[i], pause);
}

static void on_sweep(uv_timer_t *timer)
{
    struct hub *hub = timer->data;
    uint64_t now = clock_mono_ms();

    watch_backlog(hub);
    transforms_tick(now);
    hub_retry_waiting(hub);
    if (now >= hub->mirror_renew_ms) {
        hub->mirror_renew_ms = now + MIRROR_RENEW_MS;
        mirrors_renew(hub);
    }
    if (now >= hub->channel_sweep_ms) {
        hub->channel_sweep_ms = now + CHANNEL_SWEEP_MS;
        sweep_channels(hub, now);
        publish_table_sweep(hub->publishes, now);
    }
}

bool hub_ready(struct hub *hub, struct buf *reasons)
{
    const char *separator = "";
    size_t before = reasons->len;

    for (size_t i = 0; i < hub->bridge_count; i++) {
        const struct bridge_instance *b = &hub->bridges[i];
        if (b->state == BRIDGE_READY)
            continue;
        CLEANUP_BUF text = BUF_INIT;
        buf_printf(&text, "bridge %s is %s%s%s", b->config->name, bridge_state_name(b->state), *b->reason ? ": " : "",
                   b->reason);
        buf_append_str(reasons, separator);
        buf_append_json_string(reasons, buf_bytes(&text));
        separator = ",";
    }
    for (size_t i = 0; i < hub->source_count; i++) {
        const struct source *s = &hub->sources[i];
        if (s->caught_up)
            continue;
        CLEANUP_BUF text = BUF_INIT;
        buf_printf(&text, "source %s/%s has not caught up", s->config->bridge, s->config->topic);
        buf_append_str(reasons, separator);
        buf_append_json_string(reasons, buf_bytes(&text));
        separator = ",";
    }
    if (hub->draining) {
        buf_append_str(reasons, separator);
        buf_append_str(reasons, "\"shutting down\"");
    }
    return reasons->len == before;
}

/* ---- life ---- */

static void choose_node_id(struct hub *hub)
{
    char host[40] = "node", suffix[CHANNEL_EPOCH_SIZE];
    if (*hub->config->server.node_id) {
        snprintf(hub->node_id, sizeof hub->node_id, "%s", hub->config->server.node_id);
        return;
    }
    gethostname(host, sizeof host - 1);
    epoch_random(suffix);
    suffix[6] = 0;
    snprintf(hub->node_id, sizeof hub->node_id, "%s-%s", host, suffix);
}

static int open_bridges(struct hub *hub, char *error, size_t error_size)
{
    const struct config *config = hub->config;
    hub->bridges = xcalloc(config->bridge_count, sizeof *hub->bridges);
    for (size_t i = 0; i < config->bridge_count; i++) {
        int r = bridge_instance_open(&hub->bridges[i], hub, &config->bridges[i], error, error_size);
        if (r < 0)
            return r;
        hub->bridge_count++;
    }
    return 0;
}

static int subscribe_all(struct hub *hub, char *error, size_t error_size)
{
    const struct config *config = hub->config;
    hub->sources = xcalloc(config->source_count, sizeof *hub->sources);
    for (size_t i = 0; i < config->source_count; i++) {
        int r = source_init(&hub->sources[i], hub, &config->sources[i], error, error_size);
        hub->source_count++;
        if (r == 0)
            r = source_subscribe(&hub->sources[i], error, error_size);
        if (r < 0)
            return r;
    }
    return relays_start(hub, error, error_size);
}

int hub_init(struct hub *hub, uv_loop_t *loop, const struct config *config, char *error, size_t error_size)
{
    *hub = (struct hub){.loop = loop, .config = config, .started_ms = clock_wall_ms()};
    metrics_thread_init();
    choose_node_id(hub);
    frame_deflate_init(&hub->deflate, &config->server);
    int r = inbox_init(&hub->inbox, loop, hub);
    if (r < 0) {
        snprintf(error, error_size, "cannot wake the hub's thread: %s", strerror(-r));
        return r;
    }
    uv_prepare_init(loop, &hub->prepare);
    turn_clock_init(&hub->turn, loop);
    uv_timer_init(loop, &hub->sweep);
    uv_timer_init(loop, &hub->interval);
    hub->prepare.data = hub->sweep.data = hub->interval.data = hub;
    uv_prepare_start(&hub->prepare, on_turn_end);
    uv_timer_start(&hub->sweep, on_sweep, SWEEP_MS, SWEEP_MS);

    r = open_bridges(hub, error, error_size);
    hub->publishes = publish_table_new(hub);
    return r < 0 ? r : subscribe_all(hub, error, error_size);
}

unsigned hub_add_loop(struct hub *hub, struct hub_loop *loop)
{
    hub->loops[hub->loop_count] = loop;
    return (unsigned)hub->loop_count++;
}

void hub_close(struct hub *hub, uint64_t deadline_ms, void (*on_closed)(struct hub *hub))
{
    hub->draining = hub->closing = true;
    hub->on_closed = on_closed;
    hub_retry_waiting(hub);
    resumes_cancel(hub);
    log_reads_cancel(hub);
    for (size_t i = 0; i < hub->source_count; i++)
        dead_letters_cancel(&hub->sources[i].letters);
    relays_cancel(hub);
    for (size_t i = 0; i < hub->bridge_count; i++)
        hub->closing_bridges += hub->bridges[i].bridge != NULL;
    if (hub->closing_bridges == 0) {
        on_closed(hub);
        return;
    }
    for (size_t i = 0; i < hub->bridge_count; i++)
        if (hub->bridges[i].bridge)
            hub->bridges[i].ops->close(hub->bridges[i].bridge, deadline_ms);
}

void hub_done(struct hub *hub)
{
    struct channel *c, *next;
    inbox_close(&hub->inbox); /* first: what is still in there wants channels and sources */
    hub_finish_behind(hub);
    HASH_ITER(hh, hub->channels, c, next)
    {
        HASH_DEL(hub->channels, c);
        channel_free(c);
    }
    relays_done(hub);
    for (size_t i = 0; i < hub->source_count; i++)
        source_done(&hub->sources[i]);
    for (size_t i = 0; i < hub->bridge_count; i++)
        bridge_instance_done(&hub->bridges[i]);
    uv_close((uv_handle_t *)&hub->prepare, NULL);
    uv_close((uv_handle_t *)&hub->sweep, NULL);
    uv_close((uv_handle_t *)&hub->interval, NULL);
}

void hub_free(struct hub *hub)
{
    publish_table_free(hub->publishes);
    frame_deflate_done(&hub->deflate);
    free(hub->relays);
    free(hub->sources);
    free(hub->bridges);
}
