#include "request.h"

#include <stdlib.h>

#include "hub/publish.h"
#include "loop/engine.h"

struct publish_reply {
    uint64_t session;
    size_t id_len;
    bool has_id;
    char id[];
};

static void on_published(struct hub_call *call, void *owner)
{
    struct hub_publish *p = (struct hub_publish *)call;
    struct publish_reply *reply = p->arg;
    struct session *s = session_find(owner, reply->session);
    struct bytes id = reply->has_id ? (struct bytes){reply->id, reply->id_len} : BYTES_NULL;

    if (s && p->error != CRIER_OK)
        s->wire->reply_error(s, id, p->error, p->detail);
    else if (s)
        s->wire->reply_stored(s, id, p->partition, p->offset, p->epoch);
    free(reply);
    hub_publish_free(p);
}

struct hub_publish *session_publish_new(struct session *s, struct bytes id, struct bytes channel, struct bytes payload)
{
    struct hub_publish *p = hub_publish_new(&s->loop->inbox, channel, payload, on_published);
    struct publish_reply *reply = xmalloc(sizeof *reply + id.len);
    *reply = (struct publish_reply){.session = s->key, .id_len = id.len, .has_id = id.data != NULL};
    if (id.len)
        memcpy(reply->id, id.data, id.len);
    p->arg = reply;
    p->user = xstrdup(s->user);
    return p;
}

void session_publish_post(struct session *s, struct hub_publish *p)
{
    hub_call_post(s->loop->engine->hub, &p->call);
}

void stored_append(struct buf *out, int32_t partition, int64_t offset, const char *epoch)
{
    buf_append_str(out, "{");
    if (partition >= 0)
        buf_printf(out, "\"partition\":%d%s", (int)partition, offset >= 0 ? "," : "");
    if (offset >= 0)
        buf_printf(out, "\"offset\":%lld,\"epoch\":\"%s\"", (long long)offset, epoch);
    buf_append_str(out, "}");
}
