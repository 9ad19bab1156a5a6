/* MQTT topic names and filters: what is valid, what matches. Pure functions on borrowed bytes, any thread. */
#ifndef CRIER_BRIDGES_MQTT_TOPIC_H
#define CRIER_BRIDGES_MQTT_TOPIC_H

#include "util/bytes.h"

/* UTF-8 as MQTT wants it: no U+0000, no surrogates, nothing overlong or above U+10FFFF; 65,535 bytes at most. */
bool mqtt_text_is_valid(struct bytes s);

/* Returns NULL when `topic` can be published to, else what is wrong with it. */
const char *mqtt_topic_fault(struct bytes topic);

/* The same for a topic filter without a $share prefix. */
const char *mqtt_filter_fault(struct bytes filter);

/* Both have to be valid. */
bool mqtt_filter_matches(struct bytes filter, struct bytes topic);

#endif
