/* Deltas for pairs of texts: reads lengths (uint32, the machine's order) and bytes of source and target from standard
 * input, again and again, and writes length and bytes of each delta, with text cuts; length 0 where there is none. */
#include "fossil.h"

#include <stdio.h>

static bool read_text(struct buf *b)
{
    uint32_t len;
    if (fread(&len, sizeof len, 1, stdin) != 1)
        return false;
    b->len = 0;
    buf_reserve(b, len);
    b->len = fread(b->data, 1, len, stdin);
    return b->len == len;
}

int main(void)
{
    CLEANUP_BUF source = BUF_INIT;
    CLEANUP_BUF target = BUF_INIT;
    CLEANUP_BUF delta = BUF_INIT;
    while (read_text(&source) && read_text(&target)) {
        delta.len = 0;
        fossil_delta(buf_bytes(&source), buf_bytes(&target), true, &delta);
        uint32_t len = (uint32_t)delta.len;
        fwrite(&len, sizeof len, 1, stdout);
        fwrite(buf_bytes(&delta).data, 1, delta.len, stdout);
    }
    return 0;
}
