/* What the command line of crier-hfp says.
 *
 * Texts point into argv and live as long as the process. */
#ifndef CRIER_HFP_OPTIONS_H
#define CRIER_HFP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As in sysexits.h. */
enum tool_exit {
    TOOL_OK = 0,
    TOOL_USAGE = 64,
    TOOL_NO_INPUT = 66,
    TOOL_UNAVAILABLE = 69,
    TOOL_NO_PERMISSION = 77,
};

struct tool_options {
    /* both */
    const char *to;           /* mqtt://HOST:PORT or http://HOST:PORT */
    const char *channel;      /* of http */
    const char *api_key_file; /* of http; NULL: none */
    int qos;                  /* of mqtt */
    int64_t duration_ms;      /* 0: until it is ended */
    bool with_parent;         /* ends when the process that started it does */

    /* simulate */
    size_t vehicles;
    double rate; /* positions of a vehicle per second */
    uint64_t seed;

    /* replay */
    double speed; /* 0: as fast as it goes */
    bool loop;
    char **files;
    size_t file_count;
};

typedef int (*tool_command_fn)(const struct tool_options *o);

/* Reads everything. Returns -1 with the command to run, or the exit code after a message. */
int tool_options_parse(int argc, char **argv, struct tool_options *ret, tool_command_fn *ret_command);

#endif
