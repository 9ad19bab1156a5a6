#include "query.h"

#include <fnmatch.h>
#include <stdlib.h>

#include "hub/bridge_instance.h"
#include "hub/history_call.h"
#include "hub/relay.h"
#include "hub/transform.h"
#include "util/clock.h"
#include "util/metrics.h"

static void run_query(struct hub *hub, struct hub_call *call);

struct hub_query *hub_query_new(enum hub_query_kind kind, struct inbox *origin, struct bytes channel,
                                void (*done)(struct hub_call *call, void *owner))
{
    struct hub_query *q = xcalloc(1, sizeof *q);
    q->call.origin = origin;
    q->call.run = run_query;
    q->call.done = done;
    q->kind = kind;
    q->channel = bytes_dup(channel);
    return q;
}

void hub_query_free(struct hub_query *q)
{
    buf_done(&q->json);
    free(q->channel);
    free(q);
}

/* ---- of one channel ---- */

static enum crier_error query_presence(struct hub *hub, struct hub_query *q)
{
    const struct config_namespace *ns = config_namespace_of(hub->config, bytes_of(q->channel));
    const struct channel *c = hub_channel_find(hub, bytes_of(q->channel));
    const struct presence none = {0};

    if (!ns)
        return CRIER_ERR_UNKNOWN_CHANNEL;
    if (!ns->presence)
        return CRIER_ERR_NOT_AVAILABLE;
    if (q->kind == HUB_QUERY_PRESENCE_STATS) {
        const struct presence *p = c ? &c->presence : &none;
        buf_printf(&q->json, "{\"num_clients\":%zu,\"num_users\":%zu}", p->listed, presence_users(p));
        return CRIER_OK;
    }
    if (q->kind == HUB_QUERY_PRESENCE_MAP) {
        buf_append_str(&q->json, "{\"presence\":");
        presence_write_map(c ? &c->presence : &none, &q->json);
        buf_append_str(&q->json, "}");
        return CRIER_OK;
    }
    buf_append_str(&q->json, "{\"channel\":");
    buf_append_json_string(&q->json, bytes_of(q->channel));
    buf_append_str(&q->json, ",\"presence\":");
    presence_write(c ? &c->presence : &none, &q->json);
    buf_append_str(&q->json, "}");
    return CRIER_OK;
}

/* The items of FORM_POLL have a comma behind them. */
static void on_history(struct hub_call *call, void *owner)
{
    struct hub_history *h = (struct hub_history *)call;
    struct hub_query *q = h->arg;
    (void)owner;
    q->error = h->error;
    if (h->error == CRIER_OK) {
        buf_append_str(&q->json, "{\"publications\":[");
        if (h->block)
            buf_append(&q->json, h->block->bytes, h->block->len - 1);
        buf_printf(&q->json, "],\"epoch\":\"%s\",\"offset\":%lld}", h->epoch, (long long)h->position);
    }
    hub_history_free(h);
    hub_call_finish(&q->call);
}

static void query_history(struct hub *hub, struct hub_query *q)
{
    struct hub_history *h = hub_history_new(NULL, bytes_of(q->channel), on_history);
    h->form = FORM_POLL;
    h->limit = q->limit;
    h->reverse = q->reverse;
    h->has_since = q->has_since;
    h->since_offset = q->since_offset;
    memcpy(h->since_epoch, q->since_epoch, sizeof h->since_epoch);
    h->arg = q;
    h->call.run(hub, &h->call);
}

static enum crier_error query_history_remove(struct hub *hub, struct hub_query *q)
{
    struct channel *c = hub_channel_find(hub, bytes_of(q->channel));
    if (!config_namespace_of(hub->config, bytes_of(q->channel)))
        return CRIER_ERR_UNKNOWN_CHANNEL;
    if (c)
        channel_drop_history(c, c->history.floor);
    buf_append_str(&q->json, "{}");
    return CRIER_OK;
}

/* ---- of the node ---- */

static enum crier_error query_channels(struct hub *hub, struct hub_query *q)
{
    const char *separator = "";
    struct channel *c, *next;

    buf_append_str(&q->json, "{\"channels\":{");
    HASH_ITER(hh, hub->channels, c, next)
    {
        if (channel_clients(c) == 0 || (*q->channel && fnmatch(q->channel, c->frame.name.data, 0) != 0))
            continue;
        buf_append_str(&q->json, separator);
        buf_append_json_string(&q->json, c->frame.name);
        buf_printf(&q->json, ":{\"num_clients\":%zu}", channel_clients(c));
        separator = ",";
    }
    buf_append_str(&q->json, "}}");
    return CRIER_OK;
}

static enum crier_error query_info(struct hub *hub, struct hub_query *q)
{
    buf_append_str(&q->json, "{\"nodes\":[{\"uid\":");
    buf_append_json_string(&q->json, bytes_of(hub->node_id));
    buf_append_str(&q->json, ",\"name\":");
    buf_append_json_string(&q->json, bytes_of(hub->node_id));
    buf_printf(&q->json,
               ",\"version\":\"" CRIER_VERSION "\",\"num_clients\":%lld,\"num_users\":%lld,\"num_subs\":%lld,"
               "\"num_channels\":%u,\"uptime\":%lld}]}",
               (long long)metric_total(M_SESSIONS), (long long)metric_total(M_SESSIONS),
               (long long)metric_total(M_SUBSCRIPTIONS), HASH_COUNT(hub->channels),
               (long long)(clock_wall_ms() - hub->started_ms) / 1000);
    return CRIER_OK;
}

static enum crier_error query_ready(struct hub *hub, struct hub_query *q)
{
    CLEANUP_BUF reasons = BUF_INIT;
    bool ready = hub_ready(hub, &reasons);
    buf_printf(&q->json, "{\"ready\":%s,\"reasons\":[", ready ? "true" : "false");
    buf_append_bytes(&q->json, buf_bytes(&reasons));
    buf_append_str(&q->json, "]}\n");
    return ready ? CRIER_OK : CRIER_ERR_NOT_AVAILABLE;
}

/* ---- metrics ---- */

static void family(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

enum bridge_metric { BRIDGE_UP, BRIDGE_RECORDS, BRIDGE_ACKS, BRIDGE_ERRORS, BRIDGE_LAG, BRIDGE_PENDING };

static long long bridge_value(struct bridge_instance *b, enum bridge_metric which)
{
    struct bridge_stats stats = {.lag = -1};
    if ((which == BRIDGE_LAG || which == BRIDGE_PENDING) && b->bridge && b->ops->stats)
        b->ops->stats(b->bridge, &stats);
    const long long values[] = {
        [BRIDGE_UP] = b->state == BRIDGE_READY, [BRIDGE_RECORDS] = (long long)b->records,
        [BRIDGE_ACKS] = (long long)b->acks,     [BRIDGE_ERRORS] = (long long)b->errors,
        [BRIDGE_LAG] = stats.lag,               [BRIDGE_PENDING] = (long long)stats.pending,
    };
    return values[which];
}

static void render_bridges(struct hub *hub, struct buf *out)
{
    static const struct {
        enum bridge_metric which;
        const char *name, *type, *help;
    } families[] = {
        {BRIDGE_UP, "crier_bridge_ready", "gauge", "1 when the bridge is ready."},
        {BRIDGE_RECORDS, "crier_bridge_records_total", "counter", "Records received."},
        {BRIDGE_ACKS, "crier_bridge_acks_total", "counter", "Publishes acknowledged by the broker."},
        {BRIDGE_ERRORS, "crier_bridge_errors_total", "counter", "Publishes not acknowledged."},
        {BRIDGE_LAG, "crier_bridge_lag_records", "gauge", "Records in the broker not yet received; -1 unknown."},
        {BRIDGE_PENDING, "crier_bridge_pending_publishes", "gauge", "Publishes that wait for the broker."},
    };
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        family(out, families[f].name, families[f].type, families[f].help);
        for (size_t i = 0; i < hub->bridge_count; i++) {
            struct bridge_instance *b = &hub->bridges[i];
            buf_printf(out, "%s{bridge=\"%s\",driver=\"%s\"} %lld\n", families[f].name, b->config->name, b->config->driver,
                       bridge_value(b, families[f].which));
        }
    }
    family(out, "crier_bridge_state", "gauge", "State of the bridge: 1 for the one it is in.");
    for (size_t i = 0; i < hub->bridge_count; i++)
        for (int state = BRIDGE_CONNECTING; state <= BRIDGE_FAILED; state++)
            buf_printf(out, "crier_bridge_state{bridge=\"%s\",state=\"%s\"} %d\n", hub->bridges[i].config->name,
                       bridge_state_name((enum bridge_state)state), hub->bridges[i].state == (enum bridge_state)state);
}

/* Per channel would be unbounded where clients choose names, so namespaces are summed up; CHANNELS tells the rest. */
static void render_namespaces(struct hub *hub, struct buf *out)
{
    static const char *const names[] = {"crier_namespace_channels", "crier_namespace_clients",
                                        "crier_namespace_history_publications", "crier_namespace_keys"};
    static const char *const helps[] = {"Channels in memory.", "Subscriptions.", "Publications in memory.",
                                        "Keys of keyed channels."};
    for (size_t f = 0; f < sizeof names / sizeof *names; f++) {
        family(out, names[f], "gauge", helps[f]);
        for (size_t i = 0; i < hub->config->namespace_count; i++) {
            const struct config_namespace *ns = &hub->config->namespaces[i];
            size_t sum = 0;
            for (struct channel *c = hub->channels; c; c = c->hh.next)
                if (c->ns == ns)
                    sum += f == 0 ? 1 : f == 1 ? channel_clients(c) : f == 2 ? c->history.count : c->keyed.count;
            buf_printf(out, "%s{namespace=\"%s\"} %zu\n", names[f], ns->name, sum);
        }
    }
}

#define CHANNEL_METRICS_MAX 1000

static void render_channels(struct hub *hub, struct buf *out)
{
    size_t left = CHANNEL_METRICS_MAX;
    family(out, "crier_channel_publications_total", "counter", "Publications of a channel (the first 1000 channels).");
    for (struct channel *c = hub->channels; c && left; c = c->hh.next, left--)
        buf_printf(out, "crier_channel_publications_total{channel=\"%s\"} %llu\n", c->frame.name.data,
                   (unsigned long long)c->publications);
    left = CHANNEL_METRICS_MAX;
    family(out, "crier_channel_clients", "gauge", "Subscriptions of a channel (the first 1000 channels).");
    for (struct channel *c = hub->channels; c && left; c = c->hh.next, left--)
        buf_printf(out, "crier_channel_clients{channel=\"%s\"} %zu\n", c->frame.name.data, channel_clients(c));
}

static enum crier_error query_metrics(struct hub *hub, struct hub_query *q)
{
    render_bridges(hub, &q->json);
    relays_render(hub, &q->json);
    transforms_render(&q->json);
    render_namespaces(hub, &q->json);
    render_channels(hub, &q->json);
    return CRIER_OK;
}

static void run_query(struct hub *hub, struct hub_call *call)
{
    static enum crier_error (*const answers[])(struct hub *, struct hub_query *) = {
        [HUB_QUERY_PRESENCE] = query_presence,
        [HUB_QUERY_PRESENCE_MAP] = query_presence,
        [HUB_QUERY_PRESENCE_STATS] = query_presence,
        [HUB_QUERY_HISTORY_REMOVE] = query_history_remove,
        [HUB_QUERY_CHANNELS] = query_channels,
        [HUB_QUERY_INFO] = query_info,
        [HUB_QUERY_READY] = query_ready,
        [HUB_QUERY_METRICS] = query_metrics,
    };
    struct hub_query *q = (struct hub_query *)call;
    if (q->kind == HUB_QUERY_HISTORY) {
        query_history(hub, q);
        return;
    }
    q->error = answers[q->kind](hub, q);
    hub_call_finish(call);
}
