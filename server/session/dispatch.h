/* Messages and orders to sessions wherever they are: one, all of a user, or everyone. Any thread; what is given is
 * copied. */
#ifndef CRIER_SESSION_DISPATCH_H
#define CRIER_SESSION_DISPATCH_H

#include "auth/auth.h"

struct engine;

enum dispatch_target { DISPATCH_SESSION, DISPATCH_USER, DISPATCH_ALL };
enum dispatch_action {
    DISPATCH_SEND,        /* `type`, `payload` */
    DISPATCH_CLOSE,       /* `code`, `reason` */
    DISPATCH_SUBSCRIBE,   /* `subscription`, `expire_at_s`, `epoch` and `offset` */
    DISPATCH_UNSUBSCRIBE, /* `subscription.channel`, `code`, `reason` */
    DISPATCH_REFRESH,     /* `expire_at_s`, `subscription.info` */
};

/* Codes that an unsubscribed client is told; from 2500 on it subscribes again. */
enum { UNSUBSCRIBED_BY_SERVER = 2000 };

struct dispatch {
    enum dispatch_target target;
    enum dispatch_action action;
    uint64_t key;        /* DISPATCH_SESSION */
    const char *user;    /* DISPATCH_USER; the next three narrow it; NULL or "": all of the user */
    const char *client;  /* id of a session */
    const char *session; /* what an emulated session calls itself */
    struct bytes spared; /* ids of sessions that are left out, each with a NUL behind it */
    int code;
    const char *reason;
    uint32_t type;
    struct bytes payload; /* JSON */
    struct auth_subscription subscription;
    int64_t expire_at_s; /* 0 never */
    const char *epoch;   /* position to resume from; NULL none, "": whatever epoch there is */
    int64_t offset;
};

void dispatch_post(struct engine *engine, const struct dispatch *d);

#endif
