/* Records on their way from the store to the hub, and the stored form of headers.
 *
 * A set either copies what it is given (rows of the store) or points to it (publishes of the batch that is handed
 * over); its records are valid after emb_record_set_seal() until emb_record_set_done(). */
#ifndef CRIER_EMBEDDED_RECORD_SET_H
#define CRIER_EMBEDDED_RECORD_SET_H

#include "bridge.h"
#include "embedded/store.h"

struct record_set {
    struct bridge_record *records;
    size_t count, capacity;
    struct bridge_header *headers; /* of copied records */
    size_t header_count;
    struct buf data; /* what copied records point to */
};

/* Copies; the record points to nothing before emb_record_set_seal(). */
void emb_record_set_copy(struct record_set *set, int32_t partition, const struct store_record *r);
void emb_record_set_point(struct record_set *set, const struct bridge_record *r);
/* -EBADMSG where the headers of a copied record are damaged; it has none then. */
int emb_record_set_seal(struct record_set *set, struct bytes topic);
void emb_record_set_done(struct record_set *set);

/* Stored headers: for each the lengths of name and value (4 bytes, little-endian; 0xffffffff: value absent), both. */
size_t emb_headers_size(const struct bridge_header *headers, size_t count);
/* Writes emb_headers_size() bytes; `ret_views`, when given, gets the same headers pointing into them. */
void emb_headers_encode(const struct bridge_header *headers, size_t count, char *out, struct bridge_header *ret_views);
/* Number of headers, or -EBADMSG. At most `capacity` of them are written to `out`. */
ssize_t emb_headers_decode(struct bytes encoded, struct bridge_header *out, size_t capacity);

#endif
