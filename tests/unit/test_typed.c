#include "typed.h"

#include "hub/frame.h"
#include "util/error.h"
#include "ws_frame.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define GOLDEN_DIR SOURCE_DIR "/proto/golden/typed"

struct golden {
    char file[256];
    char direction[16], form[16], error[128];
    struct buf bytes, payload, channel, id, member;
    bool has_channel, has_id, has_member;
    int64_t offset;
    uint32_t type;
};

static void golden_done(struct golden *g)
{
    buf_done(&g->bytes);
    buf_done(&g->payload);
    buf_done(&g->channel);
    buf_done(&g->id);
    buf_done(&g->member);
}

static void append_hex(struct buf *b, const char *hex)
{
    unsigned byte;
    for (int taken; sscanf(hex, " %2x%n", &byte, &taken) == 1; hex += taken)
        buf_append(b, &(char){(char)byte}, 1);
}

static void take_line(struct golden *g, const char *key, const char *value)
{
    if (strcmp(key, "direction") == 0)
        snprintf(g->direction, sizeof g->direction, "%s", value);
    else if (strcmp(key, "form") == 0)
        snprintf(g->form, sizeof g->form, "%s", value);
    else if (strcmp(key, "error") == 0)
        snprintf(g->error, sizeof g->error, "%s", value);
    else if (strcmp(key, "bytes") == 0)
        append_hex(&g->bytes, value);
    else if (strcmp(key, "payload") == 0)
        buf_append_str(&g->payload, value);
    else if (strcmp(key, "type") == 0)
        g->type = (uint32_t)strtoul(value, NULL, 10);
    else if (strcmp(key, "offset") == 0)
        g->offset = strtoll(value, NULL, 10);
    else if (strcmp(key, "id") == 0)
        buf_append_str(&g->id, value), g->has_id = true;
    else if (strcmp(key, "channel") == 0)
        buf_append_str(&g->channel, value), g->has_channel = true;
    else if (strcmp(key, "member") == 0)
        buf_append_str(&g->member, value), g->has_member = true;
    else
        assert_string_equal(key, "name");
}

static void golden_read(const char *file, struct golden *g)
{
    char path[512], line[1024];
    *g = (struct golden){.offset = -1};
    snprintf(g->file, sizeof g->file, "%s", file);
    snprintf(path, sizeof path, GOLDEN_DIR "/%s", file);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *colon = strchr(line, ':');
        assert_non_null(colon);
        *colon = 0;
        take_line(g, line, colon[1] == ' ' ? colon + 2 : colon + 1);
    }
    fclose(f);
}

static const char *form_name(enum typed_form form)
{
    static const char *const names[] = {"binary", "text-string", "text-object", "text-body"};
    return names[form];
}

static enum frame_form form_of(const char *name)
{
    return strcmp(name, "binary") == 0 ? FORM_TYPED_BINARY
         : strcmp(name, "text-string") == 0 ? FORM_TYPED_STRING
         : strcmp(name, "text-body") == 0 ? FORM_TYPED_BODY : FORM_TYPED_OBJECT;
}

static void assert_bytes(const struct golden *g, struct bytes got, struct bytes expected)
{
    if (!bytes_eq(got, expected))
        fail_msg("%s: got %.*s, expected %.*s", g->file, (int)got.len, got.data, (int)expected.len, expected.data);
}

static void check_decode(const struct golden *g)
{
    CLEANUP_BUF scratch = BUF_INIT;
    struct typed_message m = {0};
    const char *reason = "";
    int err = typed_decode(strcmp(g->form, "binary") != 0, buf_bytes(&g->bytes), 32, &scratch, &m, &reason);
    assert_bytes(g, bytes_of(reason), bytes_of(g->error));
    assert_int_equal(err, g->error[0] ? -EBADMSG : 0);
    if (err < 0)
        return;
    assert_string_equal(form_name(m.form), g->form);
    assert_int_equal(m.type, g->type);
    assert_bytes(g, m.payload, buf_bytes(&g->payload));
    assert_bytes(g, m.id.data ? m.id : BYTES_LIT("none"), g->has_id ? buf_bytes(&g->id) : BYTES_LIT("none"));
}

/* As it leaves the server: what stands behind the WebSocket header. */
static void check_encode(const struct golden *g)
{
    CLEANUP_BUF out = BUF_INIT;
    char header[WS_HEADER_MAX];
    struct typed_envelope e = {
        .type = g->type,
        .id = g->has_id ? buf_bytes(&g->id) : BYTES_NULL,
        .channel = g->has_channel ? buf_bytes(&g->channel) : BYTES_NULL,
        .offset = g->offset,
    };
    frame_append_typed(&out, form_of(g->form), &e, buf_bytes(&g->payload),
                       g->has_member ? buf_bytes(&g->member) : BYTES_NULL);
    size_t header_len = ws_frame_header(header, WS_TEXT, false, g->bytes.len);
    assert_bytes(g, (struct bytes){out.data + header_len, out.len - header_len}, buf_bytes(&g->bytes));
}

static void for_each_golden(void (*check)(const struct golden *g))
{
    DIR *dir = opendir(GOLDEN_DIR);
    assert_non_null(dir);
    size_t seen = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        struct golden g;
        golden_read(entry->d_name, &g);
        check(&g);
        golden_done(&g);
        seen++;
    }
    closedir(dir);
    assert_true(seen >= 40);
}

static void check_both_ways(const struct golden *g)
{
    if (strcmp(g->direction, "encode") != 0)
        check_decode(g);
    if (strcmp(g->direction, "decode") != 0)
        check_encode(g);
}

static void golden_frames_are_read_and_written(void **state)
{
    (void)state;
    for_each_golden(check_both_ways);
}

static char *read_page(const char *name)
{
    CLEANUP_BUF path = BUF_INIT;
    CLEANUP_BUF text = BUF_INIT;
    char piece[4096];
    buf_printf(&path, SOURCE_DIR "/docs/%s", name);
    FILE *f = fopen(path.data, "r");
    assert_non_null(f);
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;)
        buf_append(&text, piece, n);
    fclose(f);
    buf_append(&text, "", 1);
    return buf_take(&text);
}

static char *typed_wire_page;

/* Text as it is, binary as hex with spaces. */
static void check_is_quoted(const struct golden *g)
{
    CLEANUP_BUF quote = BUF_INIT;
    if (strcmp(g->form, "binary") != 0)
        buf_append_bytes(&quote, buf_bytes(&g->bytes));
    for (size_t i = 0; i < g->bytes.len && strcmp(g->form, "binary") == 0; i++)
        buf_printf(&quote, "%s%02x", i ? " " : "", (unsigned char)g->bytes.data[i]);
    buf_append(&quote, "", 1);
    if (!strstr(typed_wire_page, quote.data))
        fail_msg("docs/typed-wire.md does not show %s: %s", g->file, quote.data);
}

static void the_page_shows_every_golden_frame(void **state)
{
    (void)state;
    typed_wire_page = read_page("typed-wire.md");
    for_each_golden(check_is_quoted);
    free(typed_wire_page);
}

static void the_page_shows_every_error(void **state)
{
    (void)state;
    char *page = read_page("errors.md"), row[160];
    for (int code = CRIER_ERR_INTERNAL; code <= CRIER_ERR_SHUTTING_DOWN; code++) {
        const struct crier_error_info *info = crier_error_info((enum crier_error)code);
        if ((int)info->code != code)
            continue;
        snprintf(row, sizeof row, "| %d | %d | %s | ", code, info->http_status, info->temporary ? "yes" : "no");
        if (!strstr(page, row))
            fail_msg("docs/errors.md has no row that begins with: %s", row);
    }
    free(page);
}

static void nesting_beyond_the_limit_is_e2big(void **state)
{
    (void)state;
    CLEANUP_BUF scratch = BUF_INIT;
    struct typed_message m = {0};
    const char *reason = NULL;
    struct bytes three = BYTES_LIT("{\"type\":1,\"payload\":[[1]]}");
    assert_int_equal(typed_decode(true, three, 3, &scratch, &m, &reason), 0);
    m.type = 99;
    assert_int_equal(typed_decode(true, three, 2, &scratch, &m, &reason), -E2BIG);
    assert_string_equal(reason, "nested too deep");
    assert_int_equal(m.type, 99);
}

static void a_null_id_is_no_id(void **state)
{
    (void)state;
    CLEANUP_BUF scratch = BUF_INIT;
    struct typed_message m = {0};
    const char *reason = NULL;
    struct bytes text = BYTES_LIT("{\"type\":1,\"id\":null,\"payload\":null}");
    assert_int_equal(typed_decode(true, text, 8, &scratch, &m, &reason), 0);
    assert_null(m.id.data);
    assert_true(bytes_eq_str(m.payload, "null"));
}

static void a_long_id_is_refused(void **state)
{
    (void)state;
    CLEANUP_BUF scratch = BUF_INIT;
    CLEANUP_BUF text = BUF_INIT;
    struct typed_message m = {0};
    const char *reason = NULL;
    buf_printf(&text, "{\"type\":1,\"id\":\"%0126d\"}", 0);
    assert_int_equal(typed_decode(true, buf_bytes(&text), 8, &scratch, &m, &reason), 0);
    text.len = 0;
    buf_printf(&text, "{\"type\":1,\"id\":\"%0127d\"}", 0);
    assert_int_equal(typed_decode(true, buf_bytes(&text), 8, &scratch, &m, &reason), -EBADMSG);
}

static void a_payload_string_may_hold_nul(void **state)
{
    (void)state;
    CLEANUP_BUF scratch = BUF_INIT;
    struct typed_message m = {0};
    const char *reason = NULL;
    struct bytes text = BYTES_LIT("{\"type\":1,\"payload\":\"a\\u0000b\"}");
    assert_int_equal(typed_decode(true, text, 8, &scratch, &m, &reason), 0);
    assert_true(bytes_eq(m.payload, BYTES_LIT("a\0b")));
}

static void absent_and_broken_payloads_keep_the_message_valid(void **state)
{
    (void)state;
    CLEANUP_BUF out = BUF_INIT;
    struct typed_envelope e = {.type = 1, .offset = -1};
    typed_encode(&out, TYPED_FORM_TEXT_OBJECT, &e, BYTES_NULL);
    assert_true(bytes_eq_str(buf_bytes(&out), "{\"type\":1,\"payload\":null}"));
    out.len = 0;
    typed_encode(&out, TYPED_FORM_TEXT_STRING, &e, BYTES_NULL);
    assert_true(bytes_eq_str(buf_bytes(&out), "{\"type\":1,\"payload\":\"\"}"));
    out.len = 0;
    typed_encode(&out, TYPED_FORM_TEXT_OBJECT, &e, BYTES_LIT("{\"a\":\"\xff\"}"));
    assert_true(bytes_eq_str(buf_bytes(&out), "{\"type\":1,\"payload\":\"{\\\"a\\\":\\\"\xef\xbf\xbd\\\"}\"}"));
    out.len = 0;
    typed_encode(&out, TYPED_FORM_BINARY, &e, BYTES_NULL);
    assert_true(bytes_eq(buf_bytes(&out), BYTES_LIT("\1\0\0\0")));
}

static void encoding_appends(void **state)
{
    (void)state;
    CLEANUP_BUF out = BUF_INIT;
    struct typed_envelope e = {.type = UINT32_MAX, .offset = INT64_MAX, .channel = BYTES_LIT("a\"b")};
    buf_append_str(&out, "+");
    typed_encode(&out, TYPED_FORM_TEXT_OBJECT, &e, BYTES_LIT("1"));
    assert_true(bytes_eq_str(buf_bytes(&out), "+{\"type\":4294967295,\"channel\":\"a\\\"b\","
                                              "\"offset\":9223372036854775807,\"payload\":1}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_frames_are_read_and_written),
        cmocka_unit_test(the_page_shows_every_golden_frame),
        cmocka_unit_test(the_page_shows_every_error),
        cmocka_unit_test(nesting_beyond_the_limit_is_e2big),
        cmocka_unit_test(a_null_id_is_no_id),
        cmocka_unit_test(a_long_id_is_refused),
        cmocka_unit_test(a_payload_string_may_hold_nul),
        cmocka_unit_test(absent_and_broken_payloads_keep_the_message_valid),
        cmocka_unit_test(encoding_appends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
