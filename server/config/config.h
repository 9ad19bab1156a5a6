/* config.toml as structs. Loaded once before threads start, constant afterwards, freed at the end.
 *
 * Every key is one row of the table in config_schema.c: path, type, default, unit, bounds and reason; docs/config.md
 * and the checks come from that table. */
#ifndef CRIER_CONFIG_H
#define CRIER_CONFIG_H

#include <regex.h>

#include "util/bytes.h"
#include "util/log.h"

enum behind_policy { BEHIND_CONFLATE, BEHIND_SKIP, BEHIND_RESYNC, BEHIND_CLOSE };
enum source_mode { SOURCE_FANOUT, SOURCE_SHARED };
enum source_from { FROM_HISTORY, FROM_LATEST, FROM_EARLIEST, FROM_TIME };
enum payload_codec { CODEC_JSON, CODEC_PROTOBUF };
enum recovery_kind { RECOVERY_STREAM, RECOVERY_CACHE };
enum map_mode { MAP_AUTO, MAP_OFF, MAP_EPHEMERAL, MAP_RECOVERABLE, MAP_PERSISTENT }; /* loaded: never MAP_AUTO */
enum client_key { CLIENT_KEY_FREE, CLIENT_KEY_CLIENT, CLIENT_KEY_USER };

struct config_option {
    char *name, *value; /* numbers and booleans as their text */
    int line, column;   /* of the value; 0 from an override */
};

struct config_server {
    char *listen;              /* "127.0.0.1:8800"; port 0 takes a free one */
    int64_t loops;             /* 0: one a core */
    char *web;                 /* folder of the static front ends; "" serves none */
    char **web_sources;        /* scheme://host[:port]: what the pages may load beside the server's own */
    size_t web_source_count;
    char *node_id;             /* "" : host name + random */
    char *driver_dir;          /* "" : beside the binary, then the installed place */
    char *module_dir;          /* "" : the same */
    int64_t backlog;           /* 4096 */
    int64_t drain_ms;          /* 25 s */
    int64_t send_buffer_bytes; /* SO_SNDBUF; 0 leaves it to the kernel */
    bool compression;          /* permessage-deflate is offered */
    int64_t compression_min_bytes;
    char *tls_cert, *tls_key;  /* [server.tls] cert, key: PEM files; both or none */
    int64_t tls_hsts_ms;       /* [server.tls] hsts: 0 none */
};

struct config_auth {
    bool anonymous;          /* sessions without a token may connect */
    char *hmac_secret_file;  /* "" none */
    char *public_key_file;   /* PEM; "" none */
    char *jwks_file;         /* "" none */
    char *jwks_url;          /* "" none */
    int64_t jwks_refresh_ms; /* how often file and URL are read again */
    char *audience, *issuer; /* claims aud and iss have to name them; "" any */
    int64_t leeway_ms;       /* between the clocks of who signs and who verifies */
    char *api_key_file;      /* "" : /api is off */
    char **allowed_origins;  /* exact scheme://host[:port]; same origin as Host is always allowed */
    size_t allowed_origin_count;
};

struct config_limits {
    int64_t connections;             /* in all */
    int64_t connections_per_address; /* 0: no limit */
    int64_t message_bytes;           /* of a client, after reassembly; 65536 */
    int64_t fragments;               /* frames a message; 1024 */
    int64_t message_ms;              /* first to last frame of a message; 30 s */
    int64_t header_bytes;            /* of a request head; 8192 */
    int64_t body_bytes;              /* of a REST request; 1 MiB */
    int64_t handshake_ms;            /* accept to complete request head; 10 s */
    int64_t keepalive_ms;            /* idle HTTP connection; 60 s */
    int64_t rate_messages;           /* a session, per second; 0 no limit */
    int64_t rate_burst;              /* messages at once */
    int64_t rate_strikes;            /* refused messages in a row before 1008 */
    int64_t handshakes_per_second;   /* all loops together; 0 no limit */
    int64_t newcomer_percent;        /* of a loop's time, for connections in their first second; 50 */
    int64_t subscriptions;           /* a session */
    int64_t channels;                /* in memory; more are refused */
    int64_t channel_name_bytes;      /* 128 */
    int64_t outbox_bytes;            /* unsent replies of a session; 1 MiB */
    int64_t frame_log_bytes;         /* newest framed publications kept per channel, loop and form; 256 KiB */
    int64_t history_bytes;           /* publications in memory, all channels; 0 no limit */
    int64_t recover;                 /* publications handed over at a time in a resume; 10,000 */
    int64_t recover_bytes;           /* the same in bytes of frames; 128 KiB */
    int64_t pending_publishes;       /* waiting for brokers; 65,536 */
    int64_t publish_timeout_ms;      /* 10 s, then `unknown` */
    int64_t ping_ms;                 /* silence after which a session is pinged; 25 s */
    int64_t pong_ms;                 /* silence after the ping before it is closed; 10 s */
    int64_t idle_ms;                 /* session that sends no message at all (pongs do not count); 0 never */
    int64_t connect_ms;              /* channels wire: first command; 10 s */
    int64_t refresh_ms;              /* after the expiry of a session or subscription, for a new token; 25 s */
    int64_t poll_wait_ms;            /* longest long poll; 60 s */
    int64_t json_depth;              /* 32 */
};

struct config_log {
    enum log_level level;
    enum log_format format;
};

struct config_debug {
    bool echo;     /* /ws/echo */
    bool insecure; /* every client may do everything */
};

struct config_bridge {
    char *name, *driver, *servers;
    struct config_option *options;
    size_t option_count;
    bool required;
    int line;
};

struct config_namespace {
    char *name;
    int64_t history;        /* publications kept; 0 none */
    int64_t history_ttl_ms; /* 0: no age limit */
    enum behind_policy behind;
    bool keyed;
    int64_t key_ttl_ms; /* 0: keys stay until a tombstone */
    int64_t gather_ms;
    int64_t interval_ms;
    enum payload_codec codec; /* of the records' payloads */
    int64_t type;             /* message type of the publications on the typed wire */
    bool presence;
    bool join_leave;
    bool subscribe;          /* clients may subscribe */
    bool publish;            /* clients may publish */
    bool anonymous;          /* also clients without a user */
    bool rest;               /* GET /channels/... without an API key */
    bool read_history;       /* clients may ask for history, and recover */
    bool read_presence;      /* clients may ask for presence */
    bool publish_subscribed; /* of those who may publish, only who is subscribed */
    bool force_recovery, force_positioning;
    enum recovery_kind recovery;
    bool push_join_leave; /* to every subscriber, not only to those who ask */
    bool delta;           /* clients may ask for deltas */
    bool delta_publish;   /* with delta: of every publication, not only of those that say so */
    bool tags_filter;
    char *pattern;                /* of the rest of a channel's name, the whole of it; "" any */
    regex_t *pattern_compiled;    /* NULL any */
    char *user_channels;          /* what follows it in the rest names the users that may subscribe; "" off */
    bool personal;                /* sessions of a user are subscribed to NAME:#USER by themselves */
    char *token_channels;         /* a channel's name that begins so needs a channel token; "" off */
    enum map_mode map;            /* keyed only */
    bool map_publish, map_remove; /* clients may change the keys */
    enum client_key client_key;   /* the key that a client's change has whatever it says */
    int64_t page_size;            /* of the map's state */
    int64_t debounce_ms;          /* clients gather their changes for so long */
    char *presence_clients, *presence_users; /* prefix of the map channel that mirrors who is subscribed; "" none */
    int line;
};

struct config_source {
    char *bridge, *topic, *group, *channel, *dead_letter; /* group and dead_letter "" : none */
    char *key;                                            /* template; "" : the record's key */
    char *latitude, *longitude; /* templates of degrees; "" : the publication has no place */
    char *transform;            /* of a module; "" none */
    enum source_mode mode;
    enum source_from from;
    int64_t from_ms;            /* FROM_TIME: wall clock milliseconds */
    struct config_option *tags; /* tags = { line = "{payload.line}" } */
    size_t tag_count;
    int64_t qos;
    int line;
};

struct config_sink {
    char *channel;              /* exact, or ending in '*' */
    char *bridge, *topic, *key; /* key "" : the publication's key */
    int64_t qos;
    bool retain;
    int line;
};

struct config_relay {
    char *from_bridge, *from_topic, *to_bridge;
    char *to_topic, *key; /* templates; key "" : the record's */
    enum source_mode mode;
    char *group;
    enum source_from from;
    int64_t from_ms;
    int64_t qos;
    char *dead_letter;    /* "" none */
    int64_t window_bytes; /* of records under way */
    int line;
};

struct config_module {
    char *name;
    struct config_option *options; /* every other key of the table, nested keys as "a.b", arrays as JSON text */
    size_t option_count;
    int line;
};

struct config {
    char *path; /* as given */
    char *dir;  /* folder of the file; paths of the file, also the servers of an embedded bridge, have it in front */
    struct config_server server;
    struct config_auth auth;
    struct config_limits limits;
    struct config_log log;
    struct config_debug debug;
    struct config_bridge *bridges;
    size_t bridge_count;
    struct config_namespace *namespaces;
    size_t namespace_count;
    struct config_source *sources;
    size_t source_count;
    struct config_sink *sinks;
    size_t sink_count;
    struct config_relay *relays;
    size_t relay_count;
    struct config_module *modules;
    size_t module_count;
    /* Read from the files named above, never logged; NULL where not configured. */
    char *hmac_secret, *api_key;
};

/* One override "server.listen=127.0.0.1:0" as given by -s. */
struct config_override {
    const char *text;
};

/* Reads, checks and completes with defaults. Every fault is appended to `faults` as one line
 * `FILE:LINE:COL key: what is wrong, allowed: ...` (for an override `-s KEY=VALUE: ...`). Notes that are no faults
 * (e.g. a channel that numbers its publications itself) go to `notes`. Returns NULL when there was a fault. */
CRIER_API struct config *config_load(const char *path, const struct config_override *overrides, size_t override_count,
                                     struct buf *faults, struct buf *notes);
CRIER_API void config_free(struct config *c); /* accepts NULL */
/* Namespace of a channel name, NULL when it is not configured. `chat:lobby` -> "chat", `news` -> "default"; the prefix
 * token_channels does not count: `$chat:lobby` -> "chat". */
CRIER_API const struct config_namespace *config_namespace_of(const struct config *c, struct bytes channel);
/* The part of a channel's name that is not the namespace's: `chat:lobby` -> "lobby", `$news` -> "news". */
CRIER_API struct bytes config_channel_rest(const struct config_namespace *ns, struct bytes channel);
/* Whether the name begins with token_channels of its namespace. */
CRIER_API bool config_channel_needs_token(const struct config_namespace *ns, struct bytes channel);
/* Whether the rest of the name fits `pattern`. */
CRIER_API bool config_channel_fits(const struct config_namespace *ns, struct bytes channel);
CRIER_API const struct config_bridge *config_bridge_find(const struct config *c, const char *name);
/* Content of a file without the line end that an editor leaves, on the heap. NULL with a reason (valid until the next
 * call) when it cannot be read, is empty, or can be read by everybody. */
CRIER_API char *config_read_secret(const char *path, const char **ret_reason);
/* Markdown of docs/config.md. */
CRIER_API void config_write_docs(struct buf *out);

/* "90s", "15m", "24h", "7d", "250ms", or a number of milliseconds; -EINVAL on anything else. */
CRIER_API int config_parse_duration(const char *text, int64_t *ret_ms);
/* "64KiB", "1MiB", "2GiB", or a number of bytes. */
CRIER_API int config_parse_size(const char *text, int64_t *ret_bytes);
/* RFC 3339 as "2026-01-31T08:00:00Z"; -EINVAL on anything else. */
CRIER_API int config_parse_time(const char *text, int64_t *ret_ms);

#endif
