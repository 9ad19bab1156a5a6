#include "log.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

#define VALUE_LIMIT 256

enum log_level log_threshold = LOG_LEVEL_INFO;
static enum log_format log_format = LOG_FORMAT_TEXT;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_setup(enum log_level level, enum log_format format)
{
    log_threshold = level;
    log_format = format;
}

/* RFC 3339 in UTC with milliseconds. */
static void append_time(struct buf *line)
{
    int64_t now = clock_wall_ms();
    time_t seconds = (time_t)(now / 1000);
    struct tm tm;
    char text[32];
    gmtime_r(&seconds, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    buf_printf(line, "%s.%03dZ", text, (int)(now % 1000));
}

static bool is_plain(struct bytes s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f)
            return false;
    }
    return s.len > 0;
}

/* Bytes that are not ASCII are escaped too: a log file stays valid whatever a client sends. */
static void append_quoted(struct buf *line, struct bytes s)
{
    buf_append(line, "\"", 1);
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c >= 0x80)
            buf_printf(line, "\\u%04x", c);
        else
            buf_append_json_escaped(line, (struct bytes){s.data + i, 1});
    }
    buf_append(line, "\"", 1);
}

static void append_value(struct buf *line, const struct log_field *f)
{
    if (f->kind == LOG_FIELD_INT) {
        buf_printf(line, "%lld", f->number);
        return;
    }
    struct bytes s = f->text;
    if (s.len > VALUE_LIMIT)
        s.len = VALUE_LIMIT;
    if (log_format == LOG_FORMAT_TEXT && is_plain(s))
        buf_append_bytes(line, s);
    else
        append_quoted(line, s);
}

void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t n)
{
    CLEANUP_BUF line = BUF_INIT;
    bool json = log_format == LOG_FORMAT_JSON;

    buf_append_str(&line, json ? "{\"time\":\"" : "");
    append_time(&line);
    buf_printf(&line, json ? "\",\"level\":\"%s\",\"event\":\"%s\"" : " %-5s %s", level_names[level], event);
    for (size_t i = 0; i < n; i++) {
        buf_printf(&line, json ? ",\"%s\":" : " %s=", fields[i].key);
        append_value(&line, &fields[i]);
    }
    buf_append_str(&line, json ? "}\n" : "\n");
    if (write(STDERR_FILENO, line.data, line.len) < 0)
        return; /* nowhere left to report to */
}
