#include "bridge.h"

static void drain(struct bridge_mailbox *m)
{
    struct mpsc_node *node;
    while ((node = mpsc_pop(&m->queue)))
        m->on_mail(m, node);
}

static void on_wake(struct wakeup *wake)
{
    drain(wake->owner);
}

int bridge_mailbox_init(struct bridge_mailbox *m, uv_loop_t *loop,
                        void (*on_mail)(struct bridge_mailbox *, struct mpsc_node *))
{
    mpsc_init(&m->queue);
    m->on_mail = on_mail;
    m->on_closed = NULL;
    return wakeup_init(&m->wake, loop, on_wake, m);
}

void bridge_mailbox_send(struct bridge_mailbox *m, struct mpsc_node *node)
{
    mpsc_push(&m->queue, node);
    wakeup_ring(&m->wake);
}

static void on_wake_closed(struct wakeup *wake)
{
    struct bridge_mailbox *m = wake->owner;
    if (m->on_closed)
        m->on_closed(m);
}

void bridge_mailbox_close(struct bridge_mailbox *m, void (*on_closed)(struct bridge_mailbox *m))
{
    drain(m);
    m->on_closed = on_closed;
    wakeup_close(&m->wake, on_wake_closed);
}

const char *bridge_option_get(const struct bridge_open *open, const char *name)
{
    for (size_t i = 0; i < open->option_count; i++)
        if (strcmp(open->options[i].name, name) == 0)
            return open->options[i].value;
    return NULL;
}
