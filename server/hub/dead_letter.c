#include "dead_letter.h"

#include <stdio.h>
#include <stdlib.h>

#include "hub/hub.h"
#include "util/metrics.h"

#define ATTEMPTS 10
#define RETRY_MS 1000

struct letter {
    struct bridge_publisher publisher; /* first */
    struct source *source;
    struct buf key, payload, headers; /* headers: name NUL value NUL ... */
    bool has_key, has_payload;
    size_t header_count;
    int attempts;
    uv_timer_t retry;
};

static void on_timer_closed(uv_handle_t *handle)
{
    struct letter *l = handle->data;
    struct source *s = l->source;
    buf_done(&l->key);
    buf_done(&l->payload);
    buf_done(&l->headers);
    free(l);
    source_dead_letter_done(s);
}

static void send_letter(struct letter *l)
{
    struct source *s = l->source;
    struct bridge_header *headers = xcalloc(l->header_count, sizeof *headers);
    const char *at = l->headers.data;
    for (size_t i = 0; i < l->header_count; i++) {
        headers[i].name = bytes_of(at);
        at += headers[i].name.len + 1;
        headers[i].value = bytes_of(at);
        at += headers[i].value.len + 1;
    }
    const struct bridge_message m = {
        .topic = bytes_of(s->config->dead_letter),
        .key = l->has_key ? buf_bytes(&l->key) : BYTES_NULL,
        .payload = l->has_payload ? buf_bytes(&l->payload) : BYTES_NULL,
        .headers = headers,
        .header_count = l->header_count,
        .qos = 1,
    };
    l->attempts++;
    s->bridge->ops->publish(s->bridge->bridge, &m, l);
    free(headers);
}

static void on_retry(uv_timer_t *timer)
{
    send_letter(timer->data);
}

static void on_published(struct bridge_publisher *publisher, const struct bridge_receipt *receipt)
{
    struct letter *l = (struct letter *)publisher;
    bool again = receipt->outcome == BRIDGE_RETRYABLE || receipt->outcome == BRIDGE_UNKNOWN;

    if (again && l->attempts < ATTEMPTS && !l->source->hub->draining) {
        uv_timer_start(&l->retry, on_retry, RETRY_MS, 0);
        return;
    }
    if (receipt->outcome == BRIDGE_STORED) {
        metric_add(M_DEAD_LETTERS, 1);
    } else {
        metric_add(M_DEAD_LETTERS_LOST, 1);
        log_error("dead letter could not be stored", LOG_STR("topic", l->source->config->dead_letter),
                  LOG_STR("reason", receipt->reason));
    }
    uv_close((uv_handle_t *)&l->retry, on_timer_closed);
}

static void add_header(struct letter *l, struct bytes name, struct bytes value)
{
    if (memchr(name.data, 0, name.len) || (value.len && memchr(value.data, 0, value.len)))
        return;
    buf_append_bytes(&l->headers, name);
    buf_append(&l->headers, "", 1);
    buf_append_bytes(&l->headers, value);
    buf_append(&l->headers, "", 1);
    l->header_count++;
}

static void add_headers(struct letter *l, const struct bridge_record *r, const char *reason)
{
    char text[32];
    if (!bridge_instance_can(l->source->bridge, BRIDGE_HEADERS))
        return;
    for (size_t i = 0; i < r->header_count; i++)
        add_header(l, r->headers[i].name, r->headers[i].value);
    add_header(l, BYTES_LIT("dlq.reason"), bytes_of(reason));
    add_header(l, BYTES_LIT("dlq.source.topic"), r->topic);
    snprintf(text, sizeof text, "%d", (int)r->partition);
    add_header(l, BYTES_LIT("dlq.source.partition"), bytes_of(text));
    snprintf(text, sizeof text, "%lld", (long long)r->offset);
    add_header(l, BYTES_LIT("dlq.source.offset"), bytes_of(text));
}

void dead_letter(struct source *s, const struct bridge_record *r, const char *reason)
{
    log_warn("bad record", LOG_STR("bridge", s->config->bridge), LOG_BYTES("topic", r->topic),
             LOG_INT("partition", r->partition), LOG_INT("offset", r->offset), LOG_STR("reason", reason));
    if (!s->config->dead_letter || !*s->config->dead_letter) {
        metric_add(M_DEAD_LETTERS_LOST, 1);
        return;
    }
    struct letter *l = xcalloc(1, sizeof *l);
    l->publisher.on_published = on_published;
    l->source = s;
    l->has_key = r->key.data != NULL;
    l->has_payload = r->payload.data != NULL;
    buf_append_bytes(&l->key, r->key);
    buf_append_bytes(&l->payload, r->payload);
    add_headers(l, r, reason);
    uv_timer_init(s->hub->loop, &l->retry);
    l->retry.data = l;
    s->dead_pending++;
    send_letter(l);
}
