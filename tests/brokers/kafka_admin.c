/* What the Kafka tests do to a cluster besides reading and writing: topics, trimming, transactions.
 *
 * kafka_admin BOOTSTRAP COMMAND TOPIC [ARGUMENT]..., see the table at the end. Exit code 1 with the reason on
 * standard error. */
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 15000

static rd_kafka_t *rk;
static rd_kafka_queue_t *queue;

static void die(const char *what, const char *reason)
{
    fprintf(stderr, "kafka_admin: %s: %s\n", what, reason);
    exit(1);
}

static void connect_to(const char *bootstrap, const char *transactional_id)
{
    char error[256] = "";
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, error, sizeof error);
    if (transactional_id)
        rd_kafka_conf_set(conf, "transactional.id", transactional_id, error, sizeof error);
    rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
    if (!rk)
        die("client", error);
    queue = rd_kafka_queue_new(rk);
}

static void wait_result(const char *what)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, TIMEOUT_MS);
    if (!event)
        die(what, "no answer in time");
    if (rd_kafka_event_error(event))
        die(what, rd_kafka_event_error_string(event));
    size_t count = 0;
    const rd_kafka_topic_result_t **topics = NULL;
    if (rd_kafka_event_CreateTopics_result(event))
        topics = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    else if (rd_kafka_event_DeleteTopics_result(event))
        topics = rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count);
    else if (rd_kafka_event_CreatePartitions_result(event))
        topics = rd_kafka_CreatePartitions_result_topics(rd_kafka_event_CreatePartitions_result(event), &count);
    for (size_t i = 0; i < count; i++)
        if (rd_kafka_topic_result_error(topics[i]))
            die(what, rd_kafka_err2str(rd_kafka_topic_result_error(topics[i])));
    rd_kafka_event_destroy(event);
}

static void handle_create(const char *topic, char **arguments, int count)
{
    char error[256];
    rd_kafka_NewTopic_t *created = rd_kafka_NewTopic_new(topic, atoi(arguments[0]), 1, error, sizeof error);
    for (int i = 1; i < count; i++) {
        char *value = strchr(arguments[i], '=');
        if (!value)
            die("create", "a setting is NAME=VALUE");
        *value = 0;
        rd_kafka_NewTopic_set_config(created, arguments[i], value + 1);
    }
    rd_kafka_CreateTopics(rk, &created, 1, NULL, queue);
    wait_result("create");
    rd_kafka_NewTopic_destroy(created);
}

static void handle_delete(const char *topic, char **arguments, int count)
{
    (void)arguments;
    (void)count;
    rd_kafka_DeleteTopic_t *deleted = rd_kafka_DeleteTopic_new(topic);
    rd_kafka_DeleteTopics(rk, &deleted, 1, NULL, queue);
    wait_result("delete");
    rd_kafka_DeleteTopic_destroy(deleted);
}

static void handle_partitions(const char *topic, char **arguments, int count)
{
    char error[256];
    (void)count;
    rd_kafka_NewPartitions_t *more = rd_kafka_NewPartitions_new(topic, (size_t)atoi(arguments[0]), error, sizeof error);
    rd_kafka_CreatePartitions(rk, &more, 1, NULL, queue);
    wait_result("partitions");
    rd_kafka_NewPartitions_destroy(more);
}

static void handle_trim(const char *topic, char **arguments, int count)
{
    (void)count;
    rd_kafka_topic_partition_list_t *before = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(before, topic, atoi(arguments[0]))->offset = atoll(arguments[1]);
    rd_kafka_DeleteRecords_t *trimmed = rd_kafka_DeleteRecords_new(before);
    rd_kafka_DeleteRecords(rk, &trimmed, 1, NULL, queue);
    wait_result("trim");
    rd_kafka_DeleteRecords_destroy(trimmed);
    rd_kafka_topic_partition_list_destroy(before);
}

static void check(const char *what, rd_kafka_error_t *error)
{
    if (error)
        die(what, rd_kafka_error_string(error));
}

static void run_transaction(const char *topic, int partition, bool commit, int records)
{
    static int number;
    check("begin", rd_kafka_begin_transaction(rk));
    for (int i = 0; i < records; i++) {
        char payload[32];
        snprintf(payload, sizeof payload, "%s%d", commit ? "committed" : "aborted", number++);
        rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
                          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_VALUE(payload, strlen(payload)),
                          RD_KAFKA_V_END);
    }
    rd_kafka_flush(rk, TIMEOUT_MS);
    check(commit ? "commit" : "abort", commit ? rd_kafka_commit_transaction(rk, TIMEOUT_MS)
                                              : rd_kafka_abort_transaction(rk, TIMEOUT_MS));
}

/* commit=3 abort=5 ...: one transaction each, of so many records. */
static void handle_transactions(const char *topic, char **arguments, int count)
{
    int partition = atoi(arguments[0]);
    check("init", rd_kafka_init_transactions(rk, TIMEOUT_MS));
    for (int i = 1; i < count; i++) {
        const char *value = strchr(arguments[i], '=');
        if (!value)
            die("transactions", "a transaction is commit=COUNT or abort=COUNT");
        run_transaction(topic, partition, strncmp(arguments[i], "commit", 6) == 0, atoi(value + 1));
    }
}

static const struct {
    const char *name;
    int least; /* arguments after the topic */
    void (*handle)(const char *topic, char **arguments, int count);
} commands[] = {
    {"create", 1, handle_create},             /* COUNT [NAME=VALUE]... */
    {"delete", 0, handle_delete},
    {"partitions", 1, handle_partitions},     /* COUNT */
    {"trim", 2, handle_trim},                 /* PARTITION FIRST_OFFSET_TO_KEEP */
    {"transactions", 2, handle_transactions}, /* PARTITION commit=COUNT|abort=COUNT... */
};

int main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands && argc >= 4; i++) {
        if (strcmp(argv[2], commands[i].name) != 0 || argc - 4 < commands[i].least)
            continue;
        connect_to(argv[1], strcmp(argv[2], "transactions") == 0 ? "tests" : NULL);
        commands[i].handle(argv[3], argv + 4, argc - 4);
        rd_kafka_queue_destroy(queue);
        rd_kafka_destroy(rk);
        return 0;
    }
    fputs("usage: kafka_admin BOOTSTRAP create|delete|partitions|trim|transactions TOPIC [ARGUMENT]...\n", stderr);
    return 64;
}
