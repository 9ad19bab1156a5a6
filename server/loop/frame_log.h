/* A channel's newest publications on one loop in one form: framed bytes, contiguous in memory, with a mark per frame and
 * what filters look at.
 *
 * A subscriber is a cursor: the sequence number of the next frame it wants. Owned by its loop channel, loop thread only;
 * pointers into the log are valid until the next append. */
#ifndef CRIER_LOOP_FRAME_LOG_H
#define CRIER_LOOP_FRAME_LOG_H

#include "hub/frame.h"
#include "loop/byte_run.h"

struct frame_log {
    struct byte_run bytes;
    struct byte_run texts;        /* keys and tags */
    struct frame_log_mark *marks; /* ring */
    struct frame_log_meta *metas; /* ring beside it; NULL before the first block that has any */
    size_t mark_capacity;         /* power of two */
    uint64_t base, head;          /* sequence numbers: frames [base, head) are here */
    int64_t base_offset;          /* channel offset before the first frame here */
    size_t limit_bytes;
    bool bare;                    /* keeps no metas: nobody filters here */
};

struct frame_log_mark {
    uint64_t end_pos;
    int64_t offset;
};

struct frame_log_meta {
    uint64_t text_pos; /* of the key; the tags follow it */
    struct frame_meta meta;
};

void frame_log_init(struct frame_log *log, size_t limit_bytes, int64_t base_offset);
void frame_log_done(struct frame_log *log);
/* Forgets all frames; sequence numbers go on. */
void frame_log_reset(struct frame_log *log, int64_t base_offset);
/* Appends a block; older frames leave when the bytes would pass the limit (the block itself always fits). */
void frame_log_append(struct frame_log *log, const struct frame_block *block);

/* Channel offset that a client has which got every frame below `seq` (base <= seq <= head). */
int64_t frame_log_offset_before(const struct frame_log *log, uint64_t seq);
/* Sequence number of the first frame above a channel offset, looking from `from` on (base <= from <= head); the offsets
 * there have to ascend. */
uint64_t frame_log_seek(const struct frame_log *log, uint64_t from, int64_t offset);
/* Bytes of the frames from `seq` on, whole frames only: all up to the head or as many as fit into `limit`, at least one.
 * `ret_next` is the sequence number after them. */
struct bytes frame_log_slice(const struct frame_log *log, uint64_t seq, size_t limit, uint64_t *ret_next);
/* Bytes of the frames [first, next). */
struct bytes frame_log_between(const struct frame_log *log, uint64_t first, uint64_t next);
/* Of the frame `seq`, without its texts; NULL where no frame has anything to say. For those who look at many. */
static inline const struct frame_meta *frame_log_meta(const struct frame_log *log, uint64_t seq)
{
    return log->metas ? &log->metas[seq & (log->mark_capacity - 1)].meta : NULL;
}
/* Of the frame `seq` (base <= seq < head); views into the log. */
struct frame_facts frame_log_facts(const struct frame_log *log, uint64_t seq);

#endif
