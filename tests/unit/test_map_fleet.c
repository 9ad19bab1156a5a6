/* The map's fleet, tracks, counts and texts, alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "examples/realtimemap/realtimemap_counts.h"
#include "examples/realtimemap/realtimemap_fleet.h"
#include "examples/realtimemap/realtimemap_json.h"
#include "examples/realtimemap/realtimemap_tracks.h"

static const struct fleet_limits limits = {
    .vehicles = 3, .trail = 4, .replay = 3, .replay_step_ms = 5000, .seen = 2, .reorder_ms = 10000};

/* A position message; latitude 0: without a fix. */
static enum fleet_outcome say(struct fleet *f, const char *number, int64_t time_ms, int32_t latitude,
                              struct fleet_vehicle *ret)
{
    struct fleet_vehicle was;
    char text[64];
    int len = snprintf(text, sizeof text, "/hfp/v2/journey/ongoing/vp/bus/0022/%s/2212/1/Kauniala", number);
    struct hfp_topic topic;
    const char *reason;
    const struct hfp_position p = {.event = HFP_VP, .has_fix = latitude != 0, .latitude_e6 = latitude,
                                   .longitude_e6 = 24000000, .has_time = true, .time_ms = time_ms,
                                   .line = BYTES_LIT("212"), .has_heading = latitude != 0, .heading = 90};
    assert_int_equal(hfp_topic_parse((struct bytes){text, (size_t)len}, &topic, &reason), 0);
    const struct fleet_message m = {.topic_text = {text, (size_t)len}, .topic = &topic, .position = &p,
                                    .heard_ms = time_ms};
    return fleet_apply(f, &m, ret, &was);
}

static size_t trail(struct fleet *f, const char *key, struct fleet_point out[16])
{
    CLEANUP_BUF points = BUF_INIT;
    assert_true(fleet_trail(f, bytes_of(key), &points));
    memcpy(out, points.data, points.len);
    return points.len / sizeof *out;
}

static void repeated_and_late_messages_change_nothing(void **state)
{
    (void)state;
    struct fleet *f = fleet_new(&limits, false, NULL);
    struct fleet_vehicle v;
    assert_int_equal(say(f, "1", 100000, 60000000, &v), FLEET_CHANGED);
    assert_string_equal(v.key, "0022.1");
    assert_int_equal(say(f, "1", 100000, 60000000, &v), FLEET_REPEATED);
    assert_int_equal(say(f, "1", 101000, 60000001, &v), FLEET_CHANGED);
    assert_int_equal(say(f, "1", 100000, 60000000, &v), FLEET_REPEATED); /* two are remembered */
    assert_int_equal(say(f, "1", 99000, 60000002, &v), FLEET_LATE);
    assert_int_equal(say(f, "1", 91001, 60000002, &v), FLEET_LATE);
    /* Longer ago than messages overtake each other: a recording that begins anew. */
    assert_int_equal(say(f, "1", 50000, 60000003, &v), FLEET_CHANGED);
    struct fleet_point points[16];
    assert_int_equal(trail(f, "0022.1", points), 1);
    assert_int_equal(points[0].time_ms, 50000);
    struct fleet_totals t;
    fleet_totals(f, &t);
    assert_int_equal(t.newest_ms, 50000);
    assert_int_equal(t.outcomes[FLEET_CHANGED], 3);
    assert_int_equal(t.outcomes[FLEET_REPEATED], 2);
    fleet_free(f);
}

static void without_a_fix_the_last_place_stays_and_is_marked(void **state)
{
    (void)state;
    struct fleet *f = fleet_new(&limits, true, NULL);
    struct fleet_vehicle v;
    assert_int_equal(say(f, "1", 1000, 0, &v), FLEET_UNPLACED);
    assert_int_equal(say(f, "1", 2000, 60000000, &v), FLEET_CHANGED);
    assert_int_equal(v.flags, FLEET_SIMULATED);
    assert_int_equal(say(f, "1", 3000, 0, &v), FLEET_CHANGED);
    assert_int_equal(v.flags, FLEET_SIMULATED | FLEET_NO_FIX);
    assert_int_equal(v.at.latitude_e6, 60000000);
    assert_int_equal(v.at.heading, 90);
    assert_int_equal(v.at.time_ms, 2000);
    assert_int_equal(v.time_ms, 3000);
    struct fleet_point points[16];
    assert_int_equal(trail(f, "0022.1", points), 1);
    fleet_free(f);
}

static void trails_and_replay_keep_what_they_may(void **state)
{
    (void)state;
    struct fleet *f = fleet_new(&limits, false, NULL);
    struct fleet_vehicle v;
    for (int i = 0; i < 30; i++)
        assert_int_equal(say(f, "1", 1000 * i, 60000000 + i, &v), FLEET_CHANGED);
    struct fleet_point points[16];
    assert_int_equal(trail(f, "0022.1", points), 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(points[i].time_ms, 1000 * (26 + i));
    CLEANUP_BUF replay = BUF_INIT;
    assert_true(fleet_replay(f, 0, 0, 20000, &v, &replay)); /* kept: 15, 20 and 25 s */
    const struct fleet_point *p = (const struct fleet_point *)replay.data;
    assert_int_equal(replay.len / sizeof *p, 2);
    assert_int_equal(p[0].time_ms, 15000);
    assert_int_equal(p[1].time_ms, 20000);
    struct fleet_totals t;
    fleet_totals(f, &t);
    assert_int_equal(t.points, 7);
    fleet_free(f);
}

static void count_gone(const struct fleet_vehicle *v, void *arg)
{
    unsigned *count = arg;
    assert_string_equal(v->key, "0022.1");
    ++*count;
}

static void the_bound_on_vehicles_holds_and_silent_ones_make_room(void **state)
{
    (void)state;
    struct fleet *f = fleet_new(&limits, false, NULL);
    struct fleet_vehicle v, chunk[FLEET_CHUNK];
    unsigned gone = 0;
    assert_int_equal(say(f, "1", 1000, 60000000, &v), FLEET_CHANGED);
    assert_int_equal(say(f, "2", 2000, 60000000, &v), FLEET_CHANGED);
    assert_int_equal(say(f, "3", 2000, 60000000, &v), FLEET_CHANGED);
    assert_int_equal(say(f, "4", 2000, 60000000, &v), FLEET_FULL);
    fleet_expire(f, 1500, count_gone, &gone);
    assert_int_equal(gone, 1);
    assert_false(fleet_find(f, BYTES_LIT("0022.1"), &v));
    assert_int_equal(say(f, "4", 3000, 60000000, &v), FLEET_CHANGED);
    size_t at = 0;
    assert_int_equal(fleet_read(f, &at, chunk), 3);
    assert_int_equal(fleet_read(f, &at, chunk), 0);
    struct fleet_totals t;
    fleet_totals(f, &t);
    assert_int_equal(t.vehicles, 3);
    assert_int_equal(t.points, 6);
    fleet_free(f);
}

static void describing_needs_no_state(void **state)
{
    (void)state;
    struct hfp_topic topic;
    struct hfp_position p;
    struct fleet_vehicle v;
    const char *reason;
    struct bytes text = BYTES_LIT("/hfp/v2/journey/ongoing/doo/tram/0040/00621/2015/2/It\xc3\xa4keskus (M)");
    assert_int_equal(hfp_topic_parse(text, &topic, &reason), 0);
    assert_int_equal(hfp_payload_parse(BYTES_LIT("{\"DOO\":{\"lat\":60.5,\"long\":-24.25,\"spd\":1.234,\"hdg\":7,"
                                                 "\"tst\":\"2026-03-01T12:00:00.250Z\",\"desi\":\"15\",\"dl\":-5}}"),
                                       &p, &reason), 0);
    const struct fleet_message m = {.topic_text = text, .topic = &topic, .position = &p, .heard_ms = 1};
    assert_int_equal(fleet_describe(&m, true, &v), FLEET_CHANGED);
    CLEANUP_BUF out = BUF_INIT;
    map_write_vehicle(&out, &v);
    map_write_tags(&out, &v);
    buf_append(&out, "", 1);
    assert_string_equal(out.data, "{\"id\":\"0040.00621\",\"lat\":60500000,\"lon\":-24250000,\"heading\":7,\"speed\":123,"
                                  "\"flags\":5,\"time_ms\":1772366400250,\"mode\":\"tram\",\"line\":\"15\","
                                  "\"headsign\":\"It\xc3\xa4keskus (M)\",\"delay\":-5,\"route\":\"2015\",\"direction\":2}"
                                  "{\"mode\":\"tram\",\"operator\":\"0040\",\"line\":\"15\"}");
}

static void degrees_are_written_exactly(void **state)
{
    static const struct {
        int32_t e6;
        const char *text;
    } cases[] = {
        {0, "0"}, {1, "0.000001"}, {-1, "-0.000001"}, {1000000, "1"}, {-180000000, "-180"}, {60201181, "60.201181"},
        {24785760, "24.78576"}, {-500000, "-0.5"}, {INT32_MIN, "-2147.483648"}, {INT32_MAX, "2147.483647"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CLEANUP_BUF out = BUF_INIT;
        map_write_degrees(&out, cases[i].e6);
        buf_append(&out, "", 1);
        assert_string_equal(out.data, cases[i].text);
    }
}

/* ---- tracks ---- */

static struct fleet_point at(int64_t seconds, int32_t latitude, int32_t longitude)
{
    return (struct fleet_point){.time_ms = seconds * 1000, .latitude_e6 = latitude, .longitude_e6 = longitude};
}

static void drive(struct tracks *t, int32_t latitude, int steps)
{
    for (int i = 0; i < steps; i++) {
        struct fleet_point from = at(i, latitude + i * 300, 24000000), to = at(i + 1, latitude + (i + 1) * 300, 24000000);
        tracks_add(t, &from, &to);
    }
}

static void one_way_is_drawn_once_however_often_it_is_driven(void **state)
{
    (void)state;
    struct tracks *t = tracks_new(1000);
    size_t cells, ways, again;
    drive(t, 60000000, 50);
    tracks_totals(t, &cells, &ways);
    drive(t, 60000000, 50);
    tracks_totals(t, &cells, &again);
    assert_int_equal(ways, again);
    assert_true(cells == ways + 1 && ways > 40);

    struct fleet_point a = at(0, 60000000, 24000000), jump = at(1, 60010000, 24000000), late = at(60, 60000600, 24000000);
    tracks_add(t, &a, &jump); /* 1.1 km in a second */
    tracks_add(t, &a, &late); /* what was in that minute is not known */
    tracks_totals(t, &cells, &again);
    assert_int_equal(ways, again);

    CLEANUP_BUF out = BUF_INIT;
    const struct map_box everything = {-90000000, -180000000, 90000000, 180000000};
    tracks_write(t, &everything, 1000, &out);
    buf_append(&out, "", 1);
    unsigned lines = 0, points = 0;
    for (const char *c = strstr(out.data, "\"coordinates\":[") + 15; *c; c++) {
        lines += c[0] == '[' && c[1] == '[';
        points += c[0] == '[' && c[1] != '[';
    }
    assert_int_equal(lines, 1);
    assert_int_equal(points, cells);
    tracks_free(t);
}

static void tracks_stay_within_their_bound(void **state)
{
    (void)state;
    struct tracks *t = tracks_new(20);
    size_t cells, ways;
    drive(t, 60000000, 50);
    drive(t, 61000000, 50);
    tracks_totals(t, &cells, &ways);
    assert_int_equal(cells, 20);
    CLEANUP_BUF out = BUF_INIT;
    const struct map_box elsewhere = {0, 0, 1000000, 1000000};
    tracks_write(t, &elsewhere, 1000, &out);
    buf_append(&out, "", 1);
    assert_non_null(strstr(out.data, "\"coordinates\":[]"));
    tracks_free(t);
}

/* ---- counts ---- */

static void list_count(const char *key, size_t vehicles, void *arg)
{
    buf_printf(arg, "%s=%zu ", key, vehicles);
}

static void counts_tell_what_changed(void **state)
{
    (void)state;
    struct counts *c = counts_new();
    CLEANUP_BUF out = BUF_INIT;
    const struct fleet_vehicle bus = {.operator_id = "0022", .line = "550", .mode = HFP_BUS};
    const struct fleet_vehicle other_line = {.operator_id = "0022", .line = "551", .mode = HFP_BUS};
    counts_move(c, NULL, &bus);
    counts_move(c, NULL, &bus);
    counts_flush(c, list_count, &out);
    counts_move(c, &bus, &bus);
    counts_flush(c, list_count, &out);
    counts_move(c, &bus, &other_line);
    counts_flush(c, list_count, &out);
    counts_move(c, &bus, NULL);
    counts_move(c, &other_line, NULL);
    counts_flush(c, list_count, &out);
    counts_flush(c, list_count, &out);
    buf_append(&out, "", 1);
    assert_string_equal(out.data, "all=2 mode:bus=2 operator:0022=2 line:550=2 line:550=1 line:551=1 "
                                  "all=0 mode:bus=0 operator:0022=0 line:550=0 line:551=0 ");
    counts_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repeated_and_late_messages_change_nothing),
        cmocka_unit_test(without_a_fix_the_last_place_stays_and_is_marked),
        cmocka_unit_test(trails_and_replay_keep_what_they_may),
        cmocka_unit_test(the_bound_on_vehicles_holds_and_silent_ones_make_room),
        cmocka_unit_test(describing_needs_no_state),
        cmocka_unit_test(degrees_are_written_exactly),
        cmocka_unit_test(one_way_is_drawn_once_however_often_it_is_driven),
        cmocka_unit_test(tracks_stay_within_their_bound),
        cmocka_unit_test(counts_tell_what_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
