/* The HTTP/1.1 parser: what it takes, what it refuses and with which status, at every cut. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http1.h"

/* Feeds byte by byte; returns the size of the head, 0 or a negative status. */
static ssize_t head_end_in_steps(const char *text)
{
    size_t scanned = 0;
    ssize_t r = 0;
    for (size_t n = 1; n <= strlen(text) && r == 0; n++)
        r = http1_head_end(text, n, &scanned);
    return r;
}

static int status_of(const char *text)
{
    static struct http1_head h;
    ssize_t end = head_end_in_steps(text);
    if (end <= 0)
        return (int)end;
    size_t scanned = 0;
    assert_int_equal(http1_head_end(text, strlen(text), &scanned), end);
    return http1_head_parse(text, (size_t)end, &h);
}

static void test_plain_request(void **state)
{
    (void)state;
    static const char text[] = "GET /a/b?x=1&y=2 HTTP/1.1\r\nHost: example.com:8080\r\nX-One: 1\r\nx-two:\t two words \t\r\n\r\nrest";
    struct http1_head h;
    ssize_t end = head_end_in_steps(text);

    assert_int_equal(end, sizeof text - 1 - 4);
    assert_int_equal(http1_head_parse(text, (size_t)end, &h), 0);
    assert_true(bytes_eq_str(h.method, "GET"));
    assert_true(bytes_eq_str(h.path, "/a/b"));
    assert_true(bytes_eq_str(h.query, "x=1&y=2"));
    assert_true(bytes_eq_str(h.host, "example.com:8080"));
    assert_int_equal(h.minor, 1);
    assert_int_equal(h.content_length, -1);
    assert_true(h.keep_alive);
    assert_false(h.chunked);
    assert_int_equal(h.field_count, 3);
    assert_true(bytes_eq_str(http1_field_get(&h, "X-TWO"), "two words"));
    assert_null(http1_field_get(&h, "absent").data);
}

static const struct {
    const char *text;
    int status;
} cases[] = {
    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {"GET / HTTP/1.0\r\n\r\n", 0},
    {"GET http://a.example/x?y HTTP/1.1\r\nHost: b\r\n\r\n", 0},
    {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 0},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", 0},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: caf\xc3\xa9\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0},
    /* the request line */
    {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", -400},
    {"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", -400},
    {" GET / HTTP/1.1\r\nHost: a\r\n\r\n", -400},
    {"GET /\r\nHost: a\r\n\r\n", -400},
    {"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", -400},
    {"GET x HTTP/1.1\r\nHost: a\r\n\r\n", -400},
    {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", -400},
    {"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", -400},
    {"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", -400},
    {"GET http:// HTTP/1.1\r\nHost: a\r\n\r\n", -400},
    {"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", -400},
    {"GET / http/1.1\r\nHost: a\r\n\r\n", -400},
    {"GET / HTTP/1.10\r\nHost: a\r\n\r\n", -400},
    {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", -505},
    {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", -505},
    {"GET / HTTP/0.9\r\nHost: a\r\n\r\n", -505},
    {"\r\n\r\n", -400},
    /* fields */
    {"GET / HTTP/1.1\r\n\r\n", -400},
    {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", -400},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", -400},
    {"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", -400},
    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", -400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n", -400},
    {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", -400},
    {"GET / HTTP/1.1\r\nHost: a\r\n: empty\r\n\r\n", -400},
    {"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", -400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: a\x01\r\n\r\n", -400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: a\x7f\r\n\r\n", -400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", -400},
    {"GET / HTTP/1.1\nHost: a\n\n", -400},
    {"GET / HTTP/1.1\r\nHost: a\n\r\n", -400},
    /* the body's length */
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", -400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n", -400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n", -400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n", -400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n", -400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", -400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", -413},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", -400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", -400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", -501},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", -501},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", -400},
    {"POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n", -417},
};

static void test_statuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (status_of(cases[i].text) != cases[i].status)
            fail_msg("%s: got %d, expected %d", cases[i].text, status_of(cases[i].text), cases[i].status);
}

static void test_too_many_fields(void **state)
{
    (void)state;
    CLEANUP_BUF b = BUF_INIT;
    buf_append_str(&b, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < HTTP1_FIELDS_MAX - 1; i++)
        buf_printf(&b, "X-%d: v\r\n", i);
    size_t before = b.len;
    buf_append(&b, "\r\n", 3);
    assert_int_equal(status_of(b.data), 0);
    b.len = before;
    buf_append(&b, "Y: v\r\n\r\n", 9);
    assert_int_equal(status_of(b.data), -431);
}

static bool keeps_alive(const char *text)
{
    struct http1_head h;
    assert_int_equal(http1_head_parse(text, strlen(text), &h), 0);
    return h.keep_alive;
}

static void test_keep_alive(void **state)
{
    (void)state;
    assert_true(keeps_alive("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_false(keeps_alive("GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, Close\r\n\r\n"));
    assert_false(keeps_alive("GET / HTTP/1.0\r\n\r\n"));
    assert_true(keeps_alive("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
}

static void test_token_lists(void **state)
{
    (void)state;
    static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nConnection: x ,, y\r\n\r\n";
    struct http1_head h;
    assert_int_equal(http1_head_parse(text, sizeof text - 1, &h), 0);
    assert_true(http1_field_has_token(&h, "connection", "upgrade"));
    assert_true(http1_field_has_token(&h, "connection", "Y"));
    assert_false(http1_field_has_token(&h, "connection", "up"));
    assert_false(http1_field_has_token(&h, "upgrade", "websocket"));
}

static void test_absolute_target_names_the_host(void **state)
{
    (void)state;
    static const char text[] = "GET http://real.example:81?q HTTP/1.1\r\nHost: other\r\n\r\n";
    struct http1_head h;
    assert_int_equal(http1_head_parse(text, sizeof text - 1, &h), 0);
    assert_true(bytes_eq_str(h.host, "real.example:81"));
    assert_true(bytes_eq_str(h.path, "/"));
    assert_true(bytes_eq_str(h.query, "q"));
}

static const struct {
    const char *raw, *decoded; /* NULL: refused */
} paths[] = {
    {"/", "/"},
    {"/a%20b/%C3%A9", "/a b/\xc3\xa9"},
    {"/a+b", "/a+b"},
    {"/%2561", "/%61"}, /* once, not twice */
    {"/..a/b..", "/..a/b.."},
    {"/...", "/..."},
    {"/./a", "/./a"},
    {"/..", NULL},
    {"/a/../b", NULL},
    {"/%2e%2e/etc/passwd", NULL},
    {"/%2E./x", NULL},
    {"/a%2f..%2fb", NULL},
    {"/%00", NULL},
    {"/a%0d%0ab", NULL},
    {"/a\\b", NULL},
    {"/%5c..%5c", NULL},
    {"/%", NULL},
    {"/%2", NULL},
    {"/%zz", NULL},
};

static void test_paths(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        CLEANUP_BUF out = BUF_INIT;
        int r = http1_path_decode(bytes_of(paths[i].raw), &out);
        if (!paths[i].decoded)
            assert_int_equal(r, -EINVAL);
        else if (r != 0 || !bytes_eq_str(buf_bytes(&out), paths[i].decoded))
            fail_msg("%s", paths[i].raw);
    }
}

static void test_query_parameters(void **state)
{
    (void)state;
    struct bytes query = bytes_of("a=1&b=two+words&c=%41%26&empty&bad=%g1&d%20e=5&a=2&long=a%00b");
    CLEANUP_BUF out = BUF_INIT;

    assert_int_equal(http1_query_get(query, "a", &out), 0);
    assert_true(bytes_eq_str(buf_bytes(&out), "1"));
    assert_int_equal(http1_query_get(query, "b", &out), 0);
    assert_int_equal(http1_query_get(query, "c", &out), 0);
    assert_true(bytes_eq_str(buf_bytes(&out), "1two wordsA&"));
    assert_int_equal(http1_query_get(query, "empty", &out), 0);
    assert_int_equal(http1_query_get(query, "bad", &out), -EINVAL);
    assert_int_equal(out.len, 12);
    assert_int_equal(http1_query_get(query, "d e", &out), 0);
    assert_int_equal(http1_query_get(query, "absent", &out), -ENOENT);
    assert_int_equal(http1_query_get(BYTES_NULL, "a", &out), -ENOENT);
}

/* Returns 0 when more is needed, the bytes used at the end, or a negative status. */
static int dechunk(const char *text, size_t step, struct buf *body)
{
    struct http1_chunked c = {0};
    size_t at = 0, len = strlen(text);
    body->len = 0;
    while (at < len) {
        struct bytes piece;
        size_t used = 0, n = len - at < step ? len - at : step;
        int r = http1_chunked_next(&c, text + at, n, &used, &piece);
        assert_true(used <= n);
        at += used;
        if (r == HTTP1_CHUNK_DATA)
            buf_append_bytes(body, piece);
        else if (r == HTTP1_CHUNK_END)
            return (int)at;
        else if (r < 0)
            return r;
        else
            assert_int_equal(used, n);
    }
    return 0;
}

static void test_chunked_bodies(void **state)
{
    (void)state;
    static const struct {
        const char *wire, *body;
        int result; /* bytes left over at the end are counted from here */
    } samples[] = {
        {"5\r\nhello\r\n0\r\n\r\n", "hello", 15},
        {"5\r\nhello\r\n06;x=y\r\n world\r\n0\r\n\r\nNEXT", "hello world", 31},
        {"A\r\n0123456789\r\n000\r\nTrailer: 1\r\nOther: 2\r\n\r\n", "0123456789", 44},
        {"0\r\n\r\n", "", 5},
        {"5\r\nhel", "hel", 0},
        {"5\r\nhelloX\r\n", "hello", -400},
        {"5\nhello\r\n0\r\n\r\n", "", -400},
        {"\r\n", "", -400},
        {"g\r\n", "", -400},
        {"-5\r\n", "", -400},
        {"0x5\r\nhello\r\n", "", -400},
        {"5;ext\nhello\r\n", "", -400},
        {"fffffffffffffffff\r\n", "", -400},
        {"0\r\n\n", "", -400},
    };
    CLEANUP_BUF body = BUF_INIT;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        for (size_t step = 1; step < 50; step++) {
            int r = dechunk(samples[i].wire, step, &body);
            if (r != samples[i].result || !bytes_eq_str(buf_bytes(&body), samples[i].body))
                fail_msg("%s in steps of %zu: %d", samples[i].wire, step, r);
        }
}

static void test_chunk_extensions_and_trailers_are_bounded(void **state)
{
    (void)state;
    CLEANUP_BUF b = BUF_INIT;
    CLEANUP_BUF body = BUF_INIT;
    buf_append_str(&b, "5;");
    for (int i = 0; i < 2000; i++)
        buf_append_str(&b, "x");
    buf_append(&b, "\r\n", 3);
    assert_int_equal(dechunk(b.data, 100, &body), -400);
    b.len = 0;
    buf_append_str(&b, "0\r\n");
    for (int i = 0; i < 2000; i++)
        buf_append_str(&b, "a: b\r\n");
    buf_append(&b, "\r\n", 3);
    assert_int_equal(dechunk(b.data, 100, &body), -400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_request),
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_too_many_fields),
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_token_lists),
        cmocka_unit_test(test_absolute_target_names_the_host),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_query_parameters),
        cmocka_unit_test(test_chunked_bodies),
        cmocka_unit_test(test_chunk_extensions_and_trailers_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
