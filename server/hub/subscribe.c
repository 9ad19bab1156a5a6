#include "subscribe.h"

#include <errno.h>
#include <stdlib.h>

#include "hub/source.h"
#include "util/clock.h"
#include "util/metrics.h"

#define READ_BATCH 512
#define READ_TOTAL 1000000 /* records looked at for one resume: other channels share the partition */
#define READ_ROUNDS 4      /* memory may move on while the broker is read */

static void run_subscribe(struct hub *hub, struct hub_call *call);

struct hub_subscribe *hub_subscribe_new(struct inbox *origin, struct bytes channel,
                                        void (*done)(struct hub_call *call, void *owner))
{
    struct hub_subscribe *s = xcalloc(1, sizeof *s);
    s->call.origin = origin;
    s->call.run = run_subscribe;
    s->call.done = done;
    s->channel = bytes_dup(channel);
    return s;
}

void hub_subscribe_free(struct hub_subscribe *s)
{
    frame_block_unref(s->block);
    free(s->channel);
    free(s->session);
    free(s->user);
    free(s->name);
    free(s);
}

static bool set_interest(struct channel *c, const struct hub_subscribe *s)
{
    uint64_t bit = UINT64_C(1) << s->loop;
    bool fresh = !(c->interest[s->form] & bit);
    if (!c->peers)
        c->peers = xcalloc((size_t)FORM_COUNT * LOOPS_MAX, sizeof *c->peers);
    c->interest[s->form] |= bit;
    c->peers[(size_t)s->form * LOOPS_MAX + s->loop] = s->peer;
    return fresh;
}

/* Tells the others of one that is in the presence. */
static void announce(struct channel *c, uint32_t type, const char *session)
{
    CLEANUP_BUF json = BUF_INIT;
    if (!c->ns->join_leave || !presence_has(&c->presence, session))
        return;
    buf_append_str(&json, "{\"channel\":");
    buf_append_json_string(&json, c->frame.name);
    buf_append_str(&json, ",");
    presence_write_entry(&c->presence, session, &json);
    buf_append_str(&json, "}");
    channel_notice(c, type, buf_bytes(&json));
}

/* The loops must have everything up to now before the answer, or the stream after it would overlap. */
static void answer(struct channel *c, struct hub_subscribe *s, struct frame_block *block)
{
    channel_flush(c, 0);
    if (s->session && presence_join(&c->presence, s->session, s->user, s->name))
        announce(c, TYPED_JOIN, s->session);
    s->block = block;
    s->publications = block ? block->count : 0;
    s->position = channel_position(c);
    memcpy(s->ret_epoch, c->epoch, sizeof s->ret_epoch);
    s->fresh = set_interest(c, s);
    c->used_ms = clock_mono_ms();
    if (s->has_position) {
        metric_add(M_RECOVERIES, 1);
        if (!s->recovered)
            metric_add(M_RECOVERIES_FAILED, 1);
    }
    hub_call_finish(&s->call);
}

static void add_publication(struct publication *p, void *arg)
{
    frame_builder_add(arg, p);
}

/* Newest `limit` publications; of a keyed channel the whole table, which is what a new client needs. */
static struct frame_block *newest_block(struct channel *c, enum frame_form form, int64_t limit)
{
    struct frame_builder builder;
    frame_builder_init(&builder, form, &c->frame);
    if (c->ns->keyed) {
        keyed_each_after(&c->keyed, INT64_MIN, add_publication, &builder);
    } else {
        size_t n = limit < 0 || (size_t)limit > c->history.count ? c->history.count : (size_t)limit;
        for (size_t i = c->history.count - n; i < c->history.count; i++)
            frame_builder_add(&builder, history_get(&c->history, i));
    }
    return frame_builder_finish(&builder);
}

static void answer_newest(struct channel *c, struct hub_subscribe *s)
{
    s->recovered = false;
    answer(c, s, s->history || c->ns->keyed ? newest_block(c, s->form, s->history) : NULL);
}

static struct frame_block *block_after(struct channel *c, const struct hub_subscribe *s)
{
    struct frame_builder builder;
    frame_builder_init(&builder, s->form, &c->frame);
    for (size_t i = history_after(&c->history, s->offset); i < c->history.count; i++) {
        const struct publication *p = history_get(&c->history, i);
        if (!s->conflate || channel_is_newest_of_key(c, p))
            frame_builder_add(&builder, p);
    }
    return frame_builder_finish(&builder);
}

/* ---- what memory does not have: from the broker, by position ---- */

struct resume {
    struct bridge_reader reader; /* first */
    struct hub *hub;
    struct hub_subscribe *subscribe;
    struct source *source;
    struct partition *partition;
    struct frame_builder builder;
    struct frame_channel frame;
    int64_t reached; /* everything up to here is in the builder */
    int rounds;
};

static void resume_free(struct resume *r)
{
    frame_block_unref(frame_builder_finish(&r->builder));
    free(r);
}

static bool read_next(struct resume *r);

static void give_up(struct resume *r, struct channel *c)
{
    struct hub_subscribe *s = r->subscribe;
    resume_free(r);
    answer_newest(c, s);
}

/* The rest comes from memory, unless history moved on past what was read meanwhile. */
static void continue_or_answer(struct resume *r, struct channel *c)
{
    struct hub_subscribe *s = r->subscribe;
    if (c->history.floor > r->reached) {
        if (!read_next(r))
            give_up(r, c);
        return;
    }
    for (size_t i = history_after(&c->history, r->reached); i < c->history.count; i++)
        frame_builder_add(&r->builder, history_get(&c->history, i));
    s->recovered = true;
    struct frame_block *block = frame_builder_finish(&r->builder);
    resume_free(r);
    answer(c, s, block);
}

static bool add_record(struct resume *r, const struct bridge_record *record)
{
    struct publication *p;
    if (source_map_for(r->source, record, bytes_of(r->subscribe->channel), &p) == 0) {
        frame_builder_add(&r->builder, p);
        publication_unref(p);
    }
    r->reached = record->offset;
    return r->builder.count <= (uint32_t)r->hub->config->limits.recover;
}

static void on_read(struct bridge_reader *reader, const struct bridge_read_result *result)
{
    struct resume *r = (struct resume *)reader;
    bool within = true;

    for (size_t i = 0; i < result->count && within; i++)
        within = add_record(r, &result->records[i]);
    if (!result->last)
        return;

    enum crier_error error;
    struct channel *c = hub_channel(r->hub, bytes_of(r->subscribe->channel), &error);
    if (!c) {
        struct hub_subscribe *s = r->subscribe;
        resume_free(r);
        s->error = error;
        hub_call_finish(&s->call);
        return;
    }
    bool trimmed = result->oldest_offset >= 0 && result->oldest_offset > r->subscribe->offset + 1 && r->rounds == 1;
    bool moved = c->numbering != NUMBERED_BY_BROKER || c->origin != r->partition;
    if (result->error || !result->complete || !within || trimmed || moved) {
        give_up(r, c);
        return;
    }
    if (result->end_offset - 1 > r->reached)
        r->reached = result->end_offset - 1 < r->partition->last ? result->end_offset - 1 : r->partition->last;
    continue_or_answer(r, c);
}

static bool read_next(struct resume *r)
{
    const struct bridge_instance *b = r->source->bridge;
    if (r->rounds++ == READ_ROUNDS || !b->bridge || b->state != BRIDGE_READY)
        return false;
    const struct bridge_read read = {
        .topic = r->partition->topic,
        .partition = r->partition->number,
        .from_offset = r->reached + 1,
        .to_offset = r->partition->last,
        .limit = READ_BATCH,
        .limit_total = READ_TOTAL,
    };
    b->ops->read_back(b->bridge, &read, r);
    return true;
}

static bool start_reading(struct hub *hub, struct channel *c, struct hub_subscribe *s)
{
    if (c->numbering != NUMBERED_BY_BROKER ||
        !bridge_instance_can(c->origin->source->bridge, BRIDGE_REPLAYABLE | BRIDGE_POSITIONED))
        return false;
    struct resume *r = xcalloc(1, sizeof *r);
    r->reader.on_read = on_read;
    r->hub = hub;
    r->subscribe = s;
    r->source = c->origin->source;
    r->partition = c->origin;
    r->reached = s->offset;
    r->frame = c->frame;
    r->frame.name = bytes_of(s->channel); /* the call outlives the channel */
    frame_builder_init(&r->builder, s->form, &r->frame);
    if (read_next(r))
        return true;
    resume_free(r);
    return false;
}

/* ---- deciding ---- */

/* A channel that has no record in memory is tied to its partition by the client's epoch, or because there is only one. */
static void find_origin(struct channel *c, const struct source *s, const char *epoch)
{
    if (c->numbering != NUMBERED_NOT_YET || !s || !bridge_instance_can(s->bridge, BRIDGE_POSITIONED))
        return;
    struct partition *p = *epoch ? source_partition_by_epoch((struct source *)s, epoch) : NULL;
    if (!p && s->partition_count == 1)
        p = s->partitions;
    if (p && p->started)
        channel_number_by(c, p);
}

static void resume_or_newest(struct hub *hub, struct channel *c, struct hub_subscribe *s)
{
    bool same_log = strcmp(s->epoch, c->epoch) == 0 && s->offset <= channel_position(c);
    if (!same_log) {
        answer_newest(c, s);
        return;
    }
    if (s->offset >= c->history.floor) {
        size_t missed = c->history.count - history_after(&c->history, s->offset);
        if (missed > (size_t)hub->config->limits.recover && !s->conflate) {
            metric_add(M_LIMIT_RECOVER, 1);
            answer_newest(c, s);
            return;
        }
        s->recovered = true;
        answer(c, s, block_after(c, s));
        return;
    }
    /* A client of a keyed channel that is too far behind gets the table anew: that is shorter than what it missed. */
    if (s->conflate || !start_reading(hub, c, s))
        answer_newest(c, s);
}

static void run_subscribe(struct hub *hub, struct hub_call *call)
{
    struct hub_subscribe *s = (struct hub_subscribe *)call;
    const struct source *source = source_of_channel(hub, bytes_of(s->channel));

    if (source && !source->caught_up && hub_call_wait(hub, call))
        return;
    struct channel *c = hub_channel(hub, bytes_of(s->channel), &s->error);
    if (!c) {
        hub_call_finish(call);
        return;
    }
    if (source && !source->caught_up && s->has_position) {
        s->error = CRIER_ERR_BROKER_UNAVAILABLE;
        s->detail = "the channel's log is not readable yet, so a resume cannot be judged; try again";
        hub_call_finish(call);
        return;
    }
    find_origin(c, source, s->epoch);
    if (!source && c->numbering == NUMBERED_NOT_YET)
        channel_number_here(c);
    if (s->has_position)
        resume_or_newest(hub, c, s);
    else
        answer_newest(c, s);
}

/* ---- detach ---- */

static void run_detach(struct hub *hub, struct hub_call *call)
{
    struct hub_detach *d = (struct hub_detach *)call;
    struct channel *c = hub_channel_find(hub, bytes_of(d->channel));
    if (c)
        c->interest[d->form] &= ~(UINT64_C(1) << d->loop);
    hub_call_finish(call);
}

struct hub_detach *hub_detach_new(struct inbox *origin, struct bytes channel,
                                  void (*done)(struct hub_call *call, void *owner))
{
    struct hub_detach *d = xcalloc(1, sizeof *d);
    d->call.origin = origin;
    d->call.run = run_detach;
    d->call.done = done;
    d->channel = bytes_dup(channel);
    return d;
}

void hub_detach_free(struct hub_detach *d)
{
    free(d->channel);
    free(d);
}

/* ---- leaving ---- */

struct leave_call {
    struct hub_call call; /* first */
    char *channel, *session;
};

static void run_leave(struct hub *hub, struct hub_call *call)
{
    struct leave_call *leave = (struct leave_call *)call;
    struct channel *c = hub_channel_find(hub, bytes_of(leave->channel));
    if (c) {
        announce(c, TYPED_LEAVE, leave->session);
        presence_leave(&c->presence, leave->session);
    }
    hub_call_finish(call);
}

static void leave_call_free(struct hub_call *call, void *owner)
{
    struct leave_call *leave = (struct leave_call *)call;
    (void)owner;
    free(leave->channel);
    free(leave->session);
    free(leave);
}

void hub_leave_post(struct hub *hub, struct bytes channel, const char *session)
{
    struct leave_call *leave = xcalloc(1, sizeof *leave);
    leave->call.run = run_leave;
    leave->call.done = leave_call_free;
    leave->channel = bytes_dup(channel);
    leave->session = xstrdup(session);
    hub_call_post(hub, &leave->call);
}
