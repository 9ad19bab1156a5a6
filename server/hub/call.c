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

static void list_append(struct hub_call_list *list, struct hub_call *call)
{
    call->next = NULL;
    if (list->last)
        list->last->next = call;
    else
        list->first = call;
    list->last = call;
}

/* Empties the list; the calls hang together by `next`. */
static struct hub_call *list_take(struct hub_call_list *list)
{
    struct hub_call *first = list->first;
    *list = (struct hub_call_list){0};
    return first;
}

void hub_call_finish_behind(struct hub *hub, struct hub_call *call)
{
    list_append(&hub->behind, call);
}

void hub_finish_behind(struct hub *hub)
{
    struct hub_call *next;
    for (struct hub_call *call = list_take(&hub->behind); call; call = next) {
        next = call->next;
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
    list_append(&hub->waiting, call);
    return true;
}

void hub_retry_waiting(struct hub *hub)
{
    struct hub_call *next;
    for (struct hub_call *call = list_take(&hub->waiting); call; call = next) {
        next = call->next;
        call->run(hub, call);
    }
}
