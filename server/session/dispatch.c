#include "dispatch.h"

#include <stdlib.h>

#include "loop/engine.h"
#include "session/session.h"

struct dispatch_message {
    struct inbox_message message; /* first */
    struct dispatch d;            /* its strings are the message's own */
    struct blob *payload;         /* shared by the loops */
};

static void apply(struct session *s, const struct dispatch_message *m)
{
    if (!s->conn)
        return;
    if (m->d.close)
        session_close(s, m->d.code, m->d.reason);
    else
        s->wire->send(s, m->d.type, CRIER_JSON, blob_bytes(m->payload));
}

static bool is_meant(const struct session *s, const struct dispatch *d)
{
    if (d->target == DISPATCH_ALL)
        return true;
    return strcmp(s->user, d->user) == 0 && (!*d->client || strcmp(s->id, d->client) == 0);
}

static void deliver(struct inbox_message *message, void *owner)
{
    struct dispatch_message *m = (struct dispatch_message *)message;
    struct loop *l = owner;
    struct session *s, *next;

    if (m->d.target == DISPATCH_SESSION) {
        s = session_find(l, m->d.key);
        if (s)
            apply(s, m);
    } else {
        HASH_ITER(hh, l->sessions, s, next)
            if (is_meant(s, &m->d))
                apply(s, m);
    }
    blob_unref(m->payload);
    free((char *)m->d.user);
    free((char *)m->d.client);
    free((char *)m->d.reason);
    free(m);
}

static void post(struct loop *l, const struct dispatch *d, struct blob *payload)
{
    struct dispatch_message *m = xcalloc(1, sizeof *m);
    m->message.deliver = deliver;
    m->d = *d;
    m->d.user = xstrdup(d->user ? d->user : "");
    m->d.client = xstrdup(d->client ? d->client : "");
    m->d.reason = xstrdup(d->reason ? d->reason : "");
    m->payload = blob_ref(payload);
    loop_post(l, &m->message);
}

void dispatch_post(struct engine *engine, const struct dispatch *d)
{
    struct blob *payload = blob_copy(d->payload);
    for (size_t i = 0; i < engine->loop_count; i++)
        if (d->target != DISPATCH_SESSION || i == d->key >> 56)
            post(&engine->loops[i], d, payload);
    blob_unref(payload);
}
