#include "realtimemap_viewport.h"

#include "realtimemap_batch.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BAD_REQUEST 107

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
    *ret = (vehicles ? MAP_VEHICLES_JSON : MAP_POSITIONS_JSON) + protobuf;
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
    struct crier_view_form forms[MAP_VIEW_FORMS];
    map_batch_forms(s, forms);
    const struct crier_view_options options = {
        .channel = s->channel,
        .payload = CRIER_PROTOBUF,
        .cell_latitude_e6 = (int32_t)s->cell_e6,
        .cell_longitude_e6 = (int32_t)s->cell_e6 * 2, /* about a square at 60 degrees north */
        .forms = forms,
        .form_count = MAP_VIEW_FORMS,
        .arg = m,
    };
    int r = crier_view_new(m->crier, &options, &m->view);
    return r < 0 ? r : crier_handle(m->crier, (uint32_t)s->type_viewport, "viewport", CRIER_JSON, handle_viewport, m);
}
