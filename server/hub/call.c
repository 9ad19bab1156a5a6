/* Calls from other threads: from their inbox to the hub, and back when they are done. */
#include "hub.h"

#include "util/clock.h"

static void deliver_on_hub(struct inbox_message *m, void *owner)
{
    struct hub_call *call = (struct hub_call *)m;
    call->run(owner, call);
}

static void deliver_on_origin(struct inbox_message *m, void *owner)
{
    struct hub_call *call = (struct hub_call *)m;
    call->done(call, owner);
}

void hub_call_post(struct hub *hub, struct hub_call *call)
{
    call->message.deliver = deliver_on_hub;
    inbox_post(&hub->inbox, &call->message);
}

void hub_call_finish(struct hub_call *call)
{
    if (!call->origin || inbox_closed(call->origin)) {
        /* Made by the hub itself, or its thread has ended: this one is the only one left. */
        call->done(call, call->origin ? call->origin->owner : NULL);
        return;
    }
    call->message.deliver = deliver_on_origin;
    inbox_post(call->origin, &call->message);
}

void hub_call_finish_behind(struct hub *hub, struct hub_call *call)
{
    call->next_waiting = NULL;
    if (hub->behind_last)
        hub->behind_last->next_waiting = call;
    else
        hub->behind_first = call;
    hub->behind_last = call;
}

void hub_finish_behind(struct hub *hub)
{
    struct hub_call *list = hub->behind_first, *call;
    hub->behind_first = hub->behind_last = NULL;
    while ((call = list)) {
        list = call->next_waiting;
        hub_call_finish(call);
    }
}

bool hub_call_wait(struct hub *hub, struct hub_call *call)
{
    uint64_t now = clock_mono_ms();
    if (hub->draining || (call->wait_until_ms && now >= call->wait_until_ms))
        return false;
    if (!call->wait_until_ms)
        call->wait_until_ms = now + HUB_WAIT_MS;
    call->next_waiting = hub->waiting;
    hub->waiting = call;
    return true;
}

void hub_retry_waiting(struct hub *hub)
{
    /* They were pushed at the front: turn the list round, so that calls run in the order in which they came. */
    struct hub_call *list = NULL, *call;
    while ((call = hub->waiting)) {
        hub->waiting = call->next_waiting;
        call->next_waiting = list;
        list = call;
    }
    while ((call = list)) {
        list = call->next_waiting;
        call->run(hub, call);
    }
}
