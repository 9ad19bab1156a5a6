#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"
#include "http_client.h"

#define ANSWER_TIMEOUT_S 60 /* longer than the server waits for its broker */

struct publisher {
    struct http_client *client;
    const char *channel, *key;
    size_t line;
    int exit_code;
};

static void complain(struct publisher *p, int exit_code, const char *what)
{
    fprintf(stderr, "crier publish: line %zu: %s\n", p->line, what);
    p->exit_code = exit_code;
}

/* A line that is JSON goes as it is, byte for byte. */
static bool append_data(struct buf *out, struct bytes line)
{
    json_t *value = json_loadb(line.data, line.len, JSON_DECODE_ANY, NULL);
    if (value)
        buf_append_bytes(out, line);
    else
        buf_append_json_string(out, line);
    json_t *text = value ? NULL : json_stringn(line.data, line.len); /* refuses what is not UTF-8 */
    bool sound = value || text;
    json_decref(value);
    json_decref(text);
    return sound;
}

/* {"result":{"offset":7,"epoch":"x"}} or {"error":{"code":121,"message":"..."}} */
static void print_answer(struct publisher *p, const struct http_reply *reply)
{
    json_t *root = json_loadb(reply->body.data, reply->body.len, 0, NULL), *error = json_object_get(root, "error");
    json_int_t offset = 0, code = 0;
    const char *epoch = "", *message = "";
    char text[300];
    if (error && json_unpack(error, "{s:I, s?s}", "code", &code, "message", &message) == 0) {
        snprintf(text, sizeof text, "error %lld: %s", (long long)code, message);
        complain(p, CLI_FAULTS, text);
    } else if (json_unpack(root, "{s:{s:I, s?s}}", "result", "offset", &offset, "epoch", &epoch) == 0) {
        printf("%lld %s\n", (long long)offset, epoch);
        fflush(stdout);
    } else {
        snprintf(text, sizeof text, "no answer of a crier server, HTTP status %d", reply->status);
        complain(p, CLI_FAULTS, text);
    }
    json_decref(root);
}

/* False: the server is away, further lines are pointless. */
static bool publish(struct publisher *p, struct bytes line)
{
    CLEANUP_BUF body = BUF_INIT;
    struct http_reply reply;
    buf_append_str(&body, "{\"channel\":");
    buf_append_json_string(&body, bytes_of(p->channel));
    if (p->key) {
        buf_append_str(&body, ",\"key\":");
        buf_append_json_string(&body, bytes_of(p->key));
    }
    buf_append_str(&body, ",\"data\":");
    if (!append_data(&body, line)) {
        complain(p, CLI_FAULTS, "not UTF-8, not published");
        return true;
    }
    buf_append_str(&body, "}");
    int r = http_client_request(p->client, "POST", "/api/publish", buf_bytes(&body), ANSWER_TIMEOUT_S, &reply);
    if (r < 0) {
        complain(p, CLI_UNAVAILABLE, strerror(-r));
        return false;
    }
    print_answer(p, &reply);
    buf_done(&reply.body);
    return true;
}

static void publish_lines(struct publisher *p)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len;
    bool going = true;
    while (going && (len = getline(&line, &size, stdin)) >= 0) {
        p->line++;
        if (len > 0 && line[len - 1] == '\n')
            len--;
        going = publish(p, (struct bytes){line, (size_t)len});
    }
    free(line);
}

int cmd_publish(int argc, char **argv)
{
    struct cli_server_options o = {.run = CLI_RUN_OPTIONS_INIT};
    struct publisher p = {0};
    const struct cli_option table[] = {CLI_SERVER_OPTIONS(&o), {"key", 0, CLI_TEXT, &p.key}};
    int r = cli_parse(argc, argv, table, sizeof table / sizeof *table, &p.channel, 1);
    if (r == 0)
        r = cli_open_server(&o, &p.client);
    if (r)
        return r;
    publish_lines(&p);
    http_client_free(p.client);
    return p.exit_code;
}
