#include "realtimemap_json.h"

static void write_int(struct buf *out, const char *name, int64_t value)
{
    if (value == 0)
        return;
    buf_append_str(out, ",\"");
    buf_append_str(out, name);
    buf_append_str(out, "\":");
    buf_append_int(out, value);
}

static void write_text(struct buf *out, const char *name, const char *value)
{
    if (!*value)
        return;
    buf_append_str(out, ",\"");
    buf_append_str(out, name);
    buf_append_str(out, "\":");
    buf_append_json_string(out, bytes_of(value));
}

void map_write_vehicle(struct buf *out, const struct fleet_vehicle *v)
{
    buf_append_str(out, "{\"id\":\"");
    buf_append_str(out, v->key);
    buf_append_str(out, "\"");
    write_int(out, "lat", v->at.latitude_e6);
    write_int(out, "lon", v->at.longitude_e6);
    write_int(out, "heading", v->at.heading);
    write_int(out, "speed", v->at.speed_cms);
    write_int(out, "flags", v->flags);
    write_int(out, "time_ms", v->time_ms);
    write_text(out, "mode", hfp_mode_name(v->mode));
    write_text(out, "line", v->line);
    write_text(out, "headsign", v->headsign);
    write_int(out, "delay", v->delay_s);
    write_text(out, "next_stop", v->next_stop);
    write_int(out, "occupancy", v->occupancy);
    write_text(out, "route", v->route);
    write_int(out, "direction", v->direction);
    buf_append_str(out, "}");
}

void map_write_tags(struct buf *out, const struct fleet_vehicle *v)
{
    buf_append_str(out, "{\"mode\":\"");
    buf_append_str(out, hfp_mode_name(v->mode));
    buf_append_str(out, "\"");
    write_text(out, "operator", v->operator_id);
    write_text(out, "line", v->line);
    buf_append_str(out, "}");
}

void map_write_degrees(struct buf *out, int32_t e6)
{
    uint32_t value = e6 < 0 ? 0u - (uint32_t)e6 : (uint32_t)e6;
    char digits[8];
    int len = 6;
    if (e6 < 0)
        buf_append_str(out, "-");
    buf_append_int(out, value / 1000000);
    value %= 1000000;
    if (!value)
        return;
    for (int i = 5; i >= 0; i--, value /= 10)
        digits[i] = (char)('0' + value % 10);
    while (digits[len - 1] == '0')
        len--;
    buf_append_str(out, ".");
    buf_append(out, digits, (size_t)len);
}

void map_write_position(struct buf *out, const char *key, const char *operator_id, const struct fleet_point *p)
{
    buf_append_str(out, "{\"vehicle_id\":\"");
    buf_append_str(out, key);
    buf_append_str(out, "\",\"org_id\":\"");
    buf_append_str(out, operator_id);
    buf_append_str(out, "\"");
    write_int(out, "timestamp", p->time_ms);
    buf_append_str(out, ",\"longitude\":");
    map_write_degrees(out, p->longitude_e6);
    buf_append_str(out, ",\"latitude\":");
    map_write_degrees(out, p->latitude_e6);
    write_int(out, "heading", p->heading);
    if (p->doors_open)
        buf_append_str(out, ",\"doors_open\":true");
    if (p->speed_cms)
        buf_printf(out, ",\"speed\":%g", p->speed_cms / 100.0);
    buf_append_str(out, "}");
}
