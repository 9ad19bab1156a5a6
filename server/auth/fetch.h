/* One GET over http or https, for key sets: no redirects, no cookies, an answer of bounded size and time.
 *
 * Blocks; for threads that may. */
#ifndef CRIER_AUTH_FETCH_H
#define CRIER_AUTH_FETCH_H

#include "util/bytes.h"

struct fetch {
    const char *url;
    int timeout_ms;
    size_t limit_bytes; /* of head and body */
    int cancel_fd;      /* readable: give up; -1 none */
};

/* 0 with the body of an answer with status 200; else negative errno with a reason. Certificates are checked against the
 * system's authorities, or those that SSL_CERT_FILE names. */
CRIER_API int fetch_get(const struct fetch *f, struct buf *ret_body, char *error, size_t error_size);

#endif
