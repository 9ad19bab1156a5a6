/* Name templates of sources, sinks and relays: "chat:{key}", "{topic.3}", "{header.NAME}", "{payload.a.b}",
 * "{channel.1}", "{user}", "{partition}".
 *
 * Parsed once at start; expanding reads the payload only when the template names one of its fields. */
#ifndef CRIER_UTIL_TEMPLATE_H
#define CRIER_UTIL_TEMPLATE_H

#include "bytes.h"

struct template;

struct template_input {
    struct bytes topic, channel, key, user, payload;
    int32_t partition;
    /* Looks a header up; NULL: no headers. */
    struct bytes (*header)(const void *arg, struct bytes name);
    const void *header_arg;
};

/* Which of these a template may use, for a clear error at load time. */
enum template_field {
    TEMPLATE_TOPIC = 1,
    TEMPLATE_CHANNEL = 2,
    TEMPLATE_KEY = 4,
    TEMPLATE_USER = 8,
    TEMPLATE_PAYLOAD = 16,
    TEMPLATE_HEADER = 32,
    TEMPLATE_PARTITION = 64,
};

/* NULL with a reason in `error` when the text is malformed or uses a field that is not in `allowed`. */
CRIER_API struct template *template_parse(const char *text, unsigned allowed, char *error, size_t error_size);
CRIER_API void template_free(struct template *t); /* accepts NULL */
/* Fields that it uses. */
CRIER_API unsigned template_fields(const struct template *t);
/* Appends the expansion. -ENOENT when a field is absent in the input (nothing is appended then). */
CRIER_API int template_expand(const struct template *t, const struct template_input *in, struct buf *out);

#endif
