/* Time: monotonic for durations, wall clock for what people and brokers see. */
#ifndef CRIER_UTIL_CLOCK_H
#define CRIER_UTIL_CLOCK_H

#include "bytes.h"

CRIER_API uint64_t clock_mono_ns(void);
CRIER_API uint64_t clock_mono_ms(void);
/* Milliseconds since 1970 UTC. */
CRIER_API int64_t clock_wall_ms(void);

#endif
