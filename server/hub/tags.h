/* Tags and infos of publications: JSON from clients and brokers on its way into frames and record headers.
 *
 * Pure functions; what they append has no line end in it, because some wires separate their messages by lines. */
#ifndef CRIER_HUB_TAGS_H
#define CRIER_HUB_TAGS_H

#include "hub/headers.h"

#define TAGS_MAX 32 /* of one publication */
#define TAG_HEADER_PREFIX "crier-tag-"
#define INFO_HEADER "crier-info"

/* Appends a JSON value with its line ends (white space between tokens: a string cannot hold any) as blanks. */
void json_append_line(struct buf *out, struct bytes value);

/* Checks a JSON object of strings and appends it without white space; nothing for an empty one. -EBADMSG when it is none,
 * has a name twice or a NUL in it; -E2BIG above TAGS_MAX. Nothing is appended then. */
int tags_append(struct buf *out, struct bytes object);
/* Adds a header for each tag of an object that tags_append() made, or of nothing. */
void tags_to_headers(struct header_list *out, struct bytes object);

/* One more member of the object that `out` is the beginning of, or that begins with it; the caller closes it. What is not
 * UTF-8 becomes U+FFFD. */
void tags_append_one(struct buf *out, struct bytes name, struct bytes value);
/* Appends the tags that came as headers, without those whose name is already in `out`, which is the beginning of an object
 * (or empty). */
void tags_append_headers(struct buf *out, const struct bridge_record *r);
/* The publisher that a record names; data NULL when it names none, or not as a JSON object. */
struct bytes info_of_record(const struct bridge_record *r);

#endif
