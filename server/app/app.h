/* The running server: builds the engine, runs the hub on the main thread, and takes everything down in order. */
#ifndef CRIER_APP_APP_H
#define CRIER_APP_APP_H

#include "config/config.h"

/* Serves until a signal ends it. Returns the process's exit code. */
int app_run(const struct config *config, const char *ready_file);

#endif
