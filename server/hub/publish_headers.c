#include "publish_headers.h"

#include "hub/tags.h"

void publish_write_headers(const struct hub_publish *p, struct header_list *out)
{
    CLEANUP_BUF version = BUF_INIT;
    if (p->message_id)
        header_list_add(out, BYTES_LIT(PUBLISH_ID_HEADER), bytes_of(p->message_id));
    if (p->traceparent)
        header_list_add(out, BYTES_LIT("traceparent"), bytes_of(p->traceparent));
    if (p->info)
        header_list_add(out, BYTES_LIT(INFO_HEADER), bytes_of(p->info));
    if (p->delta)
        header_list_add(out, BYTES_LIT(PUBLISH_DELTA_HEADER), BYTES_LIT("1"));
    if (p->version) {
        buf_printf(&version, "%llu%s%s", (unsigned long long)p->version, p->version_epoch ? " " : "",
                   p->version_epoch ? p->version_epoch : "");
        header_list_add(out, BYTES_LIT(PUBLISH_VERSION_HEADER), buf_bytes(&version));
    }
    if (p->tags)
        tags_to_headers(out, bytes_of(p->tags));
}

void publish_read_version(struct bytes header, uint64_t *ret_version, struct bytes *ret_epoch)
{
    uint64_t number = 0;
    size_t i = 0;
    for (; i < header.len && i < 19 && header.data[i] >= '0' && header.data[i] <= '9'; i++)
        number = number * 10 + (uint64_t)(header.data[i] - '0');
    bool has_epoch = i + 1 < header.len && header.data[i] == ' ' && header.len - i - 1 <= VERSION_EPOCH_MAX;
    if (number == 0 || (i < header.len && !has_epoch))
        return;
    *ret_version = number;
    if (has_epoch)
        *ret_epoch = (struct bytes){header.data + i + 1, header.len - i - 1};
}
