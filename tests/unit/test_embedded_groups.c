/* The embedded driver in shared mode: groups divide the partitions of a topic and go on where they stopped. */
#include "embedded_host.h"

enum { PARTITIONS = 4 };

static const struct open_with DIVIDED = {.options = {{"partitions", "4"}}};

static void join(struct world *w, struct listener *l)
{
    subscribe_with(w, l, (struct bridge_subscription){.topic = "t", .group = "g", .from = BRIDGE_FROM_GROUP});
}

static int owned(const struct listener *l)
{
    int n = 0;
    for (int i = 0; i < PARTITIONS; i++)
        n += l->owned[i];
    return n;
}

/* Everything that was handed over so far. */
static void acknowledge(struct listener *l)
{
    for (size_t i = 0; i < l->count; i++)
        bridge_embedded_ops.ack(l->sub, BYTES_LIT("t"), l->seen[i].partition, l->seen[i].offset);
}

/* Both loops in turn: two processes on one machine. */
#define WAIT_FOR_BOTH(a, b, condition)                                                                                 \
    do {                                                                                                               \
        uint64_t until_ = clock_mono_ms() + WAIT_MS;                                                                   \
        while (!(condition) && clock_mono_ms() < until_) {                                                             \
            uv_run(&(a)->loop, UV_RUN_ONCE);                                                                           \
            uv_run(&(b)->loop, UV_RUN_ONCE);                                                                           \
        }                                                                                                              \
        assert_true(condition);                                                                                        \
    } while (0)

static void a_group_goes_on_where_it_was_acknowledged(void **state)
{
    (void)state;
    struct world w;
    struct listener l = {0}, again = {0};
    world_open(&w);
    join(&w, &l);
    WAIT_FOR(&w, l.caught_up);
    publish_many(&w, "t", 0, 10);
    WAIT_FOR(&w, l.count == 10);
    bridge_embedded_ops.ack(l.sub, BYTES_LIT("t"), 0, 6);
    listener_done(&l);
    world_close(&w); /* commits */

    world_open(&w);
    join(&w, &again);
    WAIT_FOR(&w, again.count == 4);
    assert_int_equal(again.seen[0].offset, 7);
    WAIT_FOR(&w, again.caught_up == 1);
    listener_done(&again);
    world_close(&w);
}

static void positions_are_committed_while_it_runs(void **state)
{
    (void)state;
    struct world w;
    struct listener l = {0};
    world_open(&w);
    join(&w, &l);
    WAIT_FOR(&w, l.caught_up);
    publish_many(&w, "t", 0, 10);
    WAIT_FOR(&w, l.count == 10);
    acknowledge(&l);
    struct store *s = open_beside();
    struct store_topic *t;
    int64_t next = 0;
    assert_int_equal(store_topic_find(s, BYTES_LIT("t"), &t), 0);
    WAIT_FOR(&w, store_position_get(s, "g", &t->partitions[0], &next) == 0 && next == 11);
    store_close(s);
    listener_done(&l);
    world_close(&w);
}

/* Its first position is stored when it joins: what comes while nobody listens waits for it. */
static void a_new_group_starts_at_latest_and_keeps_that_place(void **state)
{
    (void)state;
    struct world w;
    struct listener l = {0}, again = {0};
    world_open(&w);
    publish_many(&w, "t", 0, 5);
    join(&w, &l);
    WAIT_FOR(&w, l.caught_up);
    assert_int_equal(l.count, 0);
    world_close(&w);
    world_open(&w);
    publish_many(&w, "t", 5, 5);
    join(&w, &again);
    WAIT_FOR(&w, again.count == 5);
    assert_int_equal(again.seen[0].offset, 6);
    listener_done(&again);
    world_close(&w);
}

static void groups_do_not_know_of_each_other(void **state)
{
    (void)state;
    struct world w;
    struct listener one = {0}, two = {0};
    world_open(&w);
    publish_many(&w, "t", 0, 5);
    subscribe_with(&w, &one, (struct bridge_subscription){.topic = "t", .group = "g1", .from = BRIDGE_FROM_EARLIEST});
    subscribe_with(&w, &two, (struct bridge_subscription){.topic = "t", .group = "g2", .from = BRIDGE_FROM_EARLIEST});
    WAIT_FOR(&w, one.count == 5 && two.count == 5);
    listener_done(&one);
    listener_done(&two);
    world_close(&w);
}

static void mark(int *times, const struct listener *l)
{
    for (size_t i = 0; i < l->count; i++)
        times[atoi(l->seen[i].payload)]++;
}

static void members_of_two_processes_divide_the_partitions(void **state)
{
    (void)state;
    struct world a, b;
    struct listener la = {0}, lb = {0};
    int times[1000] = {0};
    world_open_with(&a, &DIVIDED);
    world_open_with(&b, &DIVIDED);
    join(&a, &la);
    WAIT_FOR(&a, owned(&la) == PARTITIONS);
    join(&b, &lb);
    WAIT_FOR_BOTH(&a, &b, owned(&la) == 2 && owned(&lb) == 2);
    for (int i = 0; i < PARTITIONS; i++)
        assert_true(la.owned[i] != lb.owned[i]);
    publish_many(&a, "t", 0, 1000);
    WAIT_FOR_BOTH(&a, &b, la.count + lb.count >= 1000);
    assert_int_equal(la.count, 500);
    mark(times, &la);
    mark(times, &lb);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(times[i], 1);

    acknowledge(&la);
    acknowledge(&lb);
    world_close(&b); /* leaves: its partitions come back with their positions */
    WAIT_FOR(&a, owned(&la) == PARTITIONS);
    publish_many(&a, "t", 0, 100);
    WAIT_FOR(&a, la.count == 600);
    run_for(&a, 100);
    assert_int_equal(la.count, 600);
    listener_done(&la);
    listener_done(&lb);
    world_close(&a);
}

/* The one that has to give a partition up waits for the acknowledgements of what it has already handed over. */
static void a_handover_waits_for_what_is_under_way(void **state)
{
    (void)state;
    struct world a, b;
    struct listener la = {0}, lb = {0};
    world_open_with(&a, &DIVIDED);
    world_open_with(&b, &DIVIDED);
    join(&a, &la);
    WAIT_FOR(&a, owned(&la) == PARTITIONS);
    publish_many(&a, "t", 0, 400);
    WAIT_FOR(&a, la.count == 400);
    join(&b, &lb);
    uint64_t until = clock_mono_ms() + 2500;
    while (clock_mono_ms() < until) {
        uv_run(&a.loop, UV_RUN_ONCE);
        uv_run(&b.loop, UV_RUN_ONCE);
    }
    assert_int_equal(owned(&la), PARTITIONS);
    acknowledge(&la);
    WAIT_FOR_BOTH(&a, &b, owned(&la) == 2 && owned(&lb) == 2);
    publish_many(&b, "t", 400, 100);
    WAIT_FOR_BOTH(&a, &b, la.count + lb.count >= 500);
    assert_int_equal(lb.count, 50); /* nothing old */
    listener_done(&la);
    listener_done(&lb);
    world_close(&a);
    world_close(&b);
}

static void partitions_of_a_member_that_died_are_taken_over(void **state)
{
    (void)state;
    struct world w;
    struct listener l = {0};
    world_open_with(&w, &DIVIDED);
    publish_many(&w, "t", 0, 40);
    struct store *s = open_beside();
    struct store_topic *t;
    int32_t place, members;
    bool mine;
    int64_t now = clock_wall_ms();
    assert_int_equal(store_topic_find(s, BYTES_LIT("t"), &t), 0);
    assert_int_equal(store_begin(s), 0);
    /* "0" sorts before every other member, so that partitions 0 and 2 are its own. */
    assert_int_equal(store_member_renew(s, "g", t, "0", now, now + 2500, &place, &members), 0);
    for (int i = 0; i < PARTITIONS; i++) {
        assert_int_equal(store_lease_take(s, "g", &t->partitions[i], "0", now, now + 2500, &mine), 0);
        assert_int_equal(store_position_set(s, "g", &t->partitions[i], 6), 0);
    }
    assert_int_equal(store_commit(s), 0);
    store_close(s);

    join(&w, &l);
    run_for(&w, 1000);
    assert_int_equal(owned(&l), 0); /* it may be alive */
    assert_int_equal(l.count, 0);
    WAIT_FOR(&w, owned(&l) == PARTITIONS && l.count == 20);
    assert_true(clock_wall_ms() >= now + 2500);
    for (size_t i = 0; i < l.count; i++)
        assert_true(l.seen[i].offset >= 6);
    listener_done(&l);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_group_goes_on_where_it_was_acknowledged),
        TEST(positions_are_committed_while_it_runs),
        TEST(a_new_group_starts_at_latest_and_keeps_that_place),
        TEST(groups_do_not_know_of_each_other),
        TEST(members_of_two_processes_divide_the_partitions),
        TEST(a_handover_waits_for_what_is_under_way),
        TEST(partitions_of_a_member_that_died_are_taken_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
