#include "replay.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

/* 2024-02-13T16:33:00.005271Z, as the recorder wrote it; the fraction is optional. */
static bool parse_time(struct bytes s, int64_t *ret_ms)
{
    struct tm tm = {0};
    char text[48];
    int used = 0;
    double seconds = 0;
    if (s.len == 0 || s.len >= sizeof text)
        return false;
    memcpy(text, s.data, s.len);
    text[s.len] = 0;
    if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%lfZ%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
               &seconds, &used) != 6 ||
        (size_t)used != s.len || !(seconds >= 0 && seconds < 61))
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *ret_ms = (int64_t)timegm(&tm) * 1000 + (int64_t)(seconds * 1000);
    return true;
}

int replay_line_parse(struct bytes line, struct replay_line *ret)
{
    while (line.len > 0 && (line.data[line.len - 1] == '\n' || line.data[line.len - 1] == '\r'))
        line.len--;
    const char *end = line.data + line.len;
    const char *space = line.len ? memchr(line.data, ' ', line.len) : NULL;
    if (!space)
        return -EBADMSG;
    const char *topic = space + 1;
    const char *brace = memmem(topic, (size_t)(end - topic), " {", 2);
    const char *gap = brace ? brace : memrchr(topic, ' ', (size_t)(end - topic));
    int64_t time_ms;
    if (!gap || gap == topic || !parse_time((struct bytes){line.data, (size_t)(space - line.data)}, &time_ms))
        return -EBADMSG;
    *ret = (struct replay_line){time_ms, {topic, (size_t)(gap - topic)}, {gap + 1, (size_t)(end - gap - 1)}};
    return 0;
}
