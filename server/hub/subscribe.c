#include "subscribe.h"

#include <errno.h>
#include <stdlib.h>

#include "hub/mirror.h"
#include "hub/cache.h"
#include "hub/resume.h"
#include "hub/source.h"
#include "util/clock.h"
#include "util/metrics.h"

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
    free(s->conn_info);
    free(s->chan_info);
    free(s);
}

/* Tells the others of one that is in the presence. */
static void announce(struct channel *c, uint32_t type, const char *session)
{
    CLEANUP_BUF json = BUF_INIT, info = BUF_INIT;
    const struct presence_client *client = presence_find(&c->presence, session);
    if (!client || client->silent)
        return;
    buf_append_str(&json, "{\"channel\":");
    buf_append_json_string(&json, c->frame.name);
    buf_append_str(&json, ",");
    presence_write_entry(&c->presence, session, &json);
    buf_append_str(&json, "}");
    presence_write_info(&c->presence, session, &info);
    channel_notice(c, &(struct frame_notice){.type = type, .json = buf_bytes(&json), .info = buf_bytes(&info)});
}

/* The loops must have everything up to now before the answer, or the stream after it would overlap. */
void subscribe_answer(struct channel *c, struct hub_subscribe *s, struct frame_block *block)
{
    channel_flush(c, 0);
    const struct presence_client client = {.session = s->session, .user = s->user, .name = s->name,
                                           .conn_info = s->conn_info, .chan_info = s->chan_info,
                                           .hidden = s->hidden, .silent = s->silent};
    bool joins = s->session && presence_join(&c->presence, &client);
    /* On the channels wire a client hears of itself, after its answer. */
    CLEANUP_BUF own = BUF_INIT;
    if (joins && s->items)
        buf_append(&own, s->session, strlen(s->session) + 1);
    else if (joins)
        announce(c, TYPED_JOIN, s->session);
    if (joins)
        mirror_joined(c, presence_find(&c->presence, s->session));
    s->block = block;
    s->publications = block ? block->count : 0;
    s->position = channel_position(c);
    s->serial = c->serial;
    s->shift = c->frame.shift;
    s->by_broker = c->numbering == NUMBERED_BY_BROKER;
    s->numbered = c->numbering != NUMBERED_NOT_YET;
    memcpy(s->ret_epoch, c->epoch, sizeof s->ret_epoch);
    s->fresh = channel_add_peer(c, &(struct channel_peer){.form = s->form, .loop = s->loop, .peer = s->peer});
    c->used_ms = clock_mono_ms();
    if (s->has_position) {
        metric_add(M_RECOVERIES, 1);
        if (!s->recovered)
            metric_add(M_RECOVERIES_FAILED, 1);
    }
    hub_call_finish(&s->call);
    if (own.len)
        announce(c, TYPED_JOIN, own.data);
}

static void add_publication(struct publication *p, void *arg)
{
    frame_builder_add(arg, p);
}

static void add_in_box(struct channel *c, const struct geo_box *box, struct frame_builder *builder)
{
    struct publication **list;
    size_t count = keyed_in_box(&c->keyed, box, NULL, KEYED_BY_OFFSET, &list);
    for (size_t i = 0; i < count; i++)
        frame_builder_add(builder, list[i]);
    free(list);
}

/* Newest publications; of a keyed channel the whole table, which is what a new client needs. */
static struct frame_block *newest_block(struct channel *c, const struct hub_subscribe *s)
{
    struct frame_builder builder;
    frame_builder_init(&builder, s->block_form, &c->frame);
    builder.filter = s->filter;
    if (s->box) {
        add_in_box(c, s->box, &builder);
    } else if (c->ns->keyed) {
        keyed_each_after(&c->keyed, INT64_MIN, add_publication, &builder);
    } else {
        size_t n = s->history < 0 || (size_t)s->history > c->history.count ? c->history.count : (size_t)s->history;
        for (size_t i = c->history.count - n; i < c->history.count; i++)
            frame_builder_add(&builder, history_get(&c->history, i));
    }
    return frame_builder_finish(&builder);
}

void subscribe_answer_newest(struct channel *c, struct hub_subscribe *s)
{
    s->recovered = false;
    bool wanted = !s->strict && (s->history || c->ns->keyed);
    subscribe_answer(c, s, wanted ? newest_block(c, s) : NULL);
}

static size_t missed(const struct channel *c, int64_t offset)
{
    return c->history.count - history_missed(&c->history, offset);
}

static struct frame_block *build_after(struct channel *c, struct hub_subscribe *s)
{
    const bool pages = resume_in_pages(c) && !s->conflate;
    struct frame_builder builder;
    frame_builder_init(&builder, s->block_form, &c->frame);
    builder.filter = s->filter;
    builder.box = s->box;
    builder.unsure = s->conflate; /* the client has what was before those that are left out */
    for (size_t i = history_missed(&c->history, s->offset); i < c->history.count; i++) {
        struct publication *p = history_get(&c->history, i);
        if (!s->conflate || channel_is_newest_of_key(c, p))
            frame_builder_add(&builder, p);
        s->until = p->offset;
        s->more = pages && i + 1 < c->history.count && resume_is_full(c, &builder);
        if (s->more)
            break;
    }
    return frame_builder_finish(&builder);
}

static struct frame_block *block_after(struct channel *c, struct hub_subscribe *s)
{
    struct missed *m = &c->missed;
    if (s->filter || s->box || s->conflate)
        return build_after(c, s);
    bool same = m->block && m->form == s->block_form && m->offset == s->offset && m->publications == c->publications &&
                m->count == c->history.count;
    if (!same) {
        frame_block_unref(m->block);
        *m = (struct missed){.block = build_after(c, s),
                             .form = s->block_form,
                             .offset = s->offset,
                             .publications = c->publications,
                             .count = c->history.count,
                             .more = s->more,
                             .until = s->until};
    }
    s->more = m->more;
    s->until = m->until;
    return m->block ? frame_block_ref(m->block) : NULL;
}

/* ---- deciding ---- */

static bool fits_filter(const struct publication *p, const void *filter)
{
    return tag_filter_matches(filter, publication_tags(p));
}

/* Only the newest publication matters: the client is given it unless it has it. */
static void recover_newest(struct channel *c, struct hub_subscribe *s)
{
    struct publication *newest;
    struct frame_builder builder;
    frame_builder_init(&builder, s->block_form, &c->frame);
    s->recovered = cache_recover(c, s->epoch, s->offset, s->filter ? fits_filter : NULL, s->filter, &newest);
    if (s->recovered && newest)
        frame_builder_add(&builder, newest);
    subscribe_answer(c, s, frame_builder_finish(&builder));
}

static void resume_or_newest(struct hub *hub, struct channel *c, struct hub_subscribe *s)
{
    bool same_log = (s->any_epoch || strcmp(s->epoch, c->epoch) == 0) && s->offset <= channel_position(c);
    if (!same_log || s->offset <= c->history.lost) {
        subscribe_answer_newest(c, s);
        return;
    }
    bool in_memory = s->offset >= c->history.floor;
    bool too_long = in_memory && !s->conflate && !resume_in_pages(c) &&
                    missed(c, s->offset) > (size_t)hub->config->limits.recover;
    if (in_memory && !too_long) {
        struct frame_block *block = block_after(c, s);
        s->recovered = true;
        metric_add(M_LIMIT_RECOVER, s->more);
        subscribe_answer(c, s, block);
        return;
    }
    metric_add(M_LIMIT_RECOVER, too_long);
    /* A client of a keyed channel that is too far behind gets the table anew: that is shorter than what it missed. */
    if (in_memory || s->conflate || !resume_start(hub, c, s))
        subscribe_answer_newest(c, s);
}

static void run_subscribe(struct hub *hub, struct hub_call *call)
{
    struct hub_subscribe *s = (struct hub_subscribe *)call;
    struct source *source = source_of_channel(hub, bytes_of(s->channel));

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
    source_find_numbering(c, source, s->epoch);
    if (s->shifted)
        s->offset -= c->frame.shift;
    s->shifted = false;
    if (s->at_head)
        subscribe_answer(c, s, NULL);
    else if (s->has_position && s->items && c->ns->recovery == RECOVERY_CACHE && !c->ns->keyed)
        recover_newest(c, s);
    else if (s->has_position)
        resume_or_newest(hub, c, s);
    else
        subscribe_answer_newest(c, s);
}

/* ---- detach ---- */

static void run_detach(struct hub *hub, struct hub_call *call)
{
    struct hub_detach *d = (struct hub_detach *)call;
    struct channel *c = hub_channel_find(hub, bytes_of(d->channel));
    if (c)
        channel_remove_peer(c, d->form, d->loop);
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
    const struct presence_client *client = c ? presence_find(&c->presence, leave->session) : NULL;
    if (client) {
        announce(c, TYPED_LEAVE, leave->session);
        mirror_left(c, client);
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
