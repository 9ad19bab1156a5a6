/* Headers of records: found by name, and kept beyond the call that brought them.
 *
 * A list owns copies of its headers; views into it are valid until the next change. */
#ifndef CRIER_HUB_HEADERS_H
#define CRIER_HUB_HEADERS_H

#include "bridges/bridge.h"
#include "util/template.h"

#define HEADERS_MAX 64 /* more of one record are not passed on */

struct header_list {
    struct buf text; /* name NUL value NUL ... */
    size_t count;
};

void header_list_done(struct header_list *l);
/* Leaves out one with a NUL inside, and those beyond HEADERS_MAX. */
void header_list_add(struct header_list *l, struct bytes name, struct bytes value);
/* All headers of a record. */
void header_list_add_record(struct header_list *l, const struct bridge_record *r);
/* Fills `out` and returns how many there are. */
size_t header_list_view(const struct header_list *l, struct bridge_header out[HEADERS_MAX]);

/* Value of a record's header; data NULL: none. */
struct bytes record_header(const struct bridge_record *r, struct bytes name);
/* What templates may use of a record, which has to outlive it. */
struct template_input record_template_input(const struct bridge_record *r);

#endif
