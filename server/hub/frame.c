#include "frame.h"

#include <stdlib.h>

#include "delta.h"
#include "frame_deflate.h"
#include "frame_forms.h"

typedef uint8_t append_fn(struct frame_builder *b, struct publication *p);
typedef void notice_fn(struct frame_builder *b, const struct frame_notice *n);

static const struct {
    append_fn *append;
    notice_fn *notice; /* NULL: publications only */
} families[FORM_COUNT] = {
    [FORM_TYPED_BINARY ... FORM_TYPED_OBJECT] = {frame_typed_append, frame_typed_notice},
    [FORM_POLL] = {frame_poll_append, NULL},
    [FORM_PAYLOAD_JSON ... FORM_PAYLOAD_PROTOBUF] = {frame_payload_append, NULL},
    [FORM_CHANNELS_JSON ... FORM_CHANNELS_LINES_PROTOBUF_DELTA] = {frame_channels_append, frame_channels_notice},
    [FORM_ITEM_JSON ... FORM_ITEM_PROTOBUF_DELTA] = {frame_channels_append, NULL},
};

static frame_transcode_fn transcode;
static void *transcode_arg;

void frame_set_transcoder(frame_transcode_fn fn, void *arg)
{
    transcode = fn;
    transcode_arg = arg;
}

struct bytes frame_transcoded(const struct frame_builder *b, struct bytes payload, struct buf *scratch)
{
    if (transcode && transcode(transcode_arg, b->channel->message_type, payload, scratch) == 0)
        return buf_bytes(scratch);
    return payload;
}

struct frame_block *frame_block_ref(struct frame_block *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void frame_block_unref(struct frame_block *b)
{
    if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
        free(b);
}

void frame_builder_init(struct frame_builder *b, enum frame_form form, const struct frame_channel *channel)
{
    *b = (struct frame_builder){.form = frame_form_plain(form), .channel = channel};
    if (form & FORM_DEFLATED)
        b->deflate = channel->deflate;
}

/* Frames before the first one with a meta have empty ones. */
static void add_meta(struct frame_builder *b, const struct frame_meta *m)
{
    size_t before = b->count * sizeof *m;
    if (b->metas.len < before) {
        buf_reserve(&b->metas, before);
        memset(b->metas.data + b->metas.len, 0, before - b->metas.len);
        b->metas.len = before;
    }
    buf_append(&b->metas, m, sizeof *m);
}

static uint32_t add_meta_bytes(struct frame_builder *b, struct bytes text)
{
    uint32_t at = (uint32_t)b->meta_bytes.len;
    buf_append_bytes(&b->meta_bytes, text);
    return at;
}

static size_t last_end(const struct frame_builder *b)
{
    return b->count ? ((const struct frame_mark *)(const void *)b->marks.data)[b->count - 1].end : 0;
}

void frame_builder_mark(struct frame_builder *b, int64_t offset)
{
    if (b->deflate)
        frame_deflate_tail(b->deflate, &b->bytes, last_end(b));
    const struct frame_mark m = {.offset = offset, .end = (uint32_t)b->bytes.len};
    buf_append(&b->marks, &m, sizeof m);
    b->count++;
}

static uint8_t flags_of_before(const struct publication *p)
{
    static const uint8_t flags[] = {
        [BEFORE_UNKNOWN] = FRAME_WAS_UNKNOWN, [BEFORE_NOWHERE] = 0, [BEFORE_PLACED] = FRAME_WAS_PLACED};
    return p->has_key ? (uint8_t)(flags[p->before] | (p->retagged ? FRAME_RETAGGED : 0)) : 0;
}

static void add_meta_of(struct frame_builder *b, const struct publication *p, uint8_t flags)
{
    flags |= (p->removed ? FRAME_REMOVED : 0) | (p->has_geo ? FRAME_HAS_GEO : 0) | flags_of_before(p);
    if (!flags && !p->has_key && !p->tags_len)
        return;
    const struct frame_meta m = {.flags = flags,
                                 .latitude_e6 = p->latitude_e6,
                                 .longitude_e6 = p->longitude_e6,
                                 .was_latitude_e6 = p->before_latitude_e6,
                                 .was_longitude_e6 = p->before_longitude_e6,
                                 .key_len = p->key_len,
                                 .key = add_meta_bytes(b, (struct bytes){p->data, p->key_len}),
                                 .tags_len = p->tags_len,
                                 .tags = add_meta_bytes(b, publication_tags(p))};
    add_meta(b, &m);
}

void frame_builder_add_delta(struct frame_builder *b, struct publication *p, struct bytes delta)
{
    b->delta = delta;
    add_meta_of(b, p, families[b->form].append(b, p));
    b->delta = BYTES_NULL;
    frame_builder_mark(b, p->offset);
}

/* In a list the first one, of each key, is in full. */
static bool next_in_list(struct frame_builder *b, struct publication *p, struct buf *delta)
{
    if (!b->chain) {
        b->chain = xmalloc(sizeof *b->chain);
        delta_chain_init(b->chain, b->channel->delta_by_key);
    }
    return delta_chain_next(b->chain, p, b->channel->delta_always || p->wants_delta, delta);
}

/* ---- boxes ---- */

static bool was_in(const struct frame_facts *f, const struct geo_box *box)
{
    return f->flags & FRAME_WAS_UNKNOWN ||
           (f->flags & FRAME_WAS_PLACED && geo_box_contains(box, f->was_latitude_e6, f->was_longitude_e6));
}

enum frame_sight frame_sight(const struct frame_facts *f, const struct geo_box *box)
{
    if (f->flags & FRAME_HAS_GEO && !(f->flags & FRAME_REMOVED) &&
        geo_box_contains(box, f->latitude_e6, f->longitude_e6))
        return FRAME_SEEN;
    return was_in(f, box) ? FRAME_GONE : FRAME_UNSEEN;
}

enum frame_sight frame_sight_unwanted(const struct frame_facts *f, const struct geo_box *box)
{
    return f->flags & FRAME_RETAGGED && was_in(f, box) ? FRAME_GONE : FRAME_UNSEEN;
}

static enum frame_sight sight_of(const struct frame_builder *b, const struct publication *p)
{
    const struct frame_facts facts = {
        .latitude_e6 = p->latitude_e6,
        .longitude_e6 = p->longitude_e6,
        .was_latitude_e6 = p->before_latitude_e6,
        .was_longitude_e6 = p->before_longitude_e6,
        .flags = (uint8_t)((p->has_geo ? FRAME_HAS_GEO : 0) | (p->removed ? FRAME_REMOVED : 0) | flags_of_before(p) |
                           (b->unsure ? FRAME_WAS_UNKNOWN | FRAME_RETAGGED : 0)),
    };
    enum frame_sight sight = frame_sight(&facts, b->box);
    bool fits = sight == FRAME_UNSEEN || filter_wants(b->filter, p);
    return fits ? sight : frame_sight_unwanted(&facts, b->box);
}

void frame_builder_add_removal(struct frame_builder *b, struct publication *p)
{
    b->gone = true;
    frame_builder_add_delta(b, p, BYTES_NULL);
    b->gone = false;
}

static void add_of_box(struct frame_builder *b, struct publication *p)
{
    switch (sight_of(b, p)) {
    case FRAME_SEEN:
        frame_builder_add_delta(b, p, BYTES_NULL);
        break;
    case FRAME_GONE:
        frame_builder_add_removal(b, p);
        break;
    case FRAME_UNSEEN:
        break;
    }
}

void frame_builder_add(struct frame_builder *b, struct publication *p)
{
    CLEANUP_BUF delta = BUF_INIT;
    if (b->box) {
        add_of_box(b, p);
        return;
    }
    if (!filter_wants(b->filter, p))
        return;
    bool list = b->form == FORM_ITEM_DELTA || b->form == FORM_ITEM_PROTOBUF_DELTA;
    bool made = list && next_in_list(b, p, &delta);
    frame_builder_add_delta(b, p, made ? buf_bytes(&delta) : BYTES_NULL);
}

void frame_builder_add_notice(struct frame_builder *b, const struct frame_notice *n, int64_t offset)
{
    notice_fn *append = families[b->form].notice;
    bool channels = append == frame_channels_notice;
    if (!append || (channels && !n->info.data))
        return;
    append(b, n);
    if (channels)
        add_meta(b, &(struct frame_meta){.flags = FRAME_JOIN_LEAVE});
    frame_builder_mark(b, offset);
}

static char *place(char *at, const void *data, size_t len)
{
    memcpy(at, data, len);
    return at + len;
}

static struct frame_block *freeze(const struct frame_builder *b)
{
    size_t metas_len = b->metas.len ? b->count * sizeof(struct frame_meta) : 0;
    struct frame_block *block = xmalloc(sizeof *block + b->marks.len + metas_len + b->meta_bytes.len + b->bytes.len);
    *block = (struct frame_block){.count = b->count, .len = b->bytes.len, .meta_len = b->meta_bytes.len};
    atomic_init(&block->refs, 1);
    block->marks = (struct frame_mark *)(block + 1);
    char *at = place((char *)block->marks, b->marks.data, b->marks.len);
    if (metas_len) {
        block->metas = (struct frame_meta *)at;
        memset(at + b->metas.len, 0, metas_len - b->metas.len);
        place(at, b->metas.data, b->metas.len);
        at += metas_len;
    }
    block->meta_bytes = at;
    block->bytes = place(at, buf_bytes(&b->meta_bytes).data, b->meta_bytes.len);
    place(block->bytes, buf_bytes(&b->bytes).data, b->bytes.len);
    return block;
}

struct frame_block *frame_builder_finish(struct frame_builder *b)
{
    struct frame_block *block = b->count ? freeze(b) : NULL;
    buf_done(&b->bytes);
    buf_done(&b->marks);
    buf_done(&b->metas);
    buf_done(&b->meta_bytes);
    buf_done(&b->scratch);
    if (b->chain)
        delta_chain_done(b->chain);
    free(b->chain);
    b->chain = NULL;
    b->count = 0;
    return block;
}
