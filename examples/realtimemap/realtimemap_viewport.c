#include "realtimemap_viewport.h"

#include "realtimemap.pb-c.h"
#include "realtimemap_json.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

enum view_form { POSITIONS_JSON, POSITIONS_PROTOBUF, VEHICLES_JSON, VEHICLES_PROTOBUF, VIEW_FORMS };

#define BAD_REQUEST 107

/* ---- what the view writes ---- */

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

/* ---- what a client asks for ---- */

static json_t *member(json_t *object, const char *camel, const char *snake)
{
    json_t *value = json_object_get(object, camel);
    return value ? value : json_object_get(object, snake);
}

static bool read_degrees(json_t *point, const char *name, double bound, int32_t *ret_e6)
{
    json_t *value = json_object_get(point, name);
    double degrees = json_number_value(value); /* protobuf leaves out what is zero */
    if ((value && !json_is_number(value)) || !(fabs(degrees) <= bound))
        return false;
    *ret_e6 = (int32_t)lround(degrees * 1e6);
    return true;
}

static bool read_box(json_t *root, struct crier_box *box)
{
    json_t *south_west = member(root, "southWest", "south_west"), *north_east = member(root, "northEast", "north_east");
    return json_is_object(south_west) && json_is_object(north_east) &&
           read_degrees(south_west, "latitude", 90, &box->south_e6) &&
           read_degrees(south_west, "longitude", 180, &box->west_e6) &&
           read_degrees(north_east, "latitude", 90, &box->north_e6) &&
           read_degrees(north_east, "longitude", 180, &box->east_e6);
}

/* Adds {"key":..,"cmp":"in","vals":[..]}. False when it is no list of texts. */
static bool add_list(json_t *nodes, json_t *root, const char *list, const char *tag)
{
    json_t *values = json_object_get(root, list), *value;
    size_t i;
    if (!values || json_is_null(values) || (json_is_array(values) && json_array_size(values) == 0))
        return true;
    if (!json_is_array(values))
        return false;
    json_array_foreach(values, i, value) if (!json_is_string(value)) return false;
    json_array_append_new(nodes, json_pack("{s:s,s:s,s:O}", "key", tag, "cmp", "in", "vals", values));
    return true;
}

/* The filter's text to free(), NULL when everything is to be seen. */
static bool read_filter(json_t *root, char **ret)
{
    json_t *nodes = json_array();
    bool ok = add_list(nodes, root, "modes", "mode") && add_list(nodes, root, "lines", "line") &&
              add_list(nodes, root, "operators", "operator");
    size_t count = json_array_size(nodes);
    json_t *filter = !ok || count == 0 ? NULL
                     : count == 1      ? json_incref(json_array_get(nodes, 0))
                                       : json_pack("{s:s,s:O}", "op", "and", "nodes", nodes);
    *ret = filter ? json_dumps(filter, JSON_COMPACT) : NULL;
    json_decref(filter);
    json_decref(nodes);
    return ok;
}

static bool read_form(struct crier_session *s, json_t *root, unsigned *ret)
{
    bool protobuf = crier_session_codec(s) == CRIER_PROTOBUF;
    const char *form = json_string_value(json_object_get(root, "form"));
    if (!form || !*form)
        form = protobuf ? "vehicles" : "positions";
    bool vehicles = strcmp(form, "vehicles") == 0;
    *ret = (vehicles ? VEHICLES_JSON : POSITIONS_JSON) + protobuf;
    return vehicles || strcmp(form, "positions") == 0;
}

static const char *set_view(struct crier_request *r, struct map *m, json_t *root)
{
    struct crier_session *s = crier_request_session(r);
    struct crier_view_request request = {.tell = !json_is_false(json_object_get(root, "notify"))};
    const char *reason = NULL;
    char *filter = NULL;
    if (!json_is_object(root) || !read_box(root, &request.box))
        return "a viewport has southWest and northEast, each with longitude and latitude";
    if (!read_form(s, root, &request.form))
        return "form is positions or vehicles";
    if (!read_filter(root, &filter))
        return "modes, lines and operators are lists of texts";
    if (filter)
        request.filter = (struct crier_bytes){filter, strlen(filter)};
    crier_view_set(s, m->view, &request, &reason);
    free(filter);
    return reason;
}

static void handle_viewport(struct crier_request *r, struct crier_bytes payload, void *arg)
{
    json_t *root = json_loadb(payload.data, payload.len, 0, NULL);
    const char *reason = set_view(r, arg, root);
    json_decref(root);
    if (reason)
        crier_reply_error(r, BAD_REQUEST, reason);
    else if (crier_request_id(r).data)
        crier_reply_ok(r);
}

int map_viewport_register(struct map *m)
{
    const struct map_settings *s = &m->settings;
    const uint32_t positions = (uint32_t)s->type_positions, vehicles = (uint32_t)s->type_vehicles;
    const struct crier_view_form forms[VIEW_FORMS] = {
        [POSITIONS_JSON] = {.type = positions,
                            .left_type = (uint32_t)s->type_left,
                            .codec = CRIER_JSON,
                            .separator = ",",
                            .item = position_item,
                            .left = json_left,
                            .begin = begin_array,
                            .end = end_array,
                            .left_begin = begin_left,
                            .left_end = end_object},
        [POSITIONS_PROTOBUF] = {.type = positions,
                                .left_type = (uint32_t)s->type_left,
                                .codec = CRIER_PROTOBUF,
                                .separator = "",
                                .item = position_field,
                                .left = left_field,
                                .left_begin = begin_left_fields},
        [VEHICLES_PROTOBUF] = {.type = vehicles,
                               .codec = CRIER_PROTOBUF,
                               .separator = "",
                               .item = protobuf_item,
                               .left = protobuf_left,
                               .begin = begin_protobuf},
        [VEHICLES_JSON] = {.type = vehicles,
                           .codec = CRIER_JSON,
                           .separator = ",",
                           .item = json_item,
                           .left = json_left,
                           .begin = begin_json,
                           .left_begin = between_json,
                           .left_end = end_object},
    };
    const struct crier_view_options options = {
        .channel = s->channel,
        .payload = CRIER_PROTOBUF,
        .cell_latitude_e6 = (int32_t)s->cell_e6,
        .cell_longitude_e6 = (int32_t)s->cell_e6 * 2, /* about a square at 60 degrees north */
        .forms = forms,
        .form_count = VIEW_FORMS,
        .arg = m,
    };
    int r = crier_view_new(m->crier, &options, &m->view);
    return r < 0 ? r : crier_handle(m->crier, (uint32_t)s->type_viewport, "viewport", CRIER_JSON, handle_viewport, m);
}
