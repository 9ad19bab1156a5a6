/* The partitions that a source reads: which log they are of, where it began, how far it got. */
#include <stdlib.h>

#include "hub/hub.h"
#include "hub/source_private.h"

struct partition *source_find_partition(struct source *s, struct bytes topic, int32_t number)
{
    struct partition *p = s->recent;
    if (p && p->number == number && bytes_eq_str(topic, p->topic))
        return p;
    for (p = s->partitions; p; p = p->hh.next)
        if (p->number == number && bytes_eq_str(topic, p->topic))
            return s->recent = p;
    return NULL;
}

/* A broker without positions, or one channel for all partitions of a topic. */
bool source_numbers_here(const struct source *s)
{
    bool merges = template_fields(s->channel) == 0 && (s->partition_count > 1 || HASH_COUNT(s->partitions) > 1);
    return merges || !bridge_instance_can(s->bridge, BRIDGE_POSITIONED);
}

struct partition *source_partition_for(struct source *s, const char *epoch)
{
    struct partition *p = NULL;
    if (source_numbers_here(s))
        return NULL;
    HASH_FIND_STR(s->partitions, epoch, p);
    if (!p && s->partition_count == 1 && HASH_COUNT(s->partitions) == 1)
        p = s->partitions;
    return p && p->started ? p : NULL;
}

void source_find_numbering(struct channel *c, struct source *s, const char *epoch)
{
    if (c->numbering != NUMBERED_NOT_YET)
        return;
    struct partition *p = s ? source_partition_for(s, epoch) : NULL;
    if (p)
        channel_number_by(c, p);
    else if (!s || source_numbers_here(s))
        channel_number_here(c);
}

void source_drop_partition(struct source *s, struct partition *p)
{
    HASH_DEL(s->partitions, p);
    if (s->recent == p)
        s->recent = NULL;
    free(p->topic);
    free(p);
}

/* A new incarnation of the log (a topic made anew) has other offsets: channels that count by the old one start over. */
static void replace_partition(struct source *s, struct partition *old)
{
    struct channel *c, *next;
    HASH_ITER(hh, s->hub->channels, c, next)
        if (c->origin == old)
            channel_number_here(c);
    source_drop_partition(s, old);
}

void source_begin_partition(struct partition *p, int64_t offset)
{
    if (offset < 0)
        return;
    p->started = true;
    p->start = offset;
    p->last = offset - 1;
}

void source_on_assigned(struct bridge_consumer *consumer, struct bytes topic, int32_t number, int32_t partitions,
                        struct bytes epoch_seed, int64_t oldest, int64_t end)
{
    struct source *s = (struct source *)consumer;
    char epoch[CHANNEL_EPOCH_SIZE];

    s->partition_count = partitions;
    epoch_of_partition(epoch_seed, topic, number, epoch);
    struct partition *p = source_find_partition(s, topic, number);
    bool shrunk = p && p->started && end >= 0 && end <= p->last;
    if (p && (shrunk || strcmp(p->epoch, epoch) != 0)) {
        log_warn("the log begins anew: positions of its channels are no longer good", LOG_BYTES("topic", topic),
                 LOG_INT("partition", number), LOG_INT("had", p->last), LOG_INT("end", end));
        replace_partition(s, p);
        p = NULL;
    }
    if (!p) {
        p = xcalloc(1, sizeof *p);
        p->source = s;
        p->topic = bytes_dup(topic);
        p->number = number;
        p->start = p->last = p->forgotten = -1;
        p->lost = INT64_MIN;
        memcpy(p->epoch, epoch, sizeof epoch);
        HASH_ADD_STR(s->partitions, epoch, p);
    }
    p->end = end;
    p->away = p->started && s->config->mode == SOURCE_SHARED;
    if (p->started)
        return; /* reassigned: it goes on where it was */
    if (s->from == BRIDGE_FROM_LATEST || oldest == end)
        source_begin_partition(p, end);
    else if (s->from == BRIDGE_FROM_EARLIEST)
        source_begin_partition(p, oldest);
    /* From a time or a group's position on: the first record tells, or on_caught_up() when there is none. */
}

/* Another member of the group had the records in between: memory has a hole, and says so. */
static void note_hole(struct source *s, struct partition *p, int64_t offset)
{
    struct channel *c, *next;
    if (offset <= p->last + 1)
        return;
    p->forgotten = offset - 1;
    HASH_ITER(hh, s->hub->channels, c, next)
        if (c->origin == p)
            channel_drop_history(c, offset - 1);
}

bool source_seen_before(struct source *s, struct partition *p, int64_t offset)
{
    if (offset < 0)
        return false;
    if (!p->started)
        source_begin_partition(p, offset);
    if (p->away)
        note_hole(s, p, offset);
    p->away = false;
    return offset <= p->last;
}
