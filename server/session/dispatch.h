/* Messages to sessions wherever they are: one, all of a user, or everyone. Any thread; what is given is copied. */
#ifndef CRIER_SESSION_DISPATCH_H
#define CRIER_SESSION_DISPATCH_H

#include "util/bytes.h"

struct engine;

enum dispatch_target { DISPATCH_SESSION, DISPATCH_USER, DISPATCH_ALL };

struct dispatch {
    enum dispatch_target target;
    uint64_t key;       /* DISPATCH_SESSION */
    const char *user;   /* DISPATCH_USER */
    const char *client; /* DISPATCH_USER: only the session with this id; NULL or "": all */
    bool close;         /* close with `code` and `reason` instead of sending */
    int code;
    const char *reason;
    uint32_t type;
    struct bytes payload; /* JSON */
};

void dispatch_post(struct engine *engine, const struct dispatch *d);

#endif
