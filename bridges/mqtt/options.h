/* Options and servers of one mqtt bridge, checked and with defaults filled in.
 *
 * mqtt_options_read() fills caller's memory; mqtt_options_done() frees what it points to. Read-only afterwards, so any
 * thread of the bridge may look. */
#ifndef CRIER_BRIDGES_MQTT_OPTIONS_H
#define CRIER_BRIDGES_MQTT_OPTIONS_H

#include "bridge.h"

#define MQTT_SERVERS_MAX 16

struct mqtt_options {
    char *servers[MQTT_SERVERS_MAX]; /* as the client library writes them: tcp:// ssl:// ws:// wss:// */
    size_t server_count;
    bool tls, websocket; /* of all servers: one list has one scheme */
    bool v5;
    char *client_id;
    const char *username, *password_file, *ca_file, *cert_file, *key_file, *status_topic; /* NULL: none */
    bool verify;                /* the server's certificate and host name */
    bool clean_start;
    bool empty_is_tombstone;
    uint64_t keepalive_ms, connect_timeout_ms, session_expiry_ms, reconnect_min_ms, reconnect_max_ms;
    uint64_t max_inflight;  /* publishes given to the library and not yet answered */
    uint64_t max_buffered;  /* publishes that wait while there is no connection */
    uint64_t receive_queue; /* records that wait for the hub */
    uint64_t qos;           /* where a subscription or message names none (-1) */
    char **owned; /* copies that the strings above point into */
    size_t owned_count;
};

extern const char *const mqtt_option_names[];

/* 0, or -EINVAL with one line in `error`. Opens no file but looks whether those named can be read. */
int mqtt_options_read(struct mqtt_options *o, const struct bridge_open *open, char *error, size_t error_size);
void mqtt_options_done(struct mqtt_options *o);

/* First line of password_file as a heap string (free()); NULL when it cannot be read. */
char *mqtt_options_password(const struct mqtt_options *o);

#endif
