#include "map.h"

#include <stdlib.h>

#include "hub/sink.h"
#include "hub/source.h"
#include "util/clock.h"

#define PAGE_BYTES (1 << 20) /* a page ends after so much, whatever its limit; unless all are wanted */

static void run_read(struct hub *hub, struct hub_call *call);
static void run_clear(struct hub *hub, struct hub_call *call);

struct hub_map_read *hub_map_read_new(struct inbox *origin, struct bytes channel,
                                      void (*done)(struct hub_call *call, void *owner))
{
    struct hub_map_read *r = xcalloc(1, sizeof *r);
    r->call.origin = origin;
    r->call.run = run_read;
    r->call.done = done;
    r->channel = bytes_dup(channel);
    r->form = FORM_ITEM_JSON;
    return r;
}

void hub_map_read_free(struct hub_map_read *r)
{
    frame_block_unref(r->block);
    buf_done(&r->cursor);
    buf_done(&r->key);
    buf_done(&r->next);
    free(r->channel);
    free(r);
}

/* ---- the state ---- */

struct page {
    struct hub_map_read *read;
    struct frame_builder builder;
    struct bytes last; /* key of the last entry */
};

static bool changed_since(const struct hub_map_read *r, const struct publication *p)
{
    return r->has_revision && p->offset > r->revision_offset;
}

static bool is_full(const struct page *page)
{
    int64_t limit = page->read->limit;
    return limit >= 0 && (page->builder.count >= (uint64_t)limit || page->builder.bytes.len > PAGE_BYTES);
}

static bool add_entry(struct publication *p, void *arg)
{
    struct page *page = arg;
    if (changed_since(page->read, p) || !filter_wants(page->read->filter, p))
        return true;
    if (is_full(page)) {
        page->read->more = true;
        return false;
    }
    frame_builder_add(&page->builder, p);
    page->last = publication_key(p);
    return true;
}

/* A box full of entries gives a page by the order of keys, after few looks beside it; one with few of them is looked up by
 * place, for the rest of the page. */
struct walk {
    struct page *page;
    size_t looks_left;
    struct bytes last; /* key of the last one looked at; data NULL: none */
    bool ended;        /* the page, not the looks */
};

#define LOOKS_MIN 4096
#define LOOKS_AN_ENTRY 16

static bool look_at_entry(struct publication *p, void *arg)
{
    struct walk *w = arg;
    if (w->looks_left == 0)
        return false;
    w->looks_left--;
    w->last = publication_key(p);
    w->ended = publication_is_in(p, w->page->read->box) && !add_entry(p, w->page);
    return !w->ended;
}

static void add_in_box(struct channel *c, const struct hub_map_read *r, struct page *page)
{
    struct publication **list;
    struct bytes after = r->has_cursor ? buf_bytes(&r->cursor) : BYTES_NULL;
    size_t asked = r->limit < 0 ? 0 : (size_t)r->limit * LOOKS_AN_ENTRY;
    struct walk w = {.page = page, .looks_left = asked < LOOKS_MIN ? LOOKS_MIN : asked};
    keyed_each_key_after(&c->keyed, after, look_at_entry, &w);
    if (w.ended || w.looks_left > 0)
        return;
    size_t count = keyed_in_box(&c->keyed, r->box, NULL, KEYED_BY_KEY, &list);
    bool more = true;
    for (size_t i = 0; more && i < count; i++)
        if (keyed_compare(publication_key(list[i]), w.last) > 0)
            more = add_entry(list[i], page);
    free(list);
}

static void read_page(struct channel *c, struct hub_map_read *r)
{
    struct page page = {.read = r};
    frame_builder_init(&page.builder, r->form, &c->frame);
    if (r->has_key) {
        struct publication *p = keyed_find(&c->keyed, buf_bytes(&r->key));
        if (p && r->limit != 0)
            add_entry(p, &page);
    } else if (r->box && r->limit != 0) {
        add_in_box(c, r, &page);
    } else if (r->limit != 0) {
        keyed_each_key_after(&c->keyed, r->has_cursor ? buf_bytes(&r->cursor) : BYTES_NULL, add_entry, &page);
    }
    if (r->more)
        buf_append_bytes(&r->next, page.last);
    r->block = frame_builder_finish(&page.builder);
}

/* ---- calls ---- */

static void fail_read(struct hub_map_read *r, enum crier_error error, const char *detail)
{
    r->error = error;
    r->detail = detail;
    hub_call_finish(&r->call);
}

/* Also where the wire's 0 stands for no position at all. */
static void read_revision(const struct channel *c, struct hub_map_read *r)
{
    if (!r->shifted)
        return;
    r->has_revision = r->has_revision && r->revision_offset > 0;
    r->revision_offset -= c->frame.shift;
    r->shifted = false;
}

static void answer_read(struct channel *c, struct hub_map_read *r)
{
    bool known = !*r->revision_epoch || strcmp(r->revision_epoch, c->epoch) == 0;
    read_revision(c, r);
    if (!known || (r->has_revision && r->revision_offset > channel_position(c))) {
        fail_read(r, CRIER_ERR_UNRECOVERABLE_POSITION, NULL);
        return;
    }
    r->mode = c->ns->map;
    r->unnumbered = !map_is_streamed(c->ns);
    r->top = channel_position(c);
    r->position = r->has_revision ? r->revision_offset : r->top;
    r->shift = c->frame.shift;
    r->keys = c->keyed.count;
    memcpy(r->epoch, c->epoch, sizeof r->epoch);
    c->used_ms = clock_mono_ms();
    read_page(c, r);
    hub_call_finish(&r->call);
}

static enum crier_error check(const struct config_namespace *ns, const char **ret_detail)
{
    if (!ns)
        return CRIER_ERR_UNKNOWN_CHANNEL;
    if (namespace_is_map(ns))
        return CRIER_OK;
    *ret_detail = "the channel is no map";
    return CRIER_ERR_BAD_REQUEST;
}

static void run_read(struct hub *hub, struct hub_call *call)
{
    struct hub_map_read *r = (struct hub_map_read *)call;
    struct bytes name = bytes_of(r->channel);
    const char *detail = NULL;
    enum crier_error error = check(config_namespace_of(hub->config, name), &detail);
    struct source *source = source_of_channel(hub, name);

    if (error == CRIER_OK && source && !source->caught_up) {
        if (hub_call_wait(hub, call))
            return;
        error = CRIER_ERR_BROKER_UNAVAILABLE;
        detail = "the map's log has not been read yet";
    }
    struct channel *c = error == CRIER_OK ? hub_channel(hub, name, &error) : NULL;
    if (!c) {
        fail_read(r, error, detail);
        return;
    }
    source_find_numbering(c, source, r->revision_epoch);
    answer_read(c, r);
}

/* ---- clear ---- */

struct hub_map_clear *hub_map_clear_new(struct inbox *origin, struct bytes channel,
                                        void (*done)(struct hub_call *call, void *owner))
{
    struct hub_map_clear *m = xcalloc(1, sizeof *m);
    m->call.origin = origin;
    m->call.run = run_clear;
    m->call.done = done;
    m->channel = bytes_dup(channel);
    return m;
}

void hub_map_clear_free(struct hub_map_clear *m)
{
    free(m->channel);
    free(m);
}

static void run_clear(struct hub *hub, struct hub_call *call)
{
    struct hub_map_clear *m = (struct hub_map_clear *)call;
    struct bytes name = bytes_of(m->channel);
    m->error = check(config_namespace_of(hub->config, name), &m->detail);
    if (m->error == CRIER_OK && (source_of_channel(hub, name) || sink_of_channel(hub->config, name))) {
        m->error = CRIER_ERR_NOT_AVAILABLE;
        m->detail = "a broker keeps the map: remove its keys one by one";
    }
    struct channel *c = m->error == CRIER_OK ? hub_channel_find(hub, name) : NULL;
    if (c)
        channel_clear(c);
    hub_call_finish(call);
}
