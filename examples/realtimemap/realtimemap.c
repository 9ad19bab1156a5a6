/* The bus map: HFP records become vehicles in a channel, with trails, tracks, zones and counts beside them.
 *
 * Made in the module's set-up, before threads start, and left to the process's end. */
#include "realtimemap.h"

#include "realtimemap.pb-c.h"
#include "realtimemap_ingest.h"
#include "realtimemap_options.h"
#include "realtimemap_rest.h"
#include "realtimemap_viewport.h"

#include <errno.h>
#include <stdlib.h>

/* The zones that ship, for those who give no file. */
extern const char default_zones[], default_zones_end[];
__asm__(".section .rodata\n"
        ".globl default_zones, default_zones_end\n"
        ".hidden default_zones, default_zones_end\n"
        "default_zones:\n"
        ".incbin \"" DEFAULT_ZONES "\"\n"
        "default_zones_end:\n"
        ".byte 0\n"
        ".previous\n");

static struct map map;

static int load_zones(struct map *m)
{
    char error[300] = "";
    if (m->settings.organizations)
        m->zones = geofences_load(m->settings.organizations, error, sizeof error);
    else
        m->zones = geofences_parse((struct bytes){default_zones, (size_t)(default_zones_end - default_zones)},
                                   "organizations.json", error, sizeof error);
    if (m->zones)
        return 0;
    crier_module_fail(m->crier, "organizations: %s", error);
    return -EINVAL;
}

static int register_schemas(struct map *m)
{
    const struct map_settings *s = &m->settings;
    const struct {
        int64_t type;
        const void *descriptor;
    } schemas[] = {
        {s->type_viewport, &crier__map__viewport__descriptor},
        {s->type_positions, &crier__map__positions__descriptor},
        {s->type_notification, &crier__map__notification__descriptor},
        {s->type_vehicles, &crier__map__batch__descriptor},
        {s->type_left, &crier__map__left__descriptor},
        {s->type_counts, &crier__map__count__descriptor},
        {s->type_vehicle, &crier__map__vehicle__descriptor},
    };
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof schemas / sizeof *schemas; i++)
        r = crier_message_schema(m->crier, (uint32_t)schemas[i].type, schemas[i].descriptor);
    return r;
}

static int map_init(struct crier *c)
{
    struct map *m = &map;
    m->crier = c;
    int r = map_options_read(c, &m->settings);
    if (r == 0)
        r = load_zones(m);
    if (r < 0)
        return r;
    m->fleet = fleet_new(&m->settings.fleet, m->settings.simulated, m->zones);
    m->tracks = tracks_new((size_t)m->settings.tracks);
    r = register_schemas(m);
    if (r == 0)
        r = map_viewport_register(m);
    if (r == 0)
        r = map_rest_register(m);
    return r < 0 ? r : map_ingest_register(m);
}

/* When the server unloads the module, after every thread has ended. */
__attribute__((destructor)) static void map_done(void)
{
    map_ingest_done(&map);
    fleet_free(map.fleet);
    tracks_free(map.tracks);
    geofences_free(map.zones);
    free(map.settings.organizations);
}

CRIER_MODULE(map_init)
