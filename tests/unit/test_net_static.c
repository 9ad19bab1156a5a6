/* Static files over a real socket. */
#include "net_harness.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <zlib.h>

static void write_file(const char *dir, const char *name, const char *content, size_t len)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0 && write(fd, content, len) == (ssize_t)len);
    close(fd);
}

static void make_site(char *dir)
{
    char path[300], css[4000];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/map", dir);
    mkdir(path, 0755);
    memset(css, 'c', sizeof css);
    write_file(dir, "index.html", "<p>front", 8);
    write_file(dir, "map/index.html", "<p>map", 6);
    write_file(dir, "a.css", css, sizeof css);
    write_file(dir, "dot.png", "\x89PNG", 4);
    write_file(dir, ".secret", "x", 1);
    snprintf(path, sizeof path, "%s/link.html", dir);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    snprintf(path, sizeof path, "%s/out", dir);
    assert_int_equal(symlink("/etc", path), 0);
}

static void remove_site(const char *dir)
{
    static const char *const names[] = {"index.html", "map/index.html", "a.css", "dot.png", ".secret", "link.html", "out"};
    char path[300];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/map", dir);
    rmdir(path);
    rmdir(dir);
}

static void test_static_files(void **state)
{
    (void)state;
    struct server s;
    RESPONSE r = {0};
    char dir[] = "/tmp/crier-test-XXXXXX", request[1200], etag[1024];
    make_site(dir);
    server_init(&s);
    s.options.web_dir = dir;
    server_start(&s);

    ask(&s, GET("/"), &r);
    assert_int_equal(r.status, 200);
    assert_string_equal(r.body.data, "<p>front");
    assert_string_equal(header(&r, "Content-Type"), "text/html; charset=utf-8");
    assert_string_equal(header(&r, "X-Content-Type-Options"), "nosniff");
    assert_string_equal(header(&r, "Cache-Control"), "no-cache");
    assert_string_equal(header(&r, "Referrer-Policy"), "no-referrer");
    assert_non_null(strstr(header(&r, "Content-Security-Policy"), "script-src 'self'; "));
    snprintf(etag, sizeof etag, "%s", header(&r, "ETag"));
    snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"x\", W/%s\r\n\r\n", etag);
    ask(&s, request, &r);
    assert_int_equal(r.status, 304);
    assert_string_equal(header(&r, "ETag"), etag);

    ask(&s, GET("/map?x=1"), &r);
    assert_int_equal(r.status, 308);
    assert_string_equal(header(&r, "Location"), "/map/?x=1");
    ask(&s, GET("/map/"), &r);
    assert_string_equal(r.body.data, "<p>map");
    ask(&s, GET("/dot.png"), &r);
    assert_string_equal(header(&r, "Content-Type"), "image/png");
    assert_null(header(&r, "Content-Security-Policy"));

    ask(&s, "HEAD /a.css HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br, gzip;q=0.5\r\n\r\n", &r);
    assert_string_equal(header(&r, "Content-Encoding"), "gzip");
    assert_string_equal(header(&r, "Vary"), "Accept-Encoding");
    ask(&s, "GET /a.css HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n", &r);
    char plain[5000];
    z_stream z = {.next_in = (Bytef *)r.body.data, .avail_in = (uInt)r.body.len, .next_out = (Bytef *)plain, .avail_out = sizeof plain};
    assert_int_equal(inflateInit2(&z, 31), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.total_out, 4000);
    inflateEnd(&z);
    ask(&s, "GET /a.css HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip;q=0, br\r\n\r\n", &r);
    assert_null(header(&r, "Content-Encoding"));
    assert_int_equal(r.body.len, 4000);

    static const char *const hidden[] = {GET("/.secret"), GET("/link.html"), GET("/out/passwd"), GET("//map"), GET("//evil.test/"),
                                         GET("/map//index.html"), GET("/index.html/"), GET("/map/none")};
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) {
        ask(&s, hidden[i], &r);
        if (r.status != 404)
            fail_msg("%s: %d", hidden[i], r.status);
    }
    ask(&s, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", &r);
    assert_int_equal(r.status, 405);

    write_file(dir, "index.html", "<p>changed", 10);
    eventually((ask(&s, GET("/"), &r), strcmp(r.body.data, "<p>changed") == 0));
    assert_string_not_equal(header(&r, "ETag"), etag);
    remove_site(dir);
    eventually((ask(&s, GET("/"), &r), r.status == 404));
    server_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_static_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
