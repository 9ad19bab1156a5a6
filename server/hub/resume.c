#include "resume.h"

#include <stdlib.h>
#include <utlist.h>

#include "hub/source.h"
#include "util/metrics.h"

#define READ_BATCH 512
#define READ_FIRST 256     /* records that the first read for a page asks for when no page was read before; each further */
#define READ_MOST 65536    /* one asks for twice as many, because other channels share the partition */
#define READ_TOTAL 1000000 /* records looked at for one page */
#define READS_MAX 16       /* at a time; more wait their turn, so that a herd does not read a log a thousand times at once */

struct resume {
    struct bridge_reader reader; /* first */
    struct resume *next;         /* waits for its turn */
    struct resume *sibling;      /* of the same channel */
    struct hub *hub;
    struct channel *channel;
    struct hub_subscribe *subscribes; /* those that missed the same, by next_same */
    struct source *source;
    char epoch[CHANNEL_EPOCH_SIZE]; /* of the numbering that it began under */
    struct frame_builder builder;
    int64_t reached; /* everything up to here is in the builder */
    bool full;       /* what comes behind it is another page */
    size_t looked_at, taken; /* records, in all reads: that came, that came before it was full */
    struct {
        int64_t from, to;
        size_t limit, count; /* records: at most, until now */
    } read; /* the one under way */
};

bool resume_in_pages(const struct channel *c)
{
    return !c->ns->keyed;
}

bool resume_is_full(const struct channel *c, const struct frame_builder *builder)
{
    const struct config_limits *l = &c->hub->config->limits;
    if (!resume_in_pages(c))
        return builder->count > (uint64_t)l->recover;
    return builder->count >= (uint64_t)l->recover || builder->bytes.len >= (uint64_t)l->recover_bytes;
}

/* Gives the calls back and ends the resume. */
static struct hub_subscribe *resume_end(struct resume *r)
{
    struct hub_subscribe *list = r->subscribes;
    r->channel->resumes--;
    LL_DELETE2(r->channel->resuming, r, sibling);
    frame_block_unref(frame_builder_finish(&r->builder));
    free(r);
    return list;
}

static struct hub_subscribe *take_first(struct hub_subscribe **list)
{
    struct hub_subscribe *s = *list;
    *list = s->next_same;
    s->next_same = NULL;
    return s;
}

static void give_up(struct resume *r)
{
    struct channel *c = r->channel;
    if (r->full)
        metric_add(M_LIMIT_RECOVER, 1);
    for (struct hub_subscribe *list = resume_end(r); list;)
        subscribe_answer_newest(c, take_first(&list));
}

static bool read_next(struct resume *r)
{
    const struct bridge_instance *b = r->source->bridge;
    const struct partition *p = r->channel->origin;
    if (r->looked_at >= READ_TOTAL || r->hub->closing || b->state != BRIDGE_READY)
        return false;
    r->read.from = r->reached + 1;
    /* Keys that expired are in no log, so what memory has comes from there; else reading on saves another round. */
    r->read.to = r->channel->ns->key_ttl_ms ? r->channel->history.floor : p->last;
    size_t first = r->channel->page_records ? r->channel->page_records : READ_FIRST;
    r->read.limit = r->read.limit ? r->read.limit * 2 : first;
    if (r->read.limit > READ_MOST)
        r->read.limit = READ_MOST;
    r->read.count = 0;
    const struct bridge_read read = {
        .topic = p->topic,
        .partition = p->number,
        .from_offset = r->read.from,
        .to_offset = r->read.to,
        .limit = READ_BATCH,
        .limit_total = r->read.limit,
    };
    b->ops->read_back(b->bridge, &read, r);
    return true;
}

/* Recovered up to where the builder is. */
static void answer(struct resume *r)
{
    struct channel *c = r->channel;
    bool more = r->full && r->reached < channel_position(c);
    int64_t until = r->reached;
    if (more)
        metric_add(M_LIMIT_RECOVER, 1);
    if (r->full && r->taken)
        c->page_records = r->taken;
    struct frame_block *block = frame_builder_finish(&r->builder);
    for (struct hub_subscribe *list = resume_end(r); list;) {
        struct hub_subscribe *s = take_first(&list);
        s->recovered = true;
        s->more = more;
        s->until = until;
        subscribe_answer(c, s, block ? frame_block_ref(block) : NULL);
    }
    frame_block_unref(block);
}

static void add(struct resume *r, struct publication *p)
{
    frame_builder_add(&r->builder, p);
    r->full = resume_is_full(r->channel, &r->builder);
}

static void add_from_memory(struct resume *r)
{
    const struct history *h = &r->channel->history;
    for (size_t i = history_missed(h, r->reached); i < h->count && !r->full; i++) {
        add(r, history_get(h, i));
        r->reached = history_get(h, i)->offset;
    }
}

static void start_waiting(struct hub *hub)
{
    while (hub->resumes && (hub->reading < READS_MAX || hub->closing)) {
        struct resume *r = hub->resumes;
        LL_DELETE(hub->resumes, r);
        hub->reading++;
        if (strcmp(r->epoch, r->channel->epoch) == 0 && read_next(r))
            continue;
        hub->reading--;
        give_up(r);
    }
}

static void add_record(struct resume *r, const struct bridge_record *record)
{
    struct publication *p;
    if (r->full)
        return;
    if (source_map_for(r->source, record, r->channel->frame.name, &p) == 0) {
        add(r, p);
        publication_unref(p);
    }
    r->reached = record->offset;
    r->taken++;
}

/* Nothing that the channel had from the beginning of the read up to where we are is missing, and it still counts under the
 * same epoch. */
static bool is_whole(const struct resume *r, const struct bridge_read_result *result)
{
    bool trimmed = result->oldest_offset > r->read.from;
    bool limited = r->read.count >= r->read.limit;
    return !result->error && (result->complete || limited || r->full) && !trimmed &&
           strcmp(r->epoch, r->channel->epoch) == 0;
}

/* Goes on after a read that was whole; false when this is not recovered. */
static bool go_on(struct resume *r)
{
    /* History may have moved on past what was read meanwhile. */
    if (!r->full && r->channel->history.floor > r->reached) {
        if (read_next(r))
            return true;
        r->full = r->builder.count > 0 && resume_in_pages(r->channel) && r->looked_at >= READ_TOTAL;
        if (!r->full)
            return false;
    }
    add_from_memory(r);
    if (r->full && !resume_in_pages(r->channel))
        return false;
    r->hub->reading--;
    answer(r);
    return true;
}

static void on_read(struct bridge_reader *reader, const struct bridge_read_result *result)
{
    struct resume *r = (struct resume *)reader;
    struct hub *hub = r->hub;

    r->read.count += result->count;
    r->looked_at += result->count;
    for (size_t i = 0; i < result->count; i++)
        add_record(r, &result->records[i]);
    if (!result->last)
        return;
    bool whole = is_whole(r, result);
    if (whole && result->complete && !r->full)
        r->reached = r->read.to;
    if (!whole || !go_on(r)) {
        hub->reading--;
        give_up(r);
    }
    start_waiting(hub);
}

/* A herd that lost its server comes back at few places: one read serves all that missed the same. */
static bool join_same(struct channel *c, struct hub_subscribe *s)
{
    for (struct resume *r = c->resuming; r && !s->filter && !s->box; r = r->sibling) {
        const struct hub_subscribe *first = r->subscribes;
        if (first->filter || first->box || first->block_form != s->block_form || first->offset != s->offset ||
            strcmp(r->epoch, c->epoch) != 0)
            continue;
        LL_PREPEND2(r->subscribes, s, next_same);
        return true;
    }
    return false;
}

bool resume_start(struct hub *hub, struct channel *c, struct hub_subscribe *s)
{
    if (c->numbering != NUMBERED_BY_BROKER || hub->closing || c->origin->source->bridge->state != BRIDGE_READY ||
        !bridge_instance_can(c->origin->source->bridge, BRIDGE_REPLAYABLE | BRIDGE_POSITIONED))
        return false;
    if (join_same(c, s))
        return true;
    struct resume *r = xcalloc(1, sizeof *r);
    r->reader.on_read = on_read;
    r->hub = hub;
    r->channel = c;
    r->subscribes = s;
    r->source = c->origin->source;
    r->reached = s->offset;
    memcpy(r->epoch, c->epoch, sizeof r->epoch);
    frame_builder_init(&r->builder, s->block_form, &c->frame);
    r->builder.filter = s->filter;
    r->builder.box = s->box;
    c->resumes++;
    LL_PREPEND2(c->resuming, r, sibling);
    LL_APPEND(hub->resumes, r);
    start_waiting(hub);
    return true;
}

void resumes_cancel(struct hub *hub)
{
    start_waiting(hub);
}
