/* Messages of the HFP feed: the documented samples, nulls, short topics, and what is refused. */
#include "examples/realtimemap/hfp_names.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define BUS_TOPIC "/hfp/v2/journey/ongoing/vp/bus/0022/01400/2212/1/Kauniala/11:26/2252204/5/60;24/27/08/15"
#define BUS_PAYLOAD                                                                                                    \
    "{\"VP\":{\"desi\":\"212\",\"dir\":\"1\",\"oper\":22,\"veh\":1400,\"tst\":\"2025-03-12T10:00:04.751Z\","           \
    "\"tsi\":1741773604,\"spd\":1.08,\"hdg\":268,\"lat\":60.201181,\"long\":24.785763,\"acc\":1.08,\"dl\":-120,"       \
    "\"odo\":12579,\"drst\":0,\"oday\":\"2025-03-12\",\"jrn\":525,\"line\":244,\"start\":\"11:26\",\"loc\":\"GPS\","   \
    "\"stop\":2252204,\"route\":\"2212\",\"occu\":0}}"

static void assert_view(struct bytes view, const char *expected)
{
    if (!expected)
        assert_null(view.data);
    else if (!view.data || !bytes_eq_str(view, expected))
        fail_msg("expected %s, got %.*s", expected, (int)view.len, view.data ? view.data : "");
}

struct topic_case {
    const char *topic;
    enum hfp_event event;
    enum hfp_mode mode;
    bool journey, upcoming;
    const char *operator_id, *vehicle, *route, *direction, *headsign, *start, *next_stop, *geohash;
    int level;
};

static const struct topic_case topics[] = {
    {BUS_TOPIC, HFP_VP, HFP_BUS, true, false, "0022", "01400", "2212", "1", "Kauniala", "11:26", "2252204",
     "60;24/27/08/15", 5},
    {"/hfp/v2/journey/ongoing/vp/bus/0018/01095/1065/1/Veräjälaakso/11:55/1111117/5/60;24/19/75/71", HFP_VP, HFP_BUS,
     true, false, "0018", "01095", "1065", "1", "Veräjälaakso", "11:55", "1111117", "60;24/19/75/71", 5},
    {"/hfp/v2/journey/ongoing/vp/bus/0012/01825/4400/1/Vantaankoski/09:12/1334126/4/60;24/28/58/42", HFP_VP, HFP_BUS,
     true, false, "0012", "01825", "4400", "1", "Vantaankoski", "09:12", "1334126", "60;24/28/58/42", 4},
    {"/hfp/v2/journey/ongoing/doo/bus/0012/01211/4735/1/Mikkola/08:01/4820213/5/60;25/31/30/82", HFP_DOO, HFP_BUS, true,
     false, "0012", "01211", "4735", "1", "Mikkola", "08:01", "4820213", "60;25/31/30/82", 5},
    {"/hfp/v2/journey/ongoing/doc/bus/0012/01211/4735/1/Mikkola/08:01/4820213/5/60;25/31/30/82", HFP_DOC, HFP_BUS, true,
     false, "0012", "01211", "4735", "1", "Mikkola", "08:01", "4820213", "60;25/31/30/82", 5},
    {"/hfp/v2/journey/ongoing/due/bus/0012/01913/4400/1/Vantaankoski/15:21/1130110/4/60;24/19/72/15", HFP_DUE, HFP_BUS,
     true, false, "0012", "01913", "4400", "1", "Vantaankoski", "15:21", "1130110", "60;24/19/72/15", 4},
    {"/hfp/v2/journey/ongoing/vp/tram/0040/00621/2015/2/Itäkeskus (M)/07:23/1291406/0////", HFP_VP, HFP_TRAM, true,
     false, "0040", "00621", "2015", "2", "Itäkeskus (M)", "07:23", "1291406", NULL, 0},
    {"/hfp/v2/journey/ongoing/vjout/tram/0040/00457/100HI5/2/Ilmala/07:33/1171401/5/60;24/29/02/60", HFP_VJOUT,
     HFP_TRAM, true, false, "0040", "00457", "100HI5", "2", "Ilmala", "07:33", "1171401", "60;24/29/02/60", 5},
    /* short: a vehicle without a journey */
    {"/hfp/v2/deadrun/ongoing/vp/bus/0018/01029", HFP_VP, HFP_BUS, false, false, "0018", "01029", NULL, NULL, NULL,
     NULL, NULL, NULL, -1},
    {"/hfp/v2/signoff/ongoing/da/bus/0018/01029", HFP_DA, HFP_BUS, false, false, "0018", "01029", NULL, NULL, NULL,
     NULL, NULL, NULL, -1},
    {"/hfp/v2/journey/upcoming/vp/metro/0050/00177/31M2/2/Tapiola/7:20/EOL/3/60;24/19/74/", HFP_VP, HFP_METRO, true,
     true, "0050", "00177", "31M2", "2", "Tapiola", "7:20", "EOL", "60;24/19/74/", 3},
    {"/hfp/v2/journey/ongoing/vp/train/0090/06304/1004 4/1//18:35//5/60;25/95/32/87", HFP_VP, HFP_TRAIN, true, false,
     "0090", "06304", "1004 4", "1", NULL, "18:35", NULL, "60;25/95/32/87", 5},
    /* a signal id behind the geohash */
    {"/hfp/v2/journey/ongoing/tlr/ubus/0012/01913/4400/1/A/15:21/1130110/4/60;24/19/72/15/1234", HFP_TLR, HFP_UBUS,
     true, false, "0012", "01913", "4400", "1", "A", "15:21", "1130110", "60;24/19/72/15", 4},
    {"/hfp/v2/journey/ongoing/new/boat/0012/01913/4400/1/A/15:21/1130110/4", HFP_EVENT_OTHER, HFP_MODE_OTHER, true,
     false, "0012", "01913", "4400", "1", "A", "15:21", "1130110", NULL, 4},
};

static void topics_are_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof topics / sizeof *topics; i++) {
        const struct topic_case *c = &topics[i];
        struct hfp_topic t;
        const char *reason = NULL;
        if (hfp_topic_parse(bytes_of(c->topic), &t, &reason) != 0)
            fail_msg("%s: %s", c->topic, reason);
        assert_int_equal(t.event, c->event);
        assert_int_equal(t.mode, c->mode);
        assert_int_equal(t.journey, c->journey);
        assert_int_equal(t.upcoming, c->upcoming);
        assert_view(t.operator_id, c->operator_id);
        assert_view(t.vehicle, c->vehicle);
        assert_view(t.route, c->route);
        assert_view(t.direction, c->direction);
        assert_view(t.headsign, c->headsign);
        assert_view(t.start, c->start);
        assert_view(t.next_stop, c->next_stop);
        assert_view(t.geohash, c->geohash);
        assert_int_equal(t.geohash_level, c->level);
    }
}

#define NO_VERSION  "the topic's version is not v2"
#define SHORT_TOPIC "the topic ends before the vehicle number"
#define NO_NUMBER   "operator or vehicle of the topic is no number"
#define NO_KIND     "the topic has no event type or no transport mode"

static const struct {
    struct bytes topic;
    const char *reason;
} bad_topics[] = {
    {{"", 0}, "the topic does not begin with a slash"},
    {BYTES_LIT("hfp/v2/journey/ongoing/vp/bus/0022/01400"), "the topic does not begin with a slash"},
    {BYTES_LIT("/"), "the topic does not begin with /hfp/"},
    {BYTES_LIT("//hfp/v2/journey/ongoing/vp/bus/0022/01400"), "the topic does not begin with /hfp/"},
    {BYTES_LIT("/hfp"), NO_VERSION},
    {BYTES_LIT("/hfp/v1/journey/ongoing/bus/0022/00869/2118B/2/Tapiola (M)/16:23/2241237/5/60;24/17/84/15"),
     NO_VERSION},
    {BYTES_LIT("/hfp/v2"), SHORT_TOPIC},
    {BYTES_LIT("/hfp/v2/journey/ongoing/vp/bus/0022"), SHORT_TOPIC},
    {BYTES_LIT("/hfp/v2/journey/ongoing/vp/bus/0022/"), NO_NUMBER},
    {BYTES_LIT("/hfp/v2/journey/ongoing/vp/bus//01400"), NO_NUMBER},
    {BYTES_LIT("/hfp/v2/journey/ongoing/vp/bus/22a/01400"), NO_NUMBER},
    {BYTES_LIT("/hfp/v2/journey/ongoing/vp/bus/0022/01234567890"), NO_NUMBER},
    {BYTES_LIT("/hfp/v2/trip/ongoing/vp/bus/0022/01400"),
     "the journey type of the topic is none of journey, deadrun, signoff"},
    {BYTES_LIT("/hfp/v2/journey/past/vp/bus/0022/01400"),
     "the temporal type of the topic is neither ongoing nor upcoming"},
    {BYTES_LIT("/hfp/v2/journey/ongoing//bus/0022/01400"), NO_KIND},
    {BYTES_LIT("/hfp/v2/journey/ongoing/vp//0022/01400"), NO_KIND},
    {BYTES_LIT("/hfp/v2/journey/ongoing/vp/bus/0022/01400/1/1/A/11:26/1/6/60;24/27/08/15"),
     "the geohash level of the topic is no digit from 0 to 5"},
    {BYTES_LIT("/hfp/v2/journey/ongoing/vp/bus/0022/01400/1/1/\xff/11:26/1/5/60;24/27/08/15"), "the topic is no text"},
    {BYTES_LIT("/hfp/v2/journey/ongoing/vp\0/bus/0022/01400"), "the topic is no text"},
};

static void bad_topics_are_refused_with_a_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_topics / sizeof *bad_topics; i++) {
        struct hfp_topic t = {.geohash_level = 77};
        const char *reason = "none";
        assert_int_equal(hfp_topic_parse(bad_topics[i].topic, &t, &reason), -EBADMSG);
        assert_string_equal(reason, bad_topics[i].reason);
        assert_int_equal(t.geohash_level, 77);
    }
}

static struct hfp_position parse(const char *payload)
{
    struct hfp_position p;
    const char *reason = NULL;
    if (hfp_payload_parse(bytes_of(payload), &p, &reason) != 0)
        fail_msg("%s: %s", payload, reason);
    return p;
}

static void a_position_is_read(void **state)
{
    (void)state;
    struct hfp_position p = parse(BUS_PAYLOAD);
    assert_int_equal(p.event, HFP_VP);
    assert_true(p.has_fix && p.has_heading && p.has_speed && p.has_doors && p.has_delay && p.has_time);
    assert_int_equal(p.latitude_e6, 60201181);
    assert_int_equal(p.longitude_e6, 24785763);
    assert_int_equal(p.heading, 268);
    assert_float_equal(p.speed_ms, 1.08, 1e-9);
    assert_false(p.doors_open);
    assert_int_equal(p.delay_s, -120);
    assert_int_equal(p.time_ms, 1741773604751);
    assert_view(p.line, "212");
    assert_view(p.route, "2212");
    assert_view(p.stop, "2252204");
    assert_view(p.location, "GPS");
    assert_int_equal(p.occupancy, 0);
}

static void assert_nothing_known(const struct hfp_position *p)
{
    assert_false(p->has_fix || p->has_heading || p->has_speed || p->has_doors || p->has_delay || p->has_time);
    assert_false(p->line.data || p->route.data || p->stop.data || p->location.data);
    assert_int_equal(p->latitude_e6 | p->longitude_e6 | p->heading | p->delay_s | p->occupancy | p->doors_open, 0);
    assert_true(p->speed_ms == 0 && p->time_ms == 0);
}

static void door_events_carry_the_doors(void **state)
{
    (void)state;
    struct hfp_position p = parse("{\"DOO\":{\"tst\":\"2024-05-13T05:47:15.280Z\",\"lat\":60.338600,\"long\":25.102671,"
                                  "\"drst\":1,\"ttarr\":\"2024-05-13T05:46:00.000Z\",\"stop\":null,\"occu\":70}}");
    assert_int_equal(p.event, HFP_DOO);
    assert_true(p.has_doors && p.doors_open && p.has_fix);
    assert_int_equal(p.latitude_e6, 60338600);
    assert_int_equal(p.occupancy, 70);
    assert_null(p.stop.data);
    p = parse("{\"DOC\":{\"drst\":false}}");
    assert_int_equal(p.event, HFP_DOC);
    assert_true(p.has_doors && !p.doors_open);
}

static void every_field_may_be_null(void **state)
{
    (void)state;
    struct hfp_position p =
        parse("{\"VP\":{\"desi\":null,\"dir\":null,\"oper\":null,\"veh\":1047,\"tst\":null,\"tsi\":null,"
              "\"spd\":null,\"hdg\":null,\"lat\":null,\"long\":null,\"acc\":null,\"dl\":null,"
              "\"odo\":null,\"drst\":null,\"oday\":null,\"jrn\":null,\"line\":null,\"start\":null,"
              "\"loc\":null,\"stop\":null,\"route\":null,\"occu\":null}}");
    assert_nothing_known(&p);
    p = parse("{\"VP\":{}}");
    assert_nothing_known(&p);
}

static void a_tram_without_a_fix_and_a_metro_keep_what_they_have(void **state)
{
    (void)state;
    struct hfp_position p = parse(
        "{\"VP\":{\"desi\":\"15\",\"dir\":\"2\",\"oper\":40,\"veh\":621,\"tst\":\"2026-09-29T04:53:20.255Z\",\"tsi\":"
        "1790657600,\"spd\":null,\"hdg\":null,\"lat\":null,\"long\":null,\"acc\":null,\"dl\":-169,\"odo\":10565,"
        "\"drst\":0,\"oday\":\"2026-09-29\",\"jrn\":992,\"line\":1142,\"start\":\"07:23\",\"loc\":\"GPS\","
        "\"stop\":null,\"route\":\"2015\",\"occu\":0}}");
    assert_true(!p.has_fix && !p.has_speed && !p.has_heading && p.has_doors && p.has_delay);
    assert_int_equal(p.time_ms, 1790657600255);
    p = parse(
        "{\"VP\":{\"desi\":\"M2\",\"dir\":\"2\",\"oper\":50,\"veh\":177,\"tst\":\"2025-09-16T16:07:21Z\",\"tsi\":"
        "1758038841,\"spd\":19.62,\"hdg\":277,\"lat\":60.163543543,\"long\":24.904549413,\"acc\":null,\"dl\":null,"
        "\"odo\":null,\"drst\":null,\"oday\":\"2025-09-16\",\"start\":\"18:41\",\"loc\":\"MAN\",\"stop\":null,"
        "\"route\":\"31M2\",\"occu\":0,\"seq\":1}}");
    assert_true(p.has_fix && p.has_speed && !p.has_doors && !p.has_delay);
    assert_int_equal(p.latitude_e6, 60163544);
    assert_int_equal(p.longitude_e6, 24904549);
    assert_int_equal(p.time_ms, 1758038841000);
    assert_view(p.location, "MAN");
}

static void half_a_fix_is_none(void **state)
{
    (void)state;
    struct hfp_position p = parse("{\"VP\":{\"lat\":60.1,\"long\":null}}");
    assert_true(!p.has_fix && p.latitude_e6 == 0);
}

static void numbers_are_exact_in_every_form(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int32_t e6;
    } forms[] = {
        {"60.1", 60100000},
        {"-60.000001", -60000001},
        {"6.02e1", 60200000},
        {"602E-1", 60200000},
        {"0", 0},
        {"-0.0", 0},
        {"60.12345651000000000000000000000000001", 60123457},
        {"0.0000000000000000000000000000601e30", 60100000},
        {"6000000000000000000000e-20", 60000000},
        {"90", 90000000},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        char payload[200];
        snprintf(payload, sizeof payload, "{\"VP\":{\"lat\":%s,\"long\":24}}", forms[i].text);
        assert_int_equal(parse(payload).latitude_e6, forms[i].e6);
    }
}

static void what_cannot_be_true_counts_as_null(void **state)
{
    (void)state;
    struct hfp_position p = parse("{\"VP\":{\"spd\":-1,\"hdg\":361,\"drst\":2,\"dl\":1e9,\"occu\":101,\"tsi\":-5}}");
    assert_nothing_known(&p);
    p = parse("{\"VP\":{\"hdg\":360,\"spd\":0}}");
    assert_true(p.has_heading && p.heading == 0 && p.has_speed);
}

static void times_are_read_and_seconds_stand_in(void **state)
{
    (void)state;
    assert_int_equal(parse("{\"VP\":{\"tst\":\"2024-02-29T23:59:59.9999Z\"}}").time_ms, 1709251199999);
    assert_int_equal(parse("{\"VP\":{\"tst\":\"1970-01-01T00:00:00Z\"}}").time_ms, 0);
    assert_int_equal(parse("{\"VP\":{\"tst\":null,\"tsi\":1741773604}}").time_ms, 1741773604000);
    assert_int_equal(parse("{\"VP\":{\"tsi\":1,\"tst\":\"2000-01-01T00:00:00.5Z\"}}").time_ms, 946684800500);
}

static void unknown_events_and_fields_are_fine(void **state)
{
    (void)state;
    struct hfp_position p =
        parse(" { \"XYZ\" : { \"a\" : [ { \"b\\\"]\" : \"}\" } , 1 ] , \"\" : true , \"lat\" : 60 , "
              "\"long\" : 24 , \"c\":{}, \"route\":\"a\\u0041\", \"desi\":\"\", \"stop\":\"S1\" } } \n");
    assert_int_equal(p.event, HFP_EVENT_OTHER);
    assert_true(p.has_fix);
    assert_null(p.route.data);
    assert_null(p.line.data);
    assert_view(p.stop, "S1");
}

#define NO_OBJECT "the payload is no object with one event"
#define NO_JSON   "the payload is no JSON of the feed's form"
#define NO_TYPE   "a field that is a number holds something else"
#define NO_PLACE  "lat or long is no place on Earth"
#define NO_TIME   "tst is no time in UTC"

static const struct {
    struct bytes payload;
    const char *reason;
} bad_payloads[] = {
    {{NULL, 0}, "the payload is empty"},
    {BYTES_LIT("[]"), NO_OBJECT},
    {BYTES_LIT("{}"), NO_OBJECT},
    {BYTES_LIT("{\"VP\":null}"), NO_OBJECT},
    {BYTES_LIT("{\"VP\":{}"), "the payload has more than one event"},
    {BYTES_LIT("{\"VP\":{},\"DOO\":{}}"), "the payload has more than one event"},
    {BYTES_LIT("{\"VP\":{}} x"), "something follows the payload's object"},
    {BYTES_LIT("{\"VP\":{\"lat\""), NO_JSON},
    {BYTES_LIT("{\"VP\":{\"lat\":"), NO_JSON},
    {BYTES_LIT("{\"VP\":{\"lat\":}}"), NO_JSON},
    {BYTES_LIT("{\"VP\":{\"lat\":60,}}"), NO_JSON},
    {BYTES_LIT("{\"VP\":{\"lat\":60 \"long\":24}}"), NO_JSON},
    {BYTES_LIT("{\"VP\":{\"lat\":+60}}"), NO_JSON},
    {BYTES_LIT("{\"VP\":{\"lat\":060}}"), NO_JSON},
    {BYTES_LIT("{\"VP\":{\"lat\":60.}}"), NO_JSON},
    {BYTES_LIT("{\"VP\":{\"lat\":6e}}"), NO_JSON},
    {BYTES_LIT("{\"VP\":{\"lat\":-}}"), NO_JSON},
    {BYTES_LIT("{\"VP\":{\"lat\":nil}}"), NO_JSON},
    {BYTES_LIT("{\"VP\":{\"desi\":\"a\nb\"}}"), NO_JSON},
    {BYTES_LIT("{\"VP\":{\"desi\":\"a\\\"}}"), NO_JSON},
    {BYTES_LIT("{\"VP\":{\"x\":[}]}}"), NO_JSON},
    {BYTES_LIT("{\"VP\":{\"x\":[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}}"), NO_JSON},
    {BYTES_LIT("{\"VP\":{\"lat\":\"60\"}}"), NO_TYPE},
    {BYTES_LIT("{\"VP\":{\"spd\":{}}}"), NO_TYPE},
    {BYTES_LIT("{\"VP\":{\"occu\":true}}"), NO_TYPE},
    {BYTES_LIT("{\"VP\":{\"desi\":[]}}"), "desi, route, stop or loc is neither text nor number"},
    {BYTES_LIT("{\"VP\":{\"lat\":90.1,\"long\":0}}"), NO_PLACE},
    {BYTES_LIT("{\"VP\":{\"lat\":1e400,\"long\":0}}"), NO_PLACE},
    {BYTES_LIT("{\"VP\":{\"long\":-180.0001}}"), NO_PLACE},
    {BYTES_LIT("{\"VP\":{\"tst\":1741773604}}"), NO_TIME},
    {BYTES_LIT("{\"VP\":{\"tst\":\"2025-03-12T10:00:04.751\"}}"), NO_TIME},
    {BYTES_LIT("{\"VP\":{\"tst\":\"2025-03-12T10:00:04+02:00\"}}"), NO_TIME},
    {BYTES_LIT("{\"VP\":{\"tst\":\"2025-13-12T10:00:04Z\"}}"), NO_TIME},
    {BYTES_LIT("{\"VP\":{\"tst\":\"2025-03-12T24:00:04Z\"}}"), NO_TIME},
    {BYTES_LIT("{\"VP\":{\"tst\":\"Z\"}}"), NO_TIME},
    {BYTES_LIT("{\"VP\":{\"desi\":\"\xc0\x80\"}}"), "the payload is not UTF-8"},
};

static void bad_payloads_are_refused_with_a_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_payloads / sizeof *bad_payloads; i++) {
        struct hfp_position p = {.occupancy = 77};
        const char *reason = "none";
        if (hfp_payload_parse(bad_payloads[i].payload, &p, &reason) != -EBADMSG)
            fail_msg("accepted: %.*s", (int)bad_payloads[i].payload.len, bad_payloads[i].payload.data);
        assert_string_equal(reason, bad_payloads[i].reason);
        assert_int_equal(p.occupancy, 77);
    }
}

/* In memory of its own length, so that the sanitizer sees a read behind the end. */
static void every_cut_is_survived(void **state)
{
    (void)state;
    const char *const texts[] = {BUS_TOPIC, BUS_PAYLOAD};
    for (size_t n = 0; n < sizeof BUS_PAYLOAD; n++)
        for (size_t i = 0; i < 2; i++) {
            size_t len = n < strlen(texts[i]) ? n : strlen(texts[i]);
            char *copy = malloc(len ? len : 1);
            memcpy(copy, texts[i], len);
            struct hfp_topic t;
            struct hfp_position p;
            const char *reason;
            hfp_topic_parse((struct bytes){copy, len}, &t, &reason);
            int r = hfp_payload_parse((struct bytes){copy, len}, &p, &reason);
            assert_int_equal(r, i == 1 && len == strlen(texts[i]) ? 0 : -EBADMSG);
            free(copy);
        }
}

static void names_go_there_and_back(void **state)
{
    (void)state;
    for (int i = 0; i < HFP_EVENT_OTHER; i++)
        assert_int_equal(hfp_event_find(bytes_of(hfp_event_name((enum hfp_event)i))), i);
    for (int i = 0; i < HFP_MODE_OTHER; i++)
        assert_int_equal(hfp_mode_find(bytes_of(hfp_mode_name((enum hfp_mode)i))), i);
    assert_string_equal(hfp_event_name(HFP_EVENT_OTHER), "other");
    assert_string_equal(hfp_mode_name(HFP_MODE_OTHER), "other");
}

static void a_hundred_thousand_a_second_are_no_effort(void **state)
{
    (void)state;
    const int n = 200000;
    struct timespec start, end;
    int64_t sum = 0;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    for (int i = 0; i < n; i++) {
        struct hfp_topic t;
        struct hfp_position p;
        const char *reason;
        hfp_topic_parse(BYTES_LIT(BUS_TOPIC), &t, &reason);
        hfp_payload_parse(BYTES_LIT(BUS_PAYLOAD), &p, &reason);
        sum += p.heading + (int64_t)t.vehicle.len;
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    double seconds = (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
    print_message("%.0f messages a second of processor time\n", n / seconds);
    assert_int_equal(sum, (int64_t)n * 273);
    /* Sanitizers and the libraries' coverage slow it down; the promise is for the release build. */
#if defined(NDEBUG) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_true(n / seconds > 100000);
#endif
}

static size_t read_recording(const char *path)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    char *line = NULL;
    size_t capacity = 0, n = 0;
    for (ssize_t len; (len = getline(&line, &capacity, f)) > 0; n++) {
        char *topic = strchr(line, ' '), *payload = strchr(topic + 1, '{');
        struct hfp_topic t;
        struct hfp_position p;
        const char *reason = NULL;
        if (hfp_topic_parse((struct bytes){topic + 1, (size_t)(payload - topic) - 2}, &t, &reason) != 0 ||
            hfp_payload_parse(bytes_of(payload), &p, &reason) != 0)
            fail_msg("%s: %s: %s", path, reason, line);
        assert_int_equal(t.event, p.event);
        assert_true(p.has_time);
    }
    free(line);
    fclose(f);
    return n;
}

static void recordings_are_read_whole(void **state)
{
    (void)state;
    const char *dir = getenv("CRIER_HFP_DATA");
    if (!dir) {
        print_message("CRIER_HFP_DATA names no folder of recordings\n");
        skip();
    }
    DIR *d = opendir(dir);
    assert_non_null(d);
    size_t n = 0;
    for (struct dirent *e; (e = readdir(d));)
        if (strstr(e->d_name, ".dump")) {
            char path[1024];
            snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
            n += read_recording(path);
        }
    closedir(d);
    print_message("%zu messages\n", n);
    assert_true(n > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topics_are_split),
        cmocka_unit_test(bad_topics_are_refused_with_a_reason),
        cmocka_unit_test(a_position_is_read),
        cmocka_unit_test(door_events_carry_the_doors),
        cmocka_unit_test(every_field_may_be_null),
        cmocka_unit_test(a_tram_without_a_fix_and_a_metro_keep_what_they_have),
        cmocka_unit_test(half_a_fix_is_none),
        cmocka_unit_test(numbers_are_exact_in_every_form),
        cmocka_unit_test(what_cannot_be_true_counts_as_null),
        cmocka_unit_test(times_are_read_and_seconds_stand_in),
        cmocka_unit_test(unknown_events_and_fields_are_fine),
        cmocka_unit_test(bad_payloads_are_refused_with_a_reason),
        cmocka_unit_test(every_cut_is_survived),
        cmocka_unit_test(names_go_there_and_back),
        cmocka_unit_test(a_hundred_thousand_a_second_are_no_effort),
        cmocka_unit_test(recordings_are_read_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
