#include "topic.h"

#define TEXT_LIMIT 65535

/* Length of the UTF-8 sequence at `s`, 0 when there is no valid one. The second byte's range rules out overlong forms,
 * surrogates and what lies above U+10FFFF (RFC 3629, 4). */
static size_t utf8_length(const unsigned char *s, size_t left)
{
    static const struct {
        unsigned char first, last, low, high, length;
    } forms[] = {
        {0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (s[0] < forms[i].first || s[0] > forms[i].last)
            continue;
        size_t length = forms[i].length;
        if (length > left || (length > 1 && (s[1] < forms[i].low || s[1] > forms[i].high)))
            return 0;
        for (size_t k = 2; k < length; k++)
            if ((s[k] & 0xc0) != 0x80)
                return 0;
        return length;
    }
    return 0;
}

bool mqtt_text_is_valid(struct bytes s)
{
    const unsigned char *data = (const unsigned char *)s.data;
    if (s.len > TEXT_LIMIT)
        return false;
    for (size_t i = 0; i < s.len;) {
        size_t length = utf8_length(data + i, s.len - i);
        if (length == 0)
            return false;
        i += length;
    }
    return true;
}

const char *mqtt_topic_fault(struct bytes topic)
{
    if (topic.len == 0)
        return "topic is empty";
    if (topic.len > TEXT_LIMIT)
        return "topic is longer than 65535 bytes";
    if (memchr(topic.data, '+', topic.len) || memchr(topic.data, '#', topic.len))
        return "topic contains a wildcard (+ or #)";
    if (!mqtt_text_is_valid(topic))
        return "topic is not valid UTF-8, or contains U+0000";
    return NULL;
}

/* First level of `*rest`; `*rest` becomes what follows the separator, data NULL when nothing does. */
static struct bytes next_level(struct bytes *rest)
{
    struct bytes level = *rest;
    const char *slash = rest->len ? memchr(rest->data, '/', rest->len) : NULL;
    if (!slash) {
        *rest = BYTES_NULL;
        return level;
    }
    level.len = (size_t)(slash - rest->data);
    *rest = (struct bytes){slash + 1, rest->len - level.len - 1};
    return level;
}

static bool contains(struct bytes s, char c)
{
    return s.len && memchr(s.data, c, s.len);
}

/* A wildcard fills a whole level, and # is the last one.
 *     valid:   a/b   +   #   a/+/c   +/+   /+   a/#   a//b
 *     invalid: a/b+   a#   a/#/c   a/+b/c   (empty) */
const char *mqtt_filter_fault(struct bytes filter)
{
    if (filter.len == 0)
        return "topic filter is empty";
    if (!mqtt_text_is_valid(filter))
        return "topic filter is longer than 65535 bytes, not valid UTF-8, or contains U+0000";
    for (struct bytes rest = filter; rest.data;) {
        struct bytes level = next_level(&rest);
        if (contains(level, '#') && (level.len > 1 || rest.data))
            return "# must be the last level of a topic filter and stand alone in it";
        if (contains(level, '+') && level.len > 1)
            return "+ must stand alone in its level of a topic filter";
    }
    return NULL;
}

/* MQTT 5, 4.7; the same rules in 3.1.1.
 *     a/+      matches a/b, a/           not a, a/b/c
 *     a/#      matches a, a/b, a/b/c     not ab
 *     +/+      matches /b, a/b           not a
 *     # and +  match no topic that begins with $; $SYS/# does
 *     a/b      matches a/b only; levels are compared byte by byte, with case */
bool mqtt_filter_matches(struct bytes filter, struct bytes topic)
{
    if (topic.len && topic.data[0] == '$' && (filter.data[0] == '+' || filter.data[0] == '#'))
        return false;
    while (filter.data) {
        struct bytes want = next_level(&filter);
        if (bytes_eq_str(want, "#"))
            return true;
        if (!topic.data)
            return false;
        struct bytes have = next_level(&topic);
        if (!bytes_eq_str(want, "+") && !bytes_eq(want, have))
            return false;
    }
    return !topic.data;
}
