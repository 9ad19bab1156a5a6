#include "reason.h"

#include <MQTTAsync.h>
#include <stdio.h>

/* MQTT 3.1.1, 3.2.2.3. A broker that knows no MQTT 5 answers with these too. */
static const char *const connack_texts[] = {
    [1] = "unacceptable protocol version", [2] = "client id rejected", [3] = "server unavailable",
    [4] = "bad user name or password",     [5] = "not authorised",
};
#define CONNACK_LAST 5

const char *mqtt_connect_reason(int code, bool v5)
{
    if (code == 1 && v5)
        return "unacceptable protocol version (a broker without MQTT 5 needs protocol = \"3.1.1\")";
    if (code >= 1 && code <= CONNACK_LAST)
        return connack_texts[code];
    if (code == MQTTREASONCODE_NOT_AUTHORIZED)
        return "not authorised";
    const char *text = code >= MQTTREASONCODE_UNSPECIFIED_ERROR ? MQTTReasonCode_toString(code) : NULL;
    return text ? text : "unknown reason";
}

bool mqtt_connect_is_hopeless(int code)
{
    static const int hopeless[] = {
        1,
        2,
        4,
        5,
        MQTTREASONCODE_UNSUPPORTED_PROTOCOL_VERSION,
        MQTTREASONCODE_CLIENT_IDENTIFIER_NOT_VALID,
        MQTTREASONCODE_BAD_USER_NAME_OR_PASSWORD,
        MQTTREASONCODE_NOT_AUTHORIZED,
        MQTTREASONCODE_BANNED,
        MQTTREASONCODE_BAD_AUTHENTICATION_METHOD,
    };
    for (size_t i = 0; i < sizeof hopeless / sizeof *hopeless; i++)
        if (hopeless[i] == code)
            return true;
    return false;
}

const char *mqtt_disconnect_reason(int code)
{
    if (code == MQTTREASONCODE_SESSION_TAKEN_OVER)
        return "another client connected with the same client_id";
    const char *text = MQTTReasonCode_toString(code);
    return text ? text : "unknown reason";
}

/* thread:error:code:library:function:reason:file:line:data */
void mqtt_tls_reason(const char *line, size_t len, char *out, size_t size)
{
    const char *at = line, *end = line + len;
    for (int field = 0; field < 5; field++) {
        const char *colon = memchr(at, ':', (size_t)(end - at));
        if (!colon) {
            snprintf(out, size, "TLS error");
            return;
        }
        at = colon + 1;
    }
    const char *stop = memchr(at, ':', (size_t)(end - at));
    snprintf(out, size, "%.*s", (int)((stop ? stop : end) - at), at);
}
