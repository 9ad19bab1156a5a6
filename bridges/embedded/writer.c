#include "embedded/driver.h"

#include <stdio.h>
#include <stdlib.h>

#include "embedded/partition.h"

static bool is_waiting(const struct publish *p)
{
    return p->outcome == BRIDGE_STORED;
}

void emb_writer_take(struct worker *w, struct publish *p)
{
    if (!w->batch)
        w->batch = xcalloc(1, sizeof *w->batch);
    struct batch *b = w->batch;
    int queued = PUBLISH_QUEUED;
    if (!atomic_compare_exchange_strong(&p->stage, &queued, PUBLISH_TAKEN))
        p->outcome = BRIDGE_RETRYABLE; /* given up and answered by the hub thread */
    p->next = NULL;
    if (b->tail)
        b->tail->next = p;
    else
        b->head = p;
    b->tail = p;
    b->count++;
    b->bytes += p->size;
}

bool emb_writer_is_full(const struct worker *w)
{
    return w->batch && (w->batch->count >= BATCH_RECORDS || w->batch->bytes >= BATCH_BYTES);
}

/* ---- storing ---- */

/* What is wrong with this one publish; the others of the batch go on. */
static bool refuse(struct publish *p, int error)
{
    static const struct {
        int error;
        const char *reason;
    } REFUSALS[] = {
        {-EINVAL, "a topic's name has 1 to 249 bytes, none of them zero"},
        {-EMFILE, "the log has as many topics or partitions as it may have"},
        {-EMSGSIZE, "the record is too large"},
        {-EOVERFLOW, "the partition has used all its offsets"},
    };
    for (size_t i = 0; i < sizeof REFUSALS / sizeof *REFUSALS; i++) {
        if (REFUSALS[i].error != error)
            continue;
        p->outcome = BRIDGE_REFUSED;
        p->refusal = REFUSALS[i].reason;
        return true;
    }
    return false;
}

static int find_topic(struct worker *w, struct publish *p)
{
    int r = store_topic_find(w->store, p->topic, &p->store_topic);
    if (r == 0 && p->store_topic->ensured)
        return 0;
    if (r < 0 && r != -ENOENT)
        return r;
    struct store_policy policy = emb_settings_policy(&w->settings, p->topic);
    return store_topic_ensure(w->store, p->topic, &policy, &p->store_topic);
}

/* Topics are made in transactions of their own, before that of the records. */
static int find_topics(struct worker *w, struct batch *b)
{
    struct store_topic *last = NULL;
    for (struct publish *p = b->head; p; p = p->next) {
        if (!is_waiting(p))
            continue;
        if (last && bytes_eq_str(p->topic, last->name)) {
            p->store_topic = last;
            continue;
        }
        int r = find_topic(w, p);
        if (r < 0 && !refuse(p, r))
            return r;
        if (r == 0)
            last = p->store_topic;
    }
    return 0;
}

static int32_t choose_partition(struct worker *w, const struct publish *p)
{
    int32_t count = p->store_topic->partition_count;
    if (count == 1)
        return 0;
    if (p->record.key.data)
        return emb_partition_of_key(p->record.key, count);
    return (int32_t)(w->round_robin++ % (uint32_t)count);
}

static int append_all(struct worker *w, struct batch *b)
{
    for (struct publish *p = b->head; p; p = p->next) {
        if (!is_waiting(p))
            continue;
        p->partition = choose_partition(w, p);
        int r = store_append(w->store, &p->store_topic->partitions[p->partition], &p->record, &p->record.offset);
        if (r < 0 && !refuse(p, r))
            return r;
    }
    return 0;
}

static enum bridge_outcome outcome_of(int error, bool committing)
{
    switch (error) {
    case 0:
        return BRIDGE_STORED;
    case -EIO: /* the records may lie complete in the WAL, to be found if we end now */
        return committing ? BRIDGE_UNKNOWN : BRIDGE_RETRYABLE;
    case -EROFS:
    case -EBADMSG:
        return BRIDGE_REFUSED;
    default:
        return BRIDGE_RETRYABLE;
    }
}

static enum bridge_outcome store_batch(struct worker *w, struct batch *b)
{
    bool committing = false;
    int r = find_topics(w, b);
    if (r == 0)
        r = store_begin(w->store);
    if (r == 0)
        r = append_all(w, b);
    if (r == 0) {
        committing = true;
        r = store_commit(w->store);
    } else {
        /* Rolling back makes no words: those of the failure stay. */
        store_rollback(w->store);
    }
    snprintf(b->reason, sizeof b->reason, "%s", r < 0 ? store_reason(w->store) : "");
    emb_worker_report(w, r);
    return outcome_of(r, committing);
}

void emb_writer_flush(struct worker *w)
{
    struct batch *b = w->batch;
    if (!b)
        return;
    w->batch = NULL;
    enum bridge_outcome outcome = BRIDGE_RETRYABLE;
    if (w->store)
        outcome = store_batch(w, b);
    else
        snprintf(b->reason, sizeof b->reason, "%s", w->reason);
    for (struct publish *p = b->head; p; p = p->next)
        if (is_waiting(p))
            p->outcome = outcome;
    b->refs = 1;
    /* The records go first: who has an acknowledgement finds in the channel what he published. */
    if (outcome == BRIDGE_STORED)
        emb_feeds_send(w, emb_feeds_collect(w, b));
    emb_worker_mail(w, &b->mail, emb_publisher_deliver);
}
