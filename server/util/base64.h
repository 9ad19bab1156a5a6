/* Base64 with padding (RFC 4648, 4), and the form without it that tokens have (5). Pure functions. */
#ifndef CRIER_UTIL_BASE64_H
#define CRIER_UTIL_BASE64_H

#include "bytes.h"

void base64_append(struct buf *out, struct bytes data);
/* -EINVAL when `text` is not valid base64; nothing is appended then. */
int base64_decode(struct bytes text, struct buf *out);
CRIER_API void base64url_append(struct buf *out, struct bytes data);
/* The same; text that leaves bits over, which would be a second spelling of the same bytes, is not valid. */
CRIER_API int base64url_decode(struct bytes text, struct buf *out);

#endif
