#include "hooks.h"

#include <stdio.h>

#include "loop/engine.h"
#include "session/session.h"

static struct crier_bytes export_bytes(struct bytes b)
{
    return (struct crier_bytes){b.data, b.len};
}

static struct crier_bytes connect_header(const struct crier_connect *c, const char *name)
{
    return export_bytes(http_header_get(c->impl, name));
}

static bool connect_query_get(const struct crier_connect *c, const char *name, char *out, size_t size)
{
    CLEANUP_BUF value = BUF_INIT;
    if (http_query_get(c->impl, name, &value) < 0 || value.len >= size)
        return false;
    if (value.len)
        memcpy(out, value.data, value.len);
    out[value.len] = 0;
    return true;
}

void hooks_connect(struct http_request *r, const struct modules *m, const char *user, const char *claims,
                   struct crier_connect_reply *reply)
{
    const struct crier_connect c = {
        .path = export_bytes(http_path(r)),
        .query = export_bytes(http_query(r)),
        .subprotocols = export_bytes(http_header_get(r, "sec-websocket-protocol")),
        .remote_address = export_bytes(http_remote_address(r)),
        .user = user,
        .claims = claims ? claims : "{}",
        .header = connect_header,
        .query_get = connect_query_get,
        .impl = r,
    };
    snprintf(reply->user, sizeof reply->user, "%s", user);
    for (size_t i = 0; i < m->connect_count && reply->status == 101; i++) {
        modules_enter(m->connect[i].module);
        m->connect[i].fn.connect(&c, reply, m->connect[i].arg);
    }
}

void hooks_open(struct session *s)
{
    const struct modules *m = s->loop->engine->modules;
    for (size_t i = 0; i < m->open_count && !s->closing; i++) {
        modules_enter(m->open[i].module);
        m->open[i].fn.open((struct crier_session *)s, m->open[i].arg);
    }
}

void hooks_disconnect(struct session *s, int code)
{
    const struct modules *m = s->loop->engine->modules;
    for (size_t i = 0; i < m->disconnect_count; i++) {
        modules_enter(m->disconnect[i].module);
        m->disconnect[i].fn.disconnect((struct crier_session *)s, code, m->disconnect[i].arg);
    }
}
