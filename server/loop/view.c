#include "view_private.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "loop/engine.h"
#include "session/session.h"
#include "util/clock.h"
#include "util/metrics.h"

#define UNSENT_BYTES (16 * 1024) /* of a slow viewer, in the kernel: seconds of a large box */

/* ---- the channel ---- */

void view_on_block(struct view *v, struct frame_block *block)
{
    if (!v->live) { /* between two subscriptions */
        frame_block_unref(block);
        return;
    }
    if (v->pending_count == v->pending_capacity) {
        v->pending_capacity = v->pending_capacity ? v->pending_capacity * 2 : 8;
        v->pending = xrealloc(v->pending, v->pending_capacity * sizeof(struct frame_block *));
    }
    v->pending[v->pending_count++] = block;
    v->pending_bytes += block->len;
}

bool view_in_use(const struct view *v)
{
    return v->count > 0;
}

static void forget_items(struct view *v)
{
    view_drop_pending(v);
    grid_clear(v->grid);
    v->live = v->passing = false;
    for (size_t i = 0; i < v->count; i++)
        v->viewers[i]->stale = true;
}

void view_detached(struct view *v, bool form_gone)
{
    forget_items(v);
    if (form_gone)
        v->form = NULL;
}

static void on_attached(struct hub_call *call, void *owner)
{
    struct hub_subscribe *r = (struct hub_subscribe *)call;
    struct view *v = r->arg;
    (void)owner;
    channel_form_answered(v->form, r);
    v->asking = false;
    if (r->error == CRIER_OK) {
        forget_items(v);
        v->live = true;
        v->ticked_ms = 0; /* the first tick is due at once */
        if (r->block)
            view_on_block(v, r->block);
        else
            view_begin_tick(v, 0); /* an empty channel, which viewers hear of as such */
        r->block = NULL;
    } else {
        log_error("view: the channel is not available", LOG_STR("channel", v->config->channel),
                  LOG_STR("reason", r->detail ? r->detail : crier_error_info(r->error)->message));
    }
    hub_subscribe_free(r);
}

/* The table as of now and everything after it; also when the form was about to be let go. */
static void attach(struct view *v)
{
    struct loop *l = v->of->loop;
    struct bytes name = bytes_of(v->config->channel);
    enum crier_error error;
    if (v->asking || (v->live && v->form->attached && !v->form->detaching))
        return;
    if (!v->form) {
        struct loop_channel *c = loop_channel_get(l, name, &error);
        if (!c)
            return; /* checked when the view was registered */
        v->form = channel_form_get(c, v->config->source);
        v->form->view = v;
    }
    struct hub_subscribe *r = hub_subscribe_new(&l->inbox, name, on_attached);
    r->arg = v;
    v->asking = true;
    channel_form_ask(v->form, r);
}

/* ---- viewers ---- */

static struct view *view_of(struct views *of, const struct crier_view *config)
{
    struct view *v;
    LL_SEARCH_SCALAR(of->list, v, config, config);
    if (v)
        return v;
    struct grid_options options = {
        .cell = {config->cell_latitude_e6, config->cell_longitude_e6},
        .forms = config->form_count,
        .encode = view_encode_item,
        .arg = (void *)config,
    };
    for (unsigned i = 0; i < config->form_count; i++)
        options.separators[i] = config->forms[i].separator;
    v = xcalloc(1, sizeof *v);
    v->of = of;
    v->config = config;
    v->grid = grid_new(&options);
    LL_PREPEND(of->list, v);
    return v;
}

static struct viewer *find_viewer(const struct session *s, const struct crier_view *config)
{
    struct viewer *w;
    for (w = s->viewers; w && w->view->config != config; w = w->next)
        ;
    return w;
}

static struct viewer *add_viewer(struct session *s, struct view *v)
{
    struct viewer *w = xcalloc(1, sizeof *w);
    if (v->count == v->capacity) {
        v->capacity = v->capacity ? v->capacity * 2 : 16;
        v->viewers = xrealloc(v->viewers, v->capacity * sizeof(struct viewer *));
    }
    *w = (struct viewer){.session = s, .view = v, .index = v->count, .stale = true};
    v->viewers[v->count++] = w;
    LL_PREPEND(s->viewers, w);
    ws_limit_unsent(s->conn, UNSENT_BYTES);
    metric_add(M_VIEWERS, 1);
    return w;
}

static void put(struct view *v, size_t index, struct viewer *w)
{
    v->viewers[index] = w;
    w->index = index;
}

/* As with subscriptions: while a pass runs, those that it has been to stay below `pass_at`. */
static void remove_viewer(struct viewer *w)
{
    struct view *v = w->view;
    size_t hole = w->index;
    if (v->passing && hole < v->pass_at) {
        put(v, hole, v->viewers[--v->pass_at]);
        hole = v->pass_at;
    }
    put(v, hole, v->viewers[--v->count]);
    if (v->count == 0 && v->form)
        v->form->idle_since_ms = clock_mono_ms();
    LL_DELETE(w->session->viewers, w);
    grid_filter_unref(w->sees.filter);
    metric_add(M_VIEWERS, -1);
    free(w);
}

/* What is new in the box, and what fell out of it. */
static void change_box(struct viewer *w, const struct grid_viewer *to)
{
    struct view *v = w->view;
    viewer_update(w); /* of the tick whose pass has not come to it */
    if (!w->stale && !viewer_can_take(w))
        w->stale = true;
    if (!w->stale) {
        grid_news_reset(&v->of->news);
        grid_move(v->grid, &w->sees, to, w->form, &v->of->news);
    }
    struct grid_filter *before = w->sees.filter;
    w->sees = *to;
    if (!w->stale && (v->of->news.item_count || v->of->news.left_count))
        viewer_send_news(w, false);
    grid_filter_unref(before);
}

int view_set(struct session *s, const struct crier_view *config, const struct view_wish *wish, const char **ret_reason)
{
    struct grid_viewer to = {.box = wish->box};
    if (!geo_box_valid(&wish->box)) {
        *ret_reason = "the box is not on the globe, or its south is north of its north";
        return -EINVAL;
    }
    if (wish->form >= config->form_count) {
        *ret_reason = "no such form";
        return -EINVAL;
    }
    struct view *v = view_of(s->loop->views, config);
    int r = wish->filter.data ? grid_filter_get(v->grid, wish->filter, &to.filter, ret_reason) : 0;
    if (r < 0)
        return r;
    struct viewer *w = find_viewer(s, config);
    if (!w)
        w = add_viewer(s, v);
    w->tell = wish->tell;
    if (w->form != wish->form)
        w->stale = true;
    w->form = wish->form;
    attach(v);
    if (v->live && !v->asking) {
        change_box(w, &to);
    } else {
        grid_filter_unref(w->sees.filter);
        w->sees = to;
    }
    if (v->live && !v->asking && w->stale && v->tick && viewer_can_take(w))
        viewer_send_everything(w);
    return 0;
}

void view_end(struct session *s, const struct crier_view *config)
{
    struct viewer *w = find_viewer(s, config);
    if (w)
        remove_viewer(w);
}

void viewers_writable(struct viewer *first)
{
    for (struct viewer *w = first; w; w = w->next)
        if (w->stale && w->view->live && w->view->tick && viewer_can_take(w))
            viewer_send_everything(w);
}

void viewers_end(struct session *s)
{
    while (s->viewers)
        remove_viewer(s->viewers);
}

/* ---- messages to those who look ---- */

struct tell_message {
    struct inbox_message message; /* first */
    const struct crier_view *view;
    uint32_t type;
    struct blob *json;
};

static void deliver_tell(struct inbox_message *m, void *owner)
{
    struct tell_message *t = (struct tell_message *)m;
    struct loop *l = owner;
    struct view *v;
    LL_SEARCH_SCALAR(l->views->list, v, config, t->view);
    for (size_t i = 0; v && i < v->count; i++) {
        struct session *s = v->viewers[i]->session;
        if (v->viewers[i]->tell && !s->closing)
            s->wire->send(s, t->type, CRIER_JSON, blob_bytes(t->json));
    }
    blob_unref(t->json);
    free(t);
}

void view_tell(struct loop *loops, size_t loop_count, const struct crier_view *view, uint32_t type, struct bytes json)
{
    struct blob *payload = blob_copy(json);
    for (size_t i = 0; i < loop_count; i++) {
        struct tell_message *t = xmalloc(sizeof *t);
        *t = (struct tell_message){.message.deliver = deliver_tell, .view = view, .type = type};
        t->json = blob_ref(payload);
        loop_post(&loops[i], &t->message);
    }
    blob_unref(payload);
}

/* ---- life ---- */

struct views *views_new(struct loop *l)
{
    struct views *of = xcalloc(1, sizeof *of);
    of->loop = l;
    uv_idle_init(&l->uv, &of->more);
    uv_timer_init(&l->uv, &of->gather);
    return of;
}

void views_close(struct views *of)
{
    uv_close((uv_handle_t *)&of->more, NULL);
    uv_close((uv_handle_t *)&of->gather, NULL);
}

void views_free(struct views *of)
{
    struct view *v, *next;
    LL_FOREACH_SAFE(of->list, v, next)
    {
        view_drop_pending(v);
        grid_free(v->grid);
        free(v->pending);
        free(v->viewers);
        free(v);
    }
    grid_news_done(&of->news);
    buf_done(&of->message);
    free(of);
}
