/* Any bytes as a topic and as a payload of the HFP feed: views stay inside of the input, values inside of their ranges. */
#include "examples/realtimemap/hfp.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void require_inside(struct bytes view, struct bytes whole)
{
    if (view.data)
        require(view.len > 0 && view.data >= whole.data && view.data + view.len <= whole.data + whole.len);
    else
        require(view.len == 0);
}

static void topic(struct bytes whole)
{
    struct hfp_topic t;
    const char *reason = NULL;
    if (hfp_topic_parse(whole, &t, &reason) < 0) {
        require(reason != NULL);
        return;
    }
    const struct bytes views[] = {t.operator_id, t.vehicle, t.route,     t.direction,
                                  t.headsign,    t.start,   t.next_stop, t.geohash};
    for (size_t i = 0; i < sizeof views / sizeof *views; i++)
        require_inside(views[i], whole);
    require(t.operator_id.data && t.vehicle.data && t.geohash_level >= -1 && t.geohash_level <= 5);
}

static void payload(struct bytes whole)
{
    struct hfp_position p;
    const char *reason = NULL;
    if (hfp_payload_parse(whole, &p, &reason) < 0) {
        require(reason != NULL);
        return;
    }
    const struct bytes views[] = {p.line, p.route, p.stop, p.location};
    for (size_t i = 0; i < sizeof views / sizeof *views; i++)
        require_inside(views[i], whole);
    require(abs(p.latitude_e6) <= 90000000 && abs(p.longitude_e6) <= 180000000);
    require(p.has_fix || (p.latitude_e6 == 0 && p.longitude_e6 == 0));
    require(p.heading >= 0 && p.heading < 360 && p.speed_ms >= 0 && p.occupancy >= 0 && p.occupancy <= 100);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes whole = {(const char *)data, size};
    topic(whole);
    payload(whole);
    return 0;
}
