#include "metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define THREADS_MAX 512

_Thread_local struct metrics_block *metrics_own;

static pthread_mutex_t blocks_lock = PTHREAD_MUTEX_INITIALIZER;
static struct metrics_block *blocks[THREADS_MAX];
static size_t block_count;

static const struct {
    const char *name, *type, *help;
} metric_info[METRIC_COUNT] = {
#define X(id, name, type, help) [id] = {name, type, help},
    METRICS(X)
#undef X
};

static const struct {
    const char *name, *help;
} histogram_info[HISTOGRAM_COUNT] = {
    [H_PUBLISH_LATENCY_MS] = {"crier_publish_latency_milliseconds", "Publish request to the broker's acknowledgement."},
    [H_LOOP_TURN_US] = {"crier_loop_turn_microseconds", "Work of a loop thread between two waits."},
    [H_HUB_TURN_US] = {"crier_hub_turn_microseconds", "Work of the hub thread between two waits."},
};

static const int close_codes[] = {1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1011, 1012,
                                  3000, 3001, 3005, 3008, 3503, 4000, 4401, 4408, 4429};
#define CLOSE_CODES (sizeof close_codes / sizeof *close_codes)

void metrics_thread_init(void)
{
    if (metrics_own)
        return;
    struct metrics_block *block = aligned_alloc(64, (sizeof *block + 63) / 64 * 64);
    if (!block)
        abort();
    memset(block, 0, sizeof *block);
    pthread_mutex_lock(&blocks_lock);
    if (block_count < THREADS_MAX)
        blocks[block_count++] = block;
    pthread_mutex_unlock(&blocks_lock);
    metrics_own = block;
}

static void bump(_Atomic(uint64_t) *v, uint64_t n)
{
    atomic_store_explicit(v, atomic_load_explicit(v, memory_order_relaxed) + n, memory_order_relaxed);
}

void metric_close(int code)
{
    size_t slot = 0;
    while (slot < CLOSE_CODES && close_codes[slot] != code)
        slot++;
    metrics_thread_init();
    bump(&metrics_own->closes[slot], 1);
}

void metric_observe(enum histogram_id id, uint64_t value)
{
    int bucket = value == 0 ? 0 : 64 - __builtin_clzll(value);
    if (bucket > HISTOGRAM_BUCKETS)
        bucket = HISTOGRAM_BUCKETS;
    metrics_thread_init();
    bump(&metrics_own->histogram[id][bucket], 1);
    bump(&metrics_own->histogram_sum[id], value);
}

int64_t metric_total(enum metric_id id)
{
    int64_t sum = 0;
    pthread_mutex_lock(&blocks_lock);
    for (size_t i = 0; i < block_count; i++)
        sum += atomic_load_explicit(&blocks[i]->values[id], memory_order_relaxed);
    pthread_mutex_unlock(&blocks_lock);
    return sum;
}

static void render_histogram(struct buf *out, enum histogram_id id)
{
    uint64_t counts[HISTOGRAM_BUCKETS + 1] = {0}, sum = 0, cumulative = 0;
    const char *name = histogram_info[id].name;

    pthread_mutex_lock(&blocks_lock);
    for (size_t i = 0; i < block_count; i++) {
        for (int b = 0; b <= HISTOGRAM_BUCKETS; b++)
            counts[b] += atomic_load_explicit(&blocks[i]->histogram[id][b], memory_order_relaxed);
        sum += atomic_load_explicit(&blocks[i]->histogram_sum[id], memory_order_relaxed);
    }
    pthread_mutex_unlock(&blocks_lock);

    buf_printf(out, "# HELP %s %s\n# TYPE %s histogram\n", name, histogram_info[id].help, name);
    for (int b = 0; b < HISTOGRAM_BUCKETS; b++) {
        cumulative += counts[b];
        buf_printf(out, "%s_bucket{le=\"%llu\"} %llu\n", name, (1ull << b) - 1, (unsigned long long)cumulative);
    }
    cumulative += counts[HISTOGRAM_BUCKETS];
    buf_printf(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %llu\n%s_count %llu\n", name, (unsigned long long)cumulative, name,
               (unsigned long long)sum, name, (unsigned long long)cumulative);
}

static void render_closes(struct buf *out)
{
    buf_append_str(out, "# HELP crier_closes_total WebSocket sessions closed, by close code.\n"
                        "# TYPE crier_closes_total counter\n");
    for (size_t slot = 0; slot <= CLOSE_CODES; slot++) {
        uint64_t sum = 0;
        pthread_mutex_lock(&blocks_lock);
        for (size_t i = 0; i < block_count; i++)
            sum += atomic_load_explicit(&blocks[i]->closes[slot], memory_order_relaxed);
        pthread_mutex_unlock(&blocks_lock);
        if (sum == 0)
            continue;
        if (slot < CLOSE_CODES)
            buf_printf(out, "crier_closes_total{code=\"%d\"} %llu\n", close_codes[slot], (unsigned long long)sum);
        else
            buf_printf(out, "crier_closes_total{code=\"other\"} %llu\n", (unsigned long long)sum);
    }
}

void metrics_render(struct buf *out)
{
    for (int id = 0; id < METRIC_COUNT; id++)
        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %lld\n", metric_info[id].name, metric_info[id].help,
                   metric_info[id].name, metric_info[id].type, metric_info[id].name, (long long)metric_total(id));
    render_closes(out);
    for (int id = 0; id < HISTOGRAM_COUNT; id++)
        render_histogram(out, id);
}
