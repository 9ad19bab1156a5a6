/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/fetch.h"
#include "util/clock.h"

/* Answers one connection with a text, in pieces, then closes it or waits for the other side to. */
struct peer {
    int listener;
    uint16_t port;
    struct bytes answer;
    size_t piece;
    bool keep_open;
    char request[2048];
    pthread_t thread;
};

static void *serve(void *arg)
{
    struct peer *p = arg;
    int fd = accept(p->listener, NULL, NULL);
    ssize_t got = fd < 0 ? -1 : recv(fd, p->request, sizeof p->request - 1, 0);
    for (size_t at = 0; got > 0 && at < p->answer.len; at += p->piece) {
        size_t len = p->answer.len - at < p->piece ? p->answer.len - at : p->piece;
        if (send(fd, p->answer.data + at, len, MSG_NOSIGNAL) < 0)
            break;
        usleep(1000);
    }
    char byte;
    if (p->keep_open && got > 0)
        (void)!recv(fd, &byte, 1, 0);
    if (fd >= 0)
        close(fd);
    return NULL;
}

static void start_peer(struct peer *p, struct bytes answer, size_t piece, bool keep_open)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    *p = (struct peer){.answer = answer, .piece = piece, .keep_open = keep_open};
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(p->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(p->listener, 1), 0);
    getsockname(p->listener, (struct sockaddr *)&address, &size);
    p->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&p->thread, NULL, serve, p), 0);
}

static void end_peer(struct peer *p)
{
    shutdown(p->listener, SHUT_RDWR);
    pthread_join(p->thread, NULL);
    close(p->listener);
}

static int get_within(struct peer *p, const char *path, int timeout_ms, int cancel_fd, struct buf *body,
                      char error[200])
{
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", p->port, path);
    const struct fetch f = {.url = url, .timeout_ms = timeout_ms, .limit_bytes = 1000, .cancel_fd = cancel_fd};
    return fetch_get(&f, body, error, 200);
}

static int get(struct peer *p, const char *path, struct buf *body, char error[200])
{
    return get_within(p, path, 20000, -1, body, error);
}

static void expect(const char *answer, int want, const char *body)
{
    static const size_t pieces[] = {1, 7, 10000};
    for (size_t i = 0; i < 3; i++) {
        struct peer p;
        char error[200] = "";
        CLEANUP_BUF got = BUF_INIT;
        start_peer(&p, bytes_of(answer), pieces[i], false);
        int r = get(&p, "/keys", &got, error);
        end_peer(&p);
        if (r != want || (r == 0 && !bytes_eq_str(buf_bytes(&got), body)) || (r < 0 && (got.len || !*error)))
            fail_msg("%s: %d %s", answer, r, error);
    }
}

static void test_whole_answers(void **state)
{
    (void)state;
    expect("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 0, "{}");
    expect("HTTP/1.0 200 OK\r\n\r\n{\"keys\":[]}", 0, "{\"keys\":[]}");
    expect("HTTP/1.1 200 OK\r\ncontent-LENGTH:0\r\n\r\n", 0, "");
}

static void test_answers_that_are_none(void **state)
{
    (void)state;
    expect("", -EPROTO, NULL);
    expect("HTTP/1.1 200 OK\r\n", -EPROTO, NULL);
    expect("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", -EPROTO, NULL);
    expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", -EPROTO, NULL);
    expect("HTTP/2 200\r\n\r\n{}", -EPROTO, NULL);
    expect("SSH-2.0-OpenSSH\r\n\r\n", -EPROTO, NULL);
    expect("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}", -EPROTO, NULL);
    expect("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", -EPROTO, NULL);
}

static void test_size_is_bounded(void **state)
{
    (void)state;
    static char big[100000] = "HTTP/1.1 200 OK\r\n\r\n";
    struct peer p;
    char error[200] = "";
    CLEANUP_BUF got = BUF_INIT;
    memset(big + strlen(big), 'x', sizeof big - strlen(big));
    start_peer(&p, (struct bytes){big, sizeof big}, sizeof big, false);
    assert_int_equal(get(&p, "/", &got, error), -EFBIG);
    assert_int_equal(got.len, 0);
    end_peer(&p);
}

static void test_time_is_bounded(void **state)
{
    (void)state;
    struct peer p;
    char error[200] = "";
    CLEANUP_BUF got = BUF_INIT;
    uint64_t began = clock_mono_ms();
    start_peer(&p, BYTES_LIT("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"), 100, true);
    assert_int_equal(get_within(&p, "/", 300, -1, &got, error), -ETIMEDOUT);
    assert_in_range(clock_mono_ms() - began, 290, 9000);
    end_peer(&p);
}

static void *cancel_soon(void *arg)
{
    usleep(50000);
    eventfd_write(*(int *)arg, 1);
    return NULL;
}

static void test_waiting_can_be_given_up(void **state)
{
    (void)state;
    struct peer p;
    pthread_t canceller;
    char error[200] = "";
    CLEANUP_BUF got = BUF_INIT;
    int fd = eventfd(0, EFD_CLOEXEC);
    start_peer(&p, BYTES_LIT(""), 1, true);
    pthread_create(&canceller, NULL, cancel_soon, &fd);
    assert_int_equal(get_within(&p, "/", 20000, fd, &got, error), -ECANCELED);
    pthread_join(canceller, NULL);
    close(fd);
    end_peer(&p);
}

static void test_request_names_host_and_path(void **state)
{
    (void)state;
    static const char *const paths[][2] = {
        {"", "GET / HTTP/1.0\r\n"}, {"/a?b=c#d", "GET /a?b=c HTTP/1.0\r\n"}, {"?x", "GET /?x HTTP/1.0\r\n"}};
    for (size_t i = 0; i < 3; i++) {
        struct peer p;
        char error[200] = "", host[64];
        CLEANUP_BUF got = BUF_INIT;
        start_peer(&p, BYTES_LIT("HTTP/1.1 200 OK\r\n\r\n{}"), 100, false);
        assert_int_equal(get(&p, paths[i][0], &got, error), 0);
        end_peer(&p);
        snprintf(host, sizeof host, "\r\nHost: 127.0.0.1:%u\r\n", p.port);
        assert_memory_equal(p.request, paths[i][1], strlen(paths[i][1]));
        assert_non_null(strstr(p.request, host));
    }
}

static void test_addresses_that_are_none(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "",
        "ftp://h/",
        "http://",
        "http:///x",
        "https://",
        "http://user@h/",
        "http://h:/",
        "http://h:123456",
        "http://[::1/",
        "http://[]:80/x",
        "http://u:p@h/x",
        "file:///etc/passwd",
        "http://h/\r\nX: y",
    };
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        char error[200] = "";
        CLEANUP_BUF got = BUF_INIT;
        const struct fetch f = {.url = urls[i], .timeout_ms = 100, .limit_bytes = 100, .cancel_fd = -1};
        if (fetch_get(&f, &got, error, sizeof error) != -EINVAL)
            fail_msg("%s", urls[i]);
        assert_string_equal(error, "not an address");
    }
}

static void test_nobody_listens(void **state)
{
    (void)state;
    struct peer p;
    char error[200] = "";
    CLEANUP_BUF got = BUF_INIT;
    start_peer(&p, BYTES_LIT(""), 1, false);
    end_peer(&p);
    assert_int_equal(get(&p, "/", &got, error), -ECONNREFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_answers),           cmocka_unit_test(test_answers_that_are_none),
        cmocka_unit_test(test_size_is_bounded),         cmocka_unit_test(test_time_is_bounded),
        cmocka_unit_test(test_waiting_can_be_given_up), cmocka_unit_test(test_request_names_host_and_path),
        cmocka_unit_test(test_addresses_that_are_none), cmocka_unit_test(test_nobody_listens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
