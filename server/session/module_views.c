/* The calls of <crier/crier.h> for views. */
#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "loop/engine.h"
#include "loop/view.h"
#include "session/modules.h"
#include "session/session.h"

_Static_assert(CRIER_VIEW_FORMS == GRID_FORMS, "the module interface says how many forms there are");

void crier_out_append(struct crier_out *out, const void *data, size_t len)
{
    buf_append((struct buf *)out, data, len);
}

static const char *fault_of(const struct crier *c, const struct crier_view_options *o)
{
    const struct config_namespace *ns = config_namespace_of(c->engine->config, bytes_of(o->channel));
    if (!channel_name_valid(c->engine->config, bytes_of(o->channel)))
        return "not a channel's name";
    if (!ns || !ns->keyed)
        return ns ? "a view needs a keyed namespace" : "its namespace is not configured";
    if (o->payload == CRIER_PROTOBUF && !modules_schema(c->engine->modules, (uint32_t)ns->type))
        return "the type of its namespace is no message type of the module, which items are made from";
    if (o->form_count < 1 || o->form_count > CRIER_VIEW_FORMS)
        return "a view has 1 to 4 forms";
    if (o->cell_latitude_e6 < 100 || o->cell_longitude_e6 < 100)
        return "a cell is 100 millionths of a degree at least";
    return NULL;
}

int crier_view_new(struct crier *c, const struct crier_view_options *o, struct crier_view **ret)
{
    const char *fault = fault_of(c, o);
    if (fault) {
        crier_module_fail(c, "channel \"%s\": %s", o->channel, fault);
        return -EINVAL;
    }
    struct crier_view *v = xcalloc(1, sizeof *v);
    *v = (struct crier_view){
        .module = c,
        .channel = xstrdup(o->channel),
        .source = o->payload == CRIER_PROTOBUF ? FORM_PAYLOAD_PROTOBUF : FORM_PAYLOAD_JSON,
        .cell_latitude_e6 = o->cell_latitude_e6,
        .cell_longitude_e6 = o->cell_longitude_e6,
        .form_count = o->form_count,
        .arg = o->arg,
    };
    memcpy(v->forms, o->forms, o->form_count * sizeof *o->forms);
    LL_PREPEND(c->engine->modules->views, v);
    *ret = v;
    return 0;
}

int crier_view_set(struct crier_session *s, struct crier_view *v, const struct crier_view_request *r,
                   const char **ret_reason)
{
    const struct view_wish w = {
        .box = {r->box.south_e6, r->box.west_e6, r->box.north_e6, r->box.east_e6},
        .form = r->form,
        .filter = {r->filter.data, r->filter.len},
        .tell = r->tell,
    };
    return view_set((struct session *)s, v, &w, ret_reason);
}

void crier_view_end(struct crier_session *s, struct crier_view *v)
{
    view_end((struct session *)s, v);
}

void crier_view_tell(struct crier_view *v, uint32_t type, struct crier_bytes payload)
{
    const struct engine *e = v->module->engine;
    view_tell(e->loops, e->loop_count, v, type, (struct bytes){payload.data, payload.len});
}

void module_views_done(struct modules *m)
{
    struct crier_view *v, *next;
    LL_FOREACH_SAFE(m->views, v, next)
    {
        free(v->channel);
        free(v);
    }
}
