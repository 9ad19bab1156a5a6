/* HTTP/1.1 request parser of the server's side (RFC 9110, 9112), strict: what two readers could read in two ways is refused.
 *
 * Works on bytes the caller holds; the views of a parsed head point into them. Pure functions, no I/O.
 *     refused with 400: bare LF, obs-fold, space before the colon, control bytes, two Host fields or none,
 *                       Content-Length that is not plain digits or comes twice, Content-Length with Transfer-Encoding
 *     501: a transfer coding other than chunked    505: not HTTP/1.0 or 1.1    431: more than HTTP1_FIELDS_MAX fields */
#ifndef CRIER_PROTO_HTTP1_H
#define CRIER_PROTO_HTTP1_H

#include <sys/types.h>

#include "util/bytes.h"

#define HTTP1_FIELDS_MAX 64

struct http1_field {
    struct bytes name, value; /* value without surrounding blanks */
};

struct http1_head {
    struct bytes method;
    struct bytes path;  /* raw, starts with '/'; "*" only for OPTIONS */
    struct bytes query; /* raw, without '?'; data NULL: none */
    struct bytes host;  /* data NULL: none (HTTP/1.0) */
    int minor;          /* HTTP/1.minor */
    int64_t content_length; /* -1 none */
    bool chunked, keep_alive, expect_continue;
    size_t field_count;
    struct http1_field fields[HTTP1_FIELDS_MAX];
};

/* Size of the head up to and with its empty line; 0 when it is not complete; -400 at a byte that no head may contain.
 * *scanned remembers between calls (0 at first) how far it looked. */
ssize_t http1_head_end(const char *data, size_t len, size_t *scanned);
/* Parses a complete head. Returns 0, or the negative HTTP status of the refusal. */
int http1_head_parse(const char *head, size_t len, struct http1_head *ret);

/* First field of that name (case-insensitive); data NULL when there is none. */
struct bytes http1_field_get(const struct http1_head *h, const char *name);
/* Is `token` (case-insensitive) an element of any of the comma-separated lists in the fields of that name? */
bool http1_field_has_token(const struct http1_head *h, const char *name, const char *token);
/* Splits the next element off a comma-separated list, without blanks around; false at its end. Empty ones are left out. */
bool http1_list_next(struct bytes *rest, struct bytes *ret_element);
bool http1_name_eq(struct bytes name, const char *literal);
/* One or more of RFC 9110 5.6.2's characters. */
bool http1_is_token(struct bytes s);

/* Decodes %XX (and '+' as a blank when asked), appending to `out`; -EINVAL when broken. */
int http1_percent_decode(struct bytes s, bool plus_is_blank, struct buf *out);
/* Decodes a path once; -EINVAL when its encoding is broken or it has NUL, a control byte, a backslash or a ".." segment. */
int http1_path_decode(struct bytes raw, struct buf *out);
/* Value of a query parameter, decoded and appended to `out`; -ENOENT when absent, -EINVAL when broken. */
int http1_query_get(struct bytes query, const char *name, struct buf *out);

/* Chunked body (RFC 9112, 7.1); zeroed at the start. */
struct http1_chunked {
    uint8_t state;
    uint8_t digits;
    uint16_t line; /* bytes of the current chunk extension or of all trailers */
    uint64_t remaining;
};

enum { HTTP1_CHUNK_MORE = 0, HTTP1_CHUNK_DATA = 1, HTTP1_CHUNK_END = 2 };

/* Takes bytes from the front of `data`, *ret_used of them. Returns HTTP1_CHUNK_DATA with a piece of the body that points
 * into `data`, HTTP1_CHUNK_MORE when all is used up, HTTP1_CHUNK_END at the end of the body, -400 when broken. */
int http1_chunked_next(struct http1_chunked *c, const char *data, size_t len, size_t *ret_used, struct bytes *ret_piece);

#endif
