/* What the broker and the library say about a connection, in words for people. Pure, any thread. */
#ifndef CRIER_BRIDGES_MQTT_REASON_H
#define CRIER_BRIDGES_MQTT_REASON_H

#include "util/bytes.h"

/* Why a connection was refused or could not be made; `code` as the library reports it (positive: the broker's). */
const char *mqtt_connect_reason(int code, bool v5);
/* The refusal will not go away by trying again: credentials, client id, protocol. */
bool mqtt_connect_is_hopeless(int code);
/* Why the broker ended a connection (MQTT 5 DISCONNECT). */
const char *mqtt_disconnect_reason(int code);
/* The readable part of a line of OpenSSL's error queue, e.g. "certificate verify failed"; at most `size` with NUL. */
void mqtt_tls_reason(const char *line, size_t len, char *out, size_t size);

#endif
