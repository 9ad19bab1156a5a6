#include "bridge.h"

static void drain(struct bridge_mailbox *m)
{
    struct mpsc_node *node;
    while ((node = mpsc_pop(&m->queue)))
        m->on_mail(m, node);
}

static void on_wake(uv_async_t *wake)
{
    drain(wake->data);
}

int bridge_mailbox_init(struct bridge_mailbox *m, uv_loop_t *loop,
                        void (*on_mail)(struct bridge_mailbox *, struct mpsc_node *))
{
    mpsc_init(&m->queue);
    m->on_mail = on_mail;
    m->on_closed = NULL;
    m->wake.data = m;
    return uv_async_init(loop, &m->wake, on_wake);
}

void bridge_mailbox_send(struct bridge_mailbox *m, struct mpsc_node *node)
{
    mpsc_push(&m->queue, node);
    uv_async_send(&m->wake);
}

static void on_wake_closed(uv_handle_t *handle)
{
    struct bridge_mailbox *m = handle->data;
    if (m->on_closed)
        m->on_closed(m);
}

void bridge_mailbox_close(struct bridge_mailbox *m, void (*on_closed)(struct bridge_mailbox *m))
{
    drain(m);
    m->on_closed = on_closed;
    uv_close((uv_handle_t *)&m->wake, on_wake_closed);
}

const char *bridge_option_get(const struct bridge_open *open, const char *name)
{
    for (size_t i = 0; i < open->option_count; i++)
        if (strcmp(open->options[i].name, name) == 0)
            return open->options[i].value;
    return NULL;
}
