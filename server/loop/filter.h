/* What a subscription wants of a channel's frames, judged once per frame for all subscriptions that want the same.
 *
 * Shared by the subscriptions of one form of a channel, loop thread only. A verdict is a bit at the frame's sequence
 * number; bits are kept for what the frame log holds. */
#ifndef CRIER_LOOP_FILTER_H
#define CRIER_LOOP_FILTER_H

#include "loop/frame_log.h"

struct tag_filter;

struct filter {
    struct filter *next; /* of the form */
    unsigned refs;
    struct tag_filter *tags; /* NULL: whatever tags */
    struct bytes raw;        /* what it was made of; data NULL where there are no tags */
    enum channels_encoding encoding;
    bool notices;      /* joins and leaves */
    uint64_t from, to; /* frames [from, to) are judged */
    uint64_t *wanted;  /* ring of bits */
    size_t capacity;   /* of bits, power of two, 64 at least */
};

/* The one of the list that wants the same, or a new one there. `raw`: a FilterNode in that encoding, data NULL: whatever
 * tags. NULL when it is none, with a static reason. A reference of the caller's. */
struct filter *filter_get(struct filter **list, struct bytes raw, enum channels_encoding encoding, bool notices,
                          const char **ret_reason);
/* Accepts NULL. */
void filter_unref(struct filter **list, struct filter *f);
/* Whether it wants the frame `seq`, judged anew; `f` NULL: everything. */
bool filter_wants_frame(const struct filter *f, const struct frame_log *log, uint64_t seq);
/* The log begins anew, with other sequence numbers. */
void filter_forget(struct filter *f);
/* The first run of wanted frames at or above `seq` (base <= seq <= head): [*ret_first, *ret_end), empty at the head when
 * there is none. Frames are judged until `deadline_ns` (monotonic): an empty run below the head is as far as that went. */
void filter_next_run(struct filter *f, const struct frame_log *log, uint64_t seq, uint64_t deadline_ns,
                     uint64_t *ret_first, uint64_t *ret_end);

#endif
