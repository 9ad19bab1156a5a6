/* A template and a payload, cut at the first NUL of the input: parsing and expanding never reads outside, and an
 * expansion that fails leaves the buffer as it was. Escapes in names and values are read the same way in any position. */
#include "util/template.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bytes header(const void *arg, struct bytes name)
{
    const struct bytes *value = arg;
    return name.len % 2 ? *value : BYTES_NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *nul = size ? memchr(text, 0, size) : NULL;
    if (!nul)
        return 0;
    char error[200];
    struct template *t = template_parse(text, 127, error, sizeof error);
    if (!t)
        return 0;
    /* In memory of its own, so that a read past its end is seen. */
    size_t len = size - (size_t)(nul + 1 - text);
    char *rest = malloc(len ? len : 1);
    memcpy(rest, nul + 1, len);
    struct bytes value = {rest, len};
    const struct template_input in = {value, value, value, value, value, (int32_t)len, header, &value};
    CLEANUP_BUF out = BUF_INIT;
    buf_append_str(&out, "kept");
    if (template_expand(t, &in, &out) < 0 && out.len != 4)
        abort();
    if (memcmp(out.data, "kept", 4) != 0)
        abort();
    template_free(t);
    free(rest);
    return 0;
}
