#include "turn_clock.h"

#include "clock.h"

void turn_clock_init(struct turn_clock *t, uv_loop_t *loop)
{
    *t = (struct turn_clock){0};
    uv_loop_configure(loop, UV_METRICS_IDLE_TIME);
}

uint64_t turn_clock_lap(struct turn_clock *t, const uv_loop_t *loop)
{
    struct turn_clock last = *t;
    *t = (struct turn_clock){.lap_ns = clock_mono_ns(), .idle_ns = uv_metrics_idle_time((uv_loop_t *)loop)};
    return last.lap_ns ? (t->lap_ns - last.lap_ns - (t->idle_ns - last.idle_ns)) / 1000 : 0;
}
