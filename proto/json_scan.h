/* A strict JSON scanner (RFC 8259) that builds no tree: checks a value, finds members of an object, unescapes strings.
 *
 * All results are views into the caller's text; nothing is kept and nothing is allocated but what is appended to a
 * caller's buffer. Pure functions, any thread.
 *     valid:   {"a":[1,-0.5e3],"b":"\u00e9\ud83d\ude00"}   12   "x"
 *     invalid: {'a':1}   [1,]   01   "\x"   "tab<09>"   1 2   {"a":1}x   <EF BB BF>{}   text that is not UTF-8
 * The strict rules refuse, on top, what programs read differently or cannot hold: lone surrogates, \u0000, integers
 * beyond 64 bits and reals beyond double. */
#ifndef CRIER_PROTO_JSON_SCAN_H
#define CRIER_PROTO_JSON_SCAN_H

#include "util/bytes.h"

#define JSON_DEPTH_MAX 512 /* a larger depth limit is cut to this: the scanner recurses once a level */
#define JSON_DEPTH_DEFAULT 32

enum json_rules {
    JSON_RFC,    /* what may be passed on as JSON */
    JSON_STRICT, /* what may be accepted from a client */
};

/* A place in a JSON text. Functions that move it return 0, -EBADMSG or -E2BIG (nested too deep) with `reason` set. */
struct json_cursor {
    const char *at, *end;
    unsigned depth_left;
    enum json_rules rules;
    const char *reason; /* for people, static */
};

CRIER_API struct json_cursor json_cursor_at(struct bytes text, unsigned depth_limit, enum json_rules rules);
/* Skips white space and one value; `*ret_raw` is its text. */
CRIER_API int json_next_value(struct json_cursor *c, struct bytes *ret_raw);
/* White space, then nothing. */
CRIER_API int json_expect_end(struct json_cursor *c);

/* Members of an object in their order: enter once, then next until it gives 1 (the object's end was passed). */
struct json_member {
    struct bytes name;  /* inside of the quotes, escapes as written: compare by json_name_is() */
    struct bytes value; /* raw */
};
CRIER_API int json_enter_object(struct json_cursor *c);
CRIER_API int json_next_member(struct json_cursor *c, struct json_member *ret);
/* The same for the values of an array. */
CRIER_API int json_enter_array(struct json_cursor *c);
CRIER_API int json_next_element(struct json_cursor *c, struct bytes *ret_raw);
CRIER_API bool json_name_is(struct bytes raw_name, const char *name);

/* 0 when the text is one value with nothing but white space around it; else as above. `ret_reason` may be NULL. */
CRIER_API int json_check(struct bytes text, unsigned depth_limit, enum json_rules rules, const char **ret_reason);
CRIER_API bool json_is_value(struct bytes text, unsigned depth_limit);

/* Appends the characters that a raw string (with its quotes) stands for, as UTF-8. -EINVAL when it is no string,
 * -EILSEQ for a lone surrogate; nothing is appended then. */
CRIER_API int json_unescape(struct bytes raw_string, struct buf *ret);

/* Member of the object that `object` is. -EBADMSG when it is no valid JSON object or has the member twice, -ENOENT when
 * the member is absent. The getters of a type treat `null` as absent and give -EINVAL for another type, json_get_int64
 * also for fractions, exponents and numbers out of range. Outputs are untouched on failure. */
CRIER_API int json_get_raw(struct bytes object, const char *name, struct bytes *ret);
CRIER_API int json_get_string(struct bytes object, const char *name, struct buf *ret); /* appends */
CRIER_API int json_get_int64(struct bytes object, const char *name, int64_t *ret);
CRIER_API int json_get_bool(struct bytes object, const char *name, bool *ret);
/* A raw value as an integer; -EINVAL when it is none that fits. */
CRIER_API int json_parse_int64(struct bytes raw, int64_t *ret);

/* The code point of the \u escape at `escape` (its backslash), surrogate pairs joined; `*ret_len` is what it takes. A
 * lone surrogate gives its own value; -1 when there are no four hex digits. */
CRIER_API int32_t json_unicode_escape(const char *escape, const char *end, size_t *ret_len);
static inline bool json_is_surrogate(int32_t point)
{
    return point >= 0xd800 && point < 0xe000;
}
/* Length of the well-formed UTF-8 sequence at `s` (1 to 4), 0 when it is none (overlong, surrogate, cut, stray). */
CRIER_API size_t json_utf8_length(const char *s, const char *end);
/* Appends `s` as a JSON string with quotes; each byte that is not part of well-formed UTF-8 becomes U+FFFD. */
CRIER_API void json_append_text(struct buf *out, struct bytes s);

#endif
