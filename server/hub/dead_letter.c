#include "dead_letter.h"

#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "hub/headers.h"
#include "hub/hub.h"
#include "util/metrics.h"

#define ATTEMPTS 10
#define RETRY_MS 1000

struct letter {
    struct bridge_publisher publisher; /* first */
    struct dead_letters *owner;
    void *arg;
    struct letter *prev, *next; /* of the owner: wait for another try */
    struct buf key, payload;
    struct header_list headers;
    bool has_key, has_payload;
    int attempts;
    uv_timer_t retry;
};

static void on_timer_closed(uv_handle_t *handle)
{
    struct letter *l = handle->data;
    buf_done(&l->key);
    buf_done(&l->payload);
    header_list_done(&l->headers);
    free(l);
}

static void give_up(struct letter *l, const char *reason)
{
    metric_add(M_DEAD_LETTERS_LOST, 1);
    log_error("dead letter could not be stored", LOG_STR("topic", l->owner->topic),
              LOG_STR("reason", reason));
}

static void send_letter(struct letter *l)
{
    const struct dead_letters *d = l->owner;
    struct bridge_header headers[HEADERS_MAX];
    const struct bridge_message m = {
        .topic = bytes_of(d->topic),
        .key = l->has_key ? buf_bytes(&l->key) : BYTES_NULL,
        .payload = l->has_payload ? buf_bytes(&l->payload) : BYTES_NULL,
        .headers = headers,
        .header_count = header_list_view(&l->headers, headers),
        .qos = 1,
    };
    l->attempts++;
    d->bridge->ops->publish(d->bridge->bridge, &m, l);
}

static void on_retry(uv_timer_t *timer)
{
    struct letter *l = timer->data;
    DL_DELETE(l->owner->waiting, l);
    send_letter(l);
}

static void retry_later(struct letter *l)
{
    DL_APPEND(l->owner->waiting, l);
    uv_timer_start(&l->retry, on_retry, RETRY_MS, 0);
}

static void on_published(struct bridge_publisher *publisher, const struct bridge_receipt *receipt)
{
    struct letter *l = (struct letter *)publisher;
    struct dead_letters *d = l->owner;
    void *arg = l->arg;
    bool again = receipt->outcome == BRIDGE_RETRYABLE || receipt->outcome == BRIDGE_UNKNOWN;

    if (again && l->attempts < ATTEMPTS && !d->hub->closing) {
        retry_later(l);
        return;
    }
    if (receipt->outcome == BRIDGE_STORED)
        metric_add(M_DEAD_LETTERS, 1);
    else
        give_up(l, receipt->reason);
    uv_close((uv_handle_t *)&l->retry, on_timer_closed);
    /* One that was cut off by the end stays unacknowledged: its record comes again. */
    if (receipt->outcome != BRIDGE_STORED && d->hub->closing)
        return;
    d->pending--;
    d->on_settled(d, arg);
}

void dead_letters_cancel(struct dead_letters *d)
{
    while (d->waiting) {
        struct letter *l = d->waiting;
        DL_DELETE(d->waiting, l);
        give_up(l, "shutting down");
        uv_close((uv_handle_t *)&l->retry, on_timer_closed);
    }
}

static void add_reason(struct letter *l, const struct bridge_record *r, const char *reason)
{
    char partition[16], offset[24];
    snprintf(partition, sizeof partition, "%d", (int)r->partition);
    snprintf(offset, sizeof offset, "%lld", (long long)r->offset);
    header_list_add(&l->headers, BYTES_LIT("dlq.reason"), bytes_of(reason));
    header_list_add(&l->headers, BYTES_LIT("dlq.source.topic"), r->topic);
    header_list_add(&l->headers, BYTES_LIT("dlq.source.partition"), bytes_of(partition));
    header_list_add(&l->headers, BYTES_LIT("dlq.source.offset"), bytes_of(offset));
}

static struct letter *letter_new(struct dead_letters *d, const struct bridge_record *r, const char *reason, void *arg)
{
    struct letter *l = xcalloc(1, sizeof *l);
    l->publisher.on_published = on_published;
    l->owner = d;
    l->arg = arg;
    l->has_key = r->key.data != NULL;
    l->has_payload = r->payload.data != NULL;
    buf_append_bytes(&l->key, r->key);
    buf_append_bytes(&l->payload, r->payload);
    if (bridge_instance_can(d->bridge, BRIDGE_HEADERS)) {
        add_reason(l, r, reason); /* first: they must not fall to the limit */
        header_list_add_record(&l->headers, r);
    }
    uv_timer_init(d->hub->loop, &l->retry);
    l->retry.data = l;
    return l;
}

bool dead_letter(struct dead_letters *d, const struct bridge_record *r, const char *reason, void *arg)
{
    log_warn("bad record", LOG_STR("bridge", d->bridge->config->name), LOG_BYTES("topic", r->topic),
             LOG_INT("partition", r->partition), LOG_INT("offset", r->offset), LOG_STR("reason", reason));
    if (!d->topic || !*d->topic) {
        metric_add(M_DEAD_LETTERS_LOST, 1);
        return false;
    }
    d->pending++;
    if (!d->hub->closing) /* else it comes again at the next start */
        send_letter(letter_new(d, r, reason, arg));
    return true;
}
