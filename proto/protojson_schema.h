/* What both directions of protojson ask a descriptor. Static data of the generated code; nothing is owned here. */
#ifndef CRIER_PROTO_PROTOJSON_SCHEMA_H
#define CRIER_PROTO_PROTOJSON_SCHEMA_H

#include <ctype.h>

#include "pb_wire.h"
#include "protojson.h"

static inline enum pb_type schema_wire_type(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return PB_FIXED64;
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return PB_FIXED32;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return PB_BYTES;
    default:
        return PB_VARINT;
    }
}

static inline bool schema_is_oneof(const ProtobufCFieldDescriptor *f)
{
    return (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
}

/* Reads the lowerCamelCase form of a field's name character by character: `_x` becomes `X`. 0 at the end. */
static inline char schema_next_camel(const char **name)
{
    bool upper = false;
    while (**name == '_') {
        upper = true;
        (*name)++;
    }
    char c = **name;
    if (c)
        (*name)++;
    return upper ? (char)toupper((unsigned char)c) : c;
}

static inline bool schema_is_camel(const char *name, struct bytes json_name)
{
    for (size_t i = 0; i < json_name.len; i++)
        if (json_name.data[i] == 0 || schema_next_camel(&name) != json_name.data[i])
            return false;
    return schema_next_camel(&name) == 0;
}

/* `map<K, V> some_field` is compiled to `repeated SomeFieldEntry some_field` with key = 1 and value = 2. */
static inline bool schema_is_map(const ProtobufCFieldDescriptor *f)
{
    if (f->label != PROTOBUF_C_LABEL_REPEATED || f->type != PROTOBUF_C_TYPE_MESSAGE)
        return false;
    const ProtobufCMessageDescriptor *entry = f->descriptor;
    const char *name = f->name, *short_name = entry->short_name;
    if (entry->n_fields != 2 || entry->fields[0].id != 1 || entry->fields[1].id != 2 ||
        strcmp(entry->fields[0].name, "key") != 0 || strcmp(entry->fields[1].name, "value") != 0)
        return false;
    char c = (char)toupper((unsigned char)schema_next_camel(&name));
    for (; c && *short_name == c; c = schema_next_camel(&name))
        short_name++;
    return c == 0 && strcmp(short_name, "Entry") == 0;
}

#endif
