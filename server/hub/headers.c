#include "headers.h"

void header_list_done(struct header_list *l)
{
    buf_done(&l->text);
    l->count = 0;
}

void header_list_add(struct header_list *l, struct bytes name, struct bytes value)
{
    if (l->count == HEADERS_MAX || (name.len && memchr(name.data, 0, name.len)) ||
        (value.len && memchr(value.data, 0, value.len)))
        return;
    buf_append_bytes(&l->text, name);
    buf_append(&l->text, "", 1);
    buf_append_bytes(&l->text, value);
    buf_append(&l->text, "", 1);
    l->count++;
}

void header_list_add_record(struct header_list *l, const struct bridge_record *r)
{
    for (size_t i = 0; i < r->header_count; i++)
        header_list_add(l, r->headers[i].name, r->headers[i].value);
}

size_t header_list_view(const struct header_list *l, struct bridge_header out[HEADERS_MAX])
{
    const char *at = l->text.data;
    for (size_t i = 0; i < l->count; i++) {
        out[i].name = bytes_of(at);
        at += out[i].name.len + 1;
        out[i].value = bytes_of(at);
        at += out[i].value.len + 1;
    }
    return l->count;
}

struct bytes record_header(const struct bridge_record *r, struct bytes name)
{
    for (size_t i = 0; i < r->header_count; i++)
        if (bytes_eq(r->headers[i].name, name))
            return r->headers[i].value;
    return BYTES_NULL;
}

static struct bytes header_of(const void *arg, struct bytes name)
{
    return record_header(arg, name);
}

struct template_input record_template_input(const struct bridge_record *r)
{
    return (struct template_input){
        .topic = r->topic,
        .key = r->key,
        .payload = r->payload,
        .partition = r->partition,
        .header = header_of,
        .header_arg = r,
    };
}
