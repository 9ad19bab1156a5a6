#include "fossil.h"

#include "utf8.h"

#include <errno.h>
#include <stdlib.h>

enum {
    BLOCK = 16,           /* bytes under the rolling hash; the source is indexed at multiples of it */
    CANDIDATES = 32,      /* blocks of the source that are compared at one place of the target */
    STACK_BLOCKS = 256,   /* a source of so many blocks needs no memory of its own */
    INSERT_BYTES = 3,     /* about what it costs to interrupt an insertion */
};

#define HASH_FACTOR 0x01000193u
#define LENGTH_MAX  0x7fffffffu /* clients count in 32 bits */

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";

static void put_number(struct buf *out, uint32_t value)
{
    char text[6];
    size_t at = sizeof text;
    do
        text[--at] = digits[value & 63];
    while (value >>= 6);
    buf_append(out, text + at, sizeof text - at);
}

static size_t number_size(uint32_t value)
{
    size_t n = 1;
    while (value >>= 6)
        n++;
    return n;
}

static uint32_t checksum(struct bytes s)
{
    uint32_t sum = 0;
    size_t i = 0;
    const unsigned char *p = (const unsigned char *)s.data;
    for (; i + 4 <= s.len; i += 4)
        sum += (uint32_t)p[i] << 24 | (uint32_t)p[i + 1] << 16 | (uint32_t)p[i + 2] << 8 | p[i + 3];
    for (int shift = 24; i < s.len; i++, shift -= 8)
        sum += (uint32_t)p[i] << shift;
    return sum;
}

/* ---- index of the source ---- */

/* Blocks by hash: heads[slot] and next[block] are block numbers plus one. */
struct index {
    uint32_t *heads, *next;
    unsigned shift; /* of a hash to a slot */
    uint32_t stack[3 * STACK_BLOCKS];
    uint32_t *heap;
};

static uint32_t hash_block(const char *p)
{
    uint32_t hash = 0;
    for (int i = 0; i < BLOCK; i++)
        hash = hash * HASH_FACTOR + (unsigned char)p[i];
    return hash;
}

/* HASH_FACTOR to the power of BLOCK - 1: the weight of the byte that leaves. */
static uint32_t leaving_factor(void)
{
    uint32_t factor = 1;
    for (int i = 1; i < BLOCK; i++)
        factor *= HASH_FACTOR;
    return factor;
}

static uint32_t slot_of(const struct index *x, uint32_t hash)
{
    return hash * 0x9e3779b1u >> x->shift;
}

static void index_done(struct index *x)
{
    free(x->heap);
}

static void index_init(struct index *x, struct bytes source)
{
    uint32_t blocks = (uint32_t)(source.len / BLOCK), slots = 1;
    for (x->shift = 31; slots < blocks + 1 && x->shift > 0; slots *= 2)
        x->shift--;
    slots = 1u << (32 - x->shift);
    x->heap = blocks >= STACK_BLOCKS ? xmalloc((slots + blocks) * sizeof *x->heap) : NULL;
    x->heads = x->heap ? x->heap : x->stack;
    x->next = x->heads + slots;
    memset(x->heads, 0, slots * sizeof *x->heads);
    for (uint32_t b = blocks; b-- > 0;) {
        uint32_t slot = slot_of(x, hash_block(source.data + (size_t)b * BLOCK));
        x->next[b] = x->heads[slot];
        x->heads[slot] = b + 1;
    }
}

/* ---- writing ---- */

struct delta {
    struct bytes source, target;
    bool utf8_cuts;
    struct buf *out;
    size_t start;   /* of the delta in `out` */
    size_t pending; /* the target is written up to here */
};

static void put_insert(struct delta *d, size_t end)
{
    if (end == d->pending)
        return;
    put_number(d->out, (uint32_t)(end - d->pending));
    buf_append(d->out, ":", 1);
    buf_append(d->out, d->target.data + d->pending, end - d->pending);
    d->pending = end;
}

static bool continues_character(const struct delta *d, size_t at)
{
    return d->utf8_cuts && at < d->target.len && ((unsigned char)d->target.data[at] & 0xc0) == 0x80;
}

/* Copies target[at, at + len) from source[from]; false when that would not pay. */
static bool put_copy(struct delta *d, size_t at, size_t len, size_t from)
{
    while (len > 0 && continues_character(d, at))
        at++, from++, len--;
    while (len > 0 && continues_character(d, at + len))
        len--;
    if (len < number_size((uint32_t)len) + number_size((uint32_t)from) + 2 + INSERT_BYTES)
        return false;
    put_insert(d, at);
    put_number(d->out, (uint32_t)len);
    buf_append(d->out, "@", 1);
    put_number(d->out, (uint32_t)from);
    buf_append(d->out, ",", 1);
    d->pending = at + len;
    return true;
}

static bool is_too_long(const struct delta *d)
{
    return d->out->len - d->start >= d->target.len;
}

/* ---- matching ---- */

static size_t common_prefix(const char *a, const char *b, size_t max)
{
    size_t n = 0;
    uint64_t x, y;
    while (max - n >= 8 && (memcpy(&x, a + n, 8), memcpy(&y, b + n, 8), x == y))
        n += 8;
    while (n < max && a[n] == b[n])
        n++;
    return n;
}

/* Of the bytes that end at `a` and `b`. */
static size_t common_suffix(const char *a, const char *b, size_t max)
{
    size_t n = 0;
    while (n < max && a[-1 - (ptrdiff_t)n] == b[-1 - (ptrdiff_t)n])
        n++;
    return n;
}

/* The block of the source from which most of target[at, end) follows; returns how much, 0 when not even a block
 * does. */
static size_t find_match(const struct delta *d, const struct index *x, uint32_t hash, size_t at, size_t end,
                         size_t *ret_from)
{
    size_t best = BLOCK - 1;
    uint32_t block = x->heads[slot_of(x, hash)];
    for (int i = 0; block && i < CANDIDATES; i++, block = x->next[block - 1]) {
        size_t from = (size_t)(block - 1) * BLOCK;
        size_t max = end - at < d->source.len - from ? end - at : d->source.len - from;
        size_t len = common_prefix(d->target.data + at, d->source.data + from, max);
        if (len > best) {
            best = len;
            *ret_from = from;
        }
    }
    return best < BLOCK ? 0 : best;
}

static bool copy_match(struct delta *d, size_t at, size_t len, size_t from)
{
    size_t max = at - d->pending < from ? at - d->pending : from;
    size_t back = common_suffix(d->target.data + at, d->source.data + from, max);
    return put_copy(d, at - back, len + back, from - back);
}

/* target[pending, end) by matches of whole blocks. */
static void put_middle(struct delta *d, const struct index *x, size_t end)
{
    uint32_t leaving = leaving_factor(), hash = 0;
    bool hashed = false;
    for (size_t at = d->pending; end - at >= BLOCK && !is_too_long(d);) {
        const char *p = d->target.data + at;
        hash = hashed ? hash : hash_block(p);
        hashed = true;
        size_t from = 0, len = find_match(d, x, hash, at, end, &from);
        if (len && copy_match(d, at, len, from)) {
            at += len;
            hashed = false;
        } else if (++at + BLOCK <= end) {
            hash = (hash - (unsigned char)p[0] * leaving) * HASH_FACTOR + (unsigned char)p[BLOCK];
        }
    }
}

static void put_delta(struct delta *d)
{
    struct bytes s = d->source, t = d->target;
    size_t max = s.len < t.len ? s.len : t.len;
    size_t prefix = common_prefix(t.data, s.data, max);
    size_t suffix = common_suffix(t.data + t.len, s.data + s.len, max - prefix);
    put_number(d->out, (uint32_t)t.len);
    buf_append(d->out, "\n", 1);
    put_copy(d, 0, prefix, 0);
    if (t.len - suffix - d->pending >= BLOCK && s.len >= BLOCK) {
        __attribute__((cleanup(index_done))) struct index x;
        index_init(&x, s);
        put_middle(d, &x, t.len - suffix);
    }
    put_copy(d, t.len - suffix, suffix, s.len - suffix);
    put_insert(d, t.len);
    put_number(d->out, checksum(t));
    buf_append(d->out, ";", 1);
}

int fossil_delta(struct bytes source, struct bytes target, bool utf8_cuts, struct buf *out)
{
    struct delta d = {source, target, utf8_cuts, out, out->len, 0};
    if (source.len == 0 || target.len == 0 || source.len > LENGTH_MAX || target.len > LENGTH_MAX)
        return -E2BIG;
    if (utf8_cuts && !utf8_valid(target.data, target.len))
        return -EILSEQ;
    put_delta(&d);
    if (!is_too_long(&d))
        return 0;
    out->len = d.start;
    return -E2BIG;
}

/* ---- applying ---- */

static bool take_number(struct bytes *in, uint32_t *ret)
{
    uint64_t value = 0;
    size_t n = 0;
    for (; n < in->len; n++) {
        const char *digit = memchr(digits, in->data[n], sizeof digits - 1);
        if (!digit)
            break;
        value = value << 6 | (uint64_t)(digit - digits);
        if (value > UINT32_MAX)
            return false;
    }
    *in = (struct bytes){in->data + n, in->len - n};
    *ret = (uint32_t)value;
    return n > 0;
}

static bool take_char(struct bytes *in, char wanted)
{
    if (in->len == 0 || in->data[0] != wanted)
        return false;
    *in = (struct bytes){in->data + 1, in->len - 1};
    return true;
}

/* One instruction; false when it is malformed or would go beyond what there is. */
static bool apply_one(struct bytes source, struct bytes *delta, uint32_t count, size_t room, struct buf *out)
{
    uint32_t from;
    if (count > room)
        return false;
    if (take_char(delta, ':')) {
        if (count > delta->len)
            return false;
        buf_append(out, delta->data, count);
        *delta = (struct bytes){delta->data + count, delta->len - count};
        return true;
    }
    if (!take_char(delta, '@') || !take_number(delta, &from) || !take_char(delta, ','))
        return false;
    if (from > source.len || count > source.len - from)
        return false;
    buf_append(out, source.data + from, count);
    return true;
}

static bool apply(struct bytes source, struct bytes delta, uint32_t size, struct buf *out)
{
    size_t start = out->len;
    uint32_t number;
    while (take_number(&delta, &number)) {
        size_t done = out->len - start;
        if (take_char(&delta, ';'))
            return delta.len == 0 && done == size &&
                   number == checksum((struct bytes){buf_bytes(out).data + start, done});
        if (!apply_one(source, &delta, number, size - done, out))
            return false;
    }
    return false;
}

int fossil_apply(struct bytes source, struct bytes delta, size_t limit_bytes, struct buf *out)
{
    uint32_t size;
    size_t start = out->len;
    if (!take_number(&delta, &size) || !take_char(&delta, '\n'))
        return -EBADMSG;
    if (size > limit_bytes)
        return -E2BIG;
    buf_reserve(out, size);
    if (apply(source, delta, size, out))
        return 0;
    out->len = start;
    return -EBADMSG;
}
