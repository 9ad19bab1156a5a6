/* Byte views, growable buffers and shared immutable blobs.
 *
 * A `struct bytes` borrows; a `struct buf` owns what it holds until buf_done(); a `struct blob` is shared between
 * threads by an atomic reference count and never changes after its creation. */
#ifndef CRIER_UTIL_BYTES_H
#define CRIER_UTIL_BYTES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef CRIER_API
#define CRIER_API __attribute__((visibility("default")))
#endif

struct bytes {
    const char *data; /* NULL stands for "absent", which differs from empty (a tombstone has no payload) */
    size_t len;
};

#define BYTES_LIT(s) ((struct bytes){(s), sizeof(s) - 1})
#define BYTES_NULL ((struct bytes){NULL, 0})

static inline struct bytes bytes_of(const char *s)
{
    return (struct bytes){s, s ? strlen(s) : 0};
}

static inline bool bytes_eq(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool bytes_eq_str(struct bytes a, const char *s)
{
    return bytes_eq(a, bytes_of(s));
}

/* Heap copy with a terminating NUL that len does not count; never NULL (the process ends when memory is out). */
CRIER_API char *bytes_dup(struct bytes b);

struct buf {
    char *data;
    size_t len;
    size_t capacity;
};

#define BUF_INIT ((struct buf){0})

/* Frees the content; the struct may be used again as an empty one. */
CRIER_API void buf_done(struct buf *b);
CRIER_API void buf_reserve(struct buf *b, size_t extra);
CRIER_API void buf_append(struct buf *b, const void *data, size_t len);
CRIER_API void buf_append_bytes(struct buf *b, struct bytes s);
CRIER_API void buf_append_str(struct buf *b, const char *s);
/* Decimal digits; for places where printf would be a good part of the cost. */
CRIER_API void buf_append_int(struct buf *b, int64_t value);
CRIER_API void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Appends s as the inside of a JSON string (RFC 8259, 7): quotes, backslash and control bytes escaped; no quotes around. */
CRIER_API void buf_append_json_escaped(struct buf *b, struct bytes s);
/* The same with quotes around it. */
CRIER_API void buf_append_json_string(struct buf *b, struct bytes s);
/* Hands the content over to the caller (free()); the buffer is empty afterwards. */
CRIER_API char *buf_take(struct buf *b);

static inline struct bytes buf_bytes(const struct buf *b)
{
    return (struct bytes){b->data ? b->data : "", b->len};
}

#define CLEANUP_BUF __attribute__((cleanup(buf_done))) struct buf

/* Shared immutable bytes. */
struct blob {
    atomic_uint refs;
    size_t len;
    char data[];
};

/* Starts with one reference; the content is the caller's to fill before anyone else sees it. */
CRIER_API struct blob *blob_new(size_t len);
CRIER_API struct blob *blob_copy(struct bytes b);
CRIER_API struct blob *blob_ref(struct blob *b);
/* Accepts NULL. */
CRIER_API void blob_unref(struct blob *b);

static inline struct bytes blob_bytes(const struct blob *b)
{
    return b ? (struct bytes){b->data, b->len} : BYTES_NULL;
}

/* malloc family that ends the process with a clear log line when memory is out. */
CRIER_API void *xmalloc(size_t size);
CRIER_API void *xcalloc(size_t n, size_t size);
CRIER_API void *xrealloc(void *p, size_t size);
CRIER_API char *xstrdup(const char *s); /* accepts NULL, gives NULL */

#endif
