#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "loop/engine.h"
#include "session/session.h"
#include "window_private.h"

/* ---- marks ---- */

static uint64_t mix(uint64_t hash, const void *data, size_t len)
{
    for (const unsigned char *p = data, *end = p + len; p < end; p++)
        hash = (hash ^ *p) * UINT64_C(0x100000001b3);
    return hash;
}

uint64_t window_mark(const struct geo_box *box, struct bytes filter)
{
    const int32_t edges[] = {box->south_e6, box->west_e6, box->north_e6, box->east_e6};
    uint64_t hash = mix(mix(UINT64_C(0xcbf29ce484222325), edges, sizeof edges), filter.data, filter.len);
    return hash ? hash : 1;
}

void window_epoch(const char *epoch, uint64_t mark, char ret[WINDOW_EPOCH_SIZE])
{
    if (*epoch)
        snprintf(ret, WINDOW_EPOCH_SIZE, "%.*s~%016" PRIx64, CHANNEL_EPOCH_SIZE - 1, epoch, mark);
    else
        *ret = 0;
}

struct bytes window_epoch_plain(struct bytes epoch, uint64_t *ret_mark)
{
    const char *tilde = epoch.len ? memrchr(epoch.data, '~', epoch.len) : NULL;
    char digits[17] = "", *end = digits;
    *ret_mark = 0;
    if (!tilde || epoch.data + epoch.len - tilde != sizeof digits)
        return epoch;
    memcpy(digits, tilde + 1, sizeof digits - 1);
    uint64_t mark = strtoull(digits, &end, 16);
    if (*end)
        return epoch;
    *ret_mark = mark;
    return (struct bytes){epoch.data, (size_t)(tilde - epoch.data)};
}

/* ---- life ---- */

struct window *window_new(const struct geo_box *box, struct bytes filter)
{
    static _Thread_local uint64_t serial;
    struct window *w = xcalloc(1, sizeof *w);
    *w = (struct window){.box = *box, .mark = window_mark(box, filter), .serial = ++serial, .say_epoch = true};
    if (filter.data)
        w->filter = (struct bytes){bytes_dup(filter), filter.len};
    return w;
}

void window_said(struct window *w)
{
    w->say_epoch = false;
}

const struct geo_box *window_box(const struct window *w)
{
    return w ? &w->box : NULL;
}

static void refuse(struct session *s, struct wish *wish)
{
    struct bytes id = {(const char *)&wish->id, sizeof wish->id};
    if (wish->wished && s && !s->closing)
        s->wire->reply_error(s, id, CRIER_ERR_NOT_AVAILABLE, "the subscription has ended");
    buf_done(&wish->reply);
    *wish = (struct wish){.wished = false};
}

void window_end(struct subscription *s)
{
    struct window *w = s->window;
    if (!w)
        return;
    s->window = NULL;
    refuse(s->session, &w->now);
    refuse(s->session, &w->later);
    if (w->change)
        hub_box_change_free(w->change);
    free((char *)w->filter.data);
    free(w);
}

/* ---- changes ---- */

struct asked {
    uint64_t session, serial;
};

static struct subscription *find_subscription(struct session *s, const struct hub_box_change *b, uint64_t serial)
{
    struct subscription *sub = s && !s->closing ? session_subscription(s, bytes_of(b->channel)) : NULL;
    return sub && sub->window && sub->window->serial == serial ? sub : NULL;
}

static void on_change(struct hub_call *call, void *owner)
{
    struct hub_box_change *b = (struct hub_box_change *)call;
    struct asked *asked = b->arg;
    struct session *s = session_find(owner, asked->session);
    struct subscription *sub = find_subscription(s, b, asked->serial);
    free(asked);
    if (!sub) {
        hub_box_change_free(b);
        return;
    }
    if (!b->found) { /* it is gone with all that it had */
        session_forget(s, sub);
        s->wire->unsubscribed(s, bytes_of(b->channel), 2500, "insufficient state");
        hub_box_change_free(b);
        return;
    }
    sub->window->asking = false;
    sub->window->change = b;
    sub->window->at = sub->form->log.head;
    session_flush(s);
}

void window_ask(struct subscription *s)
{
    struct window *w = s->window;
    const struct session *session = s->session;
    struct hub_box_change *b =
        hub_box_change_new(&session->loop->inbox, channel_form_name(s->form), on_change);
    struct asked *asked = xmalloc(sizeof *asked);
    const char *reason;
    *asked = (struct asked){.session = session->key, .serial = w->serial};
    b->arg = asked;
    b->form = frame_form_items(s->form->form);
    b->from = w->box;
    b->to = w->now.to;
    if (s->filter && s->filter->raw.data) /* it was good when the subscription began */
        tag_filter_parse(s->filter->raw, s->filter->encoding, &b->filter, &reason);
    w->asking = true;
    hub_call_post(session->loop->engine->hub, &b->call);
}

void window_change(struct subscription *s, const struct geo_box *to, uint32_t id, struct buf *reply)
{
    struct window *w = s->window;
    bool busy = w->asking || w->change;
    struct wish *wish = busy ? &w->later : &w->now;
    if (wish->wished)
        s->session->wire->reply(s->session, 0, (struct bytes){(const char *)&wish->id, sizeof wish->id}, CRIER_JSON,
                                BYTES_LIT("{\"superseded\":true}"));
    buf_done(&wish->reply);
    *wish = (struct wish){.to = *to, .id = id, .reply = *reply, .wished = true};
    *reply = BUF_INIT;
    if (!busy)
        window_ask(s);
}
