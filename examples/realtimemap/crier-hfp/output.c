#include "output.h"

#include <stdio.h>

void output_refuse(struct output *o, size_t count, const char *reason)
{
    if (o->counts.refused == 0 && count > 0)
        fprintf(stderr, "crier-hfp: refused: %s\n", reason);
    o->counts.refused += count;
}

int output_new(const struct tool_options *options, bool reliable, struct output **ret)
{
    if (strncmp(options->to, "mqtt://", 7) == 0)
        return output_new_mqtt(options, reliable, ret);
    if (strncmp(options->to, "http://", 7) == 0)
        return output_new_http(options, reliable, ret);
    fprintf(stderr, "crier-hfp: --to: '%s' is neither mqtt://HOST:PORT nor http://HOST:PORT\n", options->to);
    return TOOL_USAGE;
}
