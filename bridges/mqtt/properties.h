/* Headers of the bridge contract as MQTT 5 properties and back.
 *
 * A header is a user property, except the names below, which are MQTT's own properties:
 *     mqtt.content_type  mqtt.response_topic  mqtt.correlation_data  mqtt.message_expiry_interval
 *     mqtt.payload_format_indicator */
#ifndef CRIER_BRIDGES_MQTT_PROPERTIES_H
#define CRIER_BRIDGES_MQTT_PROPERTIES_H

#include <MQTTAsync.h>

#include "inbox.h"

/* Appends to `out`, which the caller frees with MQTTProperties_free() also on failure. Returns NULL, or what is wrong:
 * a broker would close the connection for text that is not UTF-8. */
const char *mqtt_properties_add(MQTTProperties *out, const struct bridge_header *headers, size_t count);

/* Copies a message of the library into one of ours: one allocation, free() with the next owner. */
struct message *mqtt_message_copy(struct bytes topic, const MQTTAsync_message *source, bool empty_is_tombstone);

#endif
