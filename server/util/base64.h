/* Base64 with padding (RFC 4648, 4). Pure functions. */
#ifndef CRIER_UTIL_BASE64_H
#define CRIER_UTIL_BASE64_H

#include "bytes.h"

void base64_append(struct buf *out, struct bytes data);
/* -EINVAL when `text` is not valid base64; nothing is appended then. */
int base64_decode(struct bytes text, struct buf *out);

#endif
