/* The calls of <crier/crier.h> that handlers and hooks make while the server runs. */
#include <stdio.h>
#include <stdlib.h>

#include "loop/engine.h"
#include "hub/publish.h"
#include "proto/http1.h"
#include "session/dispatch.h"
#include "session/request.h"

static struct session *session_of(struct crier_session *s)
{
    return (struct session *)s;
}

static struct bytes import_bytes(struct crier_bytes b)
{
    return (struct bytes){b.data, b.len};
}

/* ---- requests and sessions ---- */

struct crier_session *crier_request_session(struct crier_request *r)
{
    return (struct crier_session *)r->session;
}

uint32_t crier_request_type(struct crier_request *r)
{
    return r->type;
}

struct crier_bytes crier_request_id(struct crier_request *r)
{
    return (struct crier_bytes){r->id.data, r->id.len};
}

static _Thread_local struct crier *current_module;

void modules_enter(struct crier *module)
{
    current_module = module;
}

struct crier *crier_session_server(struct crier_session *s)
{
    (void)s;
    return current_module;
}

const char *crier_session_id(struct crier_session *s)
{
    return session_of(s)->id;
}

uint64_t crier_session_key(struct crier_session *s)
{
    return session_of(s)->key;
}

const char *crier_session_user(struct crier_session *s)
{
    return session_of(s)->user;
}

enum crier_codec crier_session_codec(struct crier_session *s)
{
    return session_of(s)->form == FORM_TYPED_PROTOBUF || session_of(s)->form == FORM_CHANNELS_PROTOBUF ? CRIER_PROTOBUF
                                                                                                      : CRIER_JSON;
}

bool crier_session_query(struct crier_session *s, const char *name, char *out, size_t size)
{
    const char *query = session_of(s)->query;
    CLEANUP_BUF value = BUF_INIT;
    if (!query || http1_query_get(bytes_of(query), name, &value) < 0 || value.len >= size)
        return false;
    if (value.len)
        memcpy(out, value.data, value.len);
    out[value.len] = 0;
    return true;
}

void crier_session_set_name(struct crier_session *s, const char *name)
{
    struct session *session = session_of(s);
    free(session->name);
    session->name = bytes_dup((struct bytes){name, strnlen(name, 127)});
}

void crier_session_set_data(struct crier_session *s, void *data)
{
    struct session *session = session_of(s);
    if (!session->module_data)
        session->module_data = xcalloc(session->loop->engine->modules->count, sizeof(void *));
    session->module_data[current_module->index] = data;
}

void *crier_session_data(struct crier_session *s)
{
    void **data = session_of(s)->module_data;
    return data ? data[current_module->index] : NULL;
}

void crier_reply(struct crier_request *r, uint32_t type, struct crier_bytes payload)
{
    r->session->wire->reply(r->session, type, r->id, r->handler->codec, import_bytes(payload));
}

void crier_reply_error(struct crier_request *r, int code, const char *message)
{
    r->session->wire->reply_error(r->session, r->id, (enum crier_error)code, message);
}

void crier_reply_ok(struct crier_request *r)
{
    r->session->wire->reply_ok(r->session, r->id);
}

/* ---- to sessions wherever they are ---- */

void crier_send(struct crier *c, uint64_t session_key, uint32_t type, struct crier_bytes payload)
{
    const struct dispatch d = {
        .target = DISPATCH_SESSION, .key = session_key, .type = type, .payload = import_bytes(payload)};
    dispatch_post(c->engine, &d);
}

void crier_send_user(struct crier *c, const char *user, uint32_t type, struct crier_bytes payload)
{
    const struct dispatch d = {.target = DISPATCH_USER, .user = user, .type = type, .payload = import_bytes(payload)};
    dispatch_post(c->engine, &d);
}

void crier_broadcast(struct crier *c, uint32_t type, struct crier_bytes payload)
{
    const struct dispatch d = {.target = DISPATCH_ALL, .type = type, .payload = import_bytes(payload)};
    dispatch_post(c->engine, &d);
}

void crier_disconnect(struct crier *c, uint64_t session_key, int code, const char *reason)
{
    const struct dispatch d = {
        .target = DISPATCH_SESSION, .key = session_key, .action = DISPATCH_CLOSE, .code = code, .reason = reason};
    dispatch_post(c->engine, &d);
}

/* ---- publishing and subscribing ---- */

struct publish_callback {
    struct crier *module;
    crier_publish_fn fn;
    void *arg;
};

static void on_published(struct hub_call *call, void *owner)
{
    struct hub_publish *p = (struct hub_publish *)call;
    struct publish_callback *callback = p->arg;
    const struct crier_publish_result result = {
        .error = p->error,
        .message = *p->detail ? p->detail : p->error ? crier_error_info(p->error)->message : "",
        .partition = p->partition,
        .offset = p->offset,
        .epoch = p->epoch,
    };
    (void)owner;
    modules_enter(callback->module);
    if (callback->fn)
        callback->fn(&result, callback->arg);
    free(callback);
    hub_publish_free(p);
}

static _Thread_local struct loop *current_loop;

void modules_enter_loop(struct loop *l)
{
    current_loop = l;
}

static void fill(struct hub_publish *p, const struct crier_publication *from)
{
    p->has_key = from->key.data != NULL;
    buf_append_bytes(&p->key, import_bytes(from->key));
    if (from->message_id)
        p->message_id = xstrdup(from->message_id);
    if (from->user) {
        free(p->user);
        p->user = xstrdup(from->user);
    }
}

void crier_publish(struct crier *c, const struct crier_publication *from, crier_publish_fn fn, void *arg)
{
    struct hub_publish *p = hub_publish_new(current_loop ? &current_loop->inbox : NULL, bytes_of(from->channel),
                                            import_bytes(from->payload), on_published);
    struct publish_callback *callback = xmalloc(sizeof *callback);
    *callback = (struct publish_callback){c, fn, arg};
    p->arg = callback;
    fill(p, from);
    hub_call_post(c->engine->hub, &p->call);
}

void crier_publish_reply(struct crier_request *r, const struct crier_publication *from)
{
    struct hub_publish *p =
        session_publish_new(r->session, r->id, bytes_of(from->channel), import_bytes(from->payload));
    fill(p, from);
    session_publish_post(r->session, p);
}

void crier_subscribe(struct crier_session *s, const char *channel, const struct crier_subscribe_options *options)
{
    const struct subscribe_request q = {
        .channel = bytes_of(channel),
        .epoch = options ? options->epoch : NULL,
        .offset = options ? options->offset : 0,
        .history = options ? options->history : 0,
    };
    session_subscribe(session_of(s), &q);
}

void crier_unsubscribe(struct crier_session *s, const char *channel)
{
    session_unsubscribe(session_of(s), bytes_of(channel));
}
