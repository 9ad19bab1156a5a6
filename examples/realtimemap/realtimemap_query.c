#include "realtimemap_query.h"

#include "proto/utf8.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define WAIT_STEP_MS 500 /* between two looks of a long poll */

bool query_box(struct crier_http *h, struct map_box *ret)
{
    char text[128], *at = text, *end;
    double degrees[4]; /* west, south, east, north */
    *ret = (struct map_box){-90000000, -180000000, 90000000, 180000000};
    if (!crier_http_query(h, "bbox", text, sizeof text))
        return true;
    for (int i = 0; i < 4; i++, at = end + 1) {
        double bound = i % 2 ? 90 : 180;
        degrees[i] = strtod(at, &end);
        if (end == at || *end != (i < 3 ? ',' : '\0') || !(fabs(degrees[i]) <= bound))
            return false;
    }
    ret->west_e6 = (int32_t)lround(degrees[0] * 1e6);
    ret->south_e6 = (int32_t)lround(degrees[1] * 1e6);
    ret->east_e6 = (int32_t)lround(degrees[2] * 1e6);
    ret->north_e6 = (int32_t)lround(degrees[3] * 1e6);
    return ret->south_e6 <= ret->north_e6 && ret->west_e6 <= ret->east_e6;
}

bool query_box_contains(const struct map_box *b, const struct fleet_point *p)
{
    return p->latitude_e6 >= b->south_e6 && p->latitude_e6 <= b->north_e6 && p->longitude_e6 >= b->west_e6 &&
           p->longitude_e6 <= b->east_e6;
}

bool query_number(struct crier_http *h, const char *name, int64_t preset, int64_t min, int64_t max, int64_t *ret)
{
    char text[32], *end;
    *ret = preset;
    if (!crier_http_query(h, name, text, sizeof text))
        return true;
    errno = 0;
    *ret = strtoll(text, &end, 10);
    return !errno && end != text && *end == 0 && *ret >= min && *ret <= max;
}

static struct crier_bytes export_buf(const struct buf *b)
{
    return (struct crier_bytes){b->data ? b->data : "", b->len};
}

void reply_fault(struct crier_http *h, int status, const char *reason, const char *message)
{
    CLEANUP_BUF body = BUF_INIT;
    buf_printf(&body, "{\"code\":%d,\"reason\":\"%s\",\"message\":", status, reason);
    buf_append_json_string(&body, utf8_valid(message, strlen(message)) ? bytes_of(message) : BYTES_LIT("not UTF-8"));
    buf_append_str(&body, ",\"metadata\":{}}\n");
    crier_http_reply(h, status, "application/json", export_buf(&body));
}

void reply_json(struct crier_http *h, const struct buf *body)
{
    crier_http_reply_header(h, "Cache-Control", "no-cache");
    crier_http_reply(h, 200, "application/json", export_buf(body));
}

static void write_tag(const struct buf *body, char out[24])
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < body->len; i++)
        hash = (hash ^ (unsigned char)body->data[i]) * 1099511628211u;
    snprintf(out, 24, "\"%016llx\"", (unsigned long long)hash);
}

void reply_tagged(struct crier_http *h, const char *content_type, const struct buf *body, int64_t wait_ms)
{
    char tag[24];
    struct crier_bytes has = crier_http_header(h, "if-none-match");
    write_tag(body, tag);
    bool same = has.len == strlen(tag) && memcmp(has.data, tag, has.len) == 0;
    if (same && crier_http_elapsed_ms(h) < (uint64_t)wait_ms && crier_http_later(h, WAIT_STEP_MS))
        return;
    crier_http_reply_header(h, "ETag", tag);
    crier_http_reply_header(h, "Cache-Control", "no-cache");
    if (same)
        crier_http_reply(h, 304, NULL, (struct crier_bytes){"", 0});
    else
        crier_http_reply(h, 200, content_type, export_buf(body));
}
