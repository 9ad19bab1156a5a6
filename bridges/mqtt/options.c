#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "topic.h"

#define SECOND UINT64_C(1000)
#define PASSWORD_LIMIT 65535

enum option_kind { OPTION_TEXT, OPTION_FILE, OPTION_BOOL, OPTION_NUMBER, OPTION_DURATION, OPTION_WORD };

/* One row an option. `word0` and `word1` are what an OPTION_WORD may say; word1 stands for true. */
struct option_rule {
    const char *name;
    enum option_kind kind;
    size_t offset;
    uint64_t preset, min, max;
    const char *word0, *word1;
    bool v5_only;
};

#define RULE(option, k, field, ...)                                                                                     \
    {                                                                                                                  \
        .name = option, .kind = k, .offset = offsetof(struct mqtt_options, field), __VA_ARGS__                         \
    }

static const struct option_rule rules[] = {
    RULE("client_id", OPTION_TEXT, client_id, ),
    RULE("username", OPTION_TEXT, username, ),
    RULE("password_file", OPTION_FILE, password_file, ),
    RULE("ca_file", OPTION_FILE, ca_file, ),
    RULE("cert_file", OPTION_FILE, cert_file, ),
    RULE("key_file", OPTION_FILE, key_file, ),
    RULE("status_topic", OPTION_TEXT, status_topic, ),
    RULE("protocol", OPTION_WORD, v5, .preset = 1, .word0 = "3.1.1", .word1 = "5"),
    RULE("empty_payload", OPTION_WORD, empty_is_tombstone, .word0 = "record", .word1 = "tombstone"),
    RULE("verify", OPTION_BOOL, verify, .preset = 1),
    RULE("clean_start", OPTION_BOOL, clean_start, .preset = 0),
    RULE("keepalive", OPTION_DURATION, keepalive_ms, .preset = 30 * SECOND, .min = SECOND, .max = 65535 * SECOND),
    RULE("connect_timeout", OPTION_DURATION, connect_timeout_ms, .preset = 10 * SECOND, .min = SECOND,
         .max = 3600 * SECOND),
    RULE("session_expiry", OPTION_DURATION, session_expiry_ms, .preset = 3600 * SECOND, .max = 4294967294 * SECOND,
         .v5_only = true),
    RULE("reconnect_min", OPTION_DURATION, reconnect_min_ms, .preset = SECOND, .min = 10, .max = 3600 * SECOND),
    RULE("reconnect_max", OPTION_DURATION, reconnect_max_ms, .preset = 30 * SECOND, .min = 10, .max = 3600 * SECOND),
    RULE("max_inflight", OPTION_NUMBER, max_inflight, .preset = 100, .min = 1, .max = 1000),
    RULE("max_buffered", OPTION_NUMBER, max_buffered, .preset = 10000, .max = 10000000),
    RULE("receive_queue", OPTION_NUMBER, receive_queue, .preset = 10000, .min = 1, .max = 10000000),
    RULE("qos", OPTION_NUMBER, qos, .preset = 1, .max = 2),
};
#define RULE_COUNT (sizeof rules / sizeof *rules)

const char *const mqtt_option_names[] = {
    "client_id", "username",      "password_file", "ca_file",         "cert_file",      "key_file",      "status_topic",
    "protocol",  "empty_payload", "verify",        "clean_start",     "keepalive",      "connect_timeout", "session_expiry",
    "reconnect_min", "reconnect_max", "max_inflight", "max_buffered", "receive_queue",  "qos",           NULL,
};

struct fault {
    char *text;
    size_t size;
};

__attribute__((format(printf, 2, 3))) static int fail(const struct fault *f, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(f->text, f->size, format, args);
    va_end(args);
    return -EINVAL;
}

static char *own(struct mqtt_options *o, char *text)
{
    o->owned = xrealloc(o->owned, (o->owned_count + 1) * sizeof *o->owned);
    o->owned[o->owned_count++] = text;
    return text;
}

/* "250ms", "10s", "2m", "24h", "30" (seconds). */
static bool parse_duration(const char *text, uint64_t *ret_ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"", SECOND}, {"ms", 1}, {"s", SECOND}, {"m", 60 * SECOND}, {"h", 3600 * SECOND}, {"d", 86400 * SECOND}};
    char *end;
    if (!isdigit((unsigned char)*text))
        return false;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(end, units[i].unit) == 0)
            return errno == 0 && !__builtin_mul_overflow(n, units[i].ms, ret_ms);
    return false;
}

static bool parse_number(const char *text, uint64_t *ret)
{
    char *end;
    if (!isdigit((unsigned char)*text))
        return false;
    errno = 0;
    *ret = strtoull(text, &end, 10);
    return errno == 0 && *end == 0;
}

static int set_text(struct mqtt_options *o, const struct option_rule *r, const char *value, const struct fault *f)
{
    if (*value == 0 || !mqtt_text_is_valid(bytes_of(value)))
        return fail(f, "%s must not be empty and has to be UTF-8 of at most 65535 bytes", r->name);
    if (r->kind == OPTION_FILE && access(value, R_OK) < 0)
        return fail(f, "%s cannot be read: %s: %s", r->name, value, strerror(errno));
    *(char **)((char *)o + r->offset) = own(o, xstrdup(value));
    return 0;
}

static int set_choice(struct mqtt_options *o, const struct option_rule *r, const char *value, const struct fault *f)
{
    const char *no = r->kind == OPTION_BOOL ? "false" : r->word0, *yes = r->kind == OPTION_BOOL ? "true" : r->word1;
    if (strcmp(value, no) != 0 && strcmp(value, yes) != 0)
        return fail(f, "%s is \"%s\", allowed: %s, %s", r->name, value, yes, no);
    *(bool *)((char *)o + r->offset) = strcmp(value, yes) == 0;
    return 0;
}

static int set_number(struct mqtt_options *o, const struct option_rule *r, const char *value, const struct fault *f)
{
    uint64_t n;
    if (r->kind == OPTION_NUMBER) {
        if (!parse_number(value, &n) || n < r->min || n > r->max)
            return fail(f, "%s is \"%s\", allowed: %llu to %llu", r->name, value, (unsigned long long)r->min,
                        (unsigned long long)r->max);
    } else if (!parse_duration(value, &n) || n < r->min || n > r->max) {
        return fail(f, "%s is \"%s\", allowed: a time from %llums to %llus, as 500ms, 10s, 2m", r->name, value,
                    (unsigned long long)r->min, (unsigned long long)(r->max / SECOND));
    }
    *(uint64_t *)((char *)o + r->offset) = n;
    return 0;
}

static int set_option(struct mqtt_options *o, const struct option_rule *r, const char *value, const struct fault *f)
{
    static int (*const setters[])(struct mqtt_options *, const struct option_rule *, const char *,
                                  const struct fault *) = {
        [OPTION_TEXT] = set_text,     [OPTION_FILE] = set_text,       [OPTION_BOOL] = set_choice,
        [OPTION_NUMBER] = set_number, [OPTION_DURATION] = set_number, [OPTION_WORD] = set_choice,
    };
    return setters[r->kind](o, r, value, f);
}

static void set_preset(struct mqtt_options *o, const struct option_rule *r)
{
    if (r->kind == OPTION_BOOL || r->kind == OPTION_WORD)
        *(bool *)((char *)o + r->offset) = r->preset != 0;
    else if (r->kind == OPTION_NUMBER || r->kind == OPTION_DURATION)
        *(uint64_t *)((char *)o + r->offset) = r->preset;
}

static const struct option_rule *find_rule(const char *name)
{
    for (size_t i = 0; i < RULE_COUNT; i++)
        if (strcmp(rules[i].name, name) == 0)
            return &rules[i];
    return NULL;
}

static int read_options(struct mqtt_options *o, const struct bridge_open *open, const struct fault *f)
{
    for (size_t i = 0; i < RULE_COUNT; i++)
        set_preset(o, &rules[i]);
    for (size_t i = 0; i < open->option_count; i++) {
        const struct option_rule *r = find_rule(open->options[i].name);
        if (!r)
            return fail(f, "unknown option %s, see docs/mqtt.md", open->options[i].name);
        int error = set_option(o, r, open->options[i].value, f);
        if (error)
            return error;
    }
    return 0;
}

/* mqtt://host[:port], mqtts://, tcp://, ssl://, ws://host[:port][/path], wss://, or host[:port]; [::1] for IPv6. */
static const struct scheme {
    const char *prefix, *as;
    int port;
    bool tls, websocket;
} schemes[] = {
    {"mqtt://", "tcp://", 1883, false, false}, {"tcp://", "tcp://", 1883, false, false},
    {"mqtts://", "ssl://", 8883, true, false}, {"ssl://", "ssl://", 8883, true, false},
    {"ws://", "ws://", 80, false, true},       {"wss://", "wss://", 443, true, true},
};

static const struct scheme *find_scheme(const char **text)
{
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t length = strlen(schemes[i].prefix);
        if (strncmp(*text, schemes[i].prefix, length) == 0) {
            *text += length;
            return &schemes[i];
        }
    }
    return strstr(*text, "://") ? NULL : &schemes[0];
}

/* The end of the host in "host[:port][/path]"; brackets may hold colons. */
static const char *host_end(const char *text)
{
    if (*text == '[') {
        const char *close = strchr(text, ']');
        return close ? close + 1 : text;
    }
    return text + strcspn(text, ":/");
}

static bool parse_address(const char *text, const struct scheme *s, char **ret)
{
    const char *end = host_end(text), *path = end + strcspn(end, "/");
    struct bytes port = {end + 1, *end == ':' ? (size_t)(path - end - 1) : 0};
    uint64_t number = (uint64_t)s->port;
    if (end == text || (*end && *end != ':' && *end != '/') || (*path && !s->websocket))
        return false;
    if (*end == ':') {
        char *copy = bytes_dup(port);
        bool valid = parse_number(copy, &number) && number > 0 && number < 65536;
        free(copy);
        if (!valid)
            return false;
    }
    struct buf out = BUF_INIT;
    buf_append_str(&out, s->as);
    buf_append(&out, text, (size_t)(end - text));
    buf_printf(&out, ":%d%s", (int)number, path);
    buf_append(&out, "", 1);
    *ret = buf_take(&out);
    return true;
}

static int add_server(struct mqtt_options *o, const char *text, const struct fault *f)
{
    const char *address = text;
    const struct scheme *s = find_scheme(&address);
    char *uri;
    if (!s)
        return fail(f, "server %s has an unknown scheme, allowed: mqtt mqtts tcp ssl ws wss", text);
    if (o->server_count == MQTT_SERVERS_MAX)
        return fail(f, "more than %d servers", MQTT_SERVERS_MAX);
    if (o->server_count && (o->tls != s->tls || o->websocket != s->websocket))
        return fail(f, "server %s differs in its scheme: all servers of one bridge need the same one", text);
    if (!parse_address(address, s, &uri))
        return fail(f, "server %s is not [mqtt|mqtts|ws|wss://]HOST[:PORT]", text);
    o->tls = s->tls;
    o->websocket = s->websocket;
    o->servers[o->server_count++] = own(o, uri);
    return 0;
}

static int read_servers(struct mqtt_options *o, const char *list, const struct fault *f)
{
    char *copy = own(o, xstrdup(list)), *save, *item;
    for (item = strtok_r(copy, ", ", &save); item; item = strtok_r(NULL, ", ", &save)) {
        int error = add_server(o, item, f);
        if (error)
            return error;
    }
    return o->server_count ? 0 : fail(f, "servers is empty, e.g. mqtt://127.0.0.1:1883");
}

static bool has_tls_option(const struct mqtt_options *o, const struct bridge_open *open)
{
    return o->ca_file || o->cert_file || o->key_file || bridge_option_get(open, "verify");
}

/* What goes together. */
static int check_together(const struct mqtt_options *o, const struct bridge_open *open, const struct fault *f)
{
    for (size_t i = 0; i < RULE_COUNT; i++)
        if (rules[i].v5_only && !o->v5 && bridge_option_get(open, rules[i].name))
            return fail(f, "%s needs protocol = \"5\"", rules[i].name);
    if (!o->tls && has_tls_option(o, open))
        return fail(f, "ca_file, cert_file, key_file and verify need mqtts:// or wss:// servers");
    if (o->key_file && !o->cert_file)
        return fail(f, "key_file needs cert_file");
    if (o->password_file && !o->username)
        return fail(f, "password_file needs username");
    if (o->reconnect_min_ms > o->reconnect_max_ms)
        return fail(f, "reconnect_min is above reconnect_max");
    const char *topic_fault = o->status_topic ? mqtt_topic_fault(bytes_of(o->status_topic)) : NULL;
    return topic_fault ? fail(f, "status_topic: %s", topic_fault) : 0;
}

int mqtt_options_read(struct mqtt_options *o, const struct bridge_open *open, char *error, size_t error_size)
{
    const struct fault f = {error, error_size};
    int r;
    *o = (struct mqtt_options){0};
    if ((r = read_options(o, open, &f)) || (r = read_servers(o, open->servers, &f)) ||
        (r = check_together(o, open, &f))) {
        mqtt_options_done(o);
        return r;
    }
    if (!o->client_id) {
        struct buf id = BUF_INIT;
        buf_printf(&id, "crier-%s-%s", open->node_id, open->name);
        buf_append(&id, "", 1);
        o->client_id = own(o, buf_take(&id));
    }
    return 0;
}

void mqtt_options_done(struct mqtt_options *o)
{
    for (size_t i = 0; i < o->owned_count; i++)
        free(o->owned[i]);
    free(o->owned);
    *o = (struct mqtt_options){0};
}

char *mqtt_options_password(const struct mqtt_options *o)
{
    FILE *file = fopen(o->password_file, "re");
    char *line = NULL;
    size_t size = 0;
    if (!file)
        return NULL;
    ssize_t n = getline(&line, &size, file);
    fclose(file);
    if (n < 0 || n > PASSWORD_LIMIT) {
        free(line);
        return NULL;
    }
    line[strcspn(line, "\r\n")] = 0;
    return line;
}
