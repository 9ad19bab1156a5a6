/* Fossil deltas: a text as copies out of an earlier one and insertions.
 *
 * Pure functions, any thread; results are appended to the caller's buffer, on failure nothing is.
 *     delta  = number LF *( copy / insert ) number ";"     length of the target first, its checksum last
 *     copy   = number "@" number ","                       so many bytes of the source, from that offset
 *     insert = number ":" bytes
 *     number = digits 0-9 A-Z _ a-z ~ (0 to 63), most significant first
 *     checksum = sum of the target's big-endian 32-bit words modulo 2^32, the last one filled up with zeros */
#ifndef CRIER_PROTO_FOSSIL_H
#define CRIER_PROTO_FOSSIL_H

#include "util/bytes.h"

/* Appends the delta that makes `target` of `source`. -E2BIG when it would not be shorter than the target itself. With
 * `utf8_cuts` every insertion is whole characters, so that the delta is text like its target; -EILSEQ when that is
 * none. The work is linear in both lengths, whatever they hold. */
CRIER_API int fossil_delta(struct bytes source, struct bytes target, bool utf8_cuts, struct buf *out);

/* Appends what the delta makes of `source`. -EBADMSG when it is malformed or does not belong to this source, -E2BIG
 * when the target is longer than `limit_bytes`. */
CRIER_API int fossil_apply(struct bytes source, struct bytes delta, size_t limit_bytes, struct buf *out);

#endif
