#include "bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void *checked(void *p)
{
    if (!p) {
        static const char text[] = "crier: out of memory\n";
        if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
            abort();
        _exit(71);
    }
    return p;
}

void *xmalloc(size_t size)
{
    return checked(malloc(size ? size : 1));
}

void *xcalloc(size_t n, size_t size)
{
    return checked(calloc(n ? n : 1, size ? size : 1));
}

void *xrealloc(void *p, size_t size)
{
    return checked(realloc(p, size ? size : 1));
}

char *xstrdup(const char *s)
{
    return s ? checked(strdup(s)) : NULL;
}

char *bytes_dup(struct bytes b)
{
    char *copy = xmalloc(b.len + 1);
    if (b.len)
        memcpy(copy, b.data, b.len);
    copy[b.len] = 0;
    return copy;
}

void buf_done(struct buf *b)
{
    free(b->data);
    *b = BUF_INIT;
}

void buf_reserve(struct buf *b, size_t extra)
{
    if (b->capacity - b->len >= extra)
        return;
    size_t capacity = b->capacity ? b->capacity : 64;
    while (capacity - b->len < extra)
        capacity *= 2;
    b->data = xrealloc(b->data, capacity);
    b->capacity = capacity;
}

void buf_append(struct buf *b, const void *data, size_t len)
{
    if (len == 0)
        return;
    buf_reserve(b, len);
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

void buf_append_bytes(struct buf *b, struct bytes s)
{
    buf_append(b, s.data, s.len);
}

void buf_append_str(struct buf *b, const char *s)
{
    buf_append(b, s, strlen(s));
}

void buf_append_int(struct buf *b, int64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
    do
        digits[--at] = (char)('0' + left % 10);
    while (left /= 10);
    if (value < 0)
        buf_append(b, "-", 1);
    buf_append(b, digits + at, sizeof digits - at);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n <= 0)
        return;
    buf_reserve(b, (size_t)n + 1);
    va_start(args, fmt);
    vsnprintf(b->data + b->len, (size_t)n + 1, fmt, args);
    va_end(args);
    b->len += (size_t)n;
}

static size_t json_escape(unsigned char c, char out[6])
{
    static const char hex[] = "0123456789abcdef";
    static const char shorts[32] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    out[0] = '\\';
    if (c == '"' || c == '\\') {
        out[1] = (char)c;
        return 2;
    }
    if (c < sizeof shorts && shorts[c]) {
        out[1] = shorts[c];
        return 2;
    }
    memcpy(out + 1, "u00", 3);
    out[4] = hex[c >> 4];
    out[5] = hex[c & 15];
    return 6;
}

void buf_append_json_escaped(struct buf *b, struct bytes s)
{
    size_t start = 0;
    buf_reserve(b, s.len);
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
            continue;
        char escaped[6];
        buf_append(b, s.data + start, i - start);
        buf_append(b, escaped, json_escape(c, escaped));
        start = i + 1;
    }
    if (start < s.len)
        buf_append(b, s.data + start, s.len - start);
}

void buf_append_json_string(struct buf *b, struct bytes s)
{
    buf_append(b, "\"", 1);
    buf_append_json_escaped(b, s);
    buf_append(b, "\"", 1);
}

char *buf_take(struct buf *b)
{
    char *data = b->data;
    *b = BUF_INIT;
    return data;
}

struct blob *blob_new(size_t len)
{
    struct blob *b = xmalloc(sizeof *b + len);
    atomic_init(&b->refs, 1);
    b->len = len;
    return b;
}

struct blob *blob_copy(struct bytes s)
{
    struct blob *b = blob_new(s.len);
    if (s.len)
        memcpy(b->data, s.data, s.len);
    return b;
}

struct blob *blob_ref(struct blob *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void blob_unref(struct blob *b)
{
    if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
        free(b);
}
