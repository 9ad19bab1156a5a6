/* Receiving: from the library's callback through the inbox to the subscriptions of the hub. */
#include <stdlib.h>

#include "driver.h"
#include "properties.h"
#include "topic.h"

#define BATCH 256
#define WAIT_LIMIT_MS 5000

/* ---- library thread ---- */

/* The broker gives up after 1.5 times the keep-alive, and nothing else of the library runs while a callback waits. */
static uint64_t longest_wait_ms(const struct bridge *b)
{
    uint64_t half = b->options.keepalive_ms / 2;
    return half < WAIT_LIMIT_MS ? half : WAIT_LIMIT_MS;
}

/* The library sends the acknowledgement when this returns 1. Returning 0 would not hold it back, so a full inbox makes
 * us wait; in the end the message is taken above the bound and the worker leaves the broker, which keeps the rest. */
int mqtt_on_message(void *link, char *topic, int topic_length, MQTTAsync_message *source)
{
    struct bridge *b = ((struct link *)link)->bridge;
    struct bytes name = {topic, topic_length ? (size_t)topic_length : strlen(topic)};
    struct message *m = mqtt_message_copy(name, source, b->options.empty_is_tombstone);
    MQTTAsync_freeMessage(&source);
    MQTTAsync_free(topic);

    unsigned result = inbox_put(&b->inbox, m, atomic_load(&b->overrun) ? 0 : longest_wait_ms(b));
    if (result & INBOX_WAKE)
        mqtt_mail(b, &b->inbox_mail);
    if ((result & INBOX_OVERRUN) && !atomic_exchange(&b->overrun, true)) {
        pthread_mutex_lock(&b->lock);
        mqtt_link_wake(b);
        pthread_mutex_unlock(&b->lock);
    }
    return 1;
}

/* ---- hub thread ---- */

/* What has been handed over completely. */
struct freed {
    size_t count, bytes;
};

static void release(struct freed *f, struct message *m)
{
    f->count++;
    f->bytes += m->size;
    free(m);
}

static void append(struct bridge_source_sub *s, struct message *m)
{
    if (s->ready_count == s->ready_capacity && s->ready_start) {
        s->ready_count -= s->ready_start;
        memmove(s->ready, s->ready + s->ready_start, s->ready_count * sizeof *s->ready);
        s->ready_start = 0;
    }
    if (s->ready_count == s->ready_capacity) {
        s->ready_capacity = s->ready_capacity ? 2 * s->ready_capacity : 64;
        s->ready = xrealloc(s->ready, s->ready_capacity * sizeof *s->ready);
    }
    s->ready[s->ready_count++] = m;
    m->refs++;
}

static bool is_for(const struct message *m, const struct bridge_source_sub *s, bool by_id)
{
    if (!mqtt_filter_matches(bytes_of(s->filter), m->topic))
        return false;
    if (!by_id)
        return true;
    for (size_t i = 0; i < m->id_count; i++)
        if (m->ids[i] == s->id)
            return true;
    return false;
}

static void route_by(struct bridge *b, struct message *m, bool by_id)
{
    struct bridge_source_sub *s;
    TAILQ_FOREACH(s, &b->subscriptions, entry)
        if (is_for(m, s, by_id))
            append(s, m);
}

/* With identifiers the broker says which subscriptions a copy is for, so overlapping filters get theirs exactly once;
 * without them the filters decide. Identifiers that name none of ours are of a subscription that the session kept from
 * an earlier configuration: such a message is of no concern unless a filter of now takes it. */
static void route(struct bridge *b, struct message *m, struct freed *f)
{
    if (m->id_count)
        route_by(b, m, true);
    if (m->refs == 0)
        route_by(b, m, false);
    if (m->refs == 0) {
        log_debug("message for no subscription", LOG_STR("bridge", b->name), LOG_BYTES("topic", m->topic));
        release(f, m);
    }
}

static struct bridge_record record_of(const struct message *m)
{
    return (struct bridge_record){
        .topic = m->topic,
        .offset = -1,
        .key = BYTES_NULL,
        .payload = m->payload,
        .headers = m->headers,
        .header_count = m->header_count,
        .retained = m->retained,
    };
}

/* Up to BATCH records in one call. */
static void hand_over(struct bridge_source_sub *s, struct freed *f)
{
    struct bridge_record records[BATCH];
    size_t n = s->ready_count - s->ready_start;
    if (n == 0)
        return;
    if (n > BATCH)
        n = BATCH;
    struct message **messages = s->ready + s->ready_start;
    for (size_t i = 0; i < n; i++)
        records[i] = record_of(messages[i]);
    s->bridge->host_ops->on_records(s->cookie, records, n);
    for (size_t i = 0; i < n; i++)
        if (--messages[i]->refs == 0)
            release(f, messages[i]);
    s->ready_start += n;
    if (s->ready_start == s->ready_count)
        s->ready_start = s->ready_count = 0;
}

static void flush(struct bridge_source_sub *s, bool also_paused, struct freed *f)
{
    if (s->ready_count == 0)
        return;
    if (!s->assigned) {
        s->assigned = true;
        s->bridge->host_ops->on_assigned(s->cookie, bytes_of(s->filter), 0, 1, bytes_of(s->bridge->epoch), -1, -1);
    }
    while (s->ready_count && (!s->paused || also_paused))
        hand_over(s, f);
}

static void deliver(struct bridge *b, bool also_paused)
{
    struct freed f = {0};
    struct bridge_source_sub *s;
    for (struct message *m = inbox_take(&b->inbox), *next; m; m = next) {
        next = m->next;
        route(b, m, &f);
    }
    TAILQ_FOREACH(s, &b->subscriptions, entry)
        flush(s, also_paused, &f);
    if (f.count)
        inbox_release(&b->inbox, f.count, f.bytes);
}

void mqtt_deliver(struct bridge *b)
{
    deliver(b, false);
}

void mqtt_deliver_all(struct bridge *b)
{
    deliver(b, true);
}
