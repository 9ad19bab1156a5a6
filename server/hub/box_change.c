#include "box_change.h"

#include <stdlib.h>

#include "hub/map.h"
#include "util/clock.h"

static void run_box_change(struct hub *hub, struct hub_call *call);

struct hub_box_change *hub_box_change_new(struct inbox *origin, struct bytes channel,
                                          void (*done)(struct hub_call *call, void *owner))
{
    struct hub_box_change *b = xcalloc(1, sizeof *b);
    b->call.origin = origin;
    b->call.run = run_box_change;
    b->call.done = done;
    b->channel = bytes_dup(channel);
    return b;
}

void hub_box_change_free(struct hub_box_change *b)
{
    frame_block_unref(b->block);
    tag_filter_free(b->filter);
    free(b->channel);
    free(b);
}

/* Adds those in `in` that are not in `out`. */
static void add_difference(struct channel *c, const struct hub_box_change *b, const struct geo_box *in,
                           const struct geo_box *out, void (*add)(struct frame_builder *b, struct publication *p),
                           struct frame_builder *builder)
{
    struct publication **list;
    size_t count = keyed_in_box(&c->keyed, in, out, KEYED_BY_OFFSET, &list);
    for (size_t i = 0; i < count; i++)
        if (filter_wants(b->filter, list[i]))
            add(builder, list[i]);
    free(list);
}

static void run_box_change(struct hub *hub, struct hub_call *call)
{
    struct hub_box_change *b = (struct hub_box_change *)call;
    struct channel *c = hub_channel_find(hub, bytes_of(b->channel));
    struct frame_builder builder;
    if (!c) {
        hub_call_finish(call);
        return;
    }
    channel_flush(c, 0);
    frame_builder_init(&builder, b->form, &c->frame);
    builder.unnumbered = true;
    add_difference(c, b, &b->from, &b->to, frame_builder_add_removal, &builder);
    add_difference(c, b, &b->to, &b->from, frame_builder_add, &builder);
    b->block = frame_builder_finish(&builder);
    b->found = true;
    b->position = channel_position(c);
    b->shift = c->frame.shift;
    b->unnumbered = c->frame.unnumbered;
    memcpy(b->epoch, c->epoch, sizeof b->epoch);
    c->used_ms = clock_mono_ms();
    hub_call_finish(call);
}
