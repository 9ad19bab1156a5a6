/* One scalar out of a JSON text, by path, without building a tree and without allocating.
 *
 * It reads only as far as it has to and does not validate the rest. Views point into the text. */
#ifndef CRIER_UTIL_JSON_PATH_H
#define CRIER_UTIL_JSON_PATH_H

#include "bytes.h"

enum json_kind { JSON_PATH_STRING, JSON_PATH_NUMBER, JSON_PATH_BOOL };

struct json_scalar {
    enum json_kind kind;
    struct bytes raw; /* a string's content still escaped, without quotes; numbers and booleans as they stand */
};

/* Follows `names` through nested objects. -ENOENT when a name is absent, when the value is null, an object or an array,
 * and when the text is no JSON as far as it was read. Of two members with one name the first counts. */
CRIER_API int json_path_find(struct bytes json, const struct bytes *names, size_t count, struct json_scalar *ret);
/* Appends the value, strings unescaped to UTF-8. -ENOENT on a malformed escape; `out` may have grown then. */
CRIER_API int json_scalar_append(const struct json_scalar *value, struct buf *out);

#endif
