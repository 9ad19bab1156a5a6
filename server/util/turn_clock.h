/* How long the turns of a uv loop keep its thread busy, the calls for sockets included.
 *
 * From one lap to the next, less what the loop has slept in between. It lives beside the loop and belongs to its thread. */
#ifndef CRIER_UTIL_TURN_CLOCK_H
#define CRIER_UTIL_TURN_CLOCK_H

#include <uv.h>

struct turn_clock {
    uint64_t lap_ns;  /* when the last turn ended; 0 none has */
    uint64_t idle_ns; /* what the loop had slept in all by then */
};

/* Before the loop runs: it counts its sleep from then on. */
void turn_clock_init(struct turn_clock *t, uv_loop_t *loop);
/* At the end of each turn, which is before the loop sleeps. Microseconds; 0 for the first. */
uint64_t turn_clock_lap(struct turn_clock *t, const uv_loop_t *loop);

#endif
