#include "embedded/driver.h"

#include <stdlib.h>

#include "util/clock.h"

/* ---- answers ---- */

static void answer(struct bridge *b, void *cookie, const struct bridge_receipt *receipt)
{
    b->pending--;
    b->host_ops->on_published(cookie, receipt);
}

static void pending_remove(struct bridge *b, struct publish *p)
{
    if (p->pending_prev)
        p->pending_prev->pending_next = p->pending_next;
    else
        b->pending_head = p->pending_next;
    if (p->pending_next)
        p->pending_next->pending_prev = p->pending_prev;
    else
        b->pending_tail = p->pending_prev;
}

static void pending_add(struct bridge *b, struct publish *p)
{
    p->pending_prev = b->pending_tail;
    p->pending_next = NULL;
    if (b->pending_tail)
        b->pending_tail->pending_next = p;
    else
        b->pending_head = p;
    b->pending_tail = p;
}

/* A publish that never reaches the store thread is answered in a later turn of the loop, too. */
struct refusal {
    struct mail mail;
    void *cookie;
    const char *reason;
};

static void deliver_refusal(struct bridge *b, struct mail *m)
{
    struct refusal *r = CONTAINER_OF(m, struct refusal, mail);
    answer(b, r->cookie, &(struct bridge_receipt){BRIDGE_RETRYABLE, -1, -1, r->reason});
    free(r);
}

static void refuse_later(struct bridge *b, void *cookie, const char *reason)
{
    struct refusal *r = xcalloc(1, sizeof *r);
    r->cookie = cookie;
    r->reason = reason;
    emb_worker_mail(&b->worker, &r->mail, deliver_refusal);
}

/* ---- publishing ---- */

static void run_publish(struct worker *w, struct command *c)
{
    emb_writer_take(w, CONTAINER_OF(c, struct publish, command));
}

static struct bytes place(char **at, struct bytes b)
{
    if (!b.data)
        return BYTES_NULL;
    struct bytes copy = {*at, b.len};
    if (b.len > 0)
        memcpy(*at, b.data, b.len);
    *at += b.len;
    return copy;
}

static struct publish *publish_new(const struct bridge_message *m)
{
    size_t headers = emb_headers_size(m->headers, m->header_count);
    size_t size = m->topic.len + m->key.len + m->payload.len + headers;
    /* One byte more: an empty key at the end still points into the allocation. */
    struct publish *p = xmalloc(sizeof *p + m->header_count * sizeof *p->headers + size + 1);
    memset(p, 0, sizeof *p);
    p->size = size;
    p->header_count = m->header_count;
    char *at = (char *)(p->headers + m->header_count);
    if (m->header_count > 0) {
        p->record.headers = (struct bytes){at, headers};
        emb_headers_encode(m->headers, m->header_count, at, p->headers);
        at += headers;
    }
    p->topic = place(&at, m->topic);
    p->record.key = place(&at, m->key);
    p->record.payload = place(&at, m->payload);
    p->record.time_ms = m->time_ms > 0 ? m->time_ms : clock_wall_ms();
    return p;
}

void emb_publisher_publish(struct bridge *b, const struct bridge_message *m, void *cookie)
{
    b->pending++;
    if (b->closing) {
        refuse_later(b, cookie, "the bridge is closing");
        return;
    }
    if (b->outstanding >= b->publish_queue) {
        refuse_later(b, cookie, "too many publishes wait for the disk");
        return;
    }
    struct publish *p = publish_new(m);
    if (p->size - p->topic.len > STORE_RECORD_MAX) {
        p->outcome = BRIDGE_REFUSED;
        p->refusal = "the record is too large";
    }
    p->command.run = run_publish;
    p->cookie = cookie;
    p->deadline_ms = b->publish_timeout_ms ? clock_mono_ms() + b->publish_timeout_ms : UINT64_MAX;
    pending_add(b, p);
    emb_bridge_watch(b);
    b->outstanding++;
    emb_worker_send(&b->worker, &p->command);
}

static void answer_stored(struct bridge *b, const struct batch *batch, struct publish *p)
{
    p->answered = true;
    pending_remove(b, p);
    struct bridge_receipt receipt = {p->outcome, -1, -1, p->refusal ? p->refusal : batch->reason};
    if (p->outcome == BRIDGE_STORED)
        receipt = (struct bridge_receipt){BRIDGE_STORED, p->partition, p->record.offset, NULL};
    answer(b, p->cookie, &receipt);
}

void emb_publisher_deliver(struct bridge *b, struct mail *m)
{
    struct batch *batch = CONTAINER_OF(m, struct batch, mail);
    b->outstanding -= batch->count;
    for (struct publish *p = batch->head; p; p = p->next)
        if (!p->answered)
            answer_stored(b, batch, p);
    emb_batch_unref(batch);
}

void emb_batch_unref(struct batch *b)
{
    if (--b->refs > 0)
        return;
    for (struct publish *p = b->head, *next; p; p = next) {
        next = p->next;
        free(p);
    }
    free(b);
}

/* ---- giving up ---- */

static void give_up(struct bridge *b, struct publish *p, enum bridge_outcome outcome, const char *reason)
{
    p->answered = true;
    pending_remove(b, p);
    answer(b, p->cookie, &(struct bridge_receipt){outcome, -1, -1, reason});
}

void emb_publisher_expire(struct bridge *b, uint64_t now_ms)
{
    struct publish *p;
    while ((p = b->pending_head) && p->deadline_ms <= now_ms) {
        int queued = PUBLISH_QUEUED;
        if (atomic_compare_exchange_strong(&p->stage, &queued, PUBLISH_EXPIRED))
            give_up(b, p, BRIDGE_RETRYABLE, "the disk did not come to it in time");
        else
            give_up(b, p, BRIDGE_UNKNOWN, "the disk did not answer in time");
    }
}

void emb_publisher_give_up(struct bridge *b)
{
    while (b->pending_head) {
        struct publish *p = b->pending_head;
        int queued = PUBLISH_QUEUED;
        atomic_compare_exchange_strong(&p->stage, &queued, PUBLISH_EXPIRED);
        give_up(b, p, BRIDGE_UNKNOWN, "the bridge was closed before the disk answered");
    }
}
