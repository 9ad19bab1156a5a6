/* Pushes and items of the channels wire. */
#include "frame_forms.h"

enum kind { OTHER_WIRE, PUSH, ITEM };

enum {
    STRING = 1, /* JSON: data in a string */
    DELTAS = 2, /* data may be a delta */
};

struct channels_form {
    enum kind kind;
    struct channels_style style;
    unsigned traits;
};

#define PUSHES(encoding, transport) PUSH, {CHANNELS_##encoding, CHANNELS_##transport, false}
#define BARE_PUSHES(transport) PUSH, {CHANNELS_JSON, CHANNELS_##transport, true}
#define ITEMS(encoding) ITEM, {CHANNELS_##encoding, CHANNELS_WEBSOCKET, false}

static const struct channels_form forms[FORM_COUNT] = {
    [FORM_CHANNELS_JSON] = {PUSHES(JSON, WEBSOCKET), 0},
    [FORM_CHANNELS_PROTOBUF] = {PUSHES(PROTOBUF, WEBSOCKET), 0},
    [FORM_CHANNELS_SSE] = {PUSHES(JSON, SSE), 0},
    [FORM_CHANNELS_LINES] = {PUSHES(JSON, LINES), 0},
    [FORM_CHANNELS_LINES_PROTOBUF] = {PUSHES(PROTOBUF, LINES), 0},
    [FORM_CHANNELS_UNI] = {BARE_PUSHES(WEBSOCKET), 0},
    [FORM_CHANNELS_UNI_SSE] = {BARE_PUSHES(SSE), 0},
    [FORM_CHANNELS_UNI_LINES] = {BARE_PUSHES(LINES), 0},
    [FORM_CHANNELS_JSON_STRING] = {PUSHES(JSON, WEBSOCKET), STRING},
    [FORM_CHANNELS_SSE_STRING] = {PUSHES(JSON, SSE), STRING},
    [FORM_CHANNELS_LINES_STRING] = {PUSHES(JSON, LINES), STRING},
    [FORM_CHANNELS_JSON_DELTA] = {PUSHES(JSON, WEBSOCKET), STRING | DELTAS},
    [FORM_CHANNELS_PROTOBUF_DELTA] = {PUSHES(PROTOBUF, WEBSOCKET), DELTAS},
    [FORM_CHANNELS_SSE_DELTA] = {PUSHES(JSON, SSE), STRING | DELTAS},
    [FORM_CHANNELS_LINES_DELTA] = {PUSHES(JSON, LINES), STRING | DELTAS},
    [FORM_CHANNELS_LINES_PROTOBUF_DELTA] = {PUSHES(PROTOBUF, LINES), DELTAS},
    [FORM_ITEM_JSON] = {ITEMS(JSON), 0},
    [FORM_ITEM_STRING] = {ITEMS(JSON), STRING},
    [FORM_ITEM_PROTOBUF] = {ITEMS(PROTOBUF), 0},
    [FORM_ITEM_DELTA] = {ITEMS(JSON), STRING | DELTAS},
    [FORM_ITEM_PROTOBUF_DELTA] = {ITEMS(PROTOBUF), DELTAS},
};

/* A subscription with deltas goes from the middle to the right; without, it stays on the left. */
static const struct {
    enum frame_form plain, before, deltas;
} ways[] = {
    {FORM_CHANNELS_JSON, FORM_CHANNELS_JSON_STRING, FORM_CHANNELS_JSON_DELTA},
    {FORM_CHANNELS_SSE, FORM_CHANNELS_SSE_STRING, FORM_CHANNELS_SSE_DELTA},
    {FORM_CHANNELS_LINES, FORM_CHANNELS_LINES_STRING, FORM_CHANNELS_LINES_DELTA},
    {FORM_CHANNELS_PROTOBUF, FORM_CHANNELS_PROTOBUF, FORM_CHANNELS_PROTOBUF_DELTA},
    {FORM_CHANNELS_LINES_PROTOBUF, FORM_CHANNELS_LINES_PROTOBUF, FORM_CHANNELS_LINES_PROTOBUF_DELTA},
};

static const struct channels_form *form_info(enum frame_form form)
{
    return &forms[frame_form_plain(form)];
}

bool frame_form_style(enum frame_form form, struct channels_style *ret)
{
    if (form_info(form)->kind != PUSH)
        return false;
    *ret = form_info(form)->style;
    return true;
}

static size_t way_of(enum frame_form form)
{
    size_t i = 0;
    form = frame_form_plain(form);
    while (i < sizeof ways / sizeof *ways && ways[i].plain != form && ways[i].before != form && ways[i].deltas != form)
        i++;
    return i;
}

enum frame_form frame_form_before_deltas(enum frame_form form)
{
    size_t i = way_of(form);
    return i < sizeof ways / sizeof *ways ? frame_form_deflated(ways[i].before, form & FORM_DEFLATED) : form;
}

enum frame_form frame_form_of_deltas(enum frame_form form)
{
    size_t i = way_of(form);
    return i < sizeof ways / sizeof *ways ? frame_form_deflated(ways[i].deltas, form & FORM_DEFLATED) : form;
}

enum frame_form frame_form_items(enum frame_form form)
{
    unsigned traits = form_info(form)->traits;
    if (form_info(form)->style.encoding == CHANNELS_PROTOBUF)
        return traits & DELTAS ? FORM_ITEM_PROTOBUF_DELTA : FORM_ITEM_PROTOBUF;
    return traits & DELTAS ? FORM_ITEM_DELTA : traits & STRING ? FORM_ITEM_STRING : FORM_ITEM_JSON;
}

bool frame_form_has_deltas(enum frame_form form)
{
    return form_info(form)->traits & DELTAS;
}

/* A client that began with an empty channel learns its epoch from the first publication. */
static struct bytes epoch_to_say(const struct frame_builder *b, uint64_t offset)
{
    bool news = b->channel->epoch_is_news && b->count == 0;
    return b->channel->epoch && (news || offset == 1) ? bytes_of(b->channel->epoch) : BYTES_NULL;
}

/* An empty payload is none: removals, and entries of a map that are keys alone. Clients with deltas parse the string in
 * any case. */
static struct bytes full_data(const struct channels_form *f, const struct publication *p, bool gone)
{
    struct bytes payload = gone ? BYTES_NULL : publication_payload(p);
    return payload.len ? payload : f->traits & STRING ? BYTES_LIT("null") : BYTES_NULL;
}

uint8_t frame_channels_append(struct frame_builder *b, struct publication *p)
{
    const struct channels_form *f = &forms[b->form];
    uint64_t offset = p->unnumbered || b->channel->unnumbered || b->unnumbered ? 0 : (uint64_t)p->offset + b->channel->shift;
    bool delta = b->delta.data && f->traits & DELTAS;
    const struct channels_publication item = {
        .data = delta ? b->delta : full_data(f, p, b->gone),
        .info = b->gone ? BYTES_NULL : publication_info(p),
        .tags = publication_tags(p),
        .key = b->channel->keyed ? publication_key(p) : BYTES_NULL,
        .epoch = epoch_to_say(b, offset),
        .offset = offset,
        .removed = p->removed || b->gone,
        .delta = delta,
        .data_as_string = f->traits & STRING,
    };
    if (f->style.encoding == CHANNELS_JSON && p->payload_len && !b->gone && !publication_is_json(p))
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
