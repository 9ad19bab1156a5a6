/* Transforms of sources: what becomes of a record, what is marked, and places by templates. */
#include "hub_harness.h"

#include "hub/transform.h"

static const char config[] = "[server]\nlisten = \"127.0.0.1:0\"\nweb = \"\"\n"
                             "[[bridge]]\nname = \"a\"\ndriver = \"fake\"\nservers = \"x\"\n"
                             "[[namespace]]\nname = \"out\"\nhistory = 10\n"
                             "[[namespace]]\nname = \"kept\"\nhistory = 10\n"
                             "[[source]]\nbridge = \"a\"\ntopic = \"in\"\nchannel = \"out:{payload.room}\"\n"
                             "from = \"history\"\ntransform = \"of the test\"\ndead_letter = \"bad\"\n"
                             "[[source]]\nbridge = \"a\"\ntopic = \"places\"\nchannel = \"out:places\"\n"
                             "latitude = \"{payload.lat}\"\nlongitude = \"{payload.lon}\"\n";

static struct bridge *a;
static struct bridge_source_sub *in, *places;
static struct transform_record last; /* as the transform saw it */
static char last_channel[64], last_topic[64];
static unsigned ticks;

static void keep_text(char out[64], struct bytes text)
{
    snprintf(out, 64, "%.*s", (int)text.len, text.data ? text.data : "");
}

/* The payload says what to do. */
static enum transform_verdict transform(void *arg, const struct transform_record *r, struct transform_result *out,
                                        const char **ret_reason)
{
    static const struct keep extra = {.channel = BYTES_LIT("kept:x"), .key = BYTES_NULL, .payload = BYTES_LIT("1")};
    struct bytes payload = r->record->payload;
    (void)arg;
    last = *r;
    keep_text(last_channel, out->channel);
    keep_text(last_topic, r->topic);
    if (bytes_eq(payload, BYTES_LIT("drop")))
        return TRANSFORM_DROP;
    *ret_reason = "not liked";
    if (bytes_eq(payload, BYTES_LIT("refuse")))
        return TRANSFORM_REFUSE;
    if (bytes_eq(payload, BYTES_LIT("extra")))
        assert_true(hub_keep(&world.hub, &extra));
    out->channel = BYTES_LIT("out:mapped");
    out->key = BYTES_LIT("the key");
    out->tags = BYTES_LIT("{\"t\":\"v\"}");
    out->payload = BYTES_LIT("{\"mapped\":true}");
    out->has_geo = true;
    out->latitude_e6 = 60000000;
    out->longitude_e6 = -24000000;
    return TRANSFORM_TAKE;
}

static void on_tick(void *arg)
{
    ++*(unsigned *)arg;
}

static int setup(void **state)
{
    const struct transform t = {.name = (char *)"of the test", .fn = transform};
    (void)state;
    ticks = 0;
    assert_int_equal(transform_register(&t), 0);
    assert_int_equal(transform_register(&t), -EEXIST);
    transform_every(1000, on_tick, &ticks);
    world_open(config);
    a = fake_bridge("a");
    in = &a->subs[0];
    places = &a->subs[1];
    fake_ready(a);
    fake_assign(in, 0, 1, "log", 0, 0);
    fake_assign(places, 0, 1, "log", 0, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_close();
    transforms_done();
    return 0;
}

static void a_transform_decides_what_a_record_becomes(void **state)
{
    (void)state;
    fake_caught_up(in);
    fake_give(in, 0, 5, "k", "{\"room\":\"x\"}");
    assert_string_equal(last_channel, "out:x");
    assert_string_equal(last_topic, "in");
    assert_null(find("out:x"));
    struct channel *c = find("out:mapped");
    const struct publication *p = history_get(&c->history, 0);
    assert_int_equal(p->offset, 5); /* the broker's, as one partition feeds the channel */
    assert_true(bytes_eq_str(publication_key(p), "the key"));
    assert_true(bytes_eq_str(publication_tags(p), "{\"t\":\"v\"}"));
    assert_true(bytes_eq_str(publication_payload(p), "{\"mapped\":true}"));
    assert_true(p->has_geo);
    assert_int_equal(p->latitude_e6, 60000000);
    assert_int_equal(p->longitude_e6, -24000000);
    /* Without the field of the template the transform may still know where it goes. */
    fake_give(in, 0, 6, "k", "{}");
    assert_string_equal(last_channel, "");
    assert_int_equal(c->history.count, 2);
}

static void what_is_dropped_is_done_and_what_is_refused_is_a_dead_letter(void **state)
{
    (void)state;
    fake_caught_up(in);
    fake_give(in, 0, 5, "k", "drop");
    assert_int_equal(a->publish_count, 0);
    assert_null(find("out:mapped"));
    fake_give(in, 0, 6, "k", "refuse");
    assert_int_equal(a->publish_count, 1);
    assert_string_equal(a->publishes[0].headers, "dlq.reason=not liked;dlq.source.topic=in;dlq.source.partition=0;"
                                                 "dlq.source.offset=6;");
    fake_stored(a, 0, 0, 0);
    fake_give(in, 0, 7, "k", "{}");
    assert_int_equal(find("out:mapped")->history.count, 1);
}

static void history_is_marked_and_so_is_what_a_resume_reads(void **state)
{
    (void)state;
    struct publication *p;
    fake_give(in, 0, 5, "k", "{}");
    assert_true(last.replay);
    assert_false(last.pure);
    fake_caught_up(in);
    fake_give(in, 0, 6, "k", "{}");
    assert_false(last.replay);
    const struct bridge_record again = fake_record(in, 0, 5, "k", "{}");
    assert_int_equal(source_map_for(&world.hub.sources[0], &again, BYTES_LIT("out:mapped"), &p), 0);
    assert_true(last.pure);
    assert_int_equal(p->offset, 5);
    publication_unref(p);
    assert_int_equal(source_map_for(&world.hub.sources[0], &again, BYTES_LIT("out:other"), &p), -ENOENT);
}

static void the_topic_is_the_original_one_where_a_relay_moved_the_record(void **state)
{
    (void)state;
    fake_give_with_header(in, 0, 5, "k", "{}", ORIGIN_TOPIC_HEADER, "/far/away");
    assert_string_equal(last_topic, "/far/away");
}

static void a_transform_publishes_in_channels_of_the_node_only(void **state)
{
    (void)state;
    fake_give(in, 0, 5, "k", "extra");
    fake_give(in, 0, 6, "k", "extra");
    const struct channel *kept = find("kept:x");
    assert_int_equal(kept->history.count, 2);
    assert_int_equal(kept->top, 2);
    assert_false(hub_keep(&world.hub, &(struct keep){.channel = BYTES_LIT("out:mapped"), .payload = BYTES_LIT("1")}));
    assert_false(hub_keep(&world.hub, &(struct keep){.channel = BYTES_LIT("none:x"), .payload = BYTES_LIT("1")}));
    assert_false(hub_keep(&world.hub, &(struct keep){.channel = BYTES_LIT("bad name"), .payload = BYTES_LIT("1")}));
}

static void places_come_from_templates(void **state)
{
    static const struct {
        const char *payload;
        bool has_geo;
        int32_t latitude_e6, longitude_e6;
    } cases[] = {
        {"{\"lat\":60.2011811,\"lon\":24.7857639}", true, 60201181, 24785764},
        {"{\"lat\":\"-60.5\",\"lon\":-24}", true, -60500000, -24000000},
        {"{\"lat\":91,\"lon\":24}", false, 0, 0},
        {"{\"lat\":60,\"lon\":180.1}", false, 0, 0},
        {"{\"lat\":60}", false, 0, 0},
        {"{\"lat\":null,\"lon\":1}", false, 0, 0},
        {"{\"lat\":\"60N\",\"lon\":1}", false, 0, 0},
        {"{\"lat\":\"\",\"lon\":1}", false, 0, 0},
        {"{\"lat\":\"nan\",\"lon\":1}", false, 0, 0},
    };
    (void)state;
    fake_caught_up(places);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fake_give(places, 0, (int64_t)i, "k", cases[i].payload);
        struct channel *c = find("out:places");
        const struct publication *p = history_get(&c->history, c->history.count - 1);
        assert_int_equal(p->offset, i);
        assert_int_equal(p->has_geo, cases[i].has_geo);
        if (!p->has_geo)
            continue;
        assert_int_equal(p->latitude_e6, cases[i].latitude_e6);
        assert_int_equal(p->longitude_e6, cases[i].longitude_e6);
    }
}

static void clocks_beside_transforms_tick(void **state)
{
    (void)state;
    transforms_tick(5000);
    transforms_tick(5999);
    assert_int_equal(ticks, 1);
    transforms_tick(6000);
    assert_int_equal(ticks, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_transform_decides_what_a_record_becomes, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_dropped_is_done_and_what_is_refused_is_a_dead_letter, setup, teardown),
        cmocka_unit_test_setup_teardown(history_is_marked_and_so_is_what_a_resume_reads, setup, teardown),
        cmocka_unit_test_setup_teardown(the_topic_is_the_original_one_where_a_relay_moved_the_record, setup, teardown),
        cmocka_unit_test_setup_teardown(a_transform_publishes_in_channels_of_the_node_only, setup, teardown),
        cmocka_unit_test_setup_teardown(places_come_from_templates, setup, teardown),
        cmocka_unit_test_setup_teardown(clocks_beside_transforms_tick, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
