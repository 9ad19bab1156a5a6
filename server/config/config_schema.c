#include "config_schema.h"

#include "config.h"
#include "util/template.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define KIB          1024
#define MIB          (1024 * KIB)
#define GIB          (1024ll * MIB)
#define SECOND       1000
#define HOUR         (3600ll * SECOND)
#define YEAR         (366 * 24 * HOUR)

static const char *const behind_names[] = {"conflate", "skip", "resync", "close", NULL};
static const char *const mode_names[] = {"fanout", "shared", NULL};
static const char *const from_names[] = {"history", "latest", "earliest", NULL};
static const char *const codec_names[] = {"json", "protobuf", NULL};
static const char *const recovery_names[] = {"stream", "cache", NULL};
static const char *const map_names[] = {"auto", "off", "ephemeral", "recoverable", "persistent", NULL};
static const char *const client_key_names[] = {"", "client", "user", NULL};
static const char *const level_names[] = {"debug", "info", "warn", "error", NULL};
static const char *const format_names[] = {"text", "json", NULL};

enum {
    OF_RECORD = TEMPLATE_TOPIC | TEMPLATE_KEY | TEMPLATE_PAYLOAD | TEMPLATE_HEADER | TEMPLATE_PARTITION,
    OF_PUBLICATION = TEMPLATE_CHANNEL | TEMPLATE_KEY | TEMPLATE_PAYLOAD | TEMPLATE_USER,
};

/* Each block below defines SECTION as the struct that its keys are stored in. */
#define AT(field) offsetof(struct SECTION, field)
#define TEXT(field, text, why)                                                                                         \
    {                                                                                                                  \
        .name = #field, .type = CONFIG_TYPE_STRING, .offset = AT(field), .preset = text, .reason = why                 \
    }
#define PATH(field, why)                                                                                               \
    {                                                                                                                  \
        .name = #field, .type = CONFIG_TYPE_PATH, .offset = AT(field), .preset = "\"\"", .reason = why                 \
    }
#define NAME(field, text, why)                                                                                         \
    {                                                                                                                  \
        .name = #field, .type = CONFIG_TYPE_NAME, .offset = AT(field), .preset = text, .reason = why                   \
    }
#define FLAG(field, text, why)                                                                                         \
    {                                                                                                                  \
        .name = #field, .type = CONFIG_TYPE_FLAG, .offset = AT(field), .preset = text, .reason = why                   \
    }
#define NUMBER(kind, field, text, low, high, why)                                                                      \
    {                                                                                                                  \
        .name = #field, .type = CONFIG_TYPE_##kind, .offset = AT(field), .preset = text, .min = low, .max = high,      \
        .reason = why                                                                                                  \
    }
#define CHOICE(field, list, text, why)                                                                                 \
    {                                                                                                                  \
        .name = #field, .type = CONFIG_TYPE_ENUM, .offset = AT(field), .preset = text, .names = list, .reason = why    \
    }
#define TEMPLATE(field, text, allowed, why)                                                                            \
    {                                                                                                                  \
        .name = #field, .type = CONFIG_TYPE_TEMPLATE, .offset = AT(field), .preset = text, .fields = allowed,          \
        .reason = why                                                                                                  \
    }
#define START(why)                                                                                                     \
    {                                                                                                                  \
        .name = "from", .type = CONFIG_TYPE_FROM, .offset = AT(from), .extra = AT(from_ms), .preset = "\"latest\"",    \
        .names = from_names, .reason = why                                                                             \
    }
#define OPTIONS(field, count, allowed, why)                                                                            \
    {                                                                                                                  \
        .name = #field, .type = CONFIG_TYPE_OPTIONS, .offset = AT(field), .extra = AT(count), .preset = "{}",          \
        .fields = allowed, .reason = why                                                                               \
    }

#define SECTION config_server
static const struct config_key server_keys[] = {
    {.name = "listen",
     .type = CONFIG_TYPE_ADDRESS,
     .offset = AT(listen),
     .preset = "\"127.0.0.1:8800\"",
     .reason = "address of the listener; port 0 takes a free one"},
    NUMBER(INT, loops, "0", 0, 64, "threads that serve sessions; 0: one a core"),
    PATH(web, "folder of static front ends, served at /; empty: none"),
    {.name = "web_sources",
     .type = CONFIG_TYPE_STRINGS,
     .offset = AT(web_sources),
     .extra = AT(web_source_count),
     .preset = "[]",
     .reason = "other origins that the pages may load styles, tiles and data of maps from, as https://host[:port]"},
    TEXT(node_id, "\"\"", "name of this process in client ids and logs; empty: host name and a random part"),
    PATH(driver_dir, "folder of the drivers; empty: drivers/ beside the binary, then the installed place"),
    PATH(module_dir, "folder of the modules; empty: modules/ beside the binary, then the installed place"),
    NUMBER(INT, backlog, "4096", 1, 65535, "connections waiting for accept; the kernel's somaxconn cuts it"),
    NUMBER(DURATION, drain_ms, "\"25s\"", 0, HOUR, "time over which SIGTERM closes the sessions"),
    NUMBER(SIZE, send_buffer_bytes, "0", 0, GIB, "SO_SNDBUF of each connection; 0: the kernel decides"),
    FLAG(compression, "false", "WebSocket clients that ask for permessage-deflate get it"),
    NUMBER(SIZE, compression_min_bytes, "256", 0, MIB, "shorter messages are not compressed: little is gained"),
};

static const struct config_key tls_keys[] = {
    {.name = "cert",
     .type = CONFIG_TYPE_PATH,
     .offset = AT(tls_cert),
     .preset = "\"\"",
     .reason = "PEM file with the certificate chain; with key it turns on TLS"},
    {.name = "key",
     .type = CONFIG_TYPE_PATH,
     .offset = AT(tls_key),
     .preset = "\"\"",
     .reason = "PEM file with the private key"},
    {.name = "hsts",
     .type = CONFIG_TYPE_DURATION,
     .offset = AT(tls_hsts_ms),
     .preset = "0",
     .max = 2 * YEAR,
     .reason = "max-age of Strict-Transport-Security in answers: browsers insist on TLS so long; 0: none"},
};
#undef SECTION

#define SECTION config_auth
static const struct config_key auth_keys[] = {
    FLAG(anonymous, "true", "sessions without a token may connect; namespaces decide what they may do"),
    PATH(hmac_secret_file, "file with the secret of the sessions' JWTs (HS256, HS384, HS512); empty: none of these"),
    PATH(public_key_file, "PEM file with the key of the sessions' JWTs (RSA: RS, PS; EC: ES; Ed25519); empty: none"),
    PATH(jwks_file, "file with a set of keys (JWKS) of the sessions' JWTs; empty: none"),
    TEXT(jwks_url, "\"\"", "http or https address of such a set; empty: none"),
    {.name = "jwks_refresh",
     .type = CONFIG_TYPE_DURATION,
     .offset = AT(jwks_refresh_ms),
     .preset = "\"5m\"",
     .min = 100,
     .max = 24 * HOUR,
     .reason = "how often jwks_file and jwks_url are read again"},
    TEXT(audience, "\"\"", "what the claim aud of a token has to name; empty: it is not looked at"),
    TEXT(issuer, "\"\"", "what the claim iss of a token has to be; empty: it is not looked at"),
    {.name = "leeway",
     .type = CONFIG_TYPE_DURATION,
     .offset = AT(leeway_ms),
     .preset = "\"5s\"",
     .max = HOUR,
     .reason = "difference allowed between the clocks of who signs a token and this one"},
    PATH(api_key_file, "file with the key that /api asks for in X-API-Key; empty: /api is off"),
    {.name = "allowed_origins",
     .type = CONFIG_TYPE_STRINGS,
     .offset = AT(allowed_origins),
     .extra = AT(allowed_origin_count),
     .preset = "[]",
     .reason = "other origins whose pages may connect, exactly scheme://host[:port]; the server's own always may"},
};
#undef SECTION

#define SECTION config_limits
static const struct config_key limits_keys[] = {
    NUMBER(INT, connections, "100000", 1, 10000000, "connections in all; more get 503"),
    NUMBER(INT, connections_per_address, "0", 0, 10000000, "connections from one address; 0: no limit"),
    NUMBER(SIZE, message_bytes, "\"64KiB\"", 16, 64 * MIB, "one message of a client, put together; more closes 1009"),
    NUMBER(INT, fragments, "1024", 1, 1000000, "frames of one message; more closes 1008"),
    NUMBER(DURATION, message_ms, "\"30s\"", 100, HOUR, "first to last frame of one message; longer closes 1008"),
    NUMBER(SIZE, header_bytes, "\"8KiB\"", 1024, MIB, "head of a request; more gets 431"),
    NUMBER(SIZE, body_bytes, "\"1MiB\"", 1024, GIB, "body of a REST request; more gets 413"),
    NUMBER(DURATION, handshake_ms, "\"10s\"", 100, HOUR, "accept to complete request head; longer is cut"),
    NUMBER(DURATION, keepalive_ms, "\"60s\"", 100, 24 * HOUR, "idle HTTP connection; longer is closed"),
    NUMBER(INT, rate_messages, "100", 0, 1000000, "messages of one session per second; 0: no limit"),
    NUMBER(INT, rate_burst, "200", 1, 1000000, "messages of one session at once"),
    NUMBER(INT, rate_strikes, "100", 1, 1000000, "messages over the rate, one after the other, before 1008"),
    NUMBER(INT, handshakes_per_second, "1000", 0, 1000000, "new sessions per second, all loops; 0: no limit"),
    NUMBER(INT, newcomer_percent, "50", 1, 100,
           "of a loop's time that connections in their first second get while others are sent publications"),
    NUMBER(INT, subscriptions, "256", 1, 1000000, "channels one session may be subscribed to"),
    NUMBER(INT, channels, "100000", 1, 100000000, "channels in memory; new ones are refused then"),
    NUMBER(SIZE, channel_name_bytes, "128", 1, 1024, "length of a channel's name"),
    NUMBER(SIZE, outbox_bytes, "\"1MiB\"", 4 * KIB, GIB, "unsent replies of one session; more closes 3008"),
    NUMBER(SIZE, frame_log_bytes, "\"256KiB\"", 4 * KIB, GIB,
           "newest publications kept ready to send, per channel, loop and form"),
    NUMBER(SIZE, history_bytes, "\"256MiB\"", 0, 1024 * GIB, "publications in memory, all channels; 0: no limit"),
    NUMBER(INT, recover, "10000", 1, 10000000,
           "publications handed over at a time in a resume, the rest when they are taken; keyed: more gives the table anew"),
    NUMBER(SIZE, recover_bytes, "\"128KiB\"", 4 * KIB, GIB, "the same in bytes"),
    NUMBER(INT, pending_publishes, "65536", 1, 10000000, "publishes waiting for brokers; more are refused as busy"),
    NUMBER(DURATION, publish_timeout_ms, "\"10s\"", 10, HOUR, "wait for a broker's acknowledgement; then: unknown"),
    NUMBER(DURATION, ping_ms, "\"25s\"", 10, HOUR, "silence after which a session is pinged"),
    NUMBER(DURATION, pong_ms, "\"10s\"", 10, HOUR, "silence after the ping before the session is closed"),
    NUMBER(DURATION, idle_ms, "0", 0, YEAR, "session that sends no message at all, pongs do not count; 0: never"),
    NUMBER(DURATION, connect_ms, "\"10s\"", 10, HOUR, "channels wire: wait for the first command; longer closes 3502"),
    NUMBER(DURATION, refresh_ms, "\"25s\"", 0, HOUR,
           "after the token of a session or subscription has expired, wait for a new one"),
    NUMBER(DURATION, poll_wait_ms, "\"60s\"", 0, HOUR, "longest long poll"),
    NUMBER(INT, json_depth, "32", 1, 1024, "nesting of JSON from clients"),
};
#undef SECTION

#define SECTION config_log
static const struct config_key log_keys[] = {
    CHOICE(level, level_names, "\"info\"", "least important lines that are written"),
    CHOICE(format, format_names, "\"text\"", "key=value text, or one JSON object a line"),
};
#undef SECTION

#define SECTION config_debug
static const struct config_key debug_keys[] = {
    FLAG(echo, "false", "an endpoint at /ws/echo that sends every message back, for conformance runs"),
    FLAG(insecure, "false", "every client may do everything without a token"),
};
#undef SECTION

#define SECTION config_bridge
static const struct config_key bridge_keys[] = {
    NAME(name, NULL, "what sources, sinks and relays call it"),
    NAME(driver, NULL, "kind of broker; `crier drivers` lists them"),
    TEXT(servers, NULL, "where the broker is, as its driver wants it; embedded: the file"),
    OPTIONS(options, option_count, 0, "settings of the driver's library by its own names"),
    FLAG(required, "false", "start-up ends with exit code 69 when the broker stays away"),
};
#undef SECTION

#define SECTION config_namespace
static const struct config_key namespace_keys[] = {
    NAME(name, NULL, "part of the channel's name before the colon; `default` for names without one"),
    NUMBER(INT, history, "100", 0, 10000000, "publications kept per channel; 0: none"),
    {.name = "history_ttl",
     .type = CONFIG_TYPE_DURATION,
     .offset = AT(history_ttl_ms),
     .preset = "\"24h\"",
     .max = 100 * YEAR,
     .reason = "age of the publications kept; 0: no limit"},
    CHOICE(behind, behind_names, "\"resync\"",
           "client behind the frame log: newest per key, gap notice, resume by position, or close"),
    FLAG(keyed, "false", "keeps the newest publication per key; subscribers get that snapshot first"),
    {.name = "key_ttl",
     .type = CONFIG_TYPE_DURATION,
     .offset = AT(key_ttl_ms),
     .preset = "0",
     .max = 100 * YEAR,
     .reason = "a key that was not published for so long is dropped; 0: only by a tombstone"},
    NUMBER(DURATION, gather_ms, "5", 0, 10 * SECOND, "publications this close to the one before leave in one send"),
    NUMBER(DURATION, interval_ms, "0", 0, HOUR, "deliver at most so often, newest per key when keyed; 0: at once"),
    CHOICE(codec, codec_names, "\"json\"", "what the records' payloads are"),
    NUMBER(INT, type, "1", 0, 0xfffffeff, "message type of the publications on the typed wire"),
    FLAG(presence, "false", "clients may ask who is subscribed"),
    FLAG(join_leave, "false", "subscribers are told who comes and goes"),
    FLAG(subscribe, "true", "clients may subscribe"),
    FLAG(publish, "false", "clients may publish"),
    FLAG(anonymous, "true", "the rights above hold for clients without a user, too"),
    FLAG(rest, "true", "GET /channels/NAME works without the API key"),
    FLAG(read_history, "true", "clients may read the history and resume by position"),
    FLAG(read_presence, "true", "with presence: clients may ask who is subscribed; false: only the server API"),
    FLAG(publish_subscribed, "false", "of the clients that may publish, only those that are subscribed"),
    FLAG(force_recovery, "true",
         "channels wire: every subscription resumes by position, also of clients that do not ask"),
    FLAG(force_positioning, "false", "channels wire: every subscription checks that no publication is missing"),
    CHOICE(recovery, recovery_names, "\"stream\"", "a client that resumes gets all that it missed, or only the newest"),
    FLAG(push_join_leave, "false", "with join_leave: all subscribers are told; false: those who ask"),
    FLAG(delta, "false", "channels wire: clients may ask for differences between publications"),
    FLAG(delta_publish, "true", "with delta: of every publication; false: of those that are published with delta"),
    FLAG(tags_filter, "true", "clients may filter by tags"),
    TEXT(pattern, "\"\"", "regular expression (POSIX, extended) for the whole name after the colon; empty: any name"),
    TEXT(user_channels, "\"#\"",
         "users after this sign in a name, and no others, may subscribe: dialog#ann,ben; empty: no such sign"),
    FLAG(personal, "false",
         "channels wire: sessions of a user are subscribed to the channel of that user when they connect: NAME:#ann"),
    TEXT(token_channels, "\"$\"",
         "a name that begins with this sign needs a token for the channel: $chat:lobby; empty: no such sign"),
    CHOICE(map, map_names, "\"auto\"", "keyed: kind of map; auto: recoverable with key_ttl, else persistent"),
    FLAG(map_publish, "false", "keyed: clients may set keys"),
    FLAG(map_remove, "false", "keyed: clients may remove keys"),
    CHOICE(client_key, client_key_names, "\"\"",
           "keyed: the one key that a client may change: any, its client id, or its user"),
    NUMBER(INT, page_size, "100", 1, 10000, "keyed: entries of the state in one page"),
    NUMBER(DURATION, debounce_ms, "0", 0, HOUR, "keyed: clients put their changes together for so long"),
    TEXT(presence_clients, "\"\"",
         "prefix of the map channel with the subscribed clients, as in clients:chat:lobby; empty: none"),
    TEXT(presence_users, "\"\"", "prefix of the map channel with the subscribed users; empty: none"),
};
#undef SECTION

#define SECTION config_source
static const struct config_key source_keys[] = {
    NAME(bridge, NULL, "where the records come from"),
    TEXT(topic, NULL, "topic, or a pattern where the driver has patterns"),
    CHOICE(mode, mode_names, "\"fanout\"", "every node gets every record, or a consumer group shares them"),
    TEXT(group, "\"\"", "name of the consumer group; has to be given with mode = \"shared\""),
    START("start: fill the history, new records only, the oldest, or 2026-01-31T08:00:00Z"),
    TEMPLATE(channel, NULL, OF_RECORD, "channel that a record goes to"),
    TEMPLATE(key, "\"\"", OF_RECORD, "key of the publication; empty: the record's key"),
    OPTIONS(tags, tag_count, OF_RECORD, "tags of the publication, each value a template; for filters"),
    TEMPLATE(latitude, "\"\"", OF_RECORD, "where the publication is, in degrees; for filters by place"),
    TEMPLATE(longitude, "\"\"", OF_RECORD, "the same; both or none"),
    TEXT(transform, "\"\"", "code of a module that decides what a record becomes; empty: the templates alone"),
    TEXT(dead_letter, "\"\"", "topic of the same bridge for records that cannot be used; empty: they are counted only"),
    NUMBER(INT, qos, "1", 0, 2, "MQTT: quality of service of the subscription"),
};
#undef SECTION

#define SECTION config_sink
static const struct config_key sink_keys[] = {
    TEXT(channel, NULL, "channel whose publications go to the broker; a * at the end stands for any rest"),
    NAME(bridge, NULL, "where they go"),
    TEMPLATE(topic, NULL, OF_PUBLICATION, "topic they go to"),
    TEMPLATE(key, "\"\"", OF_PUBLICATION, "key of the record; empty: the publication's key"),
    NUMBER(INT, qos, "1", 0, 2, "MQTT: quality of service; 0 is not acknowledged"),
    FLAG(retain, "false", "MQTT: the broker keeps the newest record of the topic for new subscribers"),
};
#undef SECTION

#define SECTION config_relay
static const struct config_key relay_keys[] = {
    NAME(from_bridge, NULL, "where the records come from"),
    TEXT(from_topic, NULL, "topic, or a pattern where the driver has patterns"),
    NAME(to_bridge, NULL, "where they go"),
    TEMPLATE(to_topic, NULL, OF_RECORD, "topic they go to"),
    TEMPLATE(key, "\"\"", OF_RECORD, "key of the new record; empty: the record's key"),
    CHOICE(mode, mode_names, "\"fanout\"", "every node relays every record, or a consumer group shares them"),
    TEXT(group, "\"\"", "name of the consumer group; has to be given with mode = \"shared\""),
    START("start: as for a source"),
    NUMBER(INT, qos, "1", 0, 2, "MQTT: quality of service on both sides"),
    TEXT(dead_letter, "\"\"", "topic of from_bridge for records that lack a field or are refused; empty: counted only"),
    NUMBER(SIZE, window_bytes, "\"64MiB\"", 4096, 16 * GIB,
           "records under way; then upstream waits, or with qos = 0 from MQTT they are dropped and counted"),
};
#undef SECTION

#define SECTION config_module
static const struct config_key module_keys[] = {
    NAME(name, NULL, "NAME.so in the folder of the modules; the other keys of the table are the module's own"),
};
#undef SECTION

#define ONE(title, member, table, why)                                                                                 \
    {                                                                                                                  \
        .name = title, .offset = offsetof(struct config, member), .keys = table, .key_count = COUNT(table),            \
        .reason = why                                                                                                  \
    }
#define MANY(title, type, list, count, table, why)                                                                     \
    .name = title, .array = true, .offset = offsetof(struct config, list),                                             \
    .count_offset = offsetof(struct config, count), .item_size = sizeof(struct type),                                  \
    .line_offset = offsetof(struct type, line), .keys = table, .key_count = COUNT(table), .reason = why

const struct config_section config_sections[] = {
    ONE("server", server, server_keys, "The listener and the process."),
    ONE("server.tls", server, tls_keys, "TLS on the listener."),
    ONE("auth", auth, auth_keys, "Who may come in."),
    ONE("limits", limits, limits_keys, "Bounds of everything that a client can make grow."),
    ONE("log", log, log_keys, "Lines on standard error."),
    ONE("debug", debug, debug_keys, "Never for production; what is on is logged loudly at start."),
    {MANY("bridge", config_bridge, bridges, bridge_count, bridge_keys, "A connection to a broker.")},
    {MANY("namespace", config_namespace, namespaces, namespace_count, namespace_keys,
          "Options and rights of the channels NAME:... A channel of a namespace that is not configured is refused.")},
    {MANY("source", config_source, sources, source_count, source_keys, "Records of a topic go to channels.")},
    {MANY("sink", config_sink, sinks, sink_count, sink_keys,
          "What is published on a channel goes to a topic. The first sink that fits is taken.")},
    {MANY("relay", config_relay, relays, relay_count, relay_keys, "Records of one bridge go to another.")},
    {MANY("module", config_module, modules, module_count, module_keys, "A shared object with handlers."),
     .free_keys = true, .options = offsetof(struct config_module, options),
     .option_count = offsetof(struct config_module, option_count)},
};
const size_t config_section_count = COUNT(config_sections);

const struct config_section *config_section_find(struct bytes name)
{
    for (size_t i = 0; i < config_section_count; i++)
        if (bytes_eq_str(name, config_sections[i].name))
            return &config_sections[i];
    return NULL;
}

const struct config_key *config_key_find(const struct config_section *section, struct bytes name)
{
    for (size_t i = 0; i < section->key_count; i++)
        if (bytes_eq_str(name, section->keys[i].name))
            return &section->keys[i];
    return NULL;
}

const char *config_type_name(enum config_type type)
{
    static const char *const names[] = {
        [CONFIG_TYPE_STRING] = "text",
        [CONFIG_TYPE_NAME] = "name",
        [CONFIG_TYPE_ADDRESS] = "host:port",
        [CONFIG_TYPE_PATH] = "path",
        [CONFIG_TYPE_TEMPLATE] = "template",
        [CONFIG_TYPE_FLAG] = "true or false",
        [CONFIG_TYPE_INT] = "whole number",
        [CONFIG_TYPE_DURATION] = "duration",
        [CONFIG_TYPE_SIZE] = "size",
        [CONFIG_TYPE_ENUM] = "one of",
        [CONFIG_TYPE_FROM] = "start",
        [CONFIG_TYPE_STRINGS] = "list of texts",
        [CONFIG_TYPE_OPTIONS] = "table of options",
    };
    return names[type];
}
