#include "simulate.h"

#include "city.h"
#include "run.h"
#include "util/clock.h"

#include <errno.h>
#include <stdio.h>

#define SLICE_MS      20
#define BEHIND_MAX_MS 5000 /* after a longer halt of the machine it goes on from now */

struct simulation {
    struct run run;
    struct city *city;
    int verdict;
};

static void on_message(const struct city_message *m, void *arg)
{
    struct simulation *s = arg;
    const struct output_message out = {m->topic, m->payload, bytes_of(m->vehicle)};
    int r = s->run.output->ops->send(s->run.output, &out);
    s->run.messages++;
    s->run.positions += m->event == HFP_VP && !m->duplicate;
    s->run.lost += r != 0;
    if (r == -EACCES)
        s->verdict = r;
}

/* Vehicles take their turns one after the other, each once an interval: the sending is even. */
static void drive(struct simulation *s, const struct tool_options *o)
{
    double interval_ms = 1000 / o->rate;
    uint64_t start_ms = s->run.started_ms, turn = 0;
    uint64_t last =
        o->duration_ms ? (uint64_t)((double)o->duration_ms / interval_ms * (double)o->vehicles + 0.5) : UINT64_MAX;
    int64_t wall_ms = clock_wall_ms() - (int64_t)start_ms;
    s->run.end_at_ms = 0; /* turns are counted instead */
    while (turn < last && !run_over(&s->run) && !s->verdict) {
        uint64_t now = clock_mono_ms();
        uint64_t due = start_ms + (uint64_t)((double)turn / (double)o->vehicles * interval_ms);
        if (now > due + BEHIND_MAX_MS)
            start_ms += now - due;
        for (; due <= now && turn < last;
             due = start_ms + (uint64_t)((double)turn / (double)o->vehicles * interval_ms)) {
            city_step(s->city, (size_t)(turn % o->vehicles), wall_ms + (int64_t)due, on_message, s);
            turn++;
        }
        if (s->run.output->ops->flush(s->run.output) == -EACCES)
            s->verdict = -EACCES;
        run_sleep_until(&s->run, now + SLICE_MS);
    }
}

int simulate_run(const struct tool_options *o)
{
    char error[200];
    struct simulation s = {0};
    struct city_options options = {o->vehicles, o->seed, clock_wall_ms() - (int64_t)(1000 / o->rate)};
    s.city = city_new(&options, error, sizeof error);
    if (!s.city) {
        fprintf(stderr, "crier-hfp: %s\n", error);
        return TOOL_UNAVAILABLE;
    }
    int r = run_begin(&s.run, o, false);
    if (r == 0) {
        drive(&s, o);
        r = run_end(&s.run, s.verdict);
    }
    city_free(s.city);
    return r;
}
