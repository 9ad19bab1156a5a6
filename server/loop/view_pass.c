#include "view_private.h"

#include "loop/engine.h"
#include "session/modules.h"
#include "session/session.h"
#include "util/clock.h"
#include "util/metrics.h"

#define PASS_BUDGET_NS 2000000
#define CLOCK_EVERY 16               /* viewers between two looks at the clock */
#define PENDING_BYTES_MAX (16 << 20) /* of ticks to come, while a pass runs */

/* ---- encoding ---- */

static struct crier_bytes export_bytes(struct bytes b)
{
    return (struct crier_bytes){b.data, b.len};
}

static struct crier_out *as_out(struct buf *b)
{
    return (struct crier_out *)b;
}

void view_encode_item(void *arg, unsigned form, struct bytes key, struct bytes payload, struct buf *out)
{
    const struct crier_view *config = arg;
    modules_enter(config->module);
    config->forms[form].item(as_out(out), export_bytes(key), export_bytes(payload), config->arg);
}

static void write_left(struct view *v, const struct crier_view_form *form, bool reset, struct buf *out)
{
    const struct grid_news *news = &v->of->news;
    const struct bytes *keys = (const struct bytes *)news->left.data;
    if (form->left_begin)
        form->left_begin(as_out(out), reset, v->config->arg);
    for (size_t i = 0; i < news->left_count; i++) {
        if (i)
            buf_append_str(out, form->separator);
        form->left(as_out(out), export_bytes(keys[i]), v->config->arg);
    }
    if (form->left_end)
        form->left_end(as_out(out), v->config->arg);
}

/* ---- sending ---- */

bool viewer_can_take(const struct viewer *w)
{
    return session_can_send(w->session) && !w->session->outbox_first;
}

static void send_message(struct viewer *w, uint32_t type, enum crier_codec codec)
{
    struct session *s = w->session;
    metric_add(M_VIEW_MESSAGES, 1);
    s->wire->send(s, type, codec, buf_bytes(&w->view->of->message));
}

/* Keys that left first: where they are a message of their own, a client that shows both never shows one twice. */
void viewer_send_news(struct viewer *w, bool reset)
{
    struct view *v = w->view;
    const struct crier_view_form *form = &v->config->forms[w->form];
    const struct grid_news *news = &v->of->news;
    struct buf *out = &v->of->message;
    bool apart = form->left_type != 0;

    modules_enter(v->config->module);
    metric_add(M_VIEW_ITEMS, (int64_t)news->item_count);
    if (apart && (news->left_count || (reset && w->told))) {
        out->len = 0;
        write_left(v, form, reset, out);
        send_message(w, form->left_type, form->codec);
    }
    w->told = true;
    if (apart && !reset && !news->item_count)
        return;
    out->len = 0;
    if (form->begin)
        form->begin(as_out(out), reset, v->config->arg);
    buf_append_bytes(out, buf_bytes(&news->items));
    if (!apart)
        write_left(v, form, reset, out);
    if (form->end)
        form->end(as_out(out), v->config->arg);
    send_message(w, form->type, form->codec);
}

void viewer_send_everything(struct viewer *w)
{
    struct view *v = w->view;
    grid_news_reset(&v->of->news);
    grid_snapshot(v->grid, &w->sees, w->form, &v->of->news);
    w->stale = false;
    w->tick = v->tick;
    metric_add(M_VIEW_RESETS, 1);
    viewer_send_news(w, true);
}

/* Brings a viewer to the present tick. */
void viewer_update(struct viewer *w)
{
    struct view *v = w->view;
    if (w->tick == v->tick && !w->stale)
        return;
    w->tick = v->tick;
    if (!viewer_can_take(w)) {
        w->stale = true;
        return;
    }
    if (w->stale) {
        viewer_send_everything(w);
        return;
    }
    grid_news_reset(&v->of->news);
    grid_collect(v->grid, &w->sees, w->form, &v->of->news);
    if (v->of->news.item_count || v->of->news.left_count)
        viewer_send_news(w, false);
}

/* ---- ticks ---- */

static struct bytes frame_bytes(const struct frame_block *b, uint32_t i)
{
    uint32_t from = i ? b->marks[i - 1].end : 0;
    return (struct bytes){b->bytes + from, b->marks[i].end - from};
}

static void apply_block(struct grid *g, const struct frame_block *b)
{
    for (uint32_t i = 0; b->metas && i < b->count; i++) {
        const struct frame_meta *m = &b->metas[i];
        const struct grid_change c = {
            .key = {b->meta_bytes + m->key, m->key_len},
            .tags = {b->meta_bytes + m->tags, m->tags_len},
            .payload = frame_bytes(b, i),
            .has_geo = m->flags & FRAME_HAS_GEO,
            .latitude_e6 = m->latitude_e6,
            .longitude_e6 = m->longitude_e6,
        };
        if (c.key.len == 0 || m->flags & FRAME_JOIN_LEAVE)
            continue;
        if (m->flags & FRAME_REMOVED)
            grid_remove(g, c.key);
        else
            grid_put(g, &c);
    }
}

void view_drop_pending(struct view *v)
{
    for (size_t i = 0; i < v->pending_count; i++)
        frame_block_unref(v->pending[i]);
    v->pending_count = v->pending_bytes = 0;
}

void view_begin_tick(struct view *v, uint64_t now_ms)
{
    grid_begin(v->grid);
    for (size_t i = 0; i < v->pending_count; i++)
        apply_block(v->grid, v->pending[i]);
    grid_end(v->grid);
    view_drop_pending(v);
    v->tick++;
    v->ticked_ms = now_ms;
    v->passing = v->count > 0;
    v->pass_at = 0;
}

/* Returns false when the time is up before everybody was visited. */
static bool work_on(struct view *v, uint64_t deadline_ns)
{
    unsigned until_look = CLOCK_EVERY;
    while (v->pass_at < v->count) {
        sessions_prefetch(v->viewers + v->pass_at, v->count - v->pass_at);
        viewer_update(v->viewers[v->pass_at++]);
        if (--until_look > 0)
            continue;
        until_look = CLOCK_EVERY;
        if (clock_mono_ns() > deadline_ns)
            return v->pass_at >= v->count;
    }
    v->passing = false;
    return true;
}

/* The next tick is as large as memory may become: whoever has not been visited gets everything anew after it. */
static void cut_pass(struct view *v)
{
    while (v->pass_at < v->count)
        v->viewers[v->pass_at++]->stale = true;
    v->passing = false;
}

static uint64_t gather_ms(const struct view *v)
{
    return (uint64_t)v->form->channel->ns->gather_ms;
}

static void on_more(uv_idle_t *idle)
{
    (void)idle; /* keeps the loop from waiting while passes are unfinished */
}

static void on_gathered(uv_timer_t *timer)
{
    (void)timer; /* the end of this turn starts the tick */
}

/* False when more is to be done in the next turn. */
static bool run(struct view *v, uint64_t now_ms, uint64_t deadline_ns)
{
    if (v->pending_bytes > PENDING_BYTES_MAX && v->passing)
        cut_pass(v);
    if (!v->passing && v->live && v->pending_count) {
        uint64_t due_ms = v->ticked_ms + gather_ms(v);
        if (now_ms < due_ms) {
            uv_update_time(&v->of->loop->uv);
            if (!uv_is_active((uv_handle_t *)&v->of->gather))
                uv_timer_start(&v->of->gather, on_gathered, due_ms - now_ms, 0);
            return true;
        }
        view_begin_tick(v, now_ms);
    }
    return !v->passing || work_on(v, deadline_ns);
}

bool views_run(struct views *of)
{
    uint64_t now_ms = clock_mono_ms(), deadline_ns = clock_mono_ns() + PASS_BUDGET_NS;
    bool done = true, sent = false;
    for (struct view *v = of->list; v; v = v->next) {
        uint64_t tick = v->tick;
        sent |= v->passing;
        done &= run(v, now_ms, deadline_ns);
        sent |= v->tick != tick;
    }
    if (done)
        uv_idle_stop(&of->more);
    else
        uv_idle_start(&of->more, on_more);
    return sent;
}
