#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "kafka.h"

#define PRODUCER (1u << ROLE_PRODUCER)
#define FANOUT (1u << ROLE_FANOUT)
#define GROUP (1u << ROLE_GROUP)
#define READER (1u << ROLE_READER)
#define CONSUMERS (FANOUT | GROUP | READER)
#define EVERY (PRODUCER | CONSUMERS)

struct setting {
    unsigned roles;
    const char *name, *value;
};

/* Options of the bridge override these. */
static const struct setting defaults[] = {
    {EVERY, "socket.keepalive.enable", "true"},
    {EVERY, "socket.nagle.disable", "true"},
    {EVERY, "reconnect.backoff.max.ms", "2000"},
    {EVERY, "log.connection.close", "false"},
    {EVERY, "topic.metadata.refresh.interval.ms", "30000"},
    {PRODUCER, "enable.idempotence", "true"},
    {PRODUCER, "partitioner", "murmur2_random"}, /* places a key where the Java client places it */
    {PRODUCER, "linger.ms", "2"},
    {PRODUCER, "batch.num.messages", "10000"},
    {PRODUCER, "compression.type", "lz4"},
    {PRODUCER, "queue.buffering.max.kbytes", "262144"},
    {PRODUCER, "topic.metadata.propagation.max.ms", "5000"},
    {CONSUMERS, "allow.auto.create.topics", "false"},
    {CONSUMERS, "fetch.error.backoff.ms", "100"},
    {FANOUT | GROUP, "fetch.wait.max.ms", "50"},
    {FANOUT | GROUP, "queued.min.messages", "100000"},
    {FANOUT | GROUP, "queued.max.messages.kbytes", "32768"},
    {FANOUT | GROUP, "fetch.message.max.bytes", "1048576"},
    {READER, "fetch.wait.max.ms", "10"},
    {READER, "queued.min.messages", "100000"},
    {READER, "queued.max.messages.kbytes", "8192"},
    {READER, "fetch.message.max.bytes", "262144"}, /* a resume asks for a few records, not for a megabyte */
};

/* These hold whatever the options say; see `refused`. */
static const struct setting forced[] = {
    {EVERY, "log.queue", "true"},
    {CONSUMERS, "enable.auto.commit", "false"},
    {CONSUMERS, "enable.auto.offset.store", "false"},
    {CONSUMERS, "enable.partition.eof", "true"},
    {FANOUT | READER, "auto.offset.reset", "error"},
    {GROUP, "partition.assignment.strategy", "cooperative-sticky"},
};

/* A trailing * stands for any rest. */
static const struct {
    const char *name, *value, *reason; /* value NULL: any */
} refused[] = {
    {"bootstrap.servers", NULL, "set `servers` of the bridge"},
    {"metadata.broker.list", NULL, "set `servers` of the bridge"},
    {"group.id", NULL, "set `group` of the source; fan-out needs no group"},
    {"enable.auto.commit", NULL, "a position is committed after its record is in the channel, never before"},
    {"auto.commit.*", NULL, "a position is committed after its record is in the channel, never before"},
    {"enable.auto.offset.store", NULL, "a position is committed after its record is in the channel, never before"},
    {"offset.store.*", NULL, "positions of a group are kept by the broker"},
    {"auto.offset.reset", NULL, "set `from` of the source"},
    {"enable.partition.eof", NULL, "the driver needs it to know when it has caught up"},
    {"partition.assignment.strategy", NULL, "groups use cooperative-sticky"},
    {"message.timeout.ms", NULL, "set the publish timeout of the server"},
    {"delivery.timeout.ms", NULL, "set the publish timeout of the server"},
    {"queue.buffering.max.messages", NULL, "set the publish queue of the server"},
    {"transactional.id", NULL, "publishes are not transactional"},
    {"acks", "0", "a publish is answered only after the broker has stored it"},
    {"request.required.acks", "0", "a publish is answered only after the broker has stored it"},
    {"delivery.report.only.error", NULL, "each publish gets an answer"},
    {"plugin.library.paths", NULL, "it would load foreign code into the server"},
    {"test.mock.num.brokers", NULL, "it would replace the brokers"},
    {"log.queue", NULL, "log lines go to the server's log"},
    {"enabled_events", NULL, "it belongs to the driver"},
    {"opaque", NULL, "it belongs to the driver"},
    {"default_topic_conf", NULL, "it belongs to the driver"},
    {"interceptors", NULL, "it belongs to the driver"},
    {"*_cb", NULL, "it belongs to the driver"},
};

static bool name_matches(const char *pattern, const char *name)
{
    size_t len = strlen(pattern), name_len = strlen(name);
    if (pattern[0] == '*')
        return name_len >= len - 1 && strcmp(name + name_len - (len - 1), pattern + 1) == 0;
    if (pattern[len - 1] == '*')
        return strncmp(name, pattern, len - 1) == 0;
    return strcmp(name, pattern) == 0;
}

static const char *refusal_of(const struct bridge_option *option)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (name_matches(refused[i].name, option->name) &&
            (!refused[i].value || strcmp(refused[i].value, option->value) == 0))
            return refused[i].reason;
    return NULL;
}

static int set(rd_kafka_conf_t *conf, const char *name, const char *value, char *error, size_t error_size)
{
    char detail[256] = "";
    if (rd_kafka_conf_set(conf, name, value, detail, sizeof detail) == RD_KAFKA_CONF_OK)
        return 0;
    snprintf(error, error_size, "option \"%s\": %s (allowed: the configuration properties of librdkafka %s)", name,
             detail, rd_kafka_version_str());
    return -EINVAL;
}

static int set_number(rd_kafka_conf_t *conf, const char *name, uint64_t value, char *error, size_t error_size)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return set(conf, name, text, error, error_size);
}

static int set_table(rd_kafka_conf_t *conf, const struct setting *table, size_t n, enum role role, char *error,
                     size_t error_size)
{
    for (size_t i = 0; i < n; i++) {
        if (!(table[i].roles & (1u << role)))
            continue;
        int r = set(conf, table[i].name, table[i].value, error, error_size);
        if (r < 0)
            return r;
    }
    return 0;
}

/* A static member has one id a subscription: two subscriptions of one group would fence each other off. */
static int set_option(rd_kafka_conf_t *conf, const struct bridge_option *option, const char *topic, char *error,
                      size_t error_size)
{
    const char *reason = refusal_of(option);
    if (reason) {
        snprintf(error, error_size, "option \"%s\" cannot be set here: %s", option->name, reason);
        return -EINVAL;
    }
    if (!topic || strcmp(option->name, "group.instance.id") != 0)
        return set(conf, option->name, option->value, error, error_size);
    char id[512];
    snprintf(id, sizeof id, "%s-%s", option->value, topic);
    return set(conf, option->name, id, error, error_size);
}

static int set_options(rd_kafka_conf_t *conf, const struct bridge_open *open, const char *topic, char *error,
                       size_t error_size)
{
    for (size_t i = 0; i < open->option_count; i++) {
        int r = set_option(conf, &open->options[i], topic, error, error_size);
        if (r < 0)
            return r;
    }
    return 0;
}

static int set_own(rd_kafka_conf_t *conf, const struct bridge_open *open, enum role role, const char *group,
                   bool earliest, char *error, size_t error_size)
{
    int r = set(conf, "bootstrap.servers", open->servers, error, error_size);
    if (r == 0 && role == ROLE_PRODUCER)
        r = set_number(conf, "message.timeout.ms", open->publish_timeout_ms, error, error_size);
    if (r == 0 && role == ROLE_PRODUCER)
        r = set_number(conf, "queue.buffering.max.messages", open->publish_queue ? open->publish_queue : 1, error,
                       error_size);
    if (r == 0 && group)
        r = set(conf, "group.id", group, error, error_size);
    if (r == 0 && role == ROLE_GROUP)
        r = set(conf, "auto.offset.reset", earliest ? "earliest" : "latest", error, error_size);
    return r;
}

#define TABLE(t) (t), sizeof(t) / sizeof *(t)

static int fill(rd_kafka_conf_t *conf, const struct bridge_open *open, enum role role, const char *group,
                bool earliest, const char *topic, char *error, size_t error_size)
{
    int r = set(conf, "client.id", open->node_id ? open->node_id : "crier", error, error_size);
    if (r == 0)
        r = set_table(conf, TABLE(defaults), role, error, error_size);
    if (r == 0)
        r = set_options(conf, open, topic, error, error_size);
    if (r == 0)
        r = set_table(conf, TABLE(forced), role, error, error_size);
    if (r == 0)
        r = set_own(conf, open, role, group, earliest, error, error_size);
    return r;
}

rd_kafka_conf_t *options_conf(const struct bridge_open *open, enum role role, const char *group, bool earliest,
                              const char *topic, char *error, size_t error_size)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (fill(conf, open, role, group, earliest, topic, error, error_size) == 0)
        return conf;
    rd_kafka_conf_destroy(conf);
    return NULL;
}

/* HOST, HOST:PORT or [IPV6]:PORT, with an optional PROTOCOL:// in front as librdkafka takes it. */
static bool server_valid(struct bytes s)
{
    const char *host = memmem(s.data, s.len, "://", 3);
    if (host) {
        s.len -= (size_t)(host + 3 - s.data);
        s.data = host + 3;
    }
    const char *bracket = s.len && s.data[0] == '[' ? memchr(s.data, ']', s.len) : NULL;
    const char *from = bracket ? bracket : s.data;
    const char *colon = memchr(from, ':', (size_t)(s.data + s.len - from));
    size_t host_len = colon ? (size_t)(colon - s.data) : s.len;
    if (host_len == 0)
        return false;
    if (!colon)
        return true;
    long port = 0;
    for (const char *p = colon + 1; p < s.data + s.len; p++) {
        if (!isdigit((unsigned char)*p) || (port = port * 10 + (*p - '0')) > 65535)
            return false;
    }
    return port > 0;
}

static int servers_check(const char *servers, char *error, size_t error_size)
{
    const char *p = servers;
    for (;;) {
        p += strspn(p, " ");
        size_t len = strcspn(p, ",");
        struct bytes one = {p, len};
        while (one.len && one.data[one.len - 1] == ' ')
            one.len--;
        if (!server_valid(one)) {
            snprintf(error, error_size, "servers \"%s\": \"%.*s\" is no broker address (allowed: HOST:PORT, ...)",
                     servers, (int)one.len, one.data);
            return -EINVAL;
        }
        if (!p[len])
            return 0;
        p += len + 1;
    }
}

int options_check(const struct bridge_open *open, char *error, size_t error_size)
{
    int r = servers_check(open->servers, error, error_size);
    for (int role = 0; role < ROLE_COUNT && r == 0; role++) {
        rd_kafka_conf_t *conf = options_conf(open, (enum role)role, role == ROLE_GROUP ? "check" : NULL, false, NULL,
                                             error, error_size);
        if (!conf)
            r = -EINVAL;
        else
            rd_kafka_conf_destroy(conf);
    }
    return r;
}
