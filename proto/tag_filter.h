/* Tags filters of subscriptions: parsed once, compared by their canonical text, evaluated against the tags of
 * publications.
 *
 * A filter never changes after its making and may be used by any thread until tag_filter_free(). A node is a leaf (op
 * "") that compares one tag, or `and`, `or` over nodes, or `not` over one.
 *     valid:   {"key":"line","cmp":"eq","val":"550"}   {"key":"k","cmp":"in","vals":["a",""]}   {"key":"k","cmp":"ex"}
 *              {"op":"not","nodes":[{"key":"v","cmp":"gte","val":"10.50"}]}
 *     invalid: {}   {"key":"k","cmp":"eq"}   {"op":"and"}   {"op":"not","nodes":[{..},{..}]}   {"op":"xor"}
 * lt, lte, gt, gte compare decimals exactly, of any size up to 200 characters with up to 19 digits after the point:
 *     10.50 = 10.5   011 = +11   -0 = 0      no numbers: 1e3   .5   5.   0x1f   <empty>   with blanks
 * A tag that is missing satisfies neq, nex, nin (unless "" is among vals) and in with "" among vals, nothing else. */
#ifndef CRIER_PROTO_TAG_FILTER_H
#define CRIER_PROTO_TAG_FILTER_H

#include "channels.h"

#define TAG_FILTER_NODES  256
#define TAG_FILTER_VALUES 1024 /* of all `vals` together */
#define TAG_FILTER_DEPTH  16

struct tag_filter;

/* `raw`: a FilterNode in that encoding. -EINVAL when it is none or breaks a rule, -E2BIG beyond the bounds above; the
 * reason is static. Unknown members are passed over. */
CRIER_API int tag_filter_parse(struct bytes raw, enum channels_encoding encoding, struct tag_filter **ret,
                               const char **ret_reason);
CRIER_API void tag_filter_free(struct tag_filter *f); /* accepts NULL */

/* Equal texts: the same filter, in whatever encoding and order of values it came. Lives as long as the filter. */
CRIER_API struct bytes tag_filter_text(const struct tag_filter *f);

/* `tags`: a JSON object of strings, or empty. Allocates only for strings with escapes. */
CRIER_API bool tag_filter_matches(const struct tag_filter *f, struct bytes tags);

#endif
