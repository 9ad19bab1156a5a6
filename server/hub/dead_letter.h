/* Dead letters: records that no channel can take go to the source's dead-letter topic with the reason as headers.
 *
 * Hub thread only; a letter has copies of what it needs and lives until it is stored, or given up. */
#ifndef CRIER_HUB_DEAD_LETTER_H
#define CRIER_HUB_DEAD_LETTER_H

#include "hub/source.h"

/* Without a dead-letter topic the record is counted and logged. */
void dead_letter(struct source *s, const struct bridge_record *r, const char *reason);
/* Before the bridges close: letters that wait for another try are given up, unacknowledged. */
void dead_letters_cancel(struct source *s);

#endif
