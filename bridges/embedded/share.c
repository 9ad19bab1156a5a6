#include "embedded/driver.h"

#include "util/clock.h"

/* Groups. Each member says once a second that it is alive; all see the same list, so that partition i belongs to member
 * i modulo their number. A partition's lease makes the change safe: who has to give it up first waits for the
 * acknowledgements of what it has handed over, and only then the next one gets the lease. Who falls silent loses its
 * leases after LEASE_MS. */

struct moment {
    int64_t now_ms, expires_ms;
};

static struct moment moment_now(void)
{
    int64_t now = clock_wall_ms();
    return (struct moment){now, now + LEASE_MS};
}

static int commit_position(struct worker *w, struct bridge_source_sub *f, struct feed_partition *p)
{
    int64_t next = atomic_load_explicit(&f->acked[p->store->number], memory_order_relaxed) + 1;
    if (next <= p->committed)
        return 0;
    p->plan_committed = next;
    return store_position_set(w->store, f->group, p->store, next);
}

static int plan_owned(struct worker *w, struct bridge_source_sub *f, struct feed_partition *p, bool wanted,
                      const struct moment *at)
{
    bool mine = false;
    int r = store_lease_take(w->store, f->group, p->store, f->member, at->now_ms, at->expires_ms, &mine);
    p->plan_owned = mine;
    if (r == 0 && mine)
        r = commit_position(w, f, p);
    if (r < 0 || !mine || wanted) {
        p->leaving_since_ms = 0;
        return r;
    }
    if (p->leaving_since_ms == 0)
        p->leaving_since_ms = at->now_ms;
    if (p->plan_committed < p->next && at->now_ms - p->leaving_since_ms < LEAVE_MS)
        return 0;
    p->plan_owned = false;
    return store_lease_release(w->store, f->group, p->store, f->member);
}

/* A group's first position is stored at once: what comes while nobody listens is not lost. */
static int plan_new(struct worker *w, struct bridge_source_sub *f, struct feed_partition *p, const struct moment *at)
{
    int r = store_lease_take(w->store, f->group, p->store, f->member, at->now_ms, at->expires_ms, &p->plan_owned);
    if (r < 0 || !p->plan_owned)
        return r;
    r = store_partition_load(w->store, p->store);
    if (r == 0)
        r = store_position_get(w->store, f->group, p->store, &p->plan_next);
    if (r == -ENOENT) {
        r = emb_feed_start_offset(w, f, p->store, &p->plan_next);
        if (r == 0)
            r = store_position_set(w->store, f->group, p->store, p->plan_next);
    }
    p->plan_committed = p->plan_next;
    if (r == 0 && p->plan_next < p->store->now.start)
        p->plan_next = p->store->now.start;
    return r;
}

static int plan_feed(struct worker *w, struct bridge_source_sub *f, const struct moment *at)
{
    int32_t place = 0, members = 1;
    int r = store_member_renew(w->store, f->group, f->store_topic, f->member, at->now_ms, at->expires_ms, &place,
                               &members);
    for (int32_t i = 0; r == 0 && i < f->partition_count; i++) {
        struct feed_partition *p = &f->partitions[i];
        bool wanted = i % members == place;
        p->plan_owned = p->owned;
        p->plan_committed = p->committed;
        if (p->owned)
            r = plan_owned(w, f, p, wanted, at);
        else if (wanted)
            r = plan_new(w, f, p, at);
    }
    return r;
}

static void apply_partition(struct worker *w, struct bridge_source_sub *f, struct feed_partition *p)
{
    bool before = p->owned;
    p->owned = p->plan_owned;
    p->committed = p->plan_committed;
    if (before && !p->owned) {
        p->leaving_since_ms = 0;
        emb_feed_event(w, f, EVENT_REVOKED, p);
    } else if (!before && p->owned) {
        p->next = p->plan_next;
        p->target = p->store->now.next;
        atomic_store_explicit(&f->acked[p->store->number], p->committed - 1, memory_order_relaxed);
        emb_feed_event(w, f, EVENT_ASSIGNED, p);
    }
}

static bool is_member(const struct bridge_source_sub *f)
{
    return f->group && f->store_topic;
}

static bool has_members(const struct worker *w)
{
    for (const struct bridge_source_sub *f = w->feeds; f; f = f->next_feed)
        if (is_member(f))
            return true;
    return false;
}

int emb_share_tick(struct worker *w)
{
    if (!has_members(w))
        return 0;
    int r = store_begin(w->store);
    struct moment at = moment_now(); /* after the wait for the lock */
    for (struct bridge_source_sub *f = w->feeds; f && r == 0; f = f->next_feed)
        if (is_member(f))
            r = plan_feed(w, f, &at);
    if (r < 0) {
        store_rollback(w->store);
        return r;
    }
    r = store_commit(w->store);
    for (struct bridge_source_sub *f = w->feeds; f && r == 0; f = f->next_feed) {
        for (int32_t i = 0; is_member(f) && i < f->partition_count; i++)
            apply_partition(w, f, &f->partitions[i]);
        f->settled |= is_member(f);
    }
    return r;
}

static int leave(struct worker *w, struct bridge_source_sub *f, const struct moment *at)
{
    int r = store_member_leave(w->store, f->group, f->store_topic, f->member);
    for (int32_t i = 0; r == 0 && i < f->partition_count; i++) {
        struct feed_partition *p = &f->partitions[i];
        bool mine = false;
        if (!p->owned)
            continue;
        r = store_lease_take(w->store, f->group, p->store, f->member, at->now_ms, at->expires_ms, &mine);
        if (r == 0 && mine)
            r = commit_position(w, f, p);
        if (r == 0 && mine)
            r = store_lease_release(w->store, f->group, p->store, f->member);
    }
    return r;
}

void emb_share_leave(struct worker *w)
{
    if (!has_members(w))
        return;
    struct moment at = moment_now();
    int r = store_begin(w->store);
    for (struct bridge_source_sub *f = w->feeds; f && r == 0; f = f->next_feed)
        if (is_member(f))
            r = leave(w, f, &at);
    if (r == 0)
        r = store_commit(w->store);
    else
        store_rollback(w->store);
    if (r < 0) /* the leases run out, and what was acknowledged last is handed over again */
        log_warn("group positions not committed", LOG_STR("bridge", w->bridge->name),
                 LOG_STR("reason", store_reason(w->store)));
}
