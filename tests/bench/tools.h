/* What the programs of the benchmark share: clock, stamps in payloads, latency histogram, WebSocket frames, CPU time.
 *
 * Deliberately none of the engine's code, so that a fault there cannot hide in the measurement. Everything is caller's
 * memory; a program that cannot go on ends with a line on standard error. */
#ifndef BENCH_TOOLS_H
#define BENCH_TOOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BENCH_SECOND INT64_C(1000000000)

_Noreturn void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
int64_t bench_now_ns(void); /* CLOCK_MONOTONIC: the same in all processes of a machine */
/* Soft limit of file descriptors up to the hard one. */
void bench_raise_fd_limit(void);
/* Run time of all threads of a process by the scheduler's account, 0 for pid 0. */
int64_t bench_process_cpu_ns(pid_t pid);
int64_t bench_resident_bytes(pid_t pid); /* 0 for pid 0 */
/* Value of "--NAME VALUE" on the command line, `fallback` when it is not there. */
const char *bench_arg(int argc, char **argv, const char *name, const char *fallback);
int64_t bench_arg_int(int argc, char **argv, const char *name, int64_t fallback);
double bench_arg_number(int argc, char **argv, const char *name, double fallback);
bool bench_arg_flag(int argc, char **argv, const char *name);

/* ---- stamps: "@<16 digits: ns>-<10 digits: sequence number>" anywhere in a payload ---- */

#define STAMP_SIZE 28

struct stamp {
    int64_t sent_ns;
    int64_t sequence;
};

void stamp_write(char out[STAMP_SIZE], struct stamp s);
bool stamp_find(const char *data, size_t len, struct stamp *ret);

/* ---- JSON object of a publication: {"t":"STAMP","p":"xxx"} of exactly `size` bytes ---- */

#define STAMPED_OBJECT_MIN (6 + STAMP_SIZE + 9)

/* Fills `out` (size bytes, at least STAMPED_OBJECT_MIN); returns where the stamp is to be written. */
char *stamped_object_init(char *out, size_t size);

/* ---- histogram: 32 steps a power of two, error under 3 percent ---- */

#define HISTOGRAM_STEPS 32
#define HISTOGRAM_POWERS 40

struct histogram {
    uint64_t count[HISTOGRAM_POWERS * HISTOGRAM_STEPS];
    uint64_t total;
    int64_t max;
};

void histogram_reset(struct histogram *h);
void histogram_add(struct histogram *h, int64_t value);
/* Upper end of the step that holds the given share (0 to 1) of the values. */
int64_t histogram_quantile(const struct histogram *h, double share);

/* ---- WebSocket frames ---- */

enum frame_opcode { FRAME_TEXT = 1, FRAME_BINARY = 2, FRAME_CLOSE = 8, FRAME_PING = 9, FRAME_PONG = 10 };

struct frame {
    unsigned opcode;
    bool final;
    char *payload; /* unmasked in place */
    size_t len;
};

#define FRAME_OVERHEAD_MAX 14

/* Takes the first frame out of `data`: its whole size, 0 while it is incomplete. */
size_t frame_next(char *data, size_t len, struct frame *ret);
/* Appends one final frame; a client's (masked) has the mask 0, which leaves the payload as it is. Returns its size. */
size_t frame_write(char *out, unsigned opcode, bool masked, const void *payload, size_t len);

#endif
