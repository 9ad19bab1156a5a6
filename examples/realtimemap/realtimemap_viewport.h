/* The messages `viewport`, `positions`, `vehicles`, `left` and `notification`: what the engine's view sends, and how a
 * client asks for it.
 *
 * The view is made in the module's set-up; handlers run on loop threads and keep nothing. */
#ifndef REALTIMEMAP_VIEWPORT_H
#define REALTIMEMAP_VIEWPORT_H

#include "realtimemap.h"

int map_viewport_register(struct map *m);

#endif
