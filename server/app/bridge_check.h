/* Checks the configuration against what the drivers can do, without opening a connection.
 *
 * Used by `crier check` and before `crier run` starts. */
#ifndef CRIER_APP_BRIDGE_CHECK_H
#define CRIER_APP_BRIDGE_CHECK_H

#include "config/config.h"

/* Appends lines as config_load() does; the column is that of the table. */
void bridge_check_all(const struct config *c, struct buf *faults, struct buf *notes);

#endif
