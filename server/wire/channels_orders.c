/* What the server API may do to a session of the channels wire. */
#include <stdlib.h>
#include <time.h>

#include "channels_wire.h"
#include "loop/engine.h"
#include "session/dispatch.h"

int64_t channels_grace_s(const struct session *s)
{
    return (s->loop->engine->config->limits.refresh_ms + 999) / 1000;
}

void channels_server_subscribe(struct session *s, const struct dispatch *d)
{
    const struct channels_subscribe position = {.channel = d->subscription.channel,
                                                .recover = true,
                                                .epoch = bytes_of(d->epoch),
                                                .offset = (uint64_t)d->offset};
    if (channels_client(s)->state != CHANNELS_CONNECTED) /* nobody yet */
        return;
    channels_subscribe_server_side(s, d->subscription.channel, d->epoch ? &position : NULL, &d->subscription);
    struct channels_subscription *sub = channels_subscription_find(s, d->subscription.channel);
    if (sub && sub->server_side && d->expire_at_s)
        sub->expire_at_s = d->expire_at_s;
    channels_schedule(s);
}

void channels_refresh(struct session *s, int64_t expire_at_s, struct bytes info)
{
    struct channels_client *c = channels_client(s);
    int64_t left_s = expire_at_s - (int64_t)time(NULL);
    struct channels_out out;
    if (c->state != CHANNELS_CONNECTED)
        return;
    c->expire_at_s = expire_at_s;
    if (info.data) {
        free(s->info);
        s->info = bytes_dup(info);
    }
    channels_schedule(s);
    channels_out_begin(s, &out);
    channels_push_refresh(&out.bytes, &c->style, expire_at_s, expire_at_s ? (uint32_t)(left_s > 0 ? left_s : 1) : 0);
    channels_out_send(s, &out);
}

const char *channels_secret(const struct session *s)
{
    const char *secret = channels_client(s)->secret;
    return *secret ? secret : NULL;
}
