/* The messages `positions`, `vehicles` and `left`, as the engine's view writes them: an item once, whoever sees it.
 *
 * The functions behind the forms run on loop threads and keep nothing. */
#ifndef REALTIMEMAP_BATCH_H
#define REALTIMEMAP_BATCH_H

#include "realtimemap.h"

/* Each kind of message with its protobuf form behind the JSON one. */
enum map_view_form {
    MAP_POSITIONS_JSON,
    MAP_POSITIONS_PROTOBUF,
    MAP_VEHICLES_JSON,
    MAP_VEHICLES_PROTOBUF,
    MAP_VIEW_FORMS
};

void map_batch_forms(const struct map_settings *s, struct crier_view_form out[MAP_VIEW_FORMS]);

#endif
