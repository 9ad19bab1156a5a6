/* What a publisher says beside key and payload, as headers of the record, and back.
 *
 * Pure functions; views are into what they were read from. */
#ifndef CRIER_HUB_PUBLISH_HEADERS_H
#define CRIER_HUB_PUBLISH_HEADERS_H

#include "hub/headers.h"
#include "hub/publish.h"

#define PUBLISH_ID_HEADER "crier-id"
#define PUBLISH_DELTA_HEADER "crier-delta"     /* "1" */
#define PUBLISH_VERSION_HEADER "crier-version" /* "7", "7 EPOCH" */

void publish_write_headers(const struct hub_publish *p, struct header_list *out);
/* Reads PUBLISH_VERSION_HEADER; leaves the outputs alone when it is none. */
void publish_read_version(struct bytes header, uint64_t *ret_version, struct bytes *ret_epoch);

#endif
