#include "schema.h"

#include <errno.h>

#include "loop/engine.h"
#if __has_include("proto/protojson.h")
#include "proto/protojson.h"
#endif

static const char no_schema[] = "this message type has no schema for the session's codec";

int schema_to_protobuf(const struct modules *m, uint32_t type, struct bytes json, struct buf *out, const char **ret_reason)
{
    const void *schema = modules_schema(m, type);
    if (!schema) {
        *ret_reason = no_schema;
        return -ENOENT;
    }
#if __has_include("proto/protojson.h")
    return protojson_to_binary(schema, json, (unsigned)m->engine->config->limits.json_depth, out, ret_reason);
#else
    (void)json, (void)out;
    return -ENOENT;
#endif
}

int schema_to_json(const struct modules *m, uint32_t type, struct bytes data, struct buf *out, const char **ret_reason)
{
    const void *schema = modules_schema(m, type);
    if (!schema) {
        *ret_reason = no_schema;
        return -ENOENT;
    }
#if __has_include("proto/protojson.h")
    return protojson_from_binary(schema, data, out, ret_reason);
#else
    (void)data, (void)out;
    return -ENOENT;
#endif
}

int schema_transcode_frame(void *modules, uint32_t type, struct bytes json, struct buf *out)
{
    const char *reason;
    return schema_to_protobuf(modules, type, json, out, &reason);
}
