/* The simulated city: vehicles stay on their routes, drive as vehicles do, and write what the feed writes. */
#include "examples/realtimemap/city.h"
#include "examples/realtimemap/city_message.h"
#include "examples/realtimemap/geofence.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define START_MS INT64_C(1773309600000) /* 2026-03-12T10:00:00Z */
#define VEHICLES 250

static struct city *new_city(size_t vehicles, uint64_t seed)
{
    char error[200];
    struct city_options o = {vehicles, seed, START_MS};
    struct city *c = city_new(&o, error, sizeof error);
    if (!c)
        fail_msg("%s", error);
    return c;
}

static void run(struct city *c, size_t vehicles, int seconds, city_message_fn fn, void *arg)
{
    for (int s = 1; s <= seconds; s++)
        for (size_t i = 0; i < vehicles; i++)
            city_step(c, i, START_MS + s * 1000, fn, arg);
}

/* ---- network ---- */

static void every_line_has_its_way_and_stops(void **state)
{
    (void)state;
    char error[200] = "";
    struct city_network *n = city_network_new(error, sizeof error);
    if (!n)
        fail_msg("%s", error);
    assert_int_equal(n->count, city_line_count * 2);
    for (size_t i = 0; i < n->count; i++) {
        const struct city_route *r = &n->routes[i];
        assert_true(r->path.length > 500 && r->path.length < 60000);
        assert_non_null(r->headsign);
        assert_true(r->stops[0].at == 0 && r->stops[r->stop_count - 1].at == r->path.length);
        for (size_t k = 1; k < r->stop_count; k++)
            assert_true(r->stops[k].at > r->stops[k - 1].at);
        for (size_t k = 0; k < r->stop_count; k++)
            assert_true(r->stops[k].id >= 1000000 && r->stops[k].id <= 9999999);
        for (size_t k = 1; k < r->path.count; k++)
            assert_true(r->path.limit[k] > 0 && r->path.limit[k] <= city_modes[r->line->mode].limit);
    }
    city_network_free(n);
    city_network_free(NULL);
}

static void the_way_back_is_the_same_street(void **state)
{
    (void)state;
    char error[200];
    struct city_network *n = city_network_new(error, sizeof error);
    for (size_t i = 0; i < n->count; i += 2) {
        const struct city_path *there = &n->routes[i].path, *back = &n->routes[i + 1].path;
        assert_int_equal(there->count, back->count);
        for (size_t k = 0; k < there->count; k++)
            assert_true(city_point_distance(there->points[k], back->points[back->count - 1 - k]) < 0.01);
    }
    city_network_free(n);
}

static void degrees_go_there_and_back(void **state)
{
    (void)state;
    double latitude, longitude;
    city_point_degrees(city_point_of(60.171, 24.944), &latitude, &longitude);
    assert_true(fabs(latitude - 60.171) < 1e-9 && fabs(longitude - 24.944) < 1e-9);
    /* The plane's metres are those of the sphere. */
    double plane = city_point_distance(city_point_of(60.17, 24.94), city_point_of(60.2, 25.0));
    assert_true(fabs(plane / geofence_distance_m(60.17, 24.94, 60.2, 25.0) - 1) < 0.002);
}

/* ---- vehicles ---- */

static void shares_of_the_modes_are_right(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 10, 200, 2000, 2500};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        struct city *c = new_city(sizes[s], 1);
        size_t counts[HFP_MODE_OTHER] = {0};
        for (size_t i = 0; i < sizes[s]; i++)
            counts[city_vehicle_route(city_vehicle(c, i))->line->mode]++;
        for (int m = 0; m < HFP_MODE_OTHER; m++)
            assert_true(fabs((double)counts[m] - (double)sizes[s] * city_modes[m].permille / 1000) <= 1);
        city_free(c);
    }
}

struct track {
    double at, speed;
    size_t route;
};

struct drivers {
    struct city *city;
    struct track before[VEHICLES];
    double driven[HFP_MODE_OTHER], seconds[HFP_MODE_OTHER];
    int turned;
};

static void ignore(const struct city_message *m, void *arg)
{
    (void)m, (void)arg;
}

/* Where it is follows from where it was and how fast it drove; speed changes no faster than a vehicle can. */
static void check_motion(struct drivers *d, size_t i)
{
    const struct city_vehicle *v = city_vehicle(d->city, i);
    const struct city_route *r = city_vehicle_route(v);
    struct track *b = &d->before[i];
    double latitude, longitude;
    city_vehicle_position(v, &latitude, &longitude);
    assert_true(latitude > 60 && latitude < 60.6 && longitude > 24.3 && longitude < 25.3);
    assert_true(v->at >= 0 && v->at <= r->path.length);
    assert_true(v->speed >= 0 && v->speed <= city_modes[r->line->mode].limit);
    assert_true(v->heading >= 0 && v->heading < 360);
    if (b->route == v->route) {
        double metres = v->at - b->at;
        assert_true(metres >= 0 && metres <= fmax(b->speed, v->speed) + 1.5);
        d->driven[r->line->mode] += metres;
        d->seconds[r->line->mode]++;
    } else {
        assert_int_equal(b->route ^ 1, v->route);
        assert_true(v->at == 0);
        d->turned++;
    }
    *b = (struct track){v->at, v->speed, v->route};
}

static void vehicles_drive_as_vehicles_do(void **state)
{
    (void)state;
    struct drivers *d = calloc(1, sizeof *d);
    d->city = new_city(VEHICLES, 3);
    for (size_t i = 0; i < VEHICLES; i++) {
        const struct city_vehicle *v = city_vehicle(d->city, i);
        d->before[i] = (struct track){v->at, v->speed, v->route};
    }
    for (int s = 1; s <= 900; s++)
        for (size_t i = 0; i < VEHICLES; i++) {
            city_step(d->city, i, START_MS + s * 1000, ignore, NULL);
            check_motion(d, i);
        }
    /* Metres a second with all stops: about 20 km/h for buses, less for trams, twice that on rails. */
    assert_true(d->driven[HFP_BUS] / d->seconds[HFP_BUS] > 4.5 && d->driven[HFP_BUS] / d->seconds[HFP_BUS] < 9);
    assert_true(d->driven[HFP_TRAM] / d->seconds[HFP_TRAM] > 3 && d->driven[HFP_TRAM] / d->seconds[HFP_TRAM] < 7);
    assert_true(d->driven[HFP_TRAIN] / d->seconds[HFP_TRAIN] > 9 && d->driven[HFP_TRAIN] / d->seconds[HFP_TRAIN] < 25);
    assert_true(d->driven[HFP_METRO] / d->seconds[HFP_METRO] > 7 && d->driven[HFP_METRO] / d->seconds[HFP_METRO] < 18);
    assert_true(d->turned > VEHICLES / 8);
    city_free(d->city);
    free(d);
}

/* ---- messages ---- */

struct feed {
    uint64_t hash;
    size_t messages, positions, duplicates, nofix, nospeed, deadrun, levels[6], events[HFP_EVENT_OTHER];
    char last_topic[400];
    size_t crossings;
    struct geofences *zones;
};

static void on_crossing(const struct geofence_crossing *c, void *arg)
{
    (void)c;
    ((struct feed *)arg)->crossings++;
}

static void count(struct feed *f, const struct hfp_topic *t, const struct hfp_position *p)
{
    f->positions += p->event == HFP_VP;
    f->nofix += !p->has_fix;
    f->nospeed += p->has_fix && !p->has_speed;
    f->deadrun += !t->journey;
    f->events[p->event]++;
    if (t->geohash_level >= 0)
        f->levels[t->geohash_level]++;
}

static void on_message(const struct city_message *m, void *arg)
{
    struct feed *f = arg;
    struct hfp_topic t;
    struct hfp_position p;
    const char *reason = NULL;
    f->messages++;
    if (m->duplicate) {
        f->duplicates++;
        assert_true(bytes_eq_str(m->topic, f->last_topic));
        return;
    }
    if (hfp_topic_parse(m->topic, &t, &reason) < 0 || hfp_payload_parse(m->payload, &p, &reason) < 0)
        fail_msg("%s: %.*s %.*s", reason, (int)m->topic.len, m->topic.data, (int)m->payload.len, m->payload.data);
    assert_int_equal(t.event, m->event);
    assert_int_equal(p.event, m->event);
    assert_true(p.has_time);
    assert_true(bytes_eq((struct bytes){m->vehicle, 4}, t.operator_id) && bytes_eq_str(t.vehicle, m->vehicle + 5));
    assert_true(t.journey ? t.headsign.data && t.route.data && t.next_stop.data : !t.route.data && !p.route.data);
    assert_int_equal(p.has_doors, t.mode == HFP_BUS || t.mode == HFP_UBUS || t.mode == HFP_TRAM);
    if (p.event == HFP_DOO || p.event == HFP_DOC)
        assert_int_equal(p.doors_open, p.event == HFP_DOO);
    count(f, &t, &p);
    if (f->zones && p.has_fix)
        geofences_update(f->zones, t.operator_id, bytes_of(m->vehicle), p.latitude_e6, p.longitude_e6, on_crossing, f);
    for (size_t i = 0; i < m->payload.len; i++)
        f->hash = (f->hash ^ (unsigned char)m->payload.data[i]) * 1099511628211u;
    snprintf(f->last_topic, sizeof f->last_topic, "%.*s", (int)m->topic.len, m->topic.data);
}

static double percent(size_t part, size_t whole)
{
    return 100.0 * (double)part / (double)whole;
}

static void the_messages_have_the_real_feeds_shares(void **state)
{
    (void)state;
    char error[200];
    struct feed f = {.zones =
                         geofences_load(SOURCE_DIR "/examples/realtimemap/organizations.json", error, sizeof error)};
    struct city *c = new_city(VEHICLES, 7);
    run(c, VEHICLES, 600, on_message, &f);
    city_free(c);
    size_t once = f.messages - f.duplicates, journey = once - f.deadrun;
    assert_int_equal(f.positions, VEHICLES * 600);
    /* Geohash levels of the real feed: 3, 0.09, 0.9, 8, 43 and 44 percent. */
    assert_true(percent(f.levels[0], journey) > 2 && percent(f.levels[0], journey) < 4.5);
    assert_true(percent(f.levels[1], journey) < 0.3 && percent(f.levels[2], journey) < 2);
    assert_true(percent(f.levels[3], journey) > 5 && percent(f.levels[3], journey) < 13);
    assert_true(percent(f.levels[4], journey) > 35 && percent(f.levels[4], journey) < 52);
    assert_true(percent(f.levels[5], journey) > 33 && percent(f.levels[5], journey) < 52);
    assert_true(percent(f.duplicates, f.messages) > 1.5 && percent(f.duplicates, f.messages) < 4);
    assert_true(percent(f.nofix, once) > 0.3 && percent(f.nofix, once) < 2);
    assert_true(percent(f.nospeed, once) > 0.8 && percent(f.nospeed, once) < 3.5);
    assert_true(percent(f.deadrun, once) > 1 && percent(f.deadrun, once) < 6);
    assert_true(f.events[HFP_DOO] >= f.events[HFP_DOC] && f.events[HFP_DOO] < f.events[HFP_DOC] + VEHICLES);
    assert_true(f.events[HFP_DUE] > 0 && f.events[HFP_PAS] > 0 && f.events[HFP_TLR] == f.events[HFP_TLA]);
    assert_true(f.events[HFP_VJOUT] > 0 && f.events[HFP_VJA] > 0);
    assert_true(f.crossings > 20);
    geofences_free(f.zones);
}

static void the_seed_decides_everything(void **state)
{
    (void)state;
    static const uint64_t seeds[] = {5, 5, 6};
    struct feed f[3] = {0};
    for (int i = 0; i < 3; i++) {
        struct city *c = new_city(60, seeds[i]);
        run(c, 60, 120, on_message, &f[i]);
        city_free(c);
    }
    assert_int_equal(f[0].messages, f[1].messages);
    assert_true(f[0].hash == f[1].hash);
    assert_true(f[0].hash != f[2].hash);
}

static void a_long_pause_is_no_leap(void **state)
{
    (void)state;
    struct city *c = new_city(20, 1);
    double before[20];
    run(c, 20, 1, ignore, NULL);
    for (size_t i = 0; i < 20; i++)
        before[i] = city_vehicle(c, i)->at;
    for (size_t i = 0; i < 20; i++) {
        size_t route = city_vehicle(c, i)->route;
        city_step(c, i, START_MS + 3600000, ignore, NULL);
        if (city_vehicle(c, i)->route == route)
            assert_true(city_vehicle(c, i)->at - before[i] < 400);
    }
    city_free(c);
}

/* ---- geohash, time ---- */

static void assert_geohash(int32_t latitude_e5, int32_t longitude_e5, const char *expected)
{
    CLEANUP_BUF out = BUF_INIT;
    city_geohash_write(&out, latitude_e5, longitude_e5);
    assert_true(bytes_eq_str(buf_bytes(&out), expected));
}

static void geohashes_are_those_of_the_feed(void **state)
{
    (void)state;
    assert_geohash(6012300, 2478900, "60;24/17/28/39");
    assert_geohash(6020118, 2478576, "60;24/27/08/15");
    assert_geohash(6017778, 2495181, "60;24/19/75/71");
    assert_geohash(6033860, 2510267, "60;25/31/30/82");
    assert_int_equal(city_geohash_level(6020118, 2478576, 6020118, 2478576), 5);
    assert_int_equal(city_geohash_level(6020118, 2478576, 6020119, 2478576), 5);
    assert_int_equal(city_geohash_level(6020118, 2478576, 6020128, 2478576), 4);
    assert_int_equal(city_geohash_level(6020118, 2478576, 6020118, 2478676), 3);
    assert_int_equal(city_geohash_level(6020118, 2478576, 6021118, 2478576), 2);
    assert_int_equal(city_geohash_level(6020118, 2478576, 6030118, 2478576), 1);
    assert_int_equal(city_geohash_level(6020118, 2478576, 6020118, 2578576), 0);
}

static void helsinki_has_summer_time(void **state)
{
    (void)state;
    assert_int_equal(city_utc_offset_s(1774745999), 2 * 3600); /* 2026-03-29T00:59:59Z */
    assert_int_equal(city_utc_offset_s(1774746000), 3 * 3600);
    assert_int_equal(city_utc_offset_s(1792889999), 3 * 3600); /* 2026-10-25T00:59:59Z */
    assert_int_equal(city_utc_offset_s(1792890000), 2 * 3600);
    assert_int_equal(city_utc_offset_s(1767225600), 2 * 3600); /* 2026-01-01 */
    assert_int_equal(city_utc_offset_s(1782864000), 3 * 3600); /* 2026-07-01 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_line_has_its_way_and_stops), cmocka_unit_test(the_way_back_is_the_same_street),
        cmocka_unit_test(degrees_go_there_and_back),        cmocka_unit_test(shares_of_the_modes_are_right),
        cmocka_unit_test(vehicles_drive_as_vehicles_do),    cmocka_unit_test(the_messages_have_the_real_feeds_shares),
        cmocka_unit_test(the_seed_decides_everything),      cmocka_unit_test(a_long_pause_is_no_leap),
        cmocka_unit_test(geohashes_are_those_of_the_feed),  cmocka_unit_test(helsinki_has_summer_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
