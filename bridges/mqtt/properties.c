#include "properties.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "topic.h"

#define NUMBER_SIZE 12
#define BINARY_LIMIT 65535

enum named_kind { NAMED_TEXT, NAMED_TOPIC, NAMED_BINARY, NAMED_INT4, NAMED_BYTE };

static const struct named {
    struct bytes name;
    enum MQTTPropertyCodes code;
    enum named_kind kind;
    unsigned long max;
} named[] = {
    {BYTES_LIT("mqtt.content_type"), MQTTPROPERTY_CODE_CONTENT_TYPE, NAMED_TEXT, 0},
    {BYTES_LIT("mqtt.response_topic"), MQTTPROPERTY_CODE_RESPONSE_TOPIC, NAMED_TOPIC, 0},
    {BYTES_LIT("mqtt.correlation_data"), MQTTPROPERTY_CODE_CORRELATION_DATA, NAMED_BINARY, 0},
    {BYTES_LIT("mqtt.message_expiry_interval"), MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL, NAMED_INT4, UINT32_MAX},
    {BYTES_LIT("mqtt.payload_format_indicator"), MQTTPROPERTY_CODE_PAYLOAD_FORMAT_INDICATOR, NAMED_BYTE, 1},
};
#define NAMED_COUNT (sizeof named / sizeof *named)

static const struct named *find_name(struct bytes name)
{
    for (size_t i = 0; i < NAMED_COUNT; i++)
        if (bytes_eq(named[i].name, name))
            return &named[i];
    return NULL;
}

static const struct named *find_code(enum MQTTPropertyCodes code)
{
    for (size_t i = 0; i < NAMED_COUNT; i++)
        if (named[i].code == code)
            return &named[i];
    return NULL;
}

/* The library's strings are not const but it only reads them here. */
static MQTTLenString len_string(struct bytes s)
{
    return (MQTTLenString){.len = (int)s.len, .data = (char *)(s.data ? s.data : "")};
}

static const char *add_number(MQTTProperty *p, const struct named *n, struct bytes value)
{
    char text[NUMBER_SIZE] = "", *end;
    if (value.len == 0 || value.len >= sizeof text || value.data[0] < '0' || value.data[0] > '9')
        return "header with a number of MQTT is not a number";
    memcpy(text, value.data, value.len);
    unsigned long number = strtoul(text, &end, 10);
    if (*end || number > n->max)
        return "header with a number of MQTT is not a number, or too large";
    if (n->kind == NAMED_BYTE)
        p->value.byte = (unsigned char)number;
    else
        p->value.integer4 = (unsigned)number;
    return NULL;
}

static const char *add_named(MQTTProperty *p, const struct named *n, struct bytes value)
{
    p->identifier = n->code;
    if (n->kind == NAMED_INT4 || n->kind == NAMED_BYTE)
        return add_number(p, n, value);
    if (n->kind == NAMED_TEXT && !mqtt_text_is_valid(value))
        return "header mqtt.content_type is not UTF-8, or too long";
    if (n->kind == NAMED_TOPIC && mqtt_topic_fault(value))
        return "header mqtt.response_topic is not a topic name";
    if (value.len > BINARY_LIMIT)
        return "header mqtt.correlation_data is longer than 65535 bytes";
    p->value.data = len_string(value);
    return NULL;
}

static bool has_code(const MQTTProperties *list, enum MQTTPropertyCodes code)
{
    for (int i = 0; i < list->count; i++)
        if (list->array[i].identifier == code)
            return true;
    return false;
}

static const char *add_header(MQTTProperties *out, const struct bridge_header *h)
{
    MQTTProperty p = {0};
    const struct named *n = find_name(h->name);
    if (n) {
        const char *fault = has_code(out, n->code) ? "header of MQTT is given twice" : add_named(&p, n, h->value);
        if (fault)
            return fault;
    } else {
        if (!mqtt_text_is_valid(h->name) || !mqtt_text_is_valid(h->value))
            return "header is not UTF-8, contains U+0000 or is longer than 65535 bytes";
        p.identifier = MQTTPROPERTY_CODE_USER_PROPERTY;
        p.value.data = len_string(h->name);
        p.value.value = len_string(h->value);
    }
    return MQTTProperties_add(out, &p) == 0 ? NULL : "too many headers";
}

const char *mqtt_properties_add(MQTTProperties *out, const struct bridge_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *fault = add_header(out, &headers[i]);
        if (fault)
            return fault;
    }
    return NULL;
}

/* What the copy of a message needs besides its topic and payload. */
struct measure {
    size_t headers, ids, bytes;
};

static struct measure measure_properties(const MQTTProperties *list)
{
    struct measure m = {0};
    for (int i = 0; i < list->count; i++) {
        const MQTTProperty *p = &list->array[i];
        const struct named *n = find_code(p->identifier);
        if (p->identifier == MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER) {
            m.ids++;
        } else if (p->identifier == MQTTPROPERTY_CODE_USER_PROPERTY) {
            m.headers++;
            m.bytes += (size_t)p->value.data.len + (size_t)p->value.value.len;
        } else if (n) {
            m.headers++;
            m.bytes += n->kind == NAMED_INT4 || n->kind == NAMED_BYTE ? NUMBER_SIZE : (size_t)p->value.data.len;
        }
    }
    return m;
}

static struct bytes put(char **at, const void *data, size_t len)
{
    struct bytes copy = {*at, len};
    if (len)
        memcpy(*at, data, len);
    *at += len;
    return copy;
}

static struct bytes put_named(char **at, const struct named *n, const MQTTProperty *p)
{
    char text[NUMBER_SIZE];
    if (n->kind != NAMED_INT4 && n->kind != NAMED_BYTE)
        return put(at, p->value.data.data, (size_t)p->value.data.len);
    unsigned number = n->kind == NAMED_BYTE ? p->value.byte : p->value.integer4;
    return put(at, text, (size_t)snprintf(text, sizeof text, "%u", number));
}

static void copy_properties(const MQTTProperties *list, struct bridge_header *header, uint32_t *id, char **at)
{
    for (int i = 0; i < list->count; i++) {
        const MQTTProperty *p = &list->array[i];
        const struct named *n = find_code(p->identifier);
        if (p->identifier == MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER) {
            *id++ = p->value.integer4;
        } else if (p->identifier == MQTTPROPERTY_CODE_USER_PROPERTY) {
            header->name = put(at, p->value.data.data, (size_t)p->value.data.len);
            header->value = put(at, p->value.value.data, (size_t)p->value.value.len);
            header++;
        } else if (n) {
            header->name = n->name;
            header->value = put_named(at, n, p);
            header++;
        }
    }
}

struct message *mqtt_message_copy(struct bytes topic, const MQTTAsync_message *source, bool empty_is_tombstone)
{
    size_t payload = (size_t)source->payloadlen;
    struct measure m = measure_properties(&source->properties);
    size_t size = sizeof(struct message) + m.headers * sizeof(struct bridge_header) + m.ids * sizeof(uint32_t) +
                  m.bytes + topic.len + payload;
    struct message *copy = xcalloc(1, size);
    struct bridge_header *headers = (struct bridge_header *)(copy + 1);
    uint32_t *ids = (uint32_t *)(headers + m.headers);
    char *at = (char *)(ids + m.ids);

    copy_properties(&source->properties, headers, ids, &at);
    *copy = (struct message){
        .size = size,
        .topic = put(&at, topic.data, topic.len),
        .payload = payload || !empty_is_tombstone ? put(&at, source->payload, payload) : BYTES_NULL,
        .headers = headers,
        .header_count = m.headers,
        .ids = ids,
        .id_count = m.ids,
        .retained = source->retained != 0,
    };
    return copy;
}
