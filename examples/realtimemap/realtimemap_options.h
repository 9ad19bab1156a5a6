/* The keys of the module's table in config.toml.
 *
 * Read once while the module sets up; texts are the server's and live as long as it does. */
#ifndef REALTIMEMAP_OPTIONS_H
#define REALTIMEMAP_OPTIONS_H

#include "realtimemap.h"

/* Fills the settings, with defaults where a key is missing; negative errno after crier_module_fail(). */
int map_options_read(struct crier *c, struct map_settings *ret);

#endif
