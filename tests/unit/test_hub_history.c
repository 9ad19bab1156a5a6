/* History in pages: from memory, and from the broker's log where memory does not reach. */
#include "hub/history_call.h"
#include "hub_harness.h"

static const char config[] = "[server]\nlisten = \"127.0.0.1:0\"\nweb = \"\"\n"
                             "[limits]\nrecover = 5\n"
                             "[[bridge]]\nname = \"b\"\ndriver = \"fake\"\nservers = \"x\"\n"
                             "[[namespace]]\nname = \"chat\"\nhistory = 3\n"
                             "[[namespace]]\nname = \"here\"\nhistory = 4\n"
                             "[[namespace]]\nname = \"none\"\nhistory = 0\n"
                             "[[namespace]]\nname = \"map\"\nkeyed = true\nhistory = 0\n"
                             "[[namespace]]\nname = \"brief\"\nkeyed = true\nkey_ttl = \"10s\"\nmap = \"ephemeral\"\n"
                             "[[source]]\nbridge = \"b\"\ntopic = \"chat\"\nchannel = \"chat:{key}\"\nfrom = \"earliest\"\n";

static struct bridge *broker;
static struct bridge_source_sub *sub;

static int setup(void **state)
{
    (void)state;
    broker = world_open_on_log(config);
    sub = &broker->subs[0];
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_close();
    return 0;
}

struct page {
    bool done;
    enum crier_error error;
    bool more;
    int shift;
    int64_t position;
    char epoch[CHANNEL_EPOCH_SIZE];
    struct buf offsets;
};

static void on_page(struct hub_call *call, void *owner)
{
    struct hub_history *h = (struct hub_history *)call;
    struct page *p = h->arg;
    (void)owner;
    assert_false(p->done);
    p->done = true;
    p->error = h->error;
    p->more = h->more;
    p->shift = h->shift;
    p->position = h->position;
    memcpy(p->epoch, h->epoch, sizeof p->epoch);
    for (uint32_t i = 0; h->block && i < h->block->count; i++)
        buf_printf(&p->offsets, "%lld ", (long long)h->block->marks[i].offset);
    text_of(&p->offsets);
    hub_history_free(h);
}

struct request {
    const char *channel;
    int64_t limit;
    bool reverse;
    const char *epoch; /* NULL: no position */
    int64_t offset;
    bool shifted, map;
};

static void post(struct page *p, const struct request *q)
{
    struct hub_history *h = hub_history_new(&world.inbox, bytes_of(q->channel), on_page);
    buf_done(&p->offsets);
    *p = (struct page){0};
    h->arg = p;
    h->form = FORM_POLL;
    h->limit = q->limit;
    h->reverse = q->reverse;
    h->shifted = q->shifted;
    h->map = q->map;
    if (q->epoch) {
        h->has_since = true;
        h->since_offset = q->offset;
        snprintf(h->since_epoch, sizeof h->since_epoch, "%s", q->epoch);
    }
    hub_call_post(&world.hub, &h->call);
    turn();
}

#define history(p, ...) post((p), &(const struct request){__VA_ARGS__})

static void fill_here(int count)
{
    struct outcome o;
    for (int i = 0; i < count; i++)
        publish(&o, "here:a", NULL, "1", NULL);
}

/* 1 to 6 were published, 3 to 6 are kept. Offsets of the channel counted here are those of the wire. */
static void pages_are_cut_from_memory(void **state)
{
    static const struct {
        struct request q;
        enum crier_error error;
        const char *offsets;
        bool more;
    } cases[] = {
        {{.limit = 0}, CRIER_OK, "", true},
        {{.limit = -1}, CRIER_OK, "3 4 5 6 ", false},
        {{.limit = 2}, CRIER_OK, "3 4 ", true},
        {{.limit = 4}, CRIER_OK, "3 4 5 6 ", false},
        {{.limit = 2, .reverse = true}, CRIER_OK, "6 5 ", true},
        {{.limit = -1, .epoch = "", .offset = 4}, CRIER_OK, "5 6 ", false},
        {{.limit = 1, .epoch = "", .offset = 2}, CRIER_OK, "3 ", true},
        {{.limit = -1, .epoch = "", .offset = 6}, CRIER_OK, "", false},
        {{.limit = -1, .reverse = true, .epoch = "", .offset = 5}, CRIER_OK, "4 3 ", false},
        {{.limit = -1, .reverse = true, .epoch = "", .offset = 3}, CRIER_OK, "", false},
        {{.limit = -1, .epoch = "", .offset = 1}, CRIER_ERR_UNRECOVERABLE_POSITION, "", false},
        {{.limit = 0, .epoch = "", .offset = 1}, CRIER_OK, "", true},
        {{.limit = -1, .epoch = "", .offset = 7}, CRIER_ERR_UNRECOVERABLE_POSITION, "", false},
        {{.limit = -1, .epoch = "other", .offset = 6}, CRIER_ERR_UNRECOVERABLE_POSITION, "", false},
        {{.limit = 0, .epoch = "other", .offset = 6}, CRIER_ERR_UNRECOVERABLE_POSITION, "", false},
        {{.limit = -1, .reverse = true, .epoch = "", .offset = 0, .shifted = true}, CRIER_ERR_BAD_REQUEST, "", false},
    };
    struct page p = {0};
    (void)state;
    fill_here(6);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct request q = cases[i].q;
        q.channel = "here:a";
        post(&p, &q);
        assert_true(p.done);
        if (p.error != cases[i].error || strcmp(p.offsets.data, cases[i].offsets) != 0 || p.more != cases[i].more)
            fail_msg("case %zu: %d \"%s\" more %d", i, p.error, p.offsets.data, p.more);
        if (p.error == CRIER_OK)
            assert_int_equal(p.position, 6);
    }
    history(&p, .channel = "here:a", .limit = -1, .epoch = find("here:a")->epoch, .offset = 5);
    assert_string_equal(p.offsets.data, "6 ");
    buf_done(&p.offsets);
}

static void what_has_no_history_says_so(void **state)
{
    static const struct {
        struct request q;
        enum crier_error error;
    } cases[] = {
        {{.channel = "none:a"}, CRIER_ERR_NOT_AVAILABLE},  {{.channel = "strange:a"}, CRIER_ERR_UNKNOWN_CHANNEL},
        {{.channel = "here:a b"}, CRIER_ERR_BAD_REQUEST},  {{.channel = "here:a", .map = true}, CRIER_ERR_BAD_REQUEST},
        {{.channel = "brief:a", .map = true}, CRIER_ERR_BAD_REQUEST}, {{.channel = "map:a", .map = true}, CRIER_OK},
    };
    struct page p = {0};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        post(&p, &cases[i].q);
        if (p.error != cases[i].error)
            fail_msg("case %zu: %d", i, p.error);
    }
    buf_done(&p.offsets);
}

static void an_empty_channel_keeps_the_epoch_of_its_first_reading(void **state)
{
    struct page p = {0};
    struct outcome o;
    char epoch[CHANNEL_EPOCH_SIZE];
    (void)state;
    history(&p, .channel = "here:a");
    assert_int_equal(p.error, CRIER_OK);
    assert_int_equal(p.position, 0);
    memcpy(epoch, p.epoch, sizeof epoch);
    assert_true(*epoch);
    publish(&o, "here:a", NULL, "1", NULL);
    assert_string_equal(o.epoch, epoch);
    history(&p, .channel = "here:a", .limit = -1, .epoch = epoch, .offset = 0);
    assert_string_equal(p.offsets.data, "1 ");
    buf_done(&p.offsets);
}

static void on_removed(struct hub_call *call, void *owner)
{
    (void)owner;
    assert_int_equal(((struct hub_query *)call)->error, CRIER_OK);
    hub_query_free((struct hub_query *)call);
}

static void removing_a_history_keeps_epoch_and_offset(void **state)
{
    struct page p = {0};
    char epoch[CHANNEL_EPOCH_SIZE];
    (void)state;
    fill_here(3);
    memcpy(epoch, find("here:a")->epoch, sizeof epoch);
    hub_call_post(&world.hub,
                  &hub_query_new(HUB_QUERY_HISTORY_REMOVE, &world.inbox, BYTES_LIT("here:a"), on_removed)->call);
    turn();
    history(&p, .channel = "here:a", .limit = -1);
    assert_string_equal(p.offsets.data, "");
    assert_string_equal(p.epoch, epoch);
    assert_int_equal(p.position, 3);
    history(&p, .channel = "here:a", .limit = -1, .epoch = epoch, .offset = 1);
    assert_int_equal(p.error, CRIER_ERR_UNRECOVERABLE_POSITION);
    buf_done(&p.offsets);
}

/* ---- from the log ---- */

#define TOP 9

/* Offsets 0 to 9; the even ones are of chat:a, so that 4, 6, 8 are in memory. */
static void fill_log(void)
{
    for (int i = 0; i <= TOP; i++)
        fake_give(sub, 0, i, i % 2 ? "b" : "a", "1");
    turn();
    assert_int_equal(find("chat:a")->history.floor, 2);
}

/* Gives what read `i` asks for, from a log that begins at `oldest`. */
static void serve(size_t i, int64_t oldest)
{
    const struct bridge_read *read = &broker->reads[i].read;
    struct bridge_record records[TOP + 1];
    size_t count = 0;
    for (int64_t o = read->from_offset > oldest ? read->from_offset : oldest; o <= read->to_offset && o <= TOP; o++)
        records[count++] = fake_record(sub, 0, o, o % 2 ? "b" : "a", "1");
    fake_read_part(broker, i, records, count);
    fake_read_end(broker, i, oldest, TOP + 1, true, 0);
    turn();
}

static void what_memory_lost_is_read_from_the_log(void **state)
{
    static const struct {
        struct request q;
        const char *offsets;
        bool more;
    } cases[] = {
        {{.limit = -1, .offset = -1}, "0 2 4 6 8 ", false},
        {{.limit = -1, .offset = 0}, "2 4 6 8 ", false},
        {{.limit = 2, .offset = -1}, "0 2 ", true},
        {{.limit = 2, .offset = 1, .shifted = true}, "2 4 ", true},
        {{.limit = 2, .offset = 0, .shifted = true}, "0 2 ", true},
        {{.limit = 5, .reverse = true, .offset = 8}, "6 4 2 0 ", false},
        {{.limit = 4, .reverse = true, .offset = 8}, "6 4 2 0 ", false},
        {{.limit = 3, .reverse = true, .offset = 8}, "6 4 2 ", true},
        {{.limit = 1, .reverse = true, .offset = 3}, "2 ", true},
    };
    struct page p = {0};
    (void)state;
    fill_log();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct request q = cases[i].q;
        q.channel = "chat:a";
        q.epoch = find("chat:a")->epoch;
        post(&p, &q);
        assert_false(p.done);
        assert_int_equal(broker->read_count, i + 1);
        serve(i, 0);
        assert_int_equal(p.error, CRIER_OK);
        if (strcmp(p.offsets.data, cases[i].offsets) != 0 || p.more != cases[i].more)
            fail_msg("case %zu: \"%s\" more %d", i, p.offsets.data, p.more);
        assert_int_equal(p.position, TOP);
        assert_int_equal(p.shift, 1);
    }
    buf_done(&p.offsets);
}

static void what_memory_has_asks_no_broker(void **state)
{
    struct page p = {0};
    (void)state;
    fill_log();
    history(&p, .channel = "chat:a", .limit = -1, .epoch = "", .offset = 2);
    assert_string_equal(p.offsets.data, "4 6 8 ");
    history(&p, .channel = "chat:a", .limit = 2, .reverse = true, .epoch = "", .offset = 8);
    assert_string_equal(p.offsets.data, "6 4 ");
    history(&p, .channel = "chat:a", .limit = 100);
    assert_string_equal(p.offsets.data, "4 6 8 ");
    assert_int_equal(broker->read_count, 0);
    buf_done(&p.offsets);
}

static void a_trimmed_log_is_lost_forwards_and_short_backwards(void **state)
{
    struct page p = {0};
    (void)state;
    fill_log();
    history(&p, .channel = "chat:a", .limit = -1, .epoch = "", .offset = 0);
    serve(0, 2);
    assert_int_equal(p.error, CRIER_ERR_UNRECOVERABLE_POSITION);
    history(&p, .channel = "chat:a", .limit = 5, .reverse = true, .epoch = "", .offset = 8);
    serve(1, 2);
    assert_int_equal(p.error, CRIER_OK);
    assert_string_equal(p.offsets.data, "6 4 2 ");
    assert_false(p.more);
    buf_done(&p.offsets);
}

static void a_log_that_cannot_be_read_is_temporary(void **state)
{
    struct page p = {0};
    (void)state;
    fill_log();
    history(&p, .channel = "chat:a", .limit = -1, .epoch = "", .offset = 0);
    fake_read_end(broker, 0, -1, -1, false, -EIO);
    turn();
    assert_int_equal(p.error, CRIER_ERR_BROKER_UNAVAILABLE);
    buf_done(&p.offsets);
}

static void a_log_that_begins_anew_meanwhile_is_lost(void **state)
{
    struct page p = {0};
    (void)state;
    fill_log();
    history(&p, .channel = "chat:a", .limit = -1, .epoch = "", .offset = 0);
    fake_assign(sub, 0, 1, "another", 0, 0);
    serve(0, 0);
    assert_int_equal(p.error, CRIER_ERR_UNRECOVERABLE_POSITION);
    buf_done(&p.offsets);
}

static void reads_wait_their_turn_and_are_answered_at_the_end(void **state)
{
    struct page p[10] = {0};
    (void)state;
    fill_log();
    for (int i = 0; i < 10; i++)
        history(&p[i], .channel = "chat:a", .limit = -1, .epoch = "", .offset = 0);
    assert_int_equal(broker->read_count, 8);
    serve(0, 0);
    assert_int_equal(broker->read_count, 9);
    hub_close(&world.hub, 0, on_hub_closed);
    turn();
    for (int i = 0; i < 10; i++) {
        assert_true(p[i].done);
        assert_int_equal(p[i].error, i ? CRIER_ERR_BROKER_UNAVAILABLE : CRIER_OK);
        buf_done(&p[i].offsets);
    }
}

static void more_than_a_thousand_waiting_reads_are_refused(void **state)
{
    static struct page p[1010];
    int refused = 0;
    int64_t before = metric_total(M_LIMIT_LOG_READS);
    (void)state;
    memset(p, 0, sizeof p);
    fill_log();
    for (int i = 0; i < 1010; i++) {
        history(&p[i], .channel = "chat:a", .limit = -1, .epoch = "", .offset = 0);
        refused += p[i].done && p[i].error == CRIER_ERR_TOO_MANY_REQUESTS;
    }
    assert_int_equal(refused, 2);
    assert_int_equal(metric_total(M_LIMIT_LOG_READS) - before, 2);
    hub_close(&world.hub, 0, on_hub_closed);
    turn();
    for (int i = 0; i < 1010; i++) {
        assert_true(p[i].done);
        buf_done(&p[i].offsets);
    }
}

static void a_long_way_back_is_several_reads_of_bounded_size(void **state)
{
    struct page p = {0};
    (void)state;
    for (int i = 0; i < 4; i++)
        fake_give(sub, 0, 10000 + i, "a", "1");
    turn();
    history(&p, .channel = "chat:a", .limit = 5, .epoch = "", .offset = 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(broker->read_count, i + 1);
        assert_int_equal(broker->reads[i].read.from_offset, 1 + 4096 * (int)i);
        fake_read_end(broker, i, 0, 10004, true, 0);
        turn();
    }
    assert_int_equal(p.error, CRIER_OK);
    assert_string_equal(p.offsets.data, "10001 10002 10003 ");
    buf_done(&p.offsets);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(pages_are_cut_from_memory),
        TEST(what_has_no_history_says_so),
        TEST(an_empty_channel_keeps_the_epoch_of_its_first_reading),
        TEST(removing_a_history_keeps_epoch_and_offset),
        TEST(what_memory_lost_is_read_from_the_log),
        TEST(what_memory_has_asks_no_broker),
        TEST(a_trimmed_log_is_lost_forwards_and_short_backwards),
        TEST(a_log_that_cannot_be_read_is_temporary),
        TEST(a_log_that_begins_anew_meanwhile_is_lost),
        TEST(reads_wait_their_turn_and_are_answered_at_the_end),
        TEST(more_than_a_thousand_waiting_reads_are_refused),
        TEST(a_long_way_back_is_several_reads_of_bounded_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
