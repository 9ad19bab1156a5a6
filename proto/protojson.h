/* JSON <-> protobuf by descriptor: the proto3 JSON mapping, for messages whose C code protoc-c generated.
 *
 * Only the descriptor is read, no message struct is built: JSON goes to wire bytes and back directly, so hostile input
 * meets no other parser. Pure functions, any thread; results are appended to the caller's buffer, on failure nothing is.
 *     message M { int64 big_number = 1; repeated string tags = 2; bytes raw = 3; Color color = 4; map<string, M> m = 5; }
 *     read:    {"bigNumber":"5","tags":["a"]}   {"big_number":5}   {"color":"RED"}   {"color":1}   {"raw":"AQI"}
 *     written: {"bigNumber":"5","tags":["a"],"raw":"","color":"RED","m":{}}
 * Read: names in lowerCamelCase or as in the .proto file; unknown members and null are passed over; 64-bit integers and
 * floats also as strings, NaN and Infinity as strings; bytes in either base64 alphabet, padded or not. A member given
 * twice, or two of one oneof, is an error.
 * Written: every field, unset ones with their default (unset messages as null, unset members of a oneof not at all);
 * 64-bit integers as strings, enums by name where it is known; valid UTF-8 only.
 * What descriptors of protobuf-c do not tell: json_name options, and that a type is one of google.protobuf (a Timestamp
 * is an ordinary message here). A repeated message FieldEntry { key = 1; value = 2 } of a field `field` is taken for the
 * map that it is compiled from. */
#ifndef CRIER_PROTO_PROTOJSON_H
#define CRIER_PROTO_PROTOJSON_H

#include <protobuf-c/protobuf-c.h>

#include "util/bytes.h"

#define PROTOJSON_DEPTH 64                     /* of messages in a binary */
#define PROTOJSON_OUTPUT_LIMIT (16u << 20)     /* a few bytes can stand for many unset fields */

/* 0, or -EBADMSG, -E2BIG (nested deeper than `depth_limit`); `*ret_reason` is a static text for people. */
CRIER_API int protojson_to_binary(const ProtobufCMessageDescriptor *d, struct bytes json, unsigned depth_limit,
                                  struct buf *out, const char **ret_reason);
/* 0, or -EBADMSG, -E2BIG (nested too deep, or the text would be too long). */
CRIER_API int protojson_from_binary(const ProtobufCMessageDescriptor *d, struct bytes data, struct buf *out,
                                    const char **ret_reason);

#endif
