#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>

#include "kafka.h"
#include "util/clock.h"

#define ASK_READY_MS 5000     /* between two looks while all is well */
#define ASK_AWAY_MS 250       /* after a look that failed */
#define ASK_TIMEOUT_MS 4000
#define SUSPECT_TIMEOUT_MS 1500
#define REASON_QUIET_MS 10000 /* a new reason for an old state is told once in so long */
#define LOG_QUIET_MS 10000

struct state_query {
    struct job job;
    struct bridge *bridge;
    rd_kafka_t *rk;
    int timeout_ms;
    rd_kafka_resp_err_t error;
    char *cluster_id;
};

/* ---- what is told ---- */

static const struct sub *sub_in_trouble(struct bridge *b)
{
    const struct sub *sub = b->subs;
    while (sub && !sub->problem[0])
        sub = sub->next;
    return sub;
}

static enum bridge_state compute(struct bridge *b, char reason[REASON_SIZE])
{
    const struct sub *trouble = sub_in_trouble(b);
    reason[0] = 0;
    if (b->failure[0]) {
        snprintf(reason, REASON_SIZE, "%s", b->failure);
        return BRIDGE_FAILED;
    }
    if (!b->answered_once) {
        snprintf(reason, REASON_SIZE, "%s", b->last_error);
        return BRIDGE_CONNECTING;
    }
    if (!b->answering) {
        snprintf(reason, REASON_SIZE, "brokers do not answer%s%.200s", b->last_error[0] ? ": " : "", b->last_error);
        return BRIDGE_DEGRADED;
    }
    if (!trouble)
        return BRIDGE_READY;
    snprintf(reason, REASON_SIZE, "%s", trouble->problem);
    return trouble->fatal ? BRIDGE_FAILED : BRIDGE_DEGRADED;
}

void state_update(struct bridge *b)
{
    char reason[REASON_SIZE];
    enum bridge_state state = compute(b, reason);
    uint64_t now = clock_mono_ms();
    if (b->closing)
        return;
    bool same = b->state_told && state == b->state;
    if (same && (strcmp(reason, b->reason) == 0 || (b->reason[0] && now < b->reason_at_ms + REASON_QUIET_MS)))
        return;
    b->state_told = true;
    b->state = state;
    memcpy(b->reason, reason, sizeof b->reason);
    b->reason_at_ms = now;
    b->host_ops->on_state(b->host, state, reason[0] ? b->reason : NULL);
}

/* ---- whether the brokers answer ---- */

static void work(struct job *job)
{
    struct state_query *q = CONTAINER(job, struct state_query, job);
    const struct rd_kafka_metadata *metadata;
    if (atomic_load(&q->bridge->stopping)) {
        q->error = RD_KAFKA_RESP_ERR__DESTROY;
        return;
    }
    q->error = rd_kafka_metadata(q->rk, 0, NULL, &metadata, q->timeout_ms);
    if (q->error)
        return;
    rd_kafka_metadata_destroy(metadata);
    q->cluster_id = rd_kafka_clusterid(q->rk, 0);
}

static void answered(struct bridge *b, const char *cluster_id)
{
    bool news = !b->answering;
    b->answering = b->answered_once = true;
    b->failure[0] = b->last_error[0] = 0;
    b->ask_at_ms = clock_mono_ms() + ASK_READY_MS;
    if (cluster_id && !b->cluster_id)
        b->cluster_id = xstrdup(cluster_id);
    for (struct sub *sub = b->subs; sub && news; sub = sub->next) {
        sub_ask_now(sub);
        sub_tick(sub, clock_mono_ms());
    }
}

static void done(struct job *job)
{
    struct state_query *q = CONTAINER(job, struct state_query, job);
    struct bridge *b = q->bridge;
    b->asking = false;
    if (b->closing) {
        b->ask_at_ms = UINT64_MAX;
    } else if (!q->error) {
        answered(b, q->cluster_id);
    } else {
        b->answering = false;
        b->ask_at_ms = clock_mono_ms() + ASK_AWAY_MS;
    }
    if (q->cluster_id)
        rd_kafka_mem_free(q->rk, q->cluster_id);
    free(q);
    state_update(b);
}

/* A producer's handle asks in a way that makes brokers create topics, so one that was deleted would come back. */
static rd_kafka_t *handle_to_ask(struct bridge *b)
{
    for (struct client *client = b->clients; client; client = client->next)
        if (client->rk && (client->role == ROLE_FANOUT || client->role == ROLE_GROUP))
            return client->rk;
    return b->producer->rk;
}

void state_tick(struct bridge *b, uint64_t now_ms)
{
    if (b->asking || now_ms < b->ask_at_ms)
        return;
    struct state_query *q = xcalloc(1, sizeof *q);
    q->job = (struct job){.work = work, .done = done};
    q->bridge = b;
    q->rk = handle_to_ask(b);
    q->timeout_ms = b->answering && b->ask_at_ms ? ASK_TIMEOUT_MS : SUSPECT_TIMEOUT_MS;
    b->asking = true;
    bridge_submit(b, &b->control, &q->job);
}

void state_suspect(struct bridge *b)
{
    b->ask_at_ms = 0;
    state_tick(b, clock_mono_ms());
}

/* ---- errors and log lines of librdkafka ---- */

/* "x: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT, 3 identical ...)" without
 * the changing part. */
static void remember(char to[REASON_SIZE], const char *text)
{
    const char *end = strstr(text, " (after ");
    snprintf(to, REASON_SIZE, "%.*s", end ? (int)(end - text) : (int)strlen(text), text);
}

static bool is_credential_error(rd_kafka_resp_err_t error)
{
    return error == RD_KAFKA_RESP_ERR__AUTHENTICATION || error == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED ||
           error == RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM;
}

/* A producer is replaced; a group member that was fenced off has lost its place to another one for good. */
static void take_fatal(struct client *client, const char *text)
{
    if (client == client->bridge->producer) {
        producer_replace(client->bridge);
    } else if (client->group) {
        sub_set_fatal(client->group, text);
    }
}

void state_error(struct client *client, rd_kafka_event_t *event)
{
    struct bridge *b = client->bridge;
    rd_kafka_resp_err_t error = rd_kafka_event_error(event);
    const char *text = rd_kafka_event_error_string(event);
    if (rd_kafka_event_error_is_fatal(event)) {
        state_note(b, LOG_LEVEL_ERROR, "FATAL", text);
        take_fatal(client, text);
    } else if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        state_suspect(b);
    } else if (is_credential_error(error) || (error == RD_KAFKA_RESP_ERR__SSL && !b->answered_once)) {
        remember(b->failure, text);
        b->answering = false;
        state_suspect(b);
    } else if (!b->answering || error == RD_KAFKA_RESP_ERR__TRANSPORT || error == RD_KAFKA_RESP_ERR__SSL) {
        remember(b->last_error, text);
    }
    state_update(b);
}

static struct log_quiet *quiet_slot(struct bridge *b, const char *kind)
{
    struct log_quiet *oldest = &b->quiet[0];
    for (size_t i = 0; i < LOG_KINDS; i++) {
        if (strcmp(b->quiet[i].kind, kind) == 0)
            return &b->quiet[i];
        if (b->quiet[i].until_ms < oldest->until_ms)
            oldest = &b->quiet[i];
    }
    *oldest = (struct log_quiet){0};
    snprintf(oldest->kind, sizeof oldest->kind, "%.31s", kind);
    return oldest;
}

void state_note(struct bridge *b, enum log_level level, const char *kind, const char *text)
{
    struct log_quiet *quiet = quiet_slot(b, kind);
    uint64_t now = clock_mono_ms();
    if (level > LOG_LEVEL_DEBUG && now < quiet->until_ms) {
        quiet->suppressed++;
        return;
    }
    quiet->until_ms = now + LOG_QUIET_MS;
    log_at(level, "kafka client", LOG_STR("bridge", b->name), LOG_STR("kind", kind), LOG_STR("text", text),
           LOG_INT("suppressed", quiet->suppressed));
    quiet->suppressed = 0;
}

/* A broker that is away is told by the state; its log lines are warnings whatever librdkafka thinks. */
static enum log_level level_of(int syslog_level)
{
    if (syslog_level >= LOG_DEBUG)
        return LOG_LEVEL_DEBUG;
    if (syslog_level >= LOG_NOTICE)
        return LOG_LEVEL_INFO;
    return syslog_level >= LOG_ERR ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR;
}

void state_log(struct bridge *b, rd_kafka_event_t *event)
{
    const char *kind, *text;
    int level;
    if (rd_kafka_event_log(event, &kind, &text, &level) < 0)
        return;
    /* "X is a consumer property and will be ignored by this producer": options are given to each kind of handle. */
    if (strcmp(kind, "CONFWARN") == 0)
        return;
    state_note(b, level_of(level), kind, text);
}
