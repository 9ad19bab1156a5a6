/* A small blocking HTTP/1.1 client for the command line: one server, one connection kept open between requests.
 *
 * Plain http only; the client owns its socket. */
#ifndef CRIER_APP_HTTP_CLIENT_H
#define CRIER_APP_HTTP_CLIENT_H

#include "util/bytes.h"

struct http_client;

struct http_reply {
    int status;
    struct buf body; /* NUL-terminated, which len does not count */
};

/* `url` as http://HOST:PORT; NULL with a reason in `error` when it is none. Connects with the first request. */
struct http_client *http_client_new(const char *url, const char *api_key, char *error, size_t error_size);
void http_client_free(struct http_client *c); /* accepts NULL */
/* Waits `timeout_s` for an answer at most. Returns 0 and fills `reply` (buf_done() its body), or negative errno:
 * -ECONNREFUSED, -ETIMEDOUT, -EPROTO for an answer that is no HTTP, ... */
int http_client_request(struct http_client *c, const char *method, const char *target, struct bytes body, int timeout_s,
                        struct http_reply *reply);
/* Appends text as one part of a path or query: everything that is not unreserved or ':' percent-encoded. */
void http_append_escaped(struct buf *out, const char *text);

#endif
