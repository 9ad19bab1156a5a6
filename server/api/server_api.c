#include "server_api.h"

#include <stdlib.h>

#include "api/api_key.h"
#include "api/commands.h"
#include "api/pending.h"
#include "loop/engine.h"
#include "proto/json_scan.h"

#define BATCH_MAX 10000

struct batch;

struct api_call {
    struct command command; /* first */
    struct pending *pending;
    struct batch *batch; /* NULL: on its own */
    char *method;
};

struct batch {
    struct pending *pending;
    struct api_call **calls;
    size_t count, left;
    bool lines; /* of POST /api */
};

static void respond_text(struct http_request *r, int status, const char *text)
{
    const struct http_reply reply = {.status = status, .content_type = "text/plain; charset=utf-8", .body = bytes_of(text)};
    http_respond(r, &reply);
}

static struct api_call *new_call(struct http_request *r, struct bytes method, struct bytes params)
{
    struct api_call *call = xcalloc(1, sizeof *call);
    call->command.loop = loop_of_request(r);
    buf_append_bytes(&call->command.trace, http_header_get(r, "traceparent"));
    call->method = bytes_dup(method);
    buf_append_bytes(&call->command.params, params);
    return call;
}

static void free_call(struct api_call *call)
{
    command_done(&call->command);
    free(call->method);
    free(call);
}

/* ---- one call ---- */

/* With this header an error is an HTTP status and the bare error object. */
static bool wants_transport_errors(const struct http_request *r)
{
    return bytes_eq_str(http_header_get(r, "x-centrifugo-error-mode"), "transport");
}

/* Statuses of that mode where they differ from those of REST. */
static int transport_status(enum crier_error error)
{
    return error == CRIER_ERR_NOT_AVAILABLE ? 400 : crier_error_info(error)->http_status;
}

static void on_done(struct command *c)
{
    struct api_call *call = (struct api_call *)c;
    struct http_request *r = pending_take(call->pending);
    CLEANUP_BUF body = BUF_INIT;
    struct http_reply reply = {.status = 200, .content_type = "application/json"};

    if (r) {
        buf_append_str(&body, "{");
        command_write(c, &body);
        buf_append_str(&body, "}");
        reply.body = buf_bytes(&body);
        if (c->error != CRIER_OK && wants_transport_errors(r)) {
            reply.status = transport_status(c->error);
            reply.body = (struct bytes){body.data + strlen("{\"error\":"), body.len - strlen("{\"error\":") - 1};
        }
        http_respond(r, &reply);
    }
    free_call(call);
}

/* ---- batch ---- */

static void write_reply(const struct api_call *call, struct buf *out)
{
    if (call->batch->lines || call->command.error != CRIER_OK) {
        buf_append_str(out, "{");
        command_write(&call->command, out);
        buf_append_str(out, "}");
        return;
    }
    buf_append_str(out, "{\"");
    buf_append_str(out, call->method);
    buf_append_str(out, "\":");
    buf_append_bytes(out, buf_bytes(&call->command.result));
    buf_append_str(out, "}");
}

static void finish_batch(struct batch *b)
{
    struct http_request *r = pending_take(b->pending);
    CLEANUP_BUF body = BUF_INIT;

    buf_append_str(&body, b->lines ? "" : "{\"replies\":[");
    for (size_t i = 0; i < b->count; i++) {
        if (i)
            buf_append_str(&body, b->lines ? "\n" : ",");
        write_reply(b->calls[i], &body);
        free_call(b->calls[i]);
    }
    buf_append_str(&body, b->lines ? "\n" : "]}");
    if (r) {
        const struct http_reply reply = {.status = 200, .content_type = "application/json", .body = buf_bytes(&body)};
        http_respond(r, &reply);
    }
    free(b->calls);
    free(b);
}

static void on_part_done(struct command *c)
{
    struct batch *b = ((struct api_call *)c)->batch;
    if (--b->left == 0)
        finish_batch(b);
}

static void add_call(struct batch *b, struct http_request *r, struct bytes method, struct bytes params)
{
    b->calls = xrealloc(b->calls, (b->count + 1) * sizeof(struct api_call *));
    struct api_call *call = new_call(r, method, params);
    call->batch = b;
    call->command.done = on_part_done;
    b->calls[b->count++] = call;
}

/* One element of `commands`: an object with one member, the method. */
static bool add_part(struct batch *b, struct http_request *r, struct bytes element)
{
    struct json_cursor cursor = json_cursor_at(element, JSON_DEPTH_DEFAULT, JSON_STRICT);
    struct json_member member;
    if (json_enter_object(&cursor) < 0 || json_next_member(&cursor, &member) != 0)
        return false;
    add_call(b, r, member.name, member.value);
    return true;
}

/* {"method":"publish","params":{..}} */
static bool add_line(struct batch *b, struct http_request *r, struct bytes line)
{
    CLEANUP_BUF method = BUF_INIT;
    struct bytes params = BYTES_LIT("{}");
    if (json_get_string(line, "method", &method) < 0 || !param_object(line, "params", &params))
        return false;
    add_call(b, r, buf_bytes(&method), params);
    return true;
}

static bool add_lines(struct batch *b, struct http_request *r, struct bytes body)
{
    struct json_cursor cursor = json_cursor_at(body, JSON_DEPTH_MAX, JSON_RFC);
    struct bytes command;
    do {
        if (json_next_value(&cursor, &command) < 0 || b->count == BATCH_MAX || !add_line(b, r, command))
            return false;
    } while (json_expect_end(&cursor) < 0);
    return true;
}

static bool add_parts(struct batch *b, struct http_request *request, struct bytes commands)
{
    struct json_cursor cursor = json_cursor_at(commands, JSON_DEPTH_DEFAULT, JSON_STRICT);
    struct bytes element;
    if (json_enter_array(&cursor) < 0)
        return false;
    int r;
    while ((r = json_next_element(&cursor, &element)) == 0)
        if (b->count == BATCH_MAX || !add_part(b, request, element))
            return false;
    return r == 1 && b->count > 0;
}

static void drop_batch(struct batch *b)
{
    for (size_t i = 0; i < b->count; i++)
        free_call(b->calls[i]);
    free(b->calls);
    free(b);
}

static void start_batch(struct batch *b, struct http_request *r)
{
    b->pending = pending_new(r);
    /* The count must not reach zero while commands are still being started. */
    b->left = b->count + 1;
    size_t count = b->count;
    for (size_t i = 0; i < count; i++)
        command_run(&b->calls[i]->command, bytes_of(b->calls[i]->method));
    if (--b->left == 0)
        finish_batch(b);
}

static void run_batch(struct http_request *r)
{
    struct batch *b = xcalloc(1, sizeof *b);
    struct bytes commands;
    if (json_get_raw(http_body(r), "commands", &commands) == 0 && add_parts(b, r, commands)) {
        start_batch(b, r);
        return;
    }
    drop_batch(b);
    http_respond_error(r, CRIER_ERR_BAD_REQUEST, "commands is a list of {\"method\":{...}}");
}

/* False after the refusal. */
static bool has_key(struct http_request *r)
{
    const struct http_reply refusal = {.status = 401};
    bool valid = api_key_valid(r);
    if (!valid)
        http_respond(r, &refusal);
    return valid;
}

void server_api_lines(struct http_request *r, void *arg)
{
    (void)arg;
    if (!has_key(r))
        return;
    struct batch *b = xcalloc(1, sizeof *b);
    b->lines = true;
    if (add_lines(b, r, http_body(r))) {
        start_batch(b, r);
        return;
    }
    drop_batch(b);
    respond_text(r, 400, "the body must be lines of {\"method\":\"..\",\"params\":{..}}\n");
}

void server_api(struct http_request *r, void *arg)
{
    struct bytes method = http_path_rest(r), body = http_body(r);
    const char *reason;
    (void)arg;

    if (!has_key(r))
        return;
    bool batch = bytes_eq_str(method, "batch");
    if (!batch && !command_known(method)) {
        respond_text(r, 404, "404 page not found\n");
        return;
    }
    if (body.len == 0 || body.data[0] != '{' || json_check(body, JSON_DEPTH_MAX, JSON_RFC, &reason) < 0) {
        respond_text(r, 400, "the body must be a JSON object\n");
        return;
    }
    if (batch) {
        run_batch(r);
        return;
    }
    struct api_call *call = new_call(r, method, body);
    call->command.done = on_done;
    call->pending = pending_new(r);
    command_run(&call->command, method);
}
