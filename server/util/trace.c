#include "trace.h"

#include <stdio.h>
#include <sys/random.h>

#define VERSION_AT 0
#define TRACE_AT 3
#define SPAN_AT 36
#define FLAGS_AT 53

static bool is_hex(const char *text, size_t len, bool zeros_allowed)
{
    bool any = zeros_allowed;
    for (size_t i = 0; i < len; i++) {
        if (!memchr("0123456789abcdef", text[i], 16))
            return false;
        any |= text[i] != '0';
    }
    return any;
}

bool traceparent_valid(struct bytes t)
{
    return t.len == TRACEPARENT_SIZE - 1 && memcmp(t.data + VERSION_AT, "00-", 3) == 0 && t.data[SPAN_AT - 1] == '-' &&
           t.data[FLAGS_AT - 1] == '-' && is_hex(t.data + TRACE_AT, 32, false) && is_hex(t.data + SPAN_AT, 16, false) &&
           is_hex(t.data + FLAGS_AT, 2, true);
}

bool traceparent_next(struct bytes text, char out[TRACEPARENT_SIZE])
{
    uint64_t span = 0;
    if (!traceparent_valid(text) || getrandom(&span, sizeof span, 0) != (ssize_t)sizeof span)
        return false;
    memcpy(out, text.data, text.len);
    out[text.len] = 0;
    char digits[17];
    snprintf(digits, sizeof digits, "%016llx", (unsigned long long)(span | 1));
    memcpy(out + SPAN_AT, digits, 16);
    return true;
}
