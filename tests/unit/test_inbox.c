#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <pthread.h>
#include <stdlib.h>
#include <cmocka.h>

#include "util/inbox.h"

#define SENDERS 4
#define MESSAGES 20000

struct note {
    struct inbox_message message; /* first */
    int sender, number;
};

struct receiver {
    struct inbox inbox;
    int next[SENDERS];
    int total;
    int out_of_order;
};

static void deliver(struct inbox_message *m, void *owner)
{
    struct note *n = (struct note *)m;
    struct receiver *r = owner;
    r->out_of_order += n->number != r->next[n->sender];
    r->next[n->sender] = n->number + 1;
    free(n);
    if (++r->total == SENDERS * MESSAGES)
        inbox_close(&r->inbox);
}

struct sender {
    pthread_t thread;
    struct receiver *to;
    int id;
};

static void *send_all(void *arg)
{
    struct sender *s = arg;
    for (int i = 0; i < MESSAGES; i++) {
        struct note *n = calloc(1, sizeof *n);
        n->message.deliver = deliver;
        n->sender = s->id;
        n->number = i;
        inbox_post(&s->to->inbox, &n->message);
    }
    return NULL;
}

static void every_message_of_every_sender_arrives_in_its_order(void **state)
{
    static struct receiver r;
    struct sender senders[SENDERS];
    uv_loop_t loop;
    (void)state;

    uv_loop_init(&loop);
    inbox_init(&r.inbox, &loop, &r);
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.to = &r, .id = i};
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_all, &senders[i]), 0);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(senders[i].thread, NULL);
    assert_int_equal(r.total, SENDERS * MESSAGES);
    assert_int_equal(r.out_of_order, 0);
    assert_true(inbox_closed(&r.inbox));
    uv_loop_close(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_of_every_sender_arrives_in_its_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
