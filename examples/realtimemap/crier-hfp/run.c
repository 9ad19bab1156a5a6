#include "run.h"

#include "util/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define REPORT_MS    60000
#define SLEEP_MAX_MS 100

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
    (void)number;
    ended = 1;
}

static void take_signals(bool with_parent)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    /* A parent that ended before this call is seen by whose child we are now. */
    if (with_parent && (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() == 1))
        ended = 1;
}

int run_begin(struct run *r, const struct tool_options *o, bool reliable)
{
    *r = (struct run){0};
    take_signals(o->with_parent);
    int code = output_new(o, reliable, &r->output);
    r->started_ms = clock_mono_ms();
    r->report_at_ms = r->started_ms + REPORT_MS;
    r->end_at_ms = o->duration_ms ? r->started_ms + (uint64_t)o->duration_ms : 0;
    return code;
}

bool run_over(const struct run *r)
{
    return ended || (r->end_at_ms && clock_mono_ms() >= r->end_at_ms);
}

static void report(struct run *r, uint64_t now_ms)
{
    double seconds = (double)(now_ms - r->report_at_ms + REPORT_MS) / 1000;
    fprintf(stderr, "crier-hfp: %" PRIu64 " messages, %.0f a second, %" PRIu64 " lost\n", r->messages,
            (double)(r->messages - r->reported) / seconds, r->lost);
    r->reported = r->messages;
    r->report_at_ms = now_ms + REPORT_MS;
}

void run_sleep_until(struct run *r, uint64_t mono_ms)
{
    uint64_t now = clock_mono_ms();
    if (now >= r->report_at_ms)
        report(r, now);
    while (!run_over(r) && now < mono_ms) {
        uint64_t ms = mono_ms - now < SLEEP_MAX_MS ? mono_ms - now : SLEEP_MAX_MS;
        nanosleep(&(struct timespec){0, (long)ms * 1000000}, NULL);
        now = clock_mono_ms();
    }
}

int run_end(struct run *r, int verdict)
{
    struct output_counts counts;
    uint64_t ms = clock_mono_ms() - r->started_ms;
    r->output->ops->close(r->output, &counts);
    fprintf(stderr,
            "crier-hfp: %" PRIu64 " messages (%" PRIu64 " positions) in %.1f s; %" PRIu64 " taken, %" PRIu64
            " lost, %" PRIu64 " refused\n",
            r->messages, r->positions, (double)ms / 1000, counts.sent, r->lost + counts.lost, counts.refused);
    if (verdict == -EACCES)
        return TOOL_NO_PERMISSION;
    return counts.connected || ended || r->messages == 0 ? TOOL_OK : TOOL_UNAVAILABLE;
}
