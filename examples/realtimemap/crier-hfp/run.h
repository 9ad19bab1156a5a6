/* What both commands share while they run: the end by signal or time, the line that says how it goes.
 *
 * A struct run is the caller's memory; one a process. */
#ifndef CRIER_HFP_RUN_H
#define CRIER_HFP_RUN_H

#include "output.h"

struct run {
    struct output *output;
    uint64_t started_ms, report_at_ms, reported;
    uint64_t end_at_ms; /* 0: none */
    uint64_t messages, positions, lost;
};

/* Opens the output and takes the signals. Returns 0, or the exit code. */
int run_begin(struct run *r, const struct tool_options *o, bool reliable);
/* True once a signal or the end of the time has come. */
bool run_over(const struct run *r);
/* Sleeps until a monotonic time, or less when it is over; reports now and then. */
void run_sleep_until(struct run *r, uint64_t mono_ms);
/* Hands over the last messages, says the sums; the exit code. `verdict` is what the output said last. */
int run_end(struct run *r, int verdict);

#endif
