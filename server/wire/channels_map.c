/* Map subscriptions: the table of a keyed channel in pages, then what changed meanwhile, then live.
 *
 * The state is read from the hub page by page under the position of the first page; the subscription then begins at that
 * position, so that what changed while the pages were read is in the live reply. */
#include <stdlib.h>

#include "channels_wire.h"
#include "hub/map.h"
#include "loop/engine.h"
#include "proto/tag_filter.h"

#define PAGE_MIN 100
#define PAGE_MAX 1000

struct channels_map {
    uint64_t serial; /* of the page that is being read */
    bool reading, subscribing;
    bool streamed;
    int64_t limit;
    char epoch[CHANNEL_EPOCH_SIZE];
    int64_t position; /* of the first page, as the hub counts */
    int shift;
    char *filter; /* raw; NULL none */
    size_t filter_len;
    struct buf state, ends; /* of the last page, for the live reply */
};

struct page_read {
    uint64_t session, serial;
    struct tag_filter *filter;
    struct geo_box box;
    bool first;
    size_t channel_len;
    char channel[];
};

void channels_map_free(struct channels_map *m)
{
    if (!m)
        return;
    buf_done(&m->state);
    buf_done(&m->ends);
    free(m->filter);
    free(m);
}

bool channels_map_is_paging(const struct channels_subscription *sub)
{
    return sub->map && !sub->answered && !sub->map->subscribing;
}

static const struct config_namespace *namespace_of(struct session *s, const struct channels_subscription *sub)
{
    return config_namespace_of(s->loop->engine->config, bytes_of(sub->channel));
}

/* ---- going live ---- */

/* Below the subscription's own epoch and position, which are the hub's own numbers unless the client brought them. */
static void go_live(struct session *s, struct channels_subscription *sub, bool shifted)
{
    struct channels_map *m = sub->map;
    const struct config_namespace *ns = namespace_of(s, sub);
    const struct subscribe_request q = {
        .channel = bytes_of(sub->channel),
        .epoch = m->epoch,
        .offset = m->position,
        .items = true,
        .shifted = shifted,
        .conflate = !m->streamed,
        .strict = true,
        .info = sub->info,
        .join_leave = sub->join_leave || ns->push_join_leave,
        .deltas = sub->delta,
        .filter = m->filter ? (struct bytes){m->filter, m->filter_len} : BYTES_NULL,
        .filter_encoding = channels_client(s)->style.encoding,
        .box = channels_box(sub),
    };
    m->subscribing = true;
    session_subscribe(s, &q);
}

void channels_map_live(struct session *s, struct channels_subscription *sub, const struct subscription *live,
                       const struct hub_subscribe *h)
{
    struct channels_map *m = sub->map;
    const struct config_namespace *ns = namespace_of(s, sub);

    if (!h->recovered) {
        uint32_t id = sub->id;
        channels_subscription_undo(s, sub);
        channels_error(s, id, CRIER_ERR_UNRECOVERABLE_POSITION, NULL);
        return;
    }
    channels_box_epoch(sub, h->ret_epoch, sub->epoch);
    sub->result = (struct channels_subscribe_result){
        .type = CHANNELS_MAP,
        .epoch = bytes_of(sub->epoch),
        .offset = m->streamed ? (uint64_t)(h->position + h->shift) : 0,
        .recoverable = m->streamed,
        .recovered = sub->recover,
        .was_recovering = sub->recover,
        .delta = live->deltas,
        .state = channels_items_view(buf_bytes(&m->state), &m->ends),
        .publish_debounce = (uint32_t)ns->debounce_ms,
    };
    if (h->block)
        channels_subscription_keep(sub, h->block, SIZE_MAX);
    sub->answered = true;
    channels_subscription_answer(s, sub);
    channels_map_free(sub->map);
    sub->map = NULL;
}

/* ---- pages ---- */

static void reply_page(struct session *s, struct channels_subscription *sub, const struct hub_map_read *r)
{
    const struct channels_map *m = sub->map;
    CLEANUP_BUF ends = BUF_INIT;
    struct channels_out out;
    char epoch[WINDOW_EPOCH_SIZE];

    channels_box_epoch(sub, m->epoch, epoch);
    channels_item_ends(r->block, SIZE_MAX, &ends);
    const struct channels_subscribe_result result = {
        .type = CHANNELS_MAP,
        .phase = CHANNELS_PHASE_STATE,
        .cursor = r->more ? buf_bytes(&r->next) : BYTES_NULL,
        .epoch = bytes_of(epoch),
        .offset = m->streamed ? (uint64_t)(m->position + m->shift) : 0,
        .state = channels_items_view(r->block ? (struct bytes){r->block->bytes, r->block->len} : BYTES_NULL, &ends),
    };
    channels_out_begin(s, &out);
    channels_reply_subscribe(&out.bytes, channels_client(s)->style.encoding, sub->id, &result);
    channels_out_send(s, &out);
}

static void keep_state(struct channels_map *m, const struct frame_block *block)
{
    channels_item_ends(block, SIZE_MAX, &m->ends);
    if (block)
        buf_append(&m->state, block->bytes, block->len);
}

static void take_page(struct session *s, struct channels_subscription *sub, const struct hub_map_read *r, bool first)
{
    struct channels_map *m = sub->map;
    if (first) {
        memcpy(m->epoch, r->epoch, sizeof m->epoch);
        m->position = r->position;
        m->shift = r->shift;
        m->streamed = !r->unnumbered;
    }
    if (r->more || (m->streamed && m->position + m->limit < r->top)) {
        reply_page(s, sub, r); /* without a cursor the client goes on with the stream */
        return;
    }
    keep_state(m, r->block);
    go_live(s, sub, false);
}

static struct channels_subscription *reader_of(struct session *s, const struct page_read *p)
{
    struct channels_subscription *sub = channels_subscription_find(s, (struct bytes){p->channel, p->channel_len});
    return sub && sub->map && sub->map->reading && sub->map->serial == p->serial ? sub : NULL;
}

static void on_page(struct hub_call *call, void *owner)
{
    struct hub_map_read *r = (struct hub_map_read *)call;
    struct page_read *p = r->arg;
    struct session *s = session_find(owner, p->session);
    struct channels_subscription *sub = s && !s->closing ? reader_of(s, p) : NULL;

    if (sub) {
        sub->map->reading = false;
        if (r->error != CRIER_OK)
            channels_subscription_refuse(s, sub, r->error, r->detail);
        else
            take_page(s, sub, r, p->first);
    }
    tag_filter_free(p->filter);
    free(p);
    hub_map_read_free(r);
}

static void set_revision(struct hub_map_read *r, struct bytes epoch, int64_t offset)
{
    r->has_revision = true;
    memcpy(r->revision_epoch, epoch.data, epoch.len);
    r->revision_offset = offset;
}

static void read_page(struct session *s, struct channels_subscription *sub, const struct channels_subscribe *asked,
                      bool first)
{
    static _Thread_local uint64_t serial;
    struct channels_map *m = sub->map;
    const enum frame_form form = frame_form_items(s->form);
    struct hub_map_read *r = hub_map_read_new(&s->loop->inbox, bytes_of(sub->channel), on_page);
    struct page_read *p = xcalloc(1, sizeof *p + strlen(sub->channel));
    const char *reason;

    p->session = s->key;
    p->serial = m->serial = ++serial;
    p->first = first;
    p->channel_len = strlen(sub->channel);
    memcpy(p->channel, sub->channel, p->channel_len);
    if (m->filter) /* it was checked when the subscription began */
        tag_filter_parse((struct bytes){m->filter, m->filter_len}, channels_client(s)->style.encoding, &p->filter, &reason);
    m->reading = true;
    r->arg = p;
    r->filter = p->filter;
    r->box = channels_box(sub) ? &p->box : NULL;
    p->box = sub->box;
    r->limit = m->limit;
    r->form = sub->delta && form == FORM_ITEM_JSON && namespace_of(s, sub)->delta ? FORM_ITEM_STRING : form;
    if (first && asked->epoch.len) {
        set_revision(r, asked->epoch, (int64_t)asked->offset);
        r->shifted = true;
    } else if (!first) {
        set_revision(r, bytes_of(m->epoch), m->position);
        r->has_cursor = true;
        buf_append_bytes(&r->cursor, asked->cursor);
    }
    hub_call_post(s->loop->engine->hub, &r->call);
}

/* ---- requests ---- */

static bool is_filter(struct session *s, struct bytes raw)
{
    struct tag_filter *filter = NULL;
    const char *reason;
    bool good = tag_filter_parse(raw, channels_client(s)->style.encoding, &filter, &reason) == 0;
    tag_filter_free(filter);
    return good;
}

static enum crier_error check_first(struct session *s, const struct channels_subscribe *r)
{
    const struct config_namespace *ns = config_namespace_of(s->loop->engine->config, r->channel);
    if (!ns)
        return CRIER_ERR_UNKNOWN_CHANNEL;
    if (!namespace_is_map(ns))
        return CRIER_ERR_PERMISSION_DENIED;
    if (r->tf.data && !is_filter(s, r->tf))
        return CRIER_ERR_BAD_REQUEST;
    if (r->epoch.len >= CHANNEL_EPOCH_SIZE)
        return CRIER_ERR_UNRECOVERABLE_POSITION;
    if (r->phase == CHANNELS_PHASE_STREAM)
        return !r->recover ? CRIER_ERR_PERMISSION_DENIED : map_is_streamed(ns) ? CRIER_OK : CRIER_ERR_BAD_REQUEST;
    if (r->phase != CHANNELS_PHASE_STATE)
        return CRIER_ERR_BAD_REQUEST;
    return r->cursor.len ? CRIER_ERR_PERMISSION_DENIED : CRIER_OK;
}

static struct channels_map *map_new(struct session *s, const struct channels_subscribe *r)
{
    const struct config_namespace *ns = config_namespace_of(s->loop->engine->config, r->channel);
    struct channels_map *m = xcalloc(1, sizeof *m);
    int64_t asked = r->limit > 0 ? r->limit : ns->page_size;
    m->limit = asked < PAGE_MIN ? PAGE_MIN : asked > PAGE_MAX ? PAGE_MAX : asked;
    m->streamed = map_is_streamed(ns);
    if (r->tf.data) {
        m->filter = bytes_dup(r->tf);
        m->filter_len = r->tf.len;
    }
    return m;
}

static void begin(struct session *s, uint32_t id, const struct channels_subscribe *r, const struct geo_box *box)
{
    enum crier_error error = check_first(s, r);
    if (error != CRIER_OK) {
        channels_error(s, id, error, NULL);
        return;
    }
    struct channels_subscription *sub = channels_subscription_new(s, id, r, box);
    if (!sub)
        return;
    sub->map = map_new(s, r);
    if (r->phase == CHANNELS_PHASE_STATE) {
        sub->recover = false;
        read_page(s, sub, r, true);
        return;
    }
    memcpy(sub->map->epoch, r->epoch.data, r->epoch.len);
    sub->map->position = (int64_t)r->offset;
    go_live(s, sub, true);
}

static void go_on(struct session *s, struct channels_subscription *sub, uint32_t id, const struct channels_subscribe *r)
{
    if (sub->map->reading) {
        channels_error(s, id, CRIER_ERR_CONCURRENT_PAGINATION, NULL);
    } else if (r->phase == CHANNELS_PHASE_STREAM) {
        sub->id = id;
        go_live(s, sub, false);
    } else if (r->phase == CHANNELS_PHASE_STATE && r->cursor.len) {
        sub->id = id;
        read_page(s, sub, r, false);
    } else {
        channels_error(s, id, CRIER_ERR_ALREADY_SUBSCRIBED, NULL);
    }
}

void channels_map_subscribe(struct session *s, uint32_t id, const struct channels_subscribe *r,
                            const struct geo_box *box)
{
    struct channels_subscription *sub = channels_subscription_find(s, r->channel);
    if (sub && channels_map_is_paging(sub))
        go_on(s, sub, id, r);
    else if (sub)
        channels_error(s, id, CRIER_ERR_ALREADY_SUBSCRIBED, NULL);
    else
        begin(s, id, r, box);
}
