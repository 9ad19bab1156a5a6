/* Incremental UTF-8 validator (RFC 3629; Unicode table 3-7): fails at the first byte that cannot be part of valid text.
 *
 * A `struct utf8` lives as long as one text; zeroed it stands at a border between characters. Pure functions.
 *     valid:   c3 a9    ed 9f bf    f4 8f bf bf
 *     invalid: c0 80 (overlong)    ed a0 80 (surrogate)    f4 90 80 80 (over U+10FFFF)    80    f8 */
#ifndef CRIER_PROTO_UTF8_H
#define CRIER_PROTO_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct utf8 {
    uint8_t need;   /* continuation bytes still to come */
    uint8_t lo, hi; /* range of the next one */
};

static inline bool utf8_lead(struct utf8 *u, uint8_t c)
{
    u->lo = 0x80;
    u->hi = 0xbf;
    if (c >= 0xc2 && c <= 0xdf) {
        u->need = 1;
    } else if ((c & 0xf0) == 0xe0) {
        u->need = 2;
        if (c == 0xe0)
            u->lo = 0xa0;
        else if (c == 0xed)
            u->hi = 0x9f;
    } else if (c >= 0xf0 && c <= 0xf4) {
        u->need = 3;
        if (c == 0xf0)
            u->lo = 0x90;
        else if (c == 0xf4)
            u->hi = 0x8f;
    } else {
        return false;
    }
    return true;
}

/* Takes the next bytes of the text; false as soon as it cannot become valid any more. */
static inline bool utf8_feed(struct utf8 *u, const char *data, size_t len)
{
    const uint8_t *p = (const uint8_t *)data, *end = p + len;

    while (p < end) {
        if (u->need) {
            if (*p < u->lo || *p > u->hi)
                return false;
            u->lo = 0x80;
            u->hi = 0xbf;
            u->need--;
            p++;
            continue;
        }
        uint64_t word;
        while (end - p >= 8 && (memcpy(&word, p, 8), (word & 0x8080808080808080u) == 0))
            p += 8;
        if (p == end)
            break;
        if (*p >= 0x80 && !utf8_lead(u, *p))
            return false;
        p++;
    }
    return true;
}

/* True when the text may end here. */
static inline bool utf8_complete(const struct utf8 *u)
{
    return u->need == 0;
}

static inline bool utf8_valid(const char *data, size_t len)
{
    struct utf8 u = {0};
    return len == 0 || (utf8_feed(&u, data, len) && utf8_complete(&u));
}

#endif
