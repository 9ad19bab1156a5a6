/* One call of the server API, on its own or inside a batch.
 *
 * Owned by whoever started it until `done`; `params` is its own copy. Loop threads. */
#ifndef CRIER_API_COMMAND_H
#define CRIER_API_COMMAND_H

#include "loop/loop.h"
#include "util/error.h"

struct command {
    struct loop *loop;
    struct buf params; /* a JSON object */
    struct buf trace;  /* traceparent header of the request; may be empty */
    enum crier_error error;
    char detail[160];
    struct buf result; /* JSON object, when there is no error */
    void (*done)(struct command *c);
    void *arg;   /* of `done` */
    size_t left; /* broadcast: publishes under way */
    void *parts; /* broadcast: their outcomes */
};

/* Runs a method and calls `c->done`, at once or later. An unknown method is CRIER_ERR_METHOD_NOT_FOUND. */
void command_run(struct command *c, struct bytes method);
bool command_known(struct bytes method);
/* Appends {"result":..} or {"error":..}, without the braces. */
void command_write(const struct command *c, struct buf *out);
void command_done(struct command *c); /* frees the content */

#endif
