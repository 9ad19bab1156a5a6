#include "relay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "hub/bridge_instance.h"
#include "hub/dead_letter.h"
#include "hub/headers.h"
#include "hub/hub.h"
#include "hub/publish.h"
#include "hub/transform.h"
#include "util/template.h"

#define WINDOW_HIGH 10000 /* records under way before upstream waits; their bytes have a bound in the configuration */
#define WINDOW_LOW 5000
#define RETRY_MS 500

struct relay {
    struct bridge_consumer consumer; /* first */
    struct hub *hub;
    const struct config_relay *config;
    struct bridge_instance *from, *to;
    struct template *topic, *key;
    struct bridge_source_sub *sub;
    struct transfer *first, *last; /* under way, in the order in which they came */
    size_t under_way, under_way_bytes;
    bool paused;
    uint64_t relayed, failed, dropped;
    struct dead_letters letters;
    uv_timer_t retry; /* one timer: transfers that failed go again together */
};

/* One record between the two brokers. Kept until every earlier one of the relay is stored, so that what is acknowledged
 * upstream is always a prefix. */
struct transfer {
    struct bridge_publisher publisher; /* first */
    struct relay *relay;
    struct transfer *next;
    enum { TRANSFER_SENT, TRANSFER_FAILED, TRANSFER_DEAD, TRANSFER_DONE } state; /* DEAD: its dead letter is under way */
    size_t bytes; /* what it counts against the bound */
    struct buf topic, key, payload, source_topic;
    struct header_list headers;
    bool has_key, has_payload;
    int32_t partition;
    int64_t offset;
};

static void transfer_free(struct transfer *t)
{
    buf_done(&t->topic);
    buf_done(&t->key);
    buf_done(&t->payload);
    buf_done(&t->source_topic);
    header_list_done(&t->headers);
    free(t);
}

static void send_transfer(struct transfer *t)
{
    struct relay *r = t->relay;
    struct bridge_header headers[HEADERS_MAX];
    const struct bridge_message m = {
        .topic = buf_bytes(&t->topic),
        .key = t->has_key ? buf_bytes(&t->key) : BYTES_NULL,
        .payload = t->has_payload ? buf_bytes(&t->payload) : BYTES_NULL,
        .headers = headers,
        .header_count = header_list_view(&t->headers, headers),
        .qos = (int)r->config->qos,
    };
    if (r->hub->closing) { /* not acknowledged: the record comes again at the next start */
        t->state = TRANSFER_FAILED;
        return;
    }
    t->state = TRANSFER_SENT;
    r->to->ops->publish(r->to->bridge, &m, t);
}

static void on_retry(uv_timer_t *timer)
{
    struct relay *r = timer->data;
    for (struct transfer *t = r->first; t; t = t->next)
        if (t->state == TRANSFER_FAILED)
            send_transfer(t);
}

static void set_paused(struct relay *r, bool paused)
{
    if (r->paused == paused || !r->from->bridge || !bridge_instance_can(r->from, BRIDGE_PAUSABLE))
        return;
    r->paused = paused;
    if (paused)
        r->from->ops->pause(r->sub);
    else
        r->from->ops->resume(r->sub);
}

static void acknowledge(struct relay *r, const struct transfer *t)
{
    if (r->from->bridge && r->from->ops->ack && t->offset >= 0)
        r->from->ops->ack(r->sub, buf_bytes(&t->source_topic), t->partition, t->offset);
}

static void release_prefix(struct relay *r)
{
    while (r->first && r->first->state == TRANSFER_DONE) {
        struct transfer *t = r->first;
        r->first = t->next;
        if (!r->first)
            r->last = NULL;
        r->under_way--;
        r->under_way_bytes -= t->bytes;
        acknowledge(r, t);
        transfer_free(t);
    }
    if (r->under_way <= WINDOW_LOW && r->under_way_bytes <= (size_t)r->config->window_bytes / 2)
        set_paused(r, false);
}

/* ---- records that cannot be relayed ---- */

static void on_letter_settled(struct dead_letters *d, void *transfer)
{
    struct transfer *t = transfer;
    (void)d;
    t->state = TRANSFER_DONE;
    release_prefix(t->relay);
}

/* It stays in its place, so that it is acknowledged in its turn. */
static void give_up(struct transfer *t, const struct bridge_record *record, const char *reason)
{
    struct relay *r = t->relay;
    r->failed++;
    t->state = dead_letter(&r->letters, record, reason, t) ? TRANSFER_DEAD : TRANSFER_DONE;
    release_prefix(r);
}

/* The record as it came, but with the key it was sent with. */
static void give_up_refused(struct transfer *t, const char *reason)
{
    struct bridge_header headers[HEADERS_MAX];
    char text[192];
    const struct bridge_record record = {
        .topic = buf_bytes(&t->source_topic),
        .partition = t->partition,
        .offset = t->offset,
        .key = t->has_key ? buf_bytes(&t->key) : BYTES_NULL,
        .payload = t->has_payload ? buf_bytes(&t->payload) : BYTES_NULL,
        .headers = headers,
        .header_count = header_list_view(&t->headers, headers),
    };
    snprintf(text, sizeof text, "bridge %.40s refused it: %.100s", t->relay->config->to_bridge, reason ? reason : "?");
    give_up(t, &record, text);
}

/* ---- records ---- */

static void on_published(struct bridge_publisher *publisher, const struct bridge_receipt *receipt)
{
    struct transfer *t = (struct transfer *)publisher;
    struct relay *r = t->relay;

    if (receipt->outcome == BRIDGE_STORED) {
        r->relayed++;
        t->state = TRANSFER_DONE;
    } else if (receipt->outcome == BRIDGE_REFUSED) {
        give_up_refused(t, receipt->reason);
        return;
    } else {
        t->state = TRANSFER_FAILED; /* at least once: a record whose outcome is unknown goes again */
        if (!r->hub->closing && !uv_is_active((uv_handle_t *)&r->retry))
            uv_timer_start(&r->retry, on_retry, RETRY_MS, 0);
    }
    release_prefix(r);
}

/* False when the record lacks a field of the templates. */
static bool address(struct transfer *t, const struct bridge_record *record)
{
    const struct relay *r = t->relay;
    const struct template_input in = record_template_input(record);
    if (template_expand(r->topic, &in, &t->topic) < 0 || (r->key && template_expand(r->key, &in, &t->key) < 0))
        return false;
    t->has_key = r->key || record->key.data;
    if (!r->key)
        buf_append_bytes(&t->key, record->key);
    return true;
}

static struct transfer *new_transfer(struct relay *r, const struct bridge_record *record)
{
    struct transfer *t = xcalloc(1, sizeof *t);
    t->publisher.on_published = on_published;
    t->relay = r;
    t->partition = record->partition;
    t->offset = record->offset;
    t->has_payload = record->payload.data != NULL;
    buf_append_bytes(&t->payload, record->payload);
    buf_append_bytes(&t->source_topic, record->topic);
    if (bridge_instance_can(r->to, BRIDGE_HEADERS)) {
        header_list_add_record(&t->headers, record);
        if (!record_header(record, BYTES_LIT(ORIGIN_TOPIC_HEADER)).data)
            header_list_add(&t->headers, BYTES_LIT(ORIGIN_TOPIC_HEADER), record->topic);
    }
    t->bytes = sizeof *t + record->payload.len + 2 * record->topic.len + record->key.len;
    for (size_t i = 0; i < record->header_count; i++)
        t->bytes += record->headers[i].name.len + record->headers[i].value.len;
    return t;
}

static bool is_full(const struct relay *r)
{
    return r->under_way >= WINDOW_HIGH || r->under_way_bytes >= (size_t)r->config->window_bytes;
}

/* Waiting helps where the broker keeps the records meanwhile. With QoS 0 it does not; to pause would only take the
 * connection from the others who use it. */
static bool can_wait(const struct relay *r)
{
    return bridge_instance_can(r->from, BRIDGE_PAUSABLE) &&
           (r->config->qos > 0 || bridge_instance_can(r->from, BRIDGE_POSITIONED));
}

static void drop(struct relay *r, const struct bridge_record *record)
{
    if (r->dropped++ == 0)
        log_warn("relay: full, and upstream cannot wait: records are dropped", LOG_STR("from", r->config->from_bridge),
                 LOG_STR("to", r->config->to_bridge), LOG_BYTES("topic", record->topic));
}

static void relay_record(struct relay *r, const struct bridge_record *record)
{
    struct transfer *t = new_transfer(r, record);
    if (r->last)
        r->last->next = t;
    else
        r->first = t;
    r->last = t;
    r->under_way++;
    r->under_way_bytes += t->bytes;
    if (address(t, record))
        send_transfer(t);
    else
        give_up(t, record, "the record lacks a field of the templates");
}

static void on_records(struct bridge_consumer *consumer, const struct bridge_record *records, size_t count)
{
    struct relay *r = (struct relay *)consumer;
    for (size_t i = 0; i < count; i++)
        if (is_full(r) && !can_wait(r))
            drop(r, &records[i]);
        else
            relay_record(r, &records[i]);
    if (is_full(r) && can_wait(r))
        set_paused(r, true);
}

static void on_assigned(struct bridge_consumer *c, struct bytes topic, int32_t partition, int32_t partitions,
                        struct bytes epoch_seed, int64_t oldest, int64_t end)
{
    (void)c, (void)topic, (void)partition, (void)partitions, (void)epoch_seed, (void)oldest, (void)end;
}

static void on_caught_up(struct bridge_consumer *c)
{
    (void)c;
}

static int relay_start(struct relay *r, struct hub *hub, const struct config_relay *config, char *error, size_t error_size)
{
    const unsigned fields = TEMPLATE_TOPIC | TEMPLATE_KEY | TEMPLATE_PAYLOAD | TEMPLATE_HEADER | TEMPLATE_PARTITION;
    *r = (struct relay){
        .consumer = {.on_assigned = on_assigned, .on_records = on_records, .on_caught_up = on_caught_up},
        .hub = hub,
        .config = config,
        .from = bridge_instance_find(hub, config->from_bridge),
        .to = bridge_instance_find(hub, config->to_bridge),
    };
    r->letters = (struct dead_letters){
        .hub = hub, .bridge = r->from, .topic = config->dead_letter, .on_settled = on_letter_settled};
    uv_timer_init(hub->loop, &r->retry);
    r->retry.data = r;
    r->topic = template_parse(config->to_topic, fields, error, error_size);
    if (!r->topic)
        return -EINVAL;
    if (config->key && *config->key && !(r->key = template_parse(config->key, fields, error, error_size)))
        return -EINVAL;
    const struct bridge_subscription sub = {
        .topic = config->from_topic,
        .shared = config->mode == SOURCE_SHARED,
        .group = config->group,
        .from = config->mode == SOURCE_SHARED ? BRIDGE_FROM_GROUP
                : config->from == FROM_TIME   ? BRIDGE_FROM_TIME
                : config->from == FROM_LATEST ? BRIDGE_FROM_LATEST
                                              : BRIDGE_FROM_EARLIEST,
        .time_ms = config->from_ms,
        .qos = (int)config->qos,
    };
    int rc = r->from->ops->subscribe(r->from->bridge, &sub, r, &r->sub);
    if (rc < 0)
        snprintf(error, error_size, "%s:%d relay: the bridge refused the subscription to \"%s\": %s", hub->config->path,
                 config->line, config->from_topic, strerror(-rc));
    return rc;
}

int relays_start(struct hub *hub, char *error, size_t error_size)
{
    const struct config *config = hub->config;
    hub->relays = xcalloc(config->relay_count, sizeof *hub->relays);
    for (size_t i = 0; i < config->relay_count; i++) {
        int r = relay_start(&hub->relays[i], hub, &config->relays[i], error, error_size);
        hub->relay_count++;
        if (r < 0)
            return r;
    }
    return 0;
}

void relays_cancel(struct hub *hub)
{
    for (size_t i = 0; i < hub->relay_count; i++)
        dead_letters_cancel(&hub->relays[i].letters);
}

void relays_done(struct hub *hub)
{
    for (size_t i = 0; i < hub->relay_count; i++) {
        struct relay *r = &hub->relays[i];
        while (r->first) {
            struct transfer *t = r->first;
            r->first = t->next;
            transfer_free(t);
        }
        template_free(r->topic);
        template_free(r->key);
        uv_close((uv_handle_t *)&r->retry, NULL);
    }
}

void relays_render(struct hub *hub, struct buf *out)
{
    static const struct {
        const char *name, *type, *help;
    } families[] = {
        {"crier_relay_records_total", "counter", "Records stored downstream, by relay."},
        {"crier_relay_refused_total", "counter", "Records that were not relayed: refused, or without a field."},
        {"crier_relay_dropped_total", "counter", "Records dropped at window_bytes, where upstream cannot wait."},
        {"crier_relay_under_way", "gauge", "Records read upstream and not yet stored downstream."},
        {"crier_relay_under_way_bytes", "gauge", "Memory of these."},
    };
    for (size_t f = 0; hub->relay_count && f < sizeof families / sizeof *families; f++) {
        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", families[f].name, families[f].help, families[f].name,
                   families[f].type);
        for (size_t i = 0; i < hub->relay_count; i++) {
            const struct relay *r = &hub->relays[i];
            const uint64_t values[] = {r->relayed, r->failed, r->dropped, r->under_way, r->under_way_bytes};
            buf_printf(out, "%s{from=\"%s\",from_topic=\"%s\",to=\"%s\"} %llu\n", families[f].name,
                       r->config->from_bridge, r->config->from_topic, r->config->to_bridge,
                       (unsigned long long)values[f]);
        }
    }
}
