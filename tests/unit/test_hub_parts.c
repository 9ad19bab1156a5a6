/* What a publication says beside key and payload: tags, publisher, version, delta; and what presence tells of a client. */
#include "hub/cache.h"
#include "hub_harness.h"

static const char config[] = "[server]\nlisten = \"127.0.0.1:0\"\nweb = \"\"\n"
                             "[[bridge]]\nname = \"b\"\ndriver = \"fake\"\nservers = \"x\"\n"
                             "[[namespace]]\nname = \"chat\"\nhistory = 10\n"
                             "[[namespace]]\nname = \"here\"\nhistory = 10\npresence = true\n"
                             "[[namespace]]\nname = \"none\"\nhistory = 0\n"
                             "[[namespace]]\nname = \"map\"\nhistory = 10\nkeyed = true\n"
                             "[[source]]\nbridge = \"b\"\ntopic = \"chat\"\nchannel = \"chat:{key}\"\nfrom = \"earliest\"\n"
                             "tags = { line = \"{header.line}\" }\n"
                             "[[sink]]\nchannel = \"chat:*\"\nbridge = \"b\"\ntopic = \"chat\"\nkey = \"{channel.1}\"\n";

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

struct detail {
    bool done;
    enum crier_error error;
    enum publish_suppressed suppressed;
    int64_t offset;
    unsigned shift;
    char epoch[CHANNEL_EPOCH_SIZE];
};

static void on_detail(struct hub_call *call, void *owner)
{
    struct hub_publish *p = (struct hub_publish *)call;
    struct detail *d = p->arg;
    (void)owner;
    *d = (struct detail){true, p->error, p->suppressed, p->offset, p->shift, ""};
    memcpy(d->epoch, p->epoch, sizeof d->epoch);
    hub_publish_free(p);
}

static struct hub_publish *prepare(struct detail *d, const char *channel, const char *payload)
{
    struct hub_publish *p = hub_publish_new(&world.inbox, bytes_of(channel), bytes_of(payload), on_detail);
    *d = (struct detail){0};
    p->arg = d;
    return p;
}

static void post(struct hub_publish *p)
{
    hub_call_post(&world.hub, &p->call);
    turn();
}

static const struct publication *newest(const char *channel)
{
    const struct channel *c = find(channel);
    assert_true(c && c->history.count);
    return history_get(&c->history, c->history.count - 1);
}

static void assert_bytes(struct bytes b, const char *expected)
{
    if (!bytes_eq_str(b, expected))
        fail_msg("%.*s instead of %s", (int)b.len, b.data, expected);
}

static void what_a_publisher_says_travels_as_headers(void **state)
{
    struct detail d;
    (void)state;
    struct hub_publish *p = prepare(&d, "chat:a", "1");
    p->tags = xstrdup("{ \"line\" : \"550\",\n\"x\\u0022\":\"y\"}");
    p->info = xstrdup("{\"user\":\"anna\",\n\"client\":\"c1\"}");
    p->message_id = xstrdup("m1");
    p->delta = true;
    p->version = 7;
    p->version_epoch = xstrdup("e1");
    post(p);
    assert_string_equal(broker->publishes[0].headers,
                        "crier-id=m1;crier-info={\"user\":\"anna\", \"client\":\"c1\"};crier-delta=1;crier-version=7 e1;"
                        "crier-tag-line=550;crier-tag-x\"=y;");
    fake_stored(broker, 0, 0, 4);
    turn();
    assert_int_equal(d.error, CRIER_OK);
    assert_int_equal(d.shift, 1); /* 4 of the log is 5 on the channels wire */
}

static void give(const struct bridge_header *headers, size_t count)
{
    struct bridge_record r = fake_record(sub, 0, 5, "a", "1");
    r.headers = headers;
    r.header_count = count;
    broker->host_ops->on_records(sub->cookie, &r, 1);
}

#define HEADER(name, value) {BYTES_LIT(name), BYTES_LIT(value)}

static void headers_come_back_as_parts(void **state)
{
    static const struct bridge_header headers[] = {
        HEADER("line", "4"), HEADER("crier-tag-line", "550"), HEADER("crier-tag-mode", "\"bus\xff"),
        HEADER("crier-tag-mode", "tram"), HEADER("crier-info", "{\"user\":\"anna\",\n\"client\":\"c1\"}"),
        HEADER("crier-delta", "1"), HEADER("crier-version", "7 e1")};
    (void)state;
    give(headers, sizeof headers / sizeof *headers);
    const struct publication *p = newest("chat:a");
    assert_bytes(publication_tags(p), "{\"line\":\"4\",\"mode\":\"\\\"bus\xef\xbf\xbd\"}");
    assert_bytes(publication_info(p), "{\"user\":\"anna\", \"client\":\"c1\"}");
    assert_true(p->wants_delta);
    assert_int_equal(p->version, 7);
    assert_bytes(publication_version_epoch(p), "e1");
    assert_bytes(publication_payload(p), "1");
}

static void headers_of_strangers_are_not_believed(void **state)
{
    static const struct bridge_header headers[] = {HEADER("crier-info", "[1]"), HEADER("crier-delta", "yes"),
                                                   HEADER("crier-version", "7x"), HEADER("crier-tag-", "nameless")};
    (void)state;
    give(headers, sizeof headers / sizeof *headers);
    const struct publication *p = newest("chat:a");
    assert_null(publication_info(p).data);
    assert_int_equal(publication_tags(p).len, 0);
    assert_false(p->wants_delta);
    assert_int_equal(p->version, 0);
}

static void tags_have_to_be_an_object_of_strings(void **state)
{
    static const char *const bad[] = {"[]", "{\"a\":1}", "{\"a\":\"b\",\"a\":\"c\"}", "{\"a\":\"b\"}x", "{\"a\\u0000\":\"b\"}", ""};
    struct detail d;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct hub_publish *p = prepare(&d, "here:a", "1");
        p->tags = xstrdup(bad[i]);
        post(p);
        assert_int_equal(d.error, CRIER_ERR_BAD_REQUEST);
    }
    CLEANUP_BUF many = BUF_INIT;
    for (int i = 0; i <= 32; i++)
        buf_printf(&many, "%s\"t%d\":\"\"", i ? "," : "{", i);
    buf_append_str(&many, "}");
    struct hub_publish *p = prepare(&d, "here:a", "1");
    p->tags = xstrdup(text_of(&many));
    post(p);
    assert_int_equal(d.error, CRIER_ERR_BAD_REQUEST);
}

static void tags_without_headers_are_refused_not_lost(void **state)
{
    struct detail d;
    (void)state;
    fake_ops.caps &= ~(unsigned)BRIDGE_HEADERS;
    struct hub_publish *p = prepare(&d, "chat:a", "1");
    p->tags = xstrdup("{\"a\":\"b\"}");
    post(p);
    assert_int_equal(d.error, CRIER_ERR_NOT_AVAILABLE);
    assert_int_equal(broker->publish_count, 0);
}

static void a_channel_without_broker_keeps_them_directly(void **state)
{
    struct detail d;
    (void)state;
    struct hub_publish *p = prepare(&d, "here:a", "{}");
    p->tags = xstrdup("{\"k\": \"v\"}");
    p->info = xstrdup("{\"user\":\"\"}");
    p->delta = true;
    post(p);
    assert_bytes(publication_tags(newest("here:a")), "{\"k\":\"v\"}");
    assert_bytes(publication_info(newest("here:a")), "{\"user\":\"\"}");
    assert_true(newest("here:a")->wants_delta);
}

static void what_skips_the_history_is_sent_and_has_no_position(void **state)
{
    struct detail d;
    struct answer a;
    struct listener l = {0};
    (void)state;
    subscribe(&a, &l, .channel = "here:a", .form = FORM_TYPED_OBJECT);
    post(prepare(&d, "here:a", "1"));
    struct hub_publish *p = prepare(&d, "here:a", "\"passing\"");
    p->skip_history = true;
    post(p);
    assert_int_equal(d.error, CRIER_OK);
    assert_int_equal(d.offset, -1);
    assert_string_equal(d.epoch, "");
    assert_offsets(&l, "1 1 ");
    const char *passing = strstr(text_of(&l.text), "passing");
    assert_non_null(passing);
    assert_int_equal(find("here:a")->history.count, 1);
    assert_int_equal(find("here:a")->top, 1);
    post(prepare(&d, "here:a", "2"));
    assert_int_equal(d.offset, 2);
    assert_int_equal(d.shift, 0);
    listener_done(&l);
    answer_done(&a);
}

static void post_version(struct detail *d, const char *channel, uint64_t version, const char *epoch)
{
    struct hub_publish *p = prepare(d, channel, "1");
    p->version = version;
    p->version_epoch = xstrdup(epoch);
    post(p);
}

static void an_older_version_is_dropped_and_answered_with_the_top(void **state)
{
    static const struct {
        uint64_t version;
        const char *epoch;
        bool taken;
    } cases[] = {{5, NULL, true},  {5, NULL, false}, {4, NULL, false}, {6, NULL, true}, {1, "e2", true},
                 {1, "e2", false}, {1, NULL, false}, {2, NULL, true},  {1, "e3", true}};
    struct detail d;
    int64_t top = 0;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        post_version(&d, "here:a", cases[i].version, cases[i].epoch);
        top += cases[i].taken;
        assert_int_equal(d.error, CRIER_OK);
        assert_int_equal(d.suppressed, cases[i].taken ? NOT_SUPPRESSED : SUPPRESSED_VERSION);
        assert_int_equal(d.offset, top);
        assert_string_equal(d.epoch, find("here:a")->epoch);
    }
}

static void a_version_under_way_counts_until_it_is_not_stored(void **state)
{
    struct detail first, d;
    (void)state;
    post_version(&first, "chat:a", 5, NULL);
    post_version(&d, "chat:a", 4, NULL);
    assert_int_equal(d.suppressed, SUPPRESSED_VERSION);
    fake_not_stored(broker, 0, BRIDGE_RETRYABLE);
    turn();
    assert_int_equal(first.error, CRIER_ERR_BROKER_UNAVAILABLE);
    post_version(&d, "chat:a", 4, NULL);
    assert_int_equal(broker->publish_count, 2);
    assert_false(d.done);
    fake_stored(broker, 1, 0, 0);
    turn();
    assert_int_equal(d.error, CRIER_OK);
}

static void versions_in_the_log_count_after_a_restart(void **state)
{
    static const struct bridge_header header = HEADER("crier-version", "7");
    struct detail d;
    (void)state;
    give(&header, 1);
    post_version(&d, "chat:a", 7, NULL);
    assert_int_equal(d.suppressed, SUPPRESSED_VERSION);
    assert_int_equal(d.offset, 5);
}

static bool has_tag(const struct publication *p, const void *arg)
{
    const char *tag = arg;
    return bytes_eq_str(publication_tags(p), tag);
}

/* Rows of the table of cache mode: two publications, the newest without the tag. */
static void cache_recovery_gives_the_newest_wherever_the_client_was(void **state)
{
    struct detail d;
    struct publication *p;
    (void)state;
    post(prepare(&d, "none:a", "1"));
    assert_false(cache_recover(find("none:a"), d.epoch, 0, NULL, NULL, &p));
    struct hub_publish *first = prepare(&d, "here:a", "1");
    first->tags = xstrdup("{\"k\":\"v\"}");
    post(first);
    post(prepare(&d, "here:a", "2"));
    const struct channel *c = find("here:a");
    const struct {
        const char *epoch;
        int64_t offset;
        const char *tag;
        int64_t expected; /* 0: nothing */
    } cases[] = {
        {d.epoch, 0, NULL, 2}, {d.epoch, 1, NULL, 2},  {d.epoch, 2, NULL, 0},           {d.epoch, 9, NULL, 2},
        {"other", 2, NULL, 2}, {"", 0, NULL, 2},       {d.epoch, 0, "{\"k\":\"v\"}", 1}, {d.epoch, 1, "{\"k\":\"v\"}", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        p = NULL;
        assert_true(cache_recover(c, cases[i].epoch, cases[i].offset, cases[i].tag ? has_tag : NULL, cases[i].tag, &p));
        if ((p ? p->offset : 0) != cases[i].expected)
            fail_msg("case %zu: %lld", i, p ? (long long)p->offset : 0);
    }
    assert_false(cache_recover(c, "", 0, has_tag, "{}", &p));
}

static void on_query(struct hub_call *call, void *owner)
{
    struct hub_query *q = (struct hub_query *)call;
    struct buf *out = q->arg;
    (void)owner;
    assert_int_equal(q->error, CRIER_OK);
    buf_append_bytes(out, buf_bytes(&q->json));
    hub_query_free(q);
}

static void ask(enum hub_query_kind kind, struct buf *out)
{
    struct hub_query *q = hub_query_new(kind, &world.inbox, BYTES_LIT("here:a"), on_query);
    out->len = 0;
    q->arg = out;
    hub_call_post(&world.hub, &q->call);
    turn();
}

static void presence_tells_what_tokens_said(void **state)
{
    struct answer a;
    struct listener l = {0};
    CLEANUP_BUF text = BUF_INIT;
    (void)state;
    struct hub_subscribe *s = subscribe_post(&(struct wish){.channel = "here:a", .listener = &l, .session = "s1"}, &a);
    s->conn_info = xstrdup("{\"n\":\n1}");
    s->chan_info = xstrdup("[2]");
    turn();
    answer_done(&a);
    subscribe(&a, &l, .channel = "here:a", .session = "s2");
    ask(HUB_QUERY_PRESENCE_MAP, &text);
    assert_string_equal(text_of(&text), "{\"presence\":{\"s1\":{\"user\":\"user\",\"client\":\"s1\",\"conn_info\":{\"n\": 1},"
                                        "\"chan_info\":[2]},\"s2\":{\"user\":\"user\",\"client\":\"s2\"}}}");
    ask(HUB_QUERY_PRESENCE_STATS, &text);
    assert_string_equal(text_of(&text), "{\"num_clients\":2,\"num_users\":1}");
    hub_leave_post(&world.hub, BYTES_LIT("here:a"), "s1");
    hub_leave_post(&world.hub, BYTES_LIT("here:a"), "s2");
    turn();
    ask(HUB_QUERY_PRESENCE_STATS, &text);
    assert_string_equal(text_of(&text), "{\"num_clients\":0,\"num_users\":0}");
    answer_done(&a);
    listener_done(&l);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_a_publisher_says_travels_as_headers),
        TEST(headers_come_back_as_parts),
        TEST(headers_of_strangers_are_not_believed),
        TEST(tags_have_to_be_an_object_of_strings),
        TEST(tags_without_headers_are_refused_not_lost),
        TEST(a_channel_without_broker_keeps_them_directly),
        TEST(what_skips_the_history_is_sent_and_has_no_position),
        TEST(an_older_version_is_dropped_and_answered_with_the_top),
        TEST(a_version_under_way_counts_until_it_is_not_stored),
        TEST(versions_in_the_log_count_after_a_restart),
        TEST(cache_recovery_gives_the_newest_wherever_the_client_was),
        TEST(presence_tells_what_tokens_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
