/* A module for the end-to-end tests: one small handler, hook or route for each call of crier.h.
 *
 * Stateless; everything runs on the loop thread of the session that it is about. */
#include <crier/crier.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT(s) ((struct crier_bytes){s, sizeof(s) - 1})

static struct crier_bytes bytes_of_text(const char *s)
{
    return (struct crier_bytes){s, strlen(s)};
}

static void handle_echo(struct crier_request *r, struct crier_bytes payload, void *arg)
{
    (void)arg;
    crier_reply(r, crier_request_type(r), payload);
}

static void handle_fail(struct crier_request *r, struct crier_bytes payload, void *arg)
{
    (void)payload;
    (void)arg;
    crier_reply_error(r, 107, "told to fail");
}

static void handle_ok(struct crier_request *r, struct crier_bytes payload, void *arg)
{
    (void)payload;
    (void)arg;
    crier_reply_ok(r);
}

static void handle_publish(struct crier_request *r, struct crier_bytes payload, void *arg)
{
    const struct crier_publication p = {.channel = arg, .payload = payload};
    crier_publish_reply(r, &p);
}

static void handle_broadcast(struct crier_request *r, struct crier_bytes payload, void *arg)
{
    (void)arg;
    crier_broadcast(crier_session_server(crier_request_session(r)), 200, payload);
}

static void handle_send_user(struct crier_request *r, struct crier_bytes payload, void *arg)
{
    struct crier_session *s = crier_request_session(r);
    (void)arg;
    crier_send_user(crier_session_server(s), crier_session_user(s), 201, payload);
}

/* To itself by key, three times: order has to hold. */
static void handle_send_self(struct crier_request *r, struct crier_bytes payload, void *arg)
{
    struct crier_session *s = crier_request_session(r);
    (void)payload;
    (void)arg;
    crier_send(crier_session_server(s), crier_session_key(s), 202, TEXT("1"));
    crier_send(crier_session_server(s), crier_session_key(s), 202, TEXT("2"));
    crier_send(crier_session_server(s), crier_session_key(s), 202, TEXT("3"));
}

static void handle_leave(struct crier_request *r, struct crier_bytes payload, void *arg)
{
    struct crier_session *s = crier_request_session(r);
    (void)payload;
    (void)arg;
    crier_disconnect(crier_session_server(s), crier_session_key(s), 4001, "asked to leave");
}

static void handle_join(struct crier_request *r, struct crier_bytes payload, void *arg)
{
    (void)payload;
    crier_subscribe(crier_request_session(r), arg, &(struct crier_subscribe_options){.history = 10});
}

/* A tombstone for the key that the payload is. */
static void handle_remove(struct crier_request *r, struct crier_bytes payload, void *arg)
{
    const struct crier_publication p = {.channel = arg, .key = payload};
    crier_publish_reply(r, &p);
}

static void on_connect(const struct crier_connect *c, struct crier_connect_reply *reply, void *arg)
{
    char value[64];
    (void)arg;
    if (c->query_get(c, "refuse", value, sizeof value)) {
        reply->status = atoi(value);
        reply->reason = "refused by the module";
    }
    if (c->query_get(c, "user", value, sizeof value))
        snprintf(reply->user, sizeof reply->user, "%s", value);
    struct crier_bytes agent = c->header(c, "X-Refuse-Me");
    if (agent.data)
        reply->status = 418;
}

static void on_open(struct crier_session *s, void *arg)
{
    const char *greeting = arg;
    char *name = strdup(crier_session_user(s));
    crier_session_set_data(s, name);
    if (greeting)
        crier_send(crier_session_server(s), crier_session_key(s), 203, bytes_of_text(greeting));
}

static void on_disconnect(struct crier_session *s, int code, void *arg)
{
    char text[200];
    char *name = crier_session_data(s);
    (void)arg;
    snprintf(text, sizeof text, "{\"user\":\"%s\",\"code\":%d}", name, code);
    const struct crier_publication p = {.channel = "gone", .payload = bytes_of_text(text)};
    crier_publish(crier_session_server(s), &p, NULL, NULL);
    free(name);
}

static void on_route(struct crier_http *h, void *arg)
{
    char name[32] = "", body[512];
    struct crier_bytes rest = crier_http_rest(h), sent = crier_http_body(h);
    (void)arg;
    crier_http_query(h, "name", name, sizeof name);
    int n = snprintf(body, sizeof body, "rest=%.*s name=%s body=%.*s", (int)rest.len, rest.data ? rest.data : "", name,
                     (int)sent.len, sent.data ? sent.data : "");
    crier_http_reply(h, 202, "text/plain", (struct crier_bytes){body, (size_t)n});
}

static const struct {
    uint32_t type;
    const char *name;
    crier_handler_fn fn;
    const char *arg;
} handlers[] = {
    {100, "echo", handle_echo, NULL},           {101, "fail", handle_fail, NULL},
    {102, "ok", handle_ok, NULL},               {103, "publish", handle_publish, "news"},
    {104, "publish_nowhere", handle_publish, "other:x"},
    {105, "broadcast", handle_broadcast, NULL}, {106, "send_user", handle_send_user, NULL},
    {107, "send_self", handle_send_self, NULL}, {108, "leave", handle_leave, NULL},
    {109, "join", handle_join, "news"},         {110, "remove", handle_remove, "map"},
};

static int init(struct crier *c)
{
    const char *fault = crier_module_option(c, "fail");
    int r = 0;
    if (fault) {
        crier_module_fail(c, "the option says: %s", fault);
        return -EINVAL;
    }
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers && r == 0; i++)
        r = crier_handle(c, handlers[i].type, handlers[i].name, CRIER_JSON, handlers[i].fn, (void *)handlers[i].arg);
    if (r == 0 && crier_handle(c, 101, "geo", CRIER_JSON, handle_echo, NULL) != -EINVAL)
        return -EPROTO; /* the server's own */
    if (r == 0 && crier_handle(c, 100, "again", CRIER_JSON, handle_echo, NULL) != -EEXIST)
        return -EINVAL;
    crier_on_connect(c, on_connect, NULL);
    crier_on_open(c, on_open, (void *)crier_module_option(c, "greeting"));
    crier_on_disconnect(c, on_disconnect, NULL);
    return r == 0 ? crier_route(c, "POST", "/prober/*", on_route, NULL) : r;
}

CRIER_MODULE(init)
