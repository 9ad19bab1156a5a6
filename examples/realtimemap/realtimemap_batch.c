#include "realtimemap_batch.h"

#include "realtimemap.pb-c.h"
#include "realtimemap_json.h"

#include <string.h>
#include <time.h>

static void append(struct crier_out *out, const char *text)
{
    crier_out_append(out, text, strlen(text));
}

static void append_varint(struct crier_out *out, uint64_t value)
{
    unsigned char bytes[10];
    size_t n = 0;
    do {
        bytes[n] = (unsigned char)(value & 0x7f);
        value >>= 7;
        bytes[n++] |= value ? 0x80 : 0;
    } while (value);
    crier_out_append(out, bytes, n);
}

/* A field of wire type 2 (bytes, text, message). */
static void append_field(struct crier_out *out, unsigned number, struct crier_bytes value)
{
    append_varint(out, number << 3 | 2);
    append_varint(out, value.len);
    crier_out_append(out, value.data, value.len);
}

static void copy_text(char *out, size_t size, const char *text)
{
    size_t len = strnlen(text, size - 1);
    memcpy(out, text, len);
    out[len] = 0;
}

static bool read_vehicle(struct crier_bytes payload, struct fleet_vehicle *v)
{
    Crier__Map__Vehicle *m = crier__map__vehicle__unpack(NULL, payload.len, (const uint8_t *)payload.data);
    if (!m)
        return false;
    *v = (struct fleet_vehicle){
        .mode = (enum hfp_mode)m->mode,
        .direction = m->direction,
        .occupancy = m->occupancy,
        .flags = m->flags,
        .delay_s = m->delay,
        .time_ms = m->time_ms,
        .at = {.time_ms = m->time_ms,
               .latitude_e6 = m->lat,
               .longitude_e6 = m->lon,
               .heading = (uint16_t)m->heading,
               .speed_cms = (uint16_t)m->speed,
               .doors_open = m->flags & FLEET_DOORS_OPEN},
    };
    copy_text(v->key, sizeof v->key, m->id);
    copy_text(v->operator_id, sizeof v->operator_id, m->id);
    v->operator_id[strcspn(v->operator_id, ".")] = 0;
    copy_text(v->line, sizeof v->line, m->line);
    copy_text(v->route, sizeof v->route, m->route);
    copy_text(v->headsign, sizeof v->headsign, m->headsign);
    copy_text(v->next_stop, sizeof v->next_stop, m->next_stop);
    crier__map__vehicle__free_unpacked(m, NULL);
    return true;
}

static void write_json_item(struct crier_out *out, struct crier_bytes key, struct crier_bytes payload, bool position)
{
    CLEANUP_BUF json = BUF_INIT;
    struct fleet_vehicle v = {0};
    if (!read_vehicle(payload, &v)) /* not of ours: somebody else publishes in the channel */
        copy_text(v.key, key.len < sizeof v.key ? key.len + 1 : sizeof v.key, key.data);
    if (position)
        map_write_position(&json, v.key, v.operator_id, &v.at);
    else
        map_write_vehicle(&json, &v);
    crier_out_append(out, json.data, json.len);
}

static void position_item(struct crier_out *out, struct crier_bytes key, struct crier_bytes payload, void *arg)
{
    (void)arg;
    write_json_item(out, key, payload, true);
}

static void json_item(struct crier_out *out, struct crier_bytes key, struct crier_bytes payload, void *arg)
{
    (void)arg;
    write_json_item(out, key, payload, false);
}

static void protobuf_item(struct crier_out *out, struct crier_bytes key, struct crier_bytes payload, void *arg)
{
    (void)key, (void)arg;
    append_field(out, 3, payload);
}

/* Field 1 of Positions, a Position. */
static void position_field(struct crier_out *out, struct crier_bytes key, struct crier_bytes payload, void *arg)
{
    Crier__Map__Position p = CRIER__MAP__POSITION__INIT;
    struct fleet_vehicle v;
    uint8_t packed[256];
    (void)key, (void)arg;
    if (!read_vehicle(payload, &v))
        return;
    p.vehicle_id = v.key;
    p.org_id = v.operator_id;
    p.timestamp = v.at.time_ms;
    p.latitude = v.at.latitude_e6 / 1e6;
    p.longitude = v.at.longitude_e6 / 1e6;
    p.heading = v.at.heading;
    p.doors_open = v.at.doors_open;
    p.speed = v.at.speed_cms / 100.0;
    append_field(out, 1, (struct crier_bytes){(const char *)packed, crier__map__position__pack(&p, packed)});
}

static void json_left(struct crier_out *out, struct crier_bytes key, void *arg)
{
    (void)arg;
    append(out, "\"");
    crier_out_append(out, key.data, key.len);
    append(out, "\"");
}

static void protobuf_left(struct crier_out *out, struct crier_bytes key, void *arg)
{
    (void)arg;
    append_field(out, 4, key);
}

/* Field 1 of Left. */
static void left_field(struct crier_out *out, struct crier_bytes key, void *arg)
{
    (void)arg;
    append_field(out, 1, key);
}

static void begin_left_fields(struct crier_out *out, bool reset, void *arg)
{
    (void)arg;
    if (reset)
        crier_out_append(out, "\x10\x01", 2);
}

static int64_t wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void begin_array(struct crier_out *out, bool reset, void *arg)
{
    (void)reset, (void)arg;
    append(out, "[");
}

static void end_array(struct crier_out *out, void *arg)
{
    (void)arg;
    append(out, "]");
}

static void begin_left(struct crier_out *out, bool reset, void *arg)
{
    (void)arg;
    append(out, reset ? "{\"reset\":true,\"vehicles\":[" : "{\"vehicles\":[");
}

static void end_object(struct crier_out *out, void *arg)
{
    (void)arg;
    append(out, "]}");
}

static void begin_protobuf(struct crier_out *out, bool reset, void *arg)
{
    (void)arg;
    if (reset)
        crier_out_append(out, "\x08\x01", 2);
    append(out, "\x10");
    append_varint(out, (uint64_t)wall_ms() << 1);
}

static void begin_json(struct crier_out *out, bool reset, void *arg)
{
    CLEANUP_BUF json = BUF_INIT;
    (void)arg;
    buf_printf(&json, "{%s\"time_ms\":%lld,\"vehicles\":[", reset ? "\"reset\":true," : "", (long long)wall_ms());
    crier_out_append(out, json.data, json.len);
}

static void between_json(struct crier_out *out, bool reset, void *arg)
{
    (void)reset, (void)arg;
    append(out, "],\"left\":[");
}

void map_batch_forms(const struct map_settings *s, struct crier_view_form out[MAP_VIEW_FORMS])
{
    const uint32_t positions = (uint32_t)s->type_positions, vehicles = (uint32_t)s->type_vehicles;
    const struct crier_view_form forms[MAP_VIEW_FORMS] = {
        [MAP_POSITIONS_JSON] = {.type = positions,
                            .left_type = (uint32_t)s->type_left,
                            .codec = CRIER_JSON,
                            .separator = ",",
                            .item = position_item,
                            .left = json_left,
                            .begin = begin_array,
                            .end = end_array,
                            .left_begin = begin_left,
                            .left_end = end_object},
        [MAP_POSITIONS_PROTOBUF] = {.type = positions,
                                .left_type = (uint32_t)s->type_left,
                                .codec = CRIER_PROTOBUF,
                                .separator = "",
                                .item = position_field,
                                .left = left_field,
                                .left_begin = begin_left_fields},
        [MAP_VEHICLES_PROTOBUF] = {.type = vehicles,
                               .codec = CRIER_PROTOBUF,
                               .separator = "",
                               .item = protobuf_item,
                               .left = protobuf_left,
                               .begin = begin_protobuf},
        [MAP_VEHICLES_JSON] = {.type = vehicles,
                           .codec = CRIER_JSON,
                           .separator = ",",
                           .item = json_item,
                           .left = json_left,
                           .begin = begin_json,
                           .left_begin = between_json,
                           .left_end = end_object},
    };
    memcpy(out, forms, sizeof forms);
}
