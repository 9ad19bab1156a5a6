/* Dead letters: records that a source or relay cannot use go to a topic of their bridge, with the reason as headers.
 *
 * Hub thread only. `struct dead_letters` lives in its source or relay; a letter has copies of what it needs and lives
 * until it is stored, or given up. */
#ifndef CRIER_HUB_DEAD_LETTER_H
#define CRIER_HUB_DEAD_LETTER_H

#include "hub/bridge_instance.h"

struct hub;
struct letter;

struct dead_letters {
    struct hub *hub;
    struct bridge_instance *bridge; /* of the records, and of the topic */
    const char *topic;              /* "": none */
    /* The letter is stored or given up: its record is done. Not for one that the end cuts off: its record comes again. */
    void (*on_settled)(struct dead_letters *d, void *arg);
    size_t pending;         /* not yet settled */
    struct letter *waiting; /* those of them that wait for another try */
};

/* False: there is no topic, the record is counted and logged, and done. Else on_settled() follows, with `arg`. */
bool dead_letter(struct dead_letters *d, const struct bridge_record *r, const char *reason, void *arg);
/* Before the bridges close: letters that wait for another try are given up, unacknowledged. */
void dead_letters_cancel(struct dead_letters *d);

#endif
