/* Names of events and modes, shared by the two parsers and the writer of the simulator.
 *
 * Static tables. */
#ifndef REALTIMEMAP_HFP_NAMES_H
#define REALTIMEMAP_HFP_NAMES_H

#include "hfp.h"

/* Without regard to the case: topics write `vp`, payloads `VP`. */
enum hfp_event hfp_event_find(struct bytes name);
enum hfp_mode hfp_mode_find(struct bytes name);

#endif
