#include "filter.h"

#include <stdlib.h>
#include <utlist.h>

#include "proto/tag_filter.h"
#include "util/clock.h"

static bool same_tags(const struct tag_filter *a, const struct tag_filter *b)
{
    return a && b ? bytes_eq(tag_filter_text(a), tag_filter_text(b)) : a == b;
}

struct filter *filter_get(struct filter **list, struct bytes raw, enum channels_encoding encoding, bool notices,
                          const char **ret_reason)
{
    struct tag_filter *tags = NULL;
    struct filter *f = *list;
    if (raw.data && tag_filter_parse(raw, encoding, &tags, ret_reason) < 0)
        return NULL;
    while (f && !(f->notices == notices && same_tags(f->tags, tags)))
        f = f->next;
    if (f) {
        tag_filter_free(tags);
        f->refs++;
        return f;
    }
    f = xcalloc(1, sizeof *f);
    *f = (struct filter){.refs = 1, .tags = tags, .encoding = encoding, .notices = notices};
    if (raw.data)
        f->raw = (struct bytes){bytes_dup(raw), raw.len};
    LL_PREPEND(*list, f);
    return f;
}

void filter_unref(struct filter **list, struct filter *f)
{
    if (!f || --f->refs)
        return;
    LL_DELETE(*list, f);
    tag_filter_free(f->tags);
    free((char *)f->raw.data);
    free(f->wanted);
    free(f);
}

void filter_forget(struct filter *f)
{
    f->from = f->to = 0;
}

bool filter_wants_frame(const struct filter *f, const struct frame_log *log, uint64_t seq)
{
    if (!f)
        return true;
    const struct frame_facts facts = frame_log_facts(log, seq);
    if (facts.flags & FRAME_JOIN_LEAVE)
        return f->notices;
    return !f->tags || tag_filter_matches(f->tags, facts.tags);
}

static uint64_t *word_at(const struct filter *f, uint64_t seq)
{
    return &f->wanted[(seq & (f->capacity - 1)) / 64];
}

static bool verdict(const struct filter *f, uint64_t seq)
{
    return *word_at(f, seq) >> (seq & 63) & 1;
}

static void set_verdict(struct filter *f, uint64_t seq, bool wanted)
{
    uint64_t bit = UINT64_C(1) << (seq & 63);
    uint64_t *word = word_at(f, seq);
    *word = wanted ? *word | bit : *word & ~bit;
}

/* Room for the verdicts of all frames of the log. */
static void fit(struct filter *f, const struct frame_log *log)
{
    size_t capacity = log->mark_capacity < 64 ? 64 : log->mark_capacity;
    if (capacity <= f->capacity)
        return;
    struct filter old = *f;
    f->capacity = capacity;
    f->wanted = xcalloc(capacity / 64, sizeof *f->wanted);
    for (uint64_t seq = f->from; seq < f->to; seq++)
        set_verdict(f, seq, verdict(&old, seq));
    free(old.wanted);
}

#define CLOCK_EVERY 16 /* frames between two looks at the clock: so many are judged in any case */

static bool time_is_up(unsigned *judged, uint64_t deadline_ns)
{
    return ++*judged % CLOCK_EVERY == 0 && clock_mono_ns() > deadline_ns;
}

/* Judges what has not been, from `seq` to the head or as far as the time goes. False when it did not come down to `seq`. */
static bool catch_up(struct filter *f, const struct frame_log *log, uint64_t seq, uint64_t deadline_ns)
{
    unsigned judged = 0;
    if (f->from < log->base)
        f->from = log->base;
    if (f->to <= f->from)
        f->from = f->to = seq;
    fit(f, log);
    for (; f->from > seq && !time_is_up(&judged, deadline_ns); f->from--)
        set_verdict(f, f->from - 1, filter_wants_frame(f, log, f->from - 1));
    for (; f->from <= seq && f->to < log->head && !time_is_up(&judged, deadline_ns); f->to++)
        set_verdict(f, f->to, filter_wants_frame(f, log, f->to));
    return f->from <= seq;
}

/* First frame at or above `seq` whose verdict is `wanted`; a word of 64 at a time. */
static uint64_t first_with(const struct filter *f, uint64_t seq, bool wanted)
{
    while (seq < f->to) {
        uint64_t word = (wanted ? *word_at(f, seq) : ~*word_at(f, seq)) >> (seq & 63);
        if (word) {
            seq += (uint64_t)__builtin_ctzll(word);
            break;
        }
        seq += 64 - (seq & 63);
    }
    return seq < f->to ? seq : f->to;
}

void filter_next_run(struct filter *f, const struct frame_log *log, uint64_t seq, uint64_t deadline_ns,
                     uint64_t *ret_first, uint64_t *ret_end)
{
    *ret_first = *ret_end = seq;
    if (!catch_up(f, log, seq, deadline_ns))
        return;
    *ret_first = first_with(f, seq, true);
    *ret_end = first_with(f, *ret_first, false);
}
