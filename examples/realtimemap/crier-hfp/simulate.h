/* The command `simulate`: the city in real time. */
#ifndef CRIER_HFP_SIMULATE_H
#define CRIER_HFP_SIMULATE_H

#include "options.h"

int simulate_run(const struct tool_options *o);

#endif
