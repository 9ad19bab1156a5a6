/* How many vehicles there are in all, and of each mode, line and operator.
 *
 * Hub thread only. Counts that changed are handed out by counts_flush(). */
#ifndef REALTIMEMAP_COUNTS_H
#define REALTIMEMAP_COUNTS_H

#include "realtimemap_fleet.h"

struct counts;
struct counts *counts_new(void);
void counts_free(struct counts *c); /* accepts NULL */
/* The vehicle counts under what `now` says, and no more under what `was` says; either may be NULL. */
void counts_move(struct counts *c, const struct fleet_vehicle *was, const struct fleet_vehicle *now);
/* Calls `fn` for each count that changed since the last time; zero means that nothing counts under this key any more. */
void counts_flush(struct counts *c, void (*fn)(const char *key, size_t vehicles, void *arg), void *arg);

#endif
