#include "embedded/driver.h"

#include <stdlib.h>

/* ---- events ---- */

static void run_credit(struct worker *w, struct command *c)
{
    (void)w;
    struct event *e = CONTAINER_OF(c, struct event, command);
    e->sub->in_flight--;
    emb_event_free(e);
}

static struct event *event_new(struct bridge_source_sub *f, enum event_kind kind)
{
    struct event *e = xcalloc(1, sizeof *e);
    e->kind = kind;
    e->sub = f;
    e->command.run = run_credit;
    return e;
}

void emb_feed_event(struct worker *w, struct bridge_source_sub *f, enum event_kind kind,
                    const struct feed_partition *p)
{
    struct event *e = event_new(f, kind);
    if (p) {
        e->partition = p->store->number;
        e->oldest = p->store->now.start;
        e->end = p->store->now.next;
    }
    emb_worker_mail(w, &e->mail, emb_source_deliver);
}

/* ---- starting ---- */

int emb_feed_start_offset(struct worker *w, const struct bridge_source_sub *f, struct store_partition *p,
                          int64_t *ret_next)
{
    if (f->from == BRIDGE_FROM_TIME)
        return store_find_time(w->store, p, f->time_ms, ret_next);
    int r = store_partition_load(w->store, p);
    if (r == 0)
        *ret_next = f->from == BRIDGE_FROM_EARLIEST ? p->now.start : p->now.next;
    return r;
}

/* Every partition, for the subscription alone. */
static int start_all(struct worker *w, struct bridge_source_sub *f)
{
    for (int32_t i = 0; i < f->partition_count; i++) {
        struct feed_partition *p = &f->partitions[i];
        int r = emb_feed_start_offset(w, f, p->store, &p->next);
        if (r < 0)
            return r;
        p->target = p->store->now.next;
        p->owned = true;
    }
    for (int32_t i = 0; i < f->partition_count; i++)
        emb_feed_event(w, f, EVENT_ASSIGNED, &f->partitions[i]);
    f->settled = true;
    return 0;
}

static int start(struct worker *w, struct bridge_source_sub *f)
{
    struct bytes name = bytes_of(f->topic);
    struct store_policy policy = emb_settings_policy(&w->settings, name);
    struct store_topic *t;
    int r = store_topic_ensure(w->store, name, &policy, &t);
    if (r < 0)
        return r;
    if (!f->partitions) {
        memcpy(f->uuid, t->uuid, sizeof f->uuid);
        f->partition_count = t->partition_count;
        f->partitions = xcalloc((size_t)t->partition_count, sizeof *f->partitions);
        f->acked = xcalloc((size_t)t->partition_count, sizeof *f->acked);
        for (int32_t i = 0; i < t->partition_count; i++)
            f->partitions[i].store = &t->partitions[i];
    }
    r = f->group ? 0 : start_all(w, f);
    if (r == 0)
        f->store_topic = t;
    return r;
}

bool emb_feeds_are_stuck(const struct worker *w)
{
    for (const struct bridge_source_sub *f = w->feeds; f; f = f->next_feed)
        if (f->stuck)
            return true;
    return false;
}

void emb_feeds_start(struct worker *w)
{
    for (struct bridge_source_sub *f = w->feeds; f; f = f->next_feed) {
        f->stuck = false;
        int r = f->store_topic ? 0 : start(w, f);
        if (r < 0)
            emb_worker_report(w, r);
    }
}

static bool has_arrived(const struct bridge_source_sub *f)
{
    for (int32_t i = 0; i < f->partition_count; i++)
        if (f->partitions[i].owned && f->partitions[i].next < f->partitions[i].target)
            return false;
    return f->settled;
}

static void tell_arrival(struct worker *w, struct bridge_source_sub *f)
{
    if (f->caught_up || !has_arrived(f))
        return;
    f->caught_up = true;
    emb_feed_event(w, f, EVENT_CAUGHT_UP, NULL);
}

void emb_feed_add(struct worker *w, struct command *c)
{
    struct bridge_source_sub *f = CONTAINER_OF(c, struct bridge_source_sub, command);
    struct bridge_source_sub **last = &w->feeds;
    while (*last)
        last = &(*last)->next_feed;
    *last = f;
    if (!w->store)
        return;
    emb_feeds_start(w);
    int r = f->group && f->store_topic ? emb_share_tick(w) : 0;
    if (r < 0)
        emb_worker_report(w, r);
    tell_arrival(w, f);
}

void emb_feeds_reload(struct worker *w)
{
    for (struct bridge_source_sub *f = w->feeds; f; f = f->next_feed)
        for (int32_t i = 0; f->store_topic && i < f->partition_count; i++) {
            int r = store_partition_load(w->store, f->partitions[i].store);
            if (r < 0)
                emb_worker_report(w, r);
        }
}

/* ---- from the file ---- */

struct chunk {
    struct record_set *set;
    int32_t partition;
};

static bool on_row(void *arg, const struct store_record *r)
{
    struct chunk *c = arg;
    emb_record_set_copy(c->set, c->partition, r);
    return c->set->data.len < CHUNK_BYTES;
}

static bool is_behind(const struct feed_partition *p)
{
    return p->owned && !p->leaving_since_ms && p->next < p->store->now.next;
}

static int read_chunk(struct worker *w, struct bridge_source_sub *f, struct feed_partition *p)
{
    struct event *e = event_new(f, EVENT_RECORDS);
    struct chunk c = {&e->set, p->store->number};
    int64_t end = p->store->now.next;
    int r = store_read(w->store, p->store, p->next, end - 1, CHUNK_RECORDS, on_row, &c);
    if (r < 0 || e->set.count == 0) {
        emb_event_free(e);
        if (r == 0)
            p->next = end; /* what was there has been removed */
        return r;
    }
    p->next = e->set.records[e->set.count - 1].offset + 1;
    if (emb_record_set_seal(&e->set, bytes_of(f->topic)) < 0)
        log_warn("record with damaged headers", LOG_STR("bridge", w->bridge->name), LOG_STR("topic", f->topic));
    e->credit = true;
    f->in_flight++;
    emb_worker_mail(w, &e->mail, emb_source_deliver);
    return 0;
}

/* One chunk of the first partition that is behind, beginning after the one of the last time. */
static bool read_next(struct worker *w, struct bridge_source_sub *f)
{
    if (atomic_load_explicit(&f->paused, memory_order_relaxed) || f->stuck || f->in_flight >= FEED_IN_FLIGHT)
        return false;
    for (int32_t i = 0; i < f->partition_count; i++) {
        int32_t at = (f->turn + i) % f->partition_count;
        if (!is_behind(&f->partitions[at]))
            continue;
        f->turn = at + 1;
        int r = read_chunk(w, f, &f->partitions[at]);
        f->stuck = r < 0;
        if (r < 0)
            emb_worker_report(w, r);
        return r == 0;
    }
    return false;
}

static int64_t lag_of(const struct bridge_source_sub *f)
{
    int64_t lag = 0;
    for (int32_t i = 0; i < f->partition_count; i++)
        if (f->partitions[i].owned)
            lag += f->partitions[i].store->now.next - f->partitions[i].next;
    return lag;
}

bool emb_feeds_step(struct worker *w)
{
    bool more = false;
    int64_t lag = 0;
    for (struct bridge_source_sub *f = w->feeds; f; f = f->next_feed) {
        if (!f->store_topic)
            continue;
        more |= read_next(w, f);
        tell_arrival(w, f);
        lag += lag_of(f);
    }
    atomic_store_explicit(&w->lag, lag, memory_order_relaxed);
    return more;
}

/* ---- from memory ---- */

static void point_to(struct event *e, struct bridge_source_sub *f, const struct publish *p)
{
    emb_record_set_point(&e->set, &(struct bridge_record){
                                  .topic = bytes_of(f->topic),
                                  .partition = p->partition,
                                  .offset = p->record.offset,
                                  .time_ms = p->record.time_ms,
                                  .key = p->record.key,
                                  .payload = p->record.payload,
                                  .headers = p->header_count ? p->headers : NULL,
                                  .header_count = p->header_count,
                              });
}

static bool takes(struct bridge_source_sub *f, const struct publish *p)
{
    if (p->outcome != BRIDGE_STORED || p->store_topic != f->store_topic)
        return false;
    const struct feed_partition *at = &f->partitions[p->partition];
    return at->owned && !at->leaving_since_ms && at->next == p->record.offset;
}

/* Appends to the list that ends at `last`; gives its new end. */
static struct event **collect(struct bridge_source_sub *f, struct batch *b, struct event **last)
{
    struct event *e = NULL;
    for (const struct publish *p = b->head; p; p = p->next) {
        if (!takes(f, p))
            continue;
        if (!e || e->set.count == CHUNK_RECORDS) {
            e = event_new(f, EVENT_RECORDS);
            e->batch = b;
            b->refs++;
            *last = e;
            last = &e->next;
        }
        point_to(e, f, p);
        f->partitions[p->partition].next++;
    }
    return last;
}

/* Who is not up to date reads the file. */
struct event *emb_feeds_collect(struct worker *w, struct batch *b)
{
    struct event *first = NULL, **last = &first;
    for (struct bridge_source_sub *f = w->feeds; f; f = f->next_feed)
        if (f->store_topic && !atomic_load_explicit(&f->paused, memory_order_relaxed))
            last = collect(f, b, last);
    return first;
}

void emb_feeds_send(struct worker *w, struct event *events)
{
    for (struct event *e = events, *next; e; e = next) {
        next = e->next;
        e->next = NULL;
        emb_worker_mail(w, &e->mail, emb_source_deliver);
    }
}
