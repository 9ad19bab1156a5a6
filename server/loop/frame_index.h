/* Frames of a log by the cells in which their keys are and were: for many who look at the same frames through boxes.
 *
 * Belongs to a form, loop thread only. It covers one run of frames at a time, those of the pass at hand, and is made
 * anew by the first who looks at later ones. */
#ifndef CRIER_LOOP_FRAME_INDEX_H
#define CRIER_LOOP_FRAME_INDEX_H

#include "loop/frame_log.h"

struct frame_index {
    uint64_t from, to; /* frames [from, to) are in it */
    struct buf spots;  /* struct spot, in the order of their cells */
    struct buf others; /* uint64_t, ascending: frames that may concern any box */
    struct buf found;  /* uint64_t: of the last look */
};

void frame_index_done(struct frame_index *x);
/* The log begins anew, with other sequence numbers. */
void frame_index_forget(struct frame_index *x);
/* Frames of [from, end) that may concern the box, ascending, without those that surely do not; good until the next look.
 * (size_t)-1: it would cost more than to look at each. */
size_t frame_index_look(struct frame_index *x, const struct frame_log *log, const struct geo_box *box, uint64_t from,
                        uint64_t end, const uint64_t **ret);

#endif
