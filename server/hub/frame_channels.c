/* Pushes and items of the channels wire. */
#include "frame_forms.h"

enum kind { OTHER_WIRE, PUSH, ITEM };

struct channels_form {
    enum kind kind;
    struct channels_style style;
    bool string; /* JSON: data in a string, which may be a delta */
};

static const struct channels_form forms[FORM_COUNT] = {
    [FORM_CHANNELS_JSON] = {PUSH, {CHANNELS_JSON, CHANNELS_WEBSOCKET, false}, false},
    [FORM_CHANNELS_PROTOBUF] = {PUSH, {CHANNELS_PROTOBUF, CHANNELS_WEBSOCKET, false}, false},
    [FORM_CHANNELS_SSE] = {PUSH, {CHANNELS_JSON, CHANNELS_SSE, false}, false},
    [FORM_CHANNELS_LINES] = {PUSH, {CHANNELS_JSON, CHANNELS_LINES, false}, false},
    [FORM_CHANNELS_LINES_PROTOBUF] = {PUSH, {CHANNELS_PROTOBUF, CHANNELS_LINES, false}, false},
    [FORM_CHANNELS_UNI] = {PUSH, {CHANNELS_JSON, CHANNELS_WEBSOCKET, true}, false},
    [FORM_CHANNELS_UNI_SSE] = {PUSH, {CHANNELS_JSON, CHANNELS_SSE, true}, false},
    [FORM_CHANNELS_UNI_LINES] = {PUSH, {CHANNELS_JSON, CHANNELS_LINES, true}, false},
    [FORM_CHANNELS_JSON_STRING] = {PUSH, {CHANNELS_JSON, CHANNELS_WEBSOCKET, false}, true},
    [FORM_CHANNELS_SSE_STRING] = {PUSH, {CHANNELS_JSON, CHANNELS_SSE, false}, true},
    [FORM_CHANNELS_LINES_STRING] = {PUSH, {CHANNELS_JSON, CHANNELS_LINES, false}, true},
    [FORM_CHANNELS_JSON_DELTA] = {PUSH, {CHANNELS_JSON, CHANNELS_WEBSOCKET, false}, true},
    [FORM_CHANNELS_PROTOBUF_DELTA] = {PUSH, {CHANNELS_PROTOBUF, CHANNELS_WEBSOCKET, false}, false},
    [FORM_CHANNELS_SSE_DELTA] = {PUSH, {CHANNELS_JSON, CHANNELS_SSE, false}, true},
    [FORM_CHANNELS_LINES_DELTA] = {PUSH, {CHANNELS_JSON, CHANNELS_LINES, false}, true},
    [FORM_CHANNELS_LINES_PROTOBUF_DELTA] = {PUSH, {CHANNELS_PROTOBUF, CHANNELS_LINES, false}, false},
    [FORM_ITEM_JSON] = {ITEM, {CHANNELS_JSON, CHANNELS_WEBSOCKET, false}, false},
    [FORM_ITEM_STRING] = {ITEM, {CHANNELS_JSON, CHANNELS_WEBSOCKET, false}, true},
    [FORM_ITEM_PROTOBUF] = {ITEM, {CHANNELS_PROTOBUF, CHANNELS_WEBSOCKET, false}, false},
    [FORM_ITEM_DELTA] = {ITEM, {CHANNELS_JSON, CHANNELS_WEBSOCKET, false}, true},
    [FORM_ITEM_PROTOBUF_DELTA] = {ITEM, {CHANNELS_PROTOBUF, CHANNELS_WEBSOCKET, false}, false},
};

bool frame_form_style(enum frame_form form, struct channels_style *ret)
{
    if (forms[form].kind != PUSH)
        return false;
    *ret = forms[form].style;
    return true;
}

/* A client that began with an empty channel learns its epoch from the first publication. */
static struct bytes epoch_to_say(const struct frame_builder *b, uint64_t offset)
{
    bool news = b->channel->epoch_is_news && b->count == 0;
    return b->channel->epoch && (news || offset == 1) ? bytes_of(b->channel->epoch) : BYTES_NULL;
}

uint8_t frame_channels_append(struct frame_builder *b, struct publication *p)
{
    const struct channels_form *f = &forms[b->form];
    uint64_t offset = p->unnumbered ? 0 : (uint64_t)p->offset + b->channel->shift;
    const struct channels_publication item = {
        .data = publication_payload(p),
        .info = publication_info(p),
        .tags = publication_tags(p),
        .key = b->channel->keyed ? publication_key(p) : BYTES_NULL,
        .epoch = epoch_to_say(b, offset),
        .offset = offset,
        .removed = p->removed,
        .data_as_string = f->string,
    };
    if (f->style.encoding == CHANNELS_JSON && !p->removed && !publication_is_json(p))
        return FRAME_NOT_JSON;
    if (f->kind == ITEM) {
        channels_append_publication(&b->bytes, f->style.encoding, &item);
        return 0;
    }
    size_t mark;
    channels_begin(&b->bytes, &f->style, &mark);
    channels_push_publication(&b->bytes, &f->style, b->channel->name, &item);
    channels_end(&b->bytes, &f->style, mark);
    return 0;
}

void frame_channels_notice(struct frame_builder *b, const struct frame_notice *n)
{
    const struct channels_style *style = &forms[b->form].style;
    size_t mark;
    channels_begin(&b->bytes, style, &mark);
    channels_push_join(&b->bytes, style, b->channel->name, n->info, n->type == TYPED_LEAVE);
    channels_end(&b->bytes, style, mark);
}
