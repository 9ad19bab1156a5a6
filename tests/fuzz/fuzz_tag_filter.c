/* Any bytes as a filter (JSON or protobuf, by the first byte) and, behind a NUL or the first byte's count, as tags:
 * what is accepted means the same when its canonical text is read again. */
#include "tag_filter.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check_again(const struct tag_filter *f, struct bytes tags)
{
    struct tag_filter *again;
    const char *reason = NULL;
    require(tag_filter_parse(tag_filter_text(f), CHANNELS_JSON, &again, &reason) == 0);
    require(bytes_eq(tag_filter_text(f), tag_filter_text(again)));
    require(tag_filter_matches(f, tags) == tag_filter_matches(again, tags));
    tag_filter_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    bool json = data[0] < 0x80;
    struct bytes raw = {(const char *)data + 1, size - 1}, tags = BYTES_NULL;
    const char *nul = raw.len ? memchr(raw.data, 0, raw.len) : NULL;
    size_t cut = json && nul ? (size_t)(nul - raw.data) : raw.len;
    if (!json && raw.len > (data[0] & 0x7f))
        cut = data[0] & 0x7f;
    if (cut < raw.len) {
        size_t skip = cut + json;
        tags = (struct bytes){raw.data + skip, raw.len - skip};
        raw.len = cut;
    }
    struct tag_filter *f;
    const char *reason = NULL;
    if (tag_filter_parse(raw, json ? CHANNELS_JSON : CHANNELS_PROTOBUF, &f, &reason) < 0) {
        require(reason != NULL);
        return 0;
    }
    check_again(f, tags);
    tag_filter_free(f);
    return 0;
}
