#include "tools.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

_Noreturn void bench_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

int64_t bench_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * BENCH_SECOND + t.tv_nsec;
}

void bench_raise_fd_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int64_t task_cpu_ns(pid_t pid, const char *task)
{
    char path[64];
    long long run_ns = 0;
    snprintf(path, sizeof(path), "/proc/%d/task/%.16s/schedstat", (int)pid, task);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    if (fscanf(f, "%lld", &run_ns) != 1)
        run_ns = 0;
    fclose(f);
    return run_ns;
}

/* /proc/PID/schedstat is the main thread's alone, so the threads are summed. */
int64_t bench_process_cpu_ns(pid_t pid)
{
    char path[32];
    int64_t sum = 0;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *tasks = pid ? opendir(path) : NULL;
    if (!tasks)
        return 0;
    for (struct dirent *e; (e = readdir(tasks));)
        if (e->d_name[0] != '.')
            sum += task_cpu_ns(pid, e->d_name);
    closedir(tasks);
    return sum;
}

int64_t bench_resident_bytes(pid_t pid)
{
    char path[32];
    long long pages = 0;
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    FILE *f = pid ? fopen(path, "re") : NULL;
    if (!f)
        return 0;
    if (fscanf(f, "%*s %lld", &pages) != 1)
        pages = 0;
    fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

const char *bench_arg(int argc, char **argv, const char *name, const char *fallback)
{
    for (int i = 1; i + 1 < argc; i++)
        if (strncmp(argv[i], "--", 2) == 0 && strcmp(argv[i] + 2, name) == 0)
            return argv[i + 1];
    return fallback;
}

double bench_arg_number(int argc, char **argv, const char *name, double fallback)
{
    const char *text = bench_arg(argc, argv, name, NULL);
    char *end = NULL;
    if (!text)
        return fallback;
    double value = strtod(text, &end);
    if (end == text || *end)
        bench_fail("--%s %s: a number is needed", name, text);
    return value;
}

int64_t bench_arg_int(int argc, char **argv, const char *name, int64_t fallback)
{
    return (int64_t)bench_arg_number(argc, argv, name, (double)fallback);
}

bool bench_arg_flag(int argc, char **argv, const char *name)
{
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "--", 2) == 0 && strcmp(argv[i] + 2, name) == 0)
            return true;
    return false;
}

static void digits_write(char *out, size_t width, int64_t value)
{
    for (; width; value /= 10)
        out[--width] = (char)('0' + value % 10);
}

static bool digits_read(const char *text, size_t width, int64_t *ret)
{
    int64_t value = 0;
    for (size_t i = 0; i < width; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (text[i] - '0');
    }
    *ret = value;
    return true;
}

void stamp_write(char out[STAMP_SIZE], struct stamp s)
{
    out[0] = '@';
    digits_write(out + 1, 16, s.sent_ns);
    out[17] = '-';
    digits_write(out + 18, 10, s.sequence);
}

bool stamp_find(const char *data, size_t len, struct stamp *ret)
{
    const char *end = data + len;
    for (const char *p = data; (p = memchr(p, '@', (size_t)(end - p))); p++) {
        if (end - p < STAMP_SIZE)
            return false;
        if (p[17] == '-' && digits_read(p + 1, 16, &ret->sent_ns) && digits_read(p + 18, 10, &ret->sequence))
            return true;
    }
    return false;
}

char *stamped_object_init(char *out, size_t size)
{
    if (size < STAMPED_OBJECT_MIN)
        bench_fail("a payload needs %d bytes or more, not %zu", STAMPED_OBJECT_MIN, size);
    memset(out, 'x', size);
    memcpy(out, "{\"t\":\"", 6);
    memcpy(out + 6 + STAMP_SIZE, "\",\"p\":\"", 7);
    memcpy(out + size - 2, "\"}", 2);
    return out + 6;
}

void histogram_reset(struct histogram *h)
{
    memset(h, 0, sizeof(*h));
}

static size_t histogram_step(uint64_t value)
{
    if (value < HISTOGRAM_STEPS)
        return value;
    unsigned power = 63 - (unsigned)__builtin_clzll(value); /* 5 or more */
    size_t step = (size_t)(power - 4) * HISTOGRAM_STEPS + (size_t)((value >> (power - 5)) - HISTOGRAM_STEPS);
    return step < HISTOGRAM_POWERS * HISTOGRAM_STEPS ? step : HISTOGRAM_POWERS * HISTOGRAM_STEPS - 1;
}

static int64_t histogram_step_end(size_t step)
{
    if (step < HISTOGRAM_STEPS)
        return (int64_t)step;
    size_t shift = step / HISTOGRAM_STEPS - 1;
    return (int64_t)((step % HISTOGRAM_STEPS + HISTOGRAM_STEPS + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, int64_t value)
{
    if (value < 0)
        value = 0;
    h->count[histogram_step((uint64_t)value)]++;
    h->total++;
    if (value > h->max)
        h->max = value;
}

int64_t histogram_quantile(const struct histogram *h, double share)
{
    uint64_t wanted = (uint64_t)((double)h->total * share), seen = 0;
    for (size_t i = 0; i < HISTOGRAM_POWERS * HISTOGRAM_STEPS; i++) {
        seen += h->count[i];
        if (seen > wanted || (seen == h->total && seen))
            return histogram_step_end(i) < h->max ? histogram_step_end(i) : h->max;
    }
    return 0;
}

static uint64_t big_endian(const char *data, size_t width)
{
    uint64_t value = 0;
    for (size_t i = 0; i < width; i++)
        value = value << 8 | (unsigned char)data[i];
    return value;
}

size_t frame_next(char *data, size_t len, struct frame *ret)
{
    if (len < 2)
        return 0;
    bool masked = data[1] & 0x80;
    size_t short_len = (size_t)(data[1] & 0x7f), width = short_len == 126 ? 2 : short_len == 127 ? 8 : 0;
    size_t head = 2 + width + (masked ? 4 : 0);
    if (len < head)
        return 0;
    uint64_t payload_len = width ? big_endian(data + 2, width) : short_len;
    if (payload_len > len - head)
        return 0;
    *ret = (struct frame){(unsigned)data[0] & 15, data[0] & 0x80, data + head, (size_t)payload_len};
    for (size_t i = 0; masked && i < payload_len; i++)
        ret->payload[i] ^= data[head - 4 + (i & 3)];
    return head + (size_t)payload_len;
}

size_t frame_write(char *out, unsigned opcode, bool masked, const void *payload, size_t len)
{
    size_t head = 2;
    out[0] = (char)(0x80 | opcode);
    out[1] = (char)((masked ? 0x80 : 0) | (len < 126 ? len : len < 65536 ? 126 : 127));
    size_t width = len < 126 ? 0 : len < 65536 ? 2 : 8;
    for (size_t i = 0; i < width; i++)
        out[head++] = (char)((uint64_t)len >> (8 * (width - 1 - i)));
    if (masked) {
        memset(out + head, 0, 4);
        head += 4;
    }
    memcpy(out + head, payload, len);
    return head + len;
}
