/* The command `replay`: recordings of the feed again, at the pace they came in or another. */
#ifndef CRIER_HFP_REPLAY_H
#define CRIER_HFP_REPLAY_H

#include "options.h"

#include "util/bytes.h"

/* A line of a recording: 2024-02-13T16:33:00.005271Z /hfp/v2/.../15 {"VP":{...}}. Topics have spaces; the payload
 * begins at the first brace behind one, or, where there is none, behind the last space. -EBADMSG when there are not
 * three parts or no time. */
struct replay_line {
    int64_t time_ms;
    struct bytes topic, payload;
};

int replay_line_parse(struct bytes line, struct replay_line *ret);

int replay_run(const struct tool_options *o);

#endif
