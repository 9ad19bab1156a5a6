/* Any two texts: the delta between them leads from one to the other; and any bytes as a delta. The first two bytes say
 * how long the source is. */
#include "fossil.h"
#include "utf8.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check_delta(struct bytes source, struct bytes target, bool utf8_cuts)
{
    CLEANUP_BUF delta = BUF_INIT;
    CLEANUP_BUF made = BUF_INIT;
    if (fossil_delta(source, target, utf8_cuts, &delta) < 0) {
        require(delta.len == 0);
        return;
    }
    require(delta.len < target.len);
    require(!utf8_cuts || utf8_valid(delta.data, delta.len));
    require(fossil_apply(source, buf_bytes(&delta), target.len, &made) == 0);
    require(bytes_eq(buf_bytes(&made), target));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const char *text = (const char *)data + 2;
    size_t len = size - 2, middle = len ? ((size_t)data[0] << 8 | data[1]) % (len + 1) : 0;
    struct bytes source = {text, middle}, target = {text + middle, len - middle};
    CLEANUP_BUF made = BUF_INIT;
    check_delta(source, target, false);
    check_delta(source, target, true);
    require(fossil_apply(source, target, 1 << 16, &made) == 0 || made.len == 0);
    require(made.len <= 1 << 16);
    return 0;
}
