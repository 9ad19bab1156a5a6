/* Zones of organizations: what is inside, and that each crossing is reported once. */
#include "examples/realtimemap/geofence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define DATA SOURCE_DIR "/examples/realtimemap/organizations.json"

/* Crossings as text, one after the other: "+Zone vehicle!" with ! for a first position. */
struct seen {
    char text[400];
    int count;
};

static void on_crossing(const struct geofence_crossing *c, void *arg)
{
    struct seen *s = arg;
    size_t n = strlen(s->text);
    snprintf(s->text + n, sizeof s->text - n, "%s%c%s %s%s", n ? "," : "", c->entered ? '+' : '-', c->zone->name,
             c->vehicle, c->first ? "!" : "");
    s->count++;
}

static struct geofences *load(void)
{
    char error[200] = "";
    struct geofences *g = geofences_load(DATA, error, sizeof error);
    if (!g)
        fail_msg("%s", error);
    return g;
}

static void move(struct geofences *g, const char *operator_id, const char *vehicle, double latitude, double longitude,
                 struct seen *s)
{
    geofences_update(g, bytes_of(operator_id), bytes_of(vehicle), (int32_t)(latitude * 1e6), (int32_t)(longitude * 1e6),
                     s ? on_crossing : NULL, s);
}

static const struct geofence_organization *organization(const struct geofences *g, const char *id)
{
    const struct geofence_organization *o = geofences_find(g, bytes_of(id));
    assert_non_null(o);
    return o;
}

static void assert_inside(const struct geofence_organization *o, size_t zone, const char *expected)
{
    size_t n;
    char text[200] = "";
    const char **ids = geofences_inside(o, zone, &n);
    for (size_t i = 0; i < n; i++) {
        strcat(text, i ? " " : "");
        strcat(text, ids[i]);
    }
    free(ids);
    assert_string_equal(text, expected);
}

static void distances_are_those_of_the_sphere(void **state)
{
    (void)state;
    assert_float_equal(geofence_distance_m(60, 24, 60, 24), 0, 0);
    /* A degree of latitude, and at 60 degrees north about half of it for a degree of longitude. */
    assert_float_equal(geofence_distance_m(60, 24, 61, 24), 111194.93, 0.01);
    assert_float_equal(geofence_distance_m(60, 24, 60, 25), 55596.93, 0.05);
    assert_float_equal(geofence_distance_m(0, 0, 0, 180), 20015086.8, 0.1);
    assert_float_equal(geofence_distance_m(60, 179.9, 60, -179.9), 11119.5, 0.1);
}

static void all_organizations_are_there_by_name(void **state)
{
    (void)state;
    struct geofences *g = load();
    size_t n, zones = 0;
    const struct geofence_organization *o = geofences_organizations(g, &n);
    assert_int_equal(n, 22);
    for (size_t i = 0; i < n; i++) {
        assert_true(i == 0 || strcmp(o[i - 1].name, o[i].name) < 0);
        zones += o[i].zone_count;
    }
    assert_int_equal(zones, 12);
    const struct geofence_organization *nobina = organization(g, "0022");
    assert_string_equal(nobina->name, "Nobina Finland Oy");
    assert_string_equal(nobina->zones[0].name, "Airport");
    assert_string_equal(nobina->zones[1].name, "Kallio district");
    assert_string_equal(nobina->zones[2].name, "Laajasalo island");
    assert_float_equal(nobina->zones[0].radius_m, 2000, 0);
    assert_null(geofences_find(g, BYTES_LIT("22")));
    geofences_free(g);
}

static void each_crossing_is_reported_once(void **state)
{
    (void)state;
    struct geofences *g = load();
    struct seen s = {0};
    move(g, "0018", "0018.00001", 60.1650, 24.943936, &s); /* 700 m south of the square */
    assert_string_equal(s.text, "");
    move(g, "0018", "0018.00001", 60.1713, 24.9439, &s);
    move(g, "0018", "0018.00001", 60.1713, 24.9439, &s);
    move(g, "0018", "0018.00001", 60.1714, 24.9440, &s);
    assert_string_equal(s.text, "+Railway Square 0018.00001");
    move(g, "0018", "0018.00001", 60.1826, 24.9535, &s); /* from one zone into another at once */
    move(g, "0018", "0018.00001", 60.1900, 24.9535, &s);
    move(g, "0018", "0018.00001", 60.1901, 24.9535, &s);
    assert_string_equal(s.text, "+Railway Square 0018.00001,+Kallio district 0018.00001,-Railway Square 0018.00001,"
                                "-Kallio district 0018.00001");
    geofences_free(g);
}

static void a_vehicle_first_seen_inside_says_so(void **state)
{
    (void)state;
    struct geofences *g = load();
    struct seen s = {0};
    move(g, "0012", "0012.00001", 60.3115, 24.969, &s);
    assert_string_equal(s.text, "+Airport 0012.00001!");
    geofences_free(g);
}

static void only_zones_of_the_own_operator_count(void **state)
{
    (void)state;
    struct geofences *g = load();
    struct seen s = {0};
    move(g, "0017", "0017.00001", 60.3115, 24.969, &s); /* has Laajasalo only */
    move(g, "0030", "0030.00001", 60.1713, 24.9439, &s);
    move(g, "0040", "0040.00001", 60.1713, 24.9439, &s); /* has none */
    move(g, "9999", "9999.00001", 60.1713, 24.9439, &s); /* is not known */
    move(g, "0018", "0018.00001.but.longer.than.any.id.can.be", 60.1713, 24.9439, &s);
    assert_string_equal(s.text, "+Downtown 0030.00001!");
    geofences_free(g);
}

static void a_border_belongs_to_the_outside(void **state)
{
    (void)state;
    char error[200];
    struct geofences *g = geofences_parse(
        BYTES_LIT("{\"zones\":[{\"name\":\"z\",\"latitude\":0,\"longitude\":0,\"radius_m\":111.19492664455873}],"
                  "\"organizations\":[{\"id\":\"1\",\"name\":\"one\",\"zones\":[\"z\"]}]}"),
        "text", error, sizeof error);
    assert_non_null(g);
    struct seen s = {0};
    move(g, "1", "1.1", 0.001001, 0, &s);
    assert_int_equal(s.count, 0);
    move(g, "1", "1.1", 0.000999, 0, &s);
    move(g, "1", "1.1", 0.001001, 0, &s);
    assert_string_equal(s.text, "+z 1.1,-z 1.1");
    geofences_free(g);
}

static void a_restored_state_makes_no_events(void **state)
{
    (void)state;
    struct geofences *g = load();
    struct seen s = {0};
    move(g, "0022", "0022.00002", 60.3115, 24.969, NULL);
    move(g, "0022", "0022.00001", 60.3115, 24.969, NULL);
    move(g, "0022", "0022.00003", 60.1500, 24.969, NULL);
    assert_inside(organization(g, "0022"), 0, "0022.00001 0022.00002");
    move(g, "0022", "0022.00002", 60.3116, 24.969, &s);
    assert_string_equal(s.text, "");
    move(g, "0022", "0022.00002", 60.2, 24.969, &s);
    move(g, "0022", "0022.00003", 60.3115, 24.969, &s);
    assert_string_equal(s.text, "-Airport 0022.00002,+Airport 0022.00003");
    assert_inside(organization(g, "0022"), 0, "0022.00001 0022.00003");
    geofences_free(g);
}

static void a_forgotten_vehicle_is_inside_of_nothing(void **state)
{
    (void)state;
    struct geofences *g = load();
    struct seen s = {0};
    move(g, "0022", "0022.00001", 60.3115, 24.969, NULL);
    move(g, "0022", "0022.00002", 60.3115, 24.969, NULL);
    geofences_forget(g, BYTES_LIT("0022.00001"));
    geofences_forget(g, BYTES_LIT("0022.00009"));
    assert_inside(organization(g, "0022"), 0, "0022.00002");
    geofences_forget(g, BYTES_LIT("0022.00002"));
    assert_inside(organization(g, "0022"), 0, "");
    move(g, "0022", "0022.00001", 60.3115, 24.969, &s);
    assert_string_equal(s.text, "+Airport 0022.00001!");
    geofences_free(g);
}

#define ZONE(more)                    "{\"name\":\"z\",\"latitude\":60,\"longitude\":24,\"radius_m\":5" more "}"
#define FILE_OF(zones, organizations) "{\"zones\":[" zones "],\"organizations\":[" organizations "]}"

static const struct {
    const char *json, *error;
} faults[] = {
    {"{", "f:1:1: string or '}' expected near end of file"},
    {"[]", "f: Expected object, got array"},
    {"{\"zones\":[]}", "f: Object item not found: organizations"},
    {"{\"zones\":{},\"organizations\":[]}", "f: zones and organizations are not both lists"},
    {FILE_OF(ZONE("") "," ZONE(""), ""), "f: zone 2: another one has the same name"},
    {FILE_OF(ZONE(",\"x\":1"), ""), "f: zone 1: 1 object item(s) left unpacked: x"},
    {FILE_OF("{\"name\":\"z\",\"latitude\":91,\"longitude\":24,\"radius_m\":5}", ""),
     "f: zone 1: its middle is no place on Earth"},
    {FILE_OF("{\"name\":\"z\",\"latitude\":1,\"longitude\":24,\"radius_m\":0}", ""),
     "f: zone 1: radius_m is not between 0 and 1000000"},
    {FILE_OF("", "{\"id\":\"1\",\"name\":\"a\",\"zones\":[\"z\"]}"),
     "f: organization 1: it names a zone that is not among the zones"},
    {FILE_OF(ZONE(""), "{\"id\":\"1\",\"name\":\"a\",\"zones\":[\"z\",\"z\"]}"),
     "f: organization 1: it names a zone twice"},
    {FILE_OF(ZONE(""), "{\"id\":\"1\",\"name\":\"a\",\"zones\":[]},{\"id\":\"1\",\"name\":\"b\",\"zones\":[]}"),
     "f: organization 2: another one has the same id"},
    {FILE_OF("", "{\"id\":\"1\",\"name\":\"a\",\"zones\":7}"),
     "f: organization 1: zones is no list of at most 64 names"},
    {FILE_OF("", "{\"id\":1,\"name\":\"a\",\"zones\":[]}"), "f: organization 1: Expected string, got integer"},
};

static void faults_of_the_file_are_named(void **state)
{
    (void)state;
    char error[200];
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        assert_null(geofences_parse(bytes_of(faults[i].json), "f", error, sizeof error));
        assert_string_equal(error, faults[i].error);
    }
    assert_null(geofences_load("/nonexistent/organizations.json", error, sizeof error));
    assert_non_null(strstr(error, "/nonexistent/organizations.json"));
    geofences_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distances_are_those_of_the_sphere),
        cmocka_unit_test(all_organizations_are_there_by_name),
        cmocka_unit_test(each_crossing_is_reported_once),
        cmocka_unit_test(a_vehicle_first_seen_inside_says_so),
        cmocka_unit_test(only_zones_of_the_own_operator_count),
        cmocka_unit_test(a_border_belongs_to_the_outside),
        cmocka_unit_test(a_restored_state_makes_no_events),
        cmocka_unit_test(a_forgotten_vehicle_is_inside_of_nothing),
        cmocka_unit_test(faults_of_the_file_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
