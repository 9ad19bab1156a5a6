/* W3C Trace Context: the traceparent header. Pure but for the random span id.
 *     valid:   00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
 *     invalid: an id of zeros only, upper case, version ff, another length for version 00 */
#ifndef CRIER_UTIL_TRACE_H
#define CRIER_UTIL_TRACE_H

#include "bytes.h"

#define TRACEPARENT_SIZE 56

bool traceparent_valid(struct bytes text);
/* The same trace with a span id of this hop; false when `text` is not valid. */
bool traceparent_next(struct bytes text, char out[TRACEPARENT_SIZE]);

#endif
