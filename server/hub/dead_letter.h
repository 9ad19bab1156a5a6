/* Dead letters: records that no channel can take go to the source's dead-letter topic with the reason as headers.
 *
 * Hub thread only; copies what it needs of the record. */
#ifndef CRIER_HUB_DEAD_LETTER_H
#define CRIER_HUB_DEAD_LETTER_H

#include "hub/source.h"

/* Without a dead-letter topic the record is counted and logged. */
void dead_letter(struct source *s, const struct bridge_record *r, const char *reason);

#endif
