#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <pthread.h>
#include <cmocka.h>

#include "util/wakeup.h"

struct sleeper {
    struct wakeup wake;
    int woken, closed;
};

static void on_wake(struct wakeup *w)
{
    struct sleeper *s = w->owner;
    s->woken++;
}

static void on_closed(struct wakeup *w)
{
    struct sleeper *s = w->owner;
    s->closed++;
}

static void *ring(void *arg)
{
    wakeup_ring(&((struct sleeper *)arg)->wake);
    return NULL;
}

static void open_sleeper(struct sleeper *s, uv_loop_t *loop)
{
    *s = (struct sleeper){0};
    assert_int_equal(uv_loop_init(loop), 0);
    assert_int_equal(wakeup_init(&s->wake, loop, on_wake, s), 0);
}

static void close_sleeper(struct sleeper *s, uv_loop_t *loop)
{
    wakeup_close(&s->wake, on_closed);
    assert_int_equal(s->closed, 0);
    uv_run(loop, UV_RUN_DEFAULT);
    assert_int_equal(s->closed, 1);
    assert_int_equal(uv_loop_close(loop), 0);
}

static void a_ring_of_another_thread_wakes_the_loop_each_time(void **state)
{
    (void)state;
    struct sleeper s;
    uv_loop_t loop;
    open_sleeper(&s, &loop);
    for (int i = 1; i <= 3; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, ring, &s), 0);
        uv_run(&loop, UV_RUN_ONCE);
        pthread_join(thread, NULL);
        assert_int_equal(s.woken, i);
    }
    close_sleeper(&s, &loop);
}

static void rings_until_the_owner_looks_are_one(void **state)
{
    (void)state;
    struct sleeper s;
    uv_loop_t loop;
    open_sleeper(&s, &loop);
    for (int i = 0; i < 5; i++)
        wakeup_ring(&s.wake);
    uv_run(&loop, UV_RUN_NOWAIT);
    uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(s.woken, 1);
    close_sleeper(&s, &loop);
}

static void ring_again(struct wakeup *w)
{
    on_wake(w);
    if (((struct sleeper *)w->owner)->woken < 3)
        wakeup_ring(w);
}

static void a_ring_of_the_owner_itself_makes_another_turn(void **state)
{
    (void)state;
    struct sleeper s;
    uv_loop_t loop;
    open_sleeper(&s, &loop);
    s.wake.on_wake = ring_again;
    wakeup_ring(&s.wake);
    uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(s.woken, 1);
    uv_run(&loop, UV_RUN_NOWAIT);
    uv_run(&loop, UV_RUN_NOWAIT);
    uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(s.woken, 3);
    close_sleeper(&s, &loop);
}

static void a_ring_after_the_close_is_lost(void **state)
{
    (void)state;
    struct sleeper s;
    uv_loop_t loop;
    open_sleeper(&s, &loop);
    wakeup_ring(&s.wake);
    wakeup_close(&s.wake, NULL);
    wakeup_ring(&s.wake);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(s.woken, 0);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ring_of_another_thread_wakes_the_loop_each_time),
        cmocka_unit_test(rings_until_the_owner_looks_are_one),
        cmocka_unit_test(a_ring_of_the_owner_itself_makes_another_turn),
        cmocka_unit_test(a_ring_after_the_close_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
