#include "poll.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/api_key.h"
#include "api/pending.h"
#include "loop/engine.h"
#include "hub/publish.h"
#include "proto/json_scan.h"
#include "session/rights.h"

#define LIMIT_DEFAULT 100

struct poll {
    struct poll_waiter waiter; /* first */
    struct http_request *request; /* NULL: answered or the client has gone */
    struct channel_form *form;
    bool has_since;
    char epoch[CHANNEL_EPOCH_SIZE];
    int64_t offset;
    int64_t limit;
    uint64_t wait_ms;
    uv_timer_t timer;
    bool timer_open;
    bool asking; /* the hub has been asked: its answer frees the poll */
};

/* ---- parameters ---- */

static int parse_integer(struct http_request *r, const char *name, int64_t *value)
{
    CLEANUP_BUF text = BUF_INIT;
    int rc = http_query_get(r, name, &text);
    if (rc == -ENOENT)
        return 0;
    return rc < 0 ? rc : json_parse_int64(buf_bytes(&text), value);
}

static int parse_since(struct http_request *r, struct poll *p)
{
    CLEANUP_BUF text = BUF_INIT;
    int rc = http_query_get(r, "since", &text);
    if (rc == -ENOENT)
        return 0;
    const char *colon = rc == 0 && text.len ? memchr(text.data, ':', text.len) : NULL;
    if (!colon || (size_t)(colon - text.data) >= sizeof p->epoch)
        return -EINVAL;
    memcpy(p->epoch, text.data, (size_t)(colon - text.data));
    p->has_since = true;
    struct bytes offset = {colon + 1, text.len - (size_t)(colon + 1 - text.data)};
    return json_parse_int64(offset, &p->offset);
}

static const char *parse(struct http_request *r, struct poll *p, int64_t wait_max_ms)
{
    int64_t wait_s = 0;
    p->limit = LIMIT_DEFAULT;
    if (parse_since(r, p) < 0)
        return "since is EPOCH:OFFSET";
    if (parse_integer(r, "limit", &p->limit) < 0 || p->limit < 1)
        return "limit is a positive integer";
    if (parse_integer(r, "wait", &wait_s) < 0 || wait_s < 0)
        return "wait is a number of seconds";
    p->wait_ms = wait_s > wait_max_ms / 1000 ? (uint64_t)wait_max_ms : (uint64_t)wait_s * 1000;
    return NULL;
}

/* ---- answers ---- */

static void write_etag(struct buf *out, const char *epoch, int64_t offset)
{
    buf_append(out, "\"", 1);
    buf_append_str(out, epoch);
    buf_append(out, ":", 1);
    buf_append_int(out, offset);
    buf_append(out, "\"", 1);
}

/* `items` are frames of FORM_POLL: objects with a comma behind each. */
static void answer(struct http_request *r, const struct channel_form *f, const char *epoch, int64_t offset,
                   bool has_since, bool recovered, struct bytes items)
{
    CLEANUP_BUF body = BUF_INIT;
    CLEANUP_BUF etag = BUF_INIT;
    write_etag(&etag, epoch, offset);
    const struct http_header headers[] = {{"ETag", buf_bytes(&etag)}, {"Cache-Control", BYTES_LIT("no-cache")}};
    struct http_reply reply = {.status = 304, .headers = headers, .header_count = 2};

    if (!bytes_eq(http_header_get(r, "if-none-match"), buf_bytes(&etag))) {
        buf_reserve(&body, items.len + 160);
        buf_append_str(&body, "{\"channel\":\"");
        buf_append(&body, f->channel->name, f->channel->name_len);
        buf_append_str(&body, "\",\"epoch\":\"");
        buf_append_str(&body, epoch);
        buf_append_str(&body, "\",\"offset\":");
        buf_append_int(&body, offset);
        if (has_since)
            buf_append_str(&body, recovered ? ",\"recovered\":true" : ",\"recovered\":false");
        buf_append_str(&body, ",\"publications\":[");
        buf_append(&body, items.data, items.len ? items.len - 1 : 0);
        buf_append_str(&body, "]}\n");
        reply.status = 200;
        reply.content_type = "application/json";
        reply.body = buf_bytes(&body);
    }
    http_respond(r, &reply);
}

/* From the frame log, at most `limit` frames from `first` on. */
static void answer_from_log(struct poll *p, struct http_request *r, uint64_t first)
{
    const struct frame_log *log = &p->form->log;
    uint64_t next = first + (uint64_t)p->limit < log->head ? first + (uint64_t)p->limit : log->head;
    int64_t offset = next == log->head ? p->form->position : frame_log_offset_before(log, next);
    struct bytes items = frame_log_between(log, first, next);
    answer(r, p->form, p->form->channel->epoch, offset, p->has_since, true, items);
}

static void answer_from_block(struct poll *p, struct http_request *r, const struct hub_subscribe *s)
{
    struct bytes items = BYTES_LIT("");
    int64_t offset = s->position;
    if (s->block) {
        uint32_t n = s->block->count;
        if (p->has_since && s->recovered && n > p->limit) {
            n = (uint32_t)p->limit;
            offset = s->block->marks[n - 1].offset;
        }
        items = (struct bytes){s->block->bytes, s->block->marks[n - 1].end};
    }
    answer(r, p->form, s->ret_epoch, offset, p->has_since, s->recovered, items);
}

/* ---- waiting ---- */

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void poll_free(struct poll *p)
{
    channel_form_stop_waiting(&p->waiter);
    if (p->asking)
        return;
    if (p->timer_open)
        uv_close((uv_handle_t *)&p->timer, on_timer_closed);
    else
        free(p);
}

static struct http_request *take_request(struct poll *p)
{
    struct http_request *r = p->request;
    if (r)
        http_on_abort(r, NULL, NULL);
    p->request = NULL;
    return r;
}

static void on_abort(void *arg)
{
    struct poll *p = arg;
    p->request = NULL;
    poll_free(p);
}

static void ask_hub(struct poll *p, struct loop *l);

/* What the log does not reach any more (one block can be larger than it), or what counts under a new epoch, the hub
 * knows. */
static void finish_waiting(struct poll *p)
{
    uint64_t first;
    uv_timer_stop(&p->timer);
    channel_form_stop_waiting(&p->waiter);
    if (!channel_form_seek(p->form, p->epoch, p->offset, &first)) {
        p->wait_ms = 0;
        ask_hub(p, p->form->channel->loop);
        return;
    }
    answer_from_log(p, take_request(p), first);
    poll_free(p);
}

static void on_news(struct poll_waiter *w, struct channel_form *f)
{
    (void)f;
    finish_waiting((struct poll *)w);
}

static void on_timeout(uv_timer_t *timer)
{
    finish_waiting(timer->data);
}

static bool may_wait(const struct poll *p, const struct loop *l)
{
    return p->wait_ms && !atomic_load(&l->engine->draining);
}

static void wait_for_news(struct poll *p, struct loop *l)
{
    uv_timer_init(&l->uv, &p->timer);
    p->timer.data = p;
    p->timer_open = true;
    uv_timer_start(&p->timer, on_timeout, p->wait_ms, 0);
    p->waiter.fn = on_news;
    channel_form_wait(p->form, &p->waiter);
}

/* ---- deciding ---- */

static void on_hub_answer(struct hub_call *call, void *owner)
{
    struct hub_subscribe *s = (struct hub_subscribe *)call;
    struct poll *p = s->arg;
    bool nothing_new = s->error == CRIER_OK && p->has_since && s->recovered && !s->block;

    channel_form_answered(p->form, s);
    p->asking = false;
    if (!p->request) {
        poll_free(p);
    } else if (nothing_new && may_wait(p, owner)) {
        wait_for_news(p, owner);
    } else {
        struct http_request *r = take_request(p);
        if (s->error != CRIER_OK)
            http_respond_error(r, s->error, s->detail);
        else
            answer_from_block(p, r, s);
        poll_free(p);
    }
    hub_subscribe_free(s);
}

static void ask_hub(struct poll *p, struct loop *l)
{
    struct bytes name = {p->form->channel->name, p->form->channel->name_len};
    struct hub_subscribe *s = hub_subscribe_new(&l->inbox, name, on_hub_answer);
    s->arg = p;
    s->history = p->limit;
    s->has_position = p->has_since;
    s->offset = p->offset;
    memcpy(s->epoch, p->epoch, sizeof s->epoch);
    p->asking = true;
    channel_form_ask(p->form, s);
}

/* Where the frame log has everything that is wanted: first frame, else UINT64_MAX. */
static uint64_t first_in_log(const struct poll *p)
{
    const struct channel_form *f = p->form;
    if (!f->attached || f->detaching || f->channel->ns->keyed)
        return UINT64_MAX;
    if (!p->has_since)
        return f->log.head - f->log.base >= (uint64_t)p->limit ? f->log.head - (uint64_t)p->limit : UINT64_MAX;
    uint64_t first;
    return channel_form_seek(f, p->epoch, p->offset, &first) ? first : UINT64_MAX;
}

void poll_get(struct http_request *r, void *arg)
{
    struct loop *l = loop_of_request(r);
    const struct config *config = l->engine->config;
    struct poll p = {.request = r};
    enum crier_error error = CRIER_OK;
    (void)arg;

    const char *fault = parse(r, &p, config->limits.poll_wait_ms);
    struct bytes name = http_path_rest(r);
    const struct config_namespace *ns = config_namespace_of(config, name);
    bool open = ns && ns->rest && (ns->read_history || config->debug.insecure) && !rights_restricted(ns, name);
    if (ns && !open && !api_key_valid(r))
        error = CRIER_ERR_PERMISSION_DENIED;
    else if (fault)
        error = CRIER_ERR_BAD_REQUEST;
    struct loop_channel *c = error == CRIER_OK ? loop_channel_get(l, name, &error) : NULL;
    if (!c) {
        http_respond_error(r, error, error == CRIER_ERR_BAD_REQUEST ? fault : NULL);
        return;
    }
    p.form = channel_form_get(c, FORM_POLL);
    p.form->idle_since_ms = uv_now(&l->uv);
    uint64_t first = first_in_log(&p);
    bool nothing_new = p.has_since && first == p.form->log.head;
    if (first != UINT64_MAX && !(nothing_new && may_wait(&p, l))) {
        answer_from_log(&p, r, first);
        return;
    }
    struct poll *waiting = xmalloc(sizeof *waiting);
    *waiting = p;
    http_on_abort(r, on_abort, waiting);
    if (first != UINT64_MAX)
        wait_for_news(waiting, l);
    else
        ask_hub(waiting, l);
}

/* ---- publishing ---- */

static void on_published(struct hub_call *call, void *owner)
{
    struct hub_publish *p = (struct hub_publish *)call;
    struct http_request *r = pending_take(p->arg);
    CLEANUP_BUF body = BUF_INIT;
    (void)owner;
    if (r && p->error != CRIER_OK) {
        http_respond_error(r, p->error, *p->detail ? p->detail : NULL);
    } else if (r) {
        buf_printf(&body, "{\"offset\":%lld,\"epoch\":\"%s\",\"partition\":%d}\n", (long long)p->offset, p->epoch,
                   (int)p->partition);
        const struct http_reply reply = {
            .status = 200, .content_type = "application/json", .body = buf_bytes(&body)};
        http_respond(r, &reply);
    }
    hub_publish_free(p);
}

static enum crier_error may_publish(struct http_request *r, const struct config *config, struct bytes channel)
{
    const struct config_namespace *ns = config_namespace_of(config, channel);
    if (!channel_name_valid(config, channel))
        return CRIER_ERR_BAD_REQUEST;
    if (!ns)
        return CRIER_ERR_UNKNOWN_CHANNEL;
    if (api_key_valid(r))
        return CRIER_OK;
    return ns->rest ? rights_of_user(config, ns, "", channel, RIGHT_PUBLISH, 0) : CRIER_ERR_PERMISSION_DENIED;
}

/* Clients without a name of their own share an id only within their address. */
static char *scoped_message_id(struct http_request *r)
{
    struct bytes id = http_header_get(r, "idempotency-key");
    CLEANUP_BUF scoped = BUF_INIT;
    if (id.len == 0 || id.len > 128)
        return NULL;
    buf_append_str(&scoped, api_key_valid(r) ? "api" : "rest/");
    if (!api_key_valid(r))
        buf_append_bytes(&scoped, http_remote_address(r));
    buf_append_str(&scoped, "/");
    buf_append_bytes(&scoped, id);
    buf_append(&scoped, "", 1);
    return buf_take(&scoped);
}

void poll_post(struct http_request *r, void *arg)
{
    struct loop *l = loop_of_request(r);
    struct bytes channel = http_path_rest(r), type = http_header_get(r, "content-type");
    const char *reason = NULL;
    (void)arg;

    enum crier_error error = may_publish(r, l->engine->config, channel);
    if (error == CRIER_OK && (type.len < 16 || strncasecmp(type.data, "application/json", 16) != 0)) {
        /* A form of another site cannot send this type without a preflight. */
        error = CRIER_ERR_BAD_REQUEST;
        reason = "Content-Type must be application/json";
    }
    if (error == CRIER_OK &&
        json_check(http_body(r), (unsigned)l->engine->config->limits.json_depth, JSON_STRICT, &reason) < 0)
        error = CRIER_ERR_BAD_REQUEST;
    if (error != CRIER_OK) {
        http_respond_error(r, error, reason);
        return;
    }
    struct hub_publish *p = hub_publish_new(&l->inbox, channel, http_body(r), on_published);
    p->message_id = scoped_message_id(r);
    hub_publish_set_trace(p, http_header_get(r, "traceparent"));
    p->arg = pending_new(r);
    hub_call_post(l->engine->hub, &p->call);
}
