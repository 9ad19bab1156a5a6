/* One line an event, as text (`time level event key=value ...`) or JSON, on standard error.
 *
 * Thread-safe: a line is built on the caller's stack and written by one write(2). Values that come from clients are
 * escaped and cut at 256 bytes here, so callers pass them as they are; tokens and payloads are never logged. */
#ifndef CRIER_UTIL_LOG_H
#define CRIER_UTIL_LOG_H

#include "bytes.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct log_field {
    const char *key;
    enum { LOG_FIELD_INT, LOG_FIELD_STR, LOG_FIELD_BYTES } kind;
    long long number;
    struct bytes text;
};

#define LOG_INT(k, v) ((struct log_field){.key = (k), .kind = LOG_FIELD_INT, .number = (long long)(v)})
#define LOG_STR(k, v) ((struct log_field){.key = (k), .kind = LOG_FIELD_STR, .text = bytes_of(v)})
#define LOG_BYTES(k, v) ((struct log_field){.key = (k), .kind = LOG_FIELD_BYTES, .text = (v)})

CRIER_API extern enum log_level log_threshold;

/* Before threads start. */
CRIER_API void log_setup(enum log_level level, enum log_format format);
/* `event` is a constant English phrase, e.g. "bridge ready". */
CRIER_API void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t n);

#define log_at(level, event, ...)                                                                                      \
    do {                                                                                                               \
        if ((level) >= log_threshold) {                                                                                \
            const struct log_field log_fields_[] = {__VA_ARGS__};                                                      \
            log_write((level), (event), log_fields_, sizeof log_fields_ / sizeof *log_fields_);                        \
        }                                                                                                              \
    } while (0)
/* Usage: log_info("session closed", LOG_STR("session", id), LOG_INT("code", code)); at least one field. */
#define log_debug(event, ...) log_at(LOG_LEVEL_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...) log_at(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_warn(event, ...) log_at(LOG_LEVEL_WARN, event, __VA_ARGS__)
#define log_error(event, ...) log_at(LOG_LEVEL_ERROR, event, __VA_ARGS__)

#endif
