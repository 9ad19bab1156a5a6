/* What the bus map's transform costs: topic and payload read, the fleet updated, the vehicle written out. */
#include "examples/realtimemap/city.h"
#include "examples/realtimemap/realtimemap_counts.h"
#include "examples/realtimemap/realtimemap_fleet.h"
#include "examples/realtimemap/realtimemap_json.h"
#include "examples/realtimemap/realtimemap_tracks.h"
#include "util/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define VEHICLES 2000
#define SECONDS 150

struct message {
    char *topic, *payload;
    int64_t time_ms;
};

struct recording {
    struct message *messages;
    size_t count, capacity;
    int64_t time_ms;
};

static void on_message(const struct city_message *m, void *arg)
{
    struct recording *r = arg;
    if (r->count == r->capacity) {
        r->capacity = r->capacity ? r->capacity * 2 : 65536;
        r->messages = xrealloc(r->messages, r->capacity * sizeof *r->messages);
    }
    r->messages[r->count++] = (struct message){bytes_dup(m->topic), bytes_dup(m->payload), r->time_ms};
}

static void record(struct recording *r)
{
    char error[200];
    const struct city_options options = {VEHICLES, 1, 1772366400000};
    struct city *city = city_new(&options, error, sizeof error);
    if (!city) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
    for (int second = 1; second <= SECONDS; second++)
        for (size_t i = 0; i < VEHICLES; i++) {
            r->time_ms = 1772366400000 + second * 1000 + (int64_t)(i / 2);
            city_step(city, i, r->time_ms, on_message, r);
        }
    city_free(city);
}

int main(void)
{
    const struct fleet_limits limits = {.vehicles = 20000, .trail = 200, .replay = 450, .replay_step_ms = 2000, .seen = 32,
                                        .reorder_ms = 60000};
    static struct recording r;
    char error[200];
    static const char zones_json[] =
        "{\"zones\":[{\"name\":\"a\",\"latitude\":60.17,\"longitude\":24.94,\"radius_m\":1000}],"
        "\"organizations\":[{\"id\":\"0018\",\"name\":\"o\",\"zones\":[\"a\"]},{\"id\":\"0012\",\"name\":\"p\",\"zones\":[\"a\"]}]}";
    struct geofences *zones = geofences_parse(bytes_of(zones_json), "zones", error, sizeof error);
    struct fleet *fleet = fleet_new(&limits, true, zones);
    struct tracks *tracks = tracks_new(60000);
    struct counts *counts = counts_new();
    CLEANUP_BUF out = BUF_INIT;
    size_t changed = 0, written = 0;

    record(&r);
    uint64_t began = clock_mono_ns();
    for (size_t i = 0; i < r.count; i++) {
        struct hfp_topic topic;
        struct hfp_position position;
        struct fleet_vehicle now, was;
        const char *reason;
        const struct fleet_message m = {.topic_text = bytes_of(r.messages[i].topic), .topic = &topic,
                                        .position = &position, .heard_ms = r.messages[i].time_ms};
        if (hfp_topic_parse(m.topic_text, &topic, &reason) < 0 ||
            hfp_payload_parse(bytes_of(r.messages[i].payload), &position, &reason) < 0 ||
            fleet_apply(fleet, &m, &now, &was) != FLEET_CHANGED)
            continue;
        counts_move(counts, was.key[0] ? &was : NULL, &now);
        if (was.key[0])
            tracks_add(tracks, &was.at, &now.at);
        out.len = 0;
        map_write_vehicle(&out, &now);
        map_write_tags(&out, &now);
        written += out.len;
        changed++;
    }
    double seconds = (double)(clock_mono_ns() - began) / 1e9;
    printf("%zu messages of %d vehicles, %zu published, %zu bytes: %.2f s = %.0f a second, %.2f us each\n", r.count,
           VEHICLES, changed, written, seconds, (double)r.count / seconds, seconds * 1e6 / (double)r.count);
    counts_free(counts);
    tracks_free(tracks);
    fleet_free(fleet);
    geofences_free(zones);
    return 0;
}
