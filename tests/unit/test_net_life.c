/* TLS, several loops on one port, and running out of file descriptors. */
#include "net_harness.h"

#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void on_get(struct http_request *r, void *arg)
{
    (void)arg;
    http_respond(r, &(struct http_reply){.status = 200, .content_type = "text/plain", .body = BYTES_LIT("got it")});
}

static void on_big(struct http_request *r, void *arg)
{
    static char big[2 << 20];
    (void)arg;
    memset(big, 'B', sizeof big);
    http_respond(r, &(struct http_reply){.status = 200, .content_type = "text/plain", .body = {big, sizeof big}});
}

static const struct http_route routes[] = {{"GET", "/get", on_get, NULL, false}, {"GET", "/big", on_big, NULL, false}};

static void start(struct server *s)
{
    s->config.debug.echo = true;
    s->options.routes = routes;
    s->options.route_count = 2;
    server_start(s);
}

/* ---- TLS ---- */

static void write_certificate(const char *cert_path, const char *key_path)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    FILE *f = fopen(cert_path, "w");
    assert_int_equal(PEM_write_X509(f, cert), 1);
    fclose(f);
    f = fopen(key_path, "w");
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(f);
    X509_free(cert);
    EVP_PKEY_free(key);
}

/* NULL when the handshake fails. */
static SSL *tls_dial(SSL_CTX *ctx, int fd)
{
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    if (SSL_connect(ssl) == 1)
        return ssl;
    SSL_free(ssl);
    ERR_clear_error();
    return NULL;
}

static size_t tls_read(SSL *ssl, char *out, size_t len)
{
    size_t done = 0;
    while (done < len) {
        int n = SSL_read(ssl, out + done, (int)(len - done));
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return done;
}

static void exchange_over_tls(struct server *s, SSL_CTX *ctx)
{
    static char received[(2 << 20) + 500];
    int fd = dial_with_buffer(s, 65536); /* small, so that the large answer is sent in many parts */
    SSL *ssl = tls_dial(ctx, fd);
    assert_non_null(ssl);
    const unsigned char *alpn = NULL;
    unsigned alpn_len = 0;
    SSL_get0_alpn_selected(ssl, &alpn, &alpn_len);
    assert_int_equal(alpn_len, 8);
    assert_memory_equal(alpn, "http/1.1", 8);

    SSL_write(ssl, GET("/get"), sizeof GET("/get") - 1);
    int n = SSL_read(ssl, received, sizeof received - 1);
    assert_true(n > 0);
    received[n] = 0;
    assert_non_null(strstr(received, "\r\n\r\ngot it"));

    static const char big[] = "GET /big HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    SSL_write(ssl, big, sizeof big - 1);
    size_t total = tls_read(ssl, received, sizeof received);
    assert_true(total > 2 << 20);
    assert_memory_equal(received, "HTTP/1.1 200 OK", 15);
    for (size_t i = total - (2 << 20); i < total; i++)
        assert_int_equal(received[i], 'B');
    SSL_free(ssl);
    close(fd);
}

static void echo_over_tls(struct server *s, SSL_CTX *ctx)
{
    static const char request[] = WS_REQUEST("/ws/echo", "");
    static char wire[40000], received[40000];
    int fd = dial(s), pair[2];
    SSL *ssl = tls_dial(ctx, fd);
    assert_non_null(ssl);
    SSL_write(ssl, request, sizeof request - 1);
    assert_true(SSL_read(ssl, received, sizeof received) > 0);
    assert_memory_equal(received, "HTTP/1.1 101", 12);

    char payload[30000];
    memset(payload, 'e', sizeof payload);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0); /* ws_put writes to a descriptor: taken from there */
    ws_put(pair[0], 0x82, payload, sizeof payload);
    ssize_t n = recv(pair[1], wire, sizeof wire, 0);
    assert_int_equal(n, sizeof payload + 8);
    SSL_write(ssl, wire, (int)n);
    assert_int_equal(tls_read(ssl, received, sizeof payload + 4), sizeof payload + 4);
    assert_memory_equal(received + 4, payload, sizeof payload);
    ws_put(pair[0], 0x88, "\x03\xe8", 2);
    n = recv(pair[1], wire, sizeof wire, 0);
    SSL_write(ssl, wire, (int)n);
    assert_int_equal(tls_read(ssl, received, 5), 4);
    assert_memory_equal(received, "\x88\x02\x03\xe8", 4);
    close(pair[0]), close(pair[1]);
    SSL_free(ssl);
    close(fd);
}

static void test_tls(void **state)
{
    (void)state;
    struct server s;
    char dir[] = "/tmp/crier-test-XXXXXX", cert[100], key[100];
    assert_non_null(mkdtemp(dir));
    snprintf(cert, sizeof cert, "%s/cert.pem", dir);
    snprintf(key, sizeof key, "%s/key.pem", dir);
    write_certificate(cert, key);
    server_init(&s);
    s.config.server.tls_cert = cert;
    s.config.server.tls_key = key;
    s.config.limits.handshake_ms = 1500;
    start(&s);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\x02h2\x08http/1.1", 12);
    exchange_over_tls(&s, ctx);
    echo_over_tls(&s, ctx);

    int fd = dial(&s);
    SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION);
    SSL_CTX_set_security_level(ctx, 0);
    assert_null(tls_dial(ctx, fd));
    close(fd);
    fd = dial(&s); /* plain HTTP on the TLS port: an end, no answer in plain text */
    put_text(fd, GET("/get"));
    char c[64];
    ssize_t n = recv(fd, c, sizeof c, 0);
    assert_true(n > 0 ? c[0] == 0x15 : n == 0 || errno == ECONNRESET);
    close(fd);
    fd = dial(&s); /* no handshake at all: cut */
    assert_true(at_end(fd));
    close(fd);
    SSL_CTX_free(ctx);
    eventually(metric_total(M_CONNECTIONS) == 0);
    server_stop(&s);
    unlink(cert), unlink(key), rmdir(dir);
}

static void test_bad_certificate_is_named(void **state)
{
    (void)state;
    struct server s;
    server_init(&s);
    s.config.server.tls_cert = (char *)"/nonexistent/cert.pem";
    s.config.server.tls_key = (char *)"/nonexistent/key.pem";
    sem_init(&s.ready, 0, 0);
    s.shared = net_shared_new(&s.config);
    assert_int_equal(pthread_create(&s.thread, NULL, run_server, &s), 0);
    pthread_join(s.thread, NULL);
    assert_null(s.net);
    assert_non_null(strstr(s.error, "server.tls"));
    assert_int_equal(uv_loop_close(&s.loop), 0);
    net_shared_free(s.shared);
}

/* ---- several loops ---- */

static void test_two_loops_share_one_port_and_the_limits(void **state)
{
    (void)state;
    struct server a, b;
    RESPONSE r = {0};
    int fds[40];
    server_init(&a);
    a.config.limits.connections_per_address = 40;
    start(&a);
    server_init(&b);
    b.config.limits.connections_per_address = 40;
    b.config.debug.echo = true;
    b.options.routes = routes;
    b.options.route_count = 2;
    b.options.port = net_port(a.net);
    sem_init(&b.ready, 0, 0);
    sem_init(&b.called, 0, 0);
    b.shared = a.shared;
    assert_int_equal(pthread_create(&b.thread, NULL, run_server, &b), 0);
    sem_wait(&b.ready);
    assert_non_null(b.net);
    for (int i = 0; i < 40; i++) {
        fds[i] = dial(&a);
        put_text(fds[i], GET("/get"));
        read_response(fds[i], &r, false);
        assert_int_equal(r.status, 200);
    }
    assert_true(server_cpu_seconds(&a) > 0 && server_cpu_seconds(&b) > 0);
    ask(&a, GET("/get"), &r);
    assert_int_equal(r.status, 429);
    server_call(&b, free_net, NULL);
    pthread_join(b.thread, NULL);
    assert_int_equal(uv_loop_close(&b.loop), 0);
    eventually((ask(&a, GET("/get"), &r), r.status == 200)); /* what the other loop held is free again */
    for (int i = 0; i < 40; i++)
        close(fds[i]);
    server_stop(&a);
}

static void test_port_in_use_is_reported(void **state)
{
    (void)state;
    struct server a, b;
    char listen[40];
    server_init(&a);
    start(&a);
    server_init(&b);
    snprintf(listen, sizeof listen, "127.0.0.1:%u", net_port(a.net));
    b.config.server.listen = listen;
    sem_init(&b.ready, 0, 0);
    b.shared = net_shared_new(&b.config);
    assert_int_equal(pthread_create(&b.thread, NULL, run_server, &b), 0);
    pthread_join(b.thread, NULL);
    assert_null(b.net);
    assert_non_null(strstr(b.error, "in use"));
    assert_int_equal(uv_loop_close(&b.loop), 0);
    net_shared_free(b.shared);
    server_stop(&a);
}

/* ---- file descriptors ---- */

enum { CROWD = 300 };

/* In a process of its own, because its sockets count, too. Reports how many were answered with 200 and with 503. */
static void crowd(struct server *s, int report, int go_on)
{
    int fds[CROWD], counts[2] = {0, 0};
    char answer[600];
    for (int i = 0; i < CROWD; i++) {
        fds[i] = dial(s);
        put_text(fds[i], GET("/get"));
    }
    for (int i = 0; i < CROWD; i++) {
        ssize_t n = recv(fds[i], answer, sizeof answer - 1, 0);
        answer[n > 0 ? n : 0] = 0;
        counts[0] += strstr(answer, "200 OK") != NULL;
        counts[1] += strstr(answer, "503 ") != NULL;
    }
    if (write(report, counts, sizeof counts) < 0 || read(go_on, answer, 1) < 0)
        _exit(1);
    _exit(0);
}

static void test_out_of_file_descriptors(void **state)
{
    (void)state;
    struct server s;
    struct rlimit before, small;
    RESPONSE r = {0};
    int report[2], go_on[2], counts[2];
    getrlimit(RLIMIT_NOFILE, &before);
    small = (struct rlimit){256, 256};
    if (before.rlim_max > 256)
        small.rlim_max = before.rlim_max;
    server_init(&s);
    start(&s);
    assert_int_equal(pipe(report) | pipe(go_on), 0);
    pid_t pid = fork();
    if (pid == 0)
        crowd(&s, report[1], go_on[0]);
    setrlimit(RLIMIT_NOFILE, &small); /* below limits.connections, which was checked at the start */
    struct pollfd p = {.fd = report[0], .events = POLLIN};
    poll(&p, 1, 1500);
    double cpu = server_cpu_seconds(&s);
    sleep_ms(1000);
    assert_true(server_cpu_seconds(&s) - cpu < 0.05); /* full, and not spinning */
    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(read(report[0], counts, sizeof counts), sizeof counts);
    assert_int_equal(counts[0], CROWD); /* those that waited in the backlog were let in when there was room */
    assert_int_equal(write(go_on[1], "", 1), 1);
    waitpid(pid, NULL, 0);
    eventually((ask(&s, GET("/get"), &r), r.status == 200));
    for (int i = 0; i < 2; i++)
        close(report[i]), close(go_on[i]);
    server_stop(&s);
}

static void test_connections_are_fitted_to_the_file_limit(void **state)
{
    (void)state;
    struct server s;
    struct rlimit before, small;
    int report[2], go_on[2], counts[2];
    getrlimit(RLIMIT_NOFILE, &before);
    small = (struct rlimit){200, 200};
    assert_int_equal(pipe(report) | pipe(go_on), 0);
    fflush(NULL);
    pid_t server = fork(); /* the hard limit cannot be raised again */
    if (server == 0) {
        setrlimit(RLIMIT_NOFILE, &small);
        server_init(&s);
        start(&s);
        uint16_t port = net_port(s.net);
        if (write(report[1], &port, sizeof port) != sizeof port || read(go_on[0], &port, 1) < 0)
            _exit(1);
        _exit(0);
    }
    uint16_t port;
    assert_int_equal(read(report[0], &port, sizeof port), sizeof port);
    int fds[CROWD];
    counts[0] = counts[1] = 0;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < CROWD; i++) {
        RESPONSE r = {0};
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(fds[i], (struct sockaddr *)&a, sizeof a), 0);
        put_text(fds[i], GET("/get"));
        read_response(fds[i], &r, false);
        counts[0] += r.status == 200;
        counts[1] += r.status == 503 && header(&r, "Retry-After");
    }
    assert_int_equal(counts[0], 200 - 64);
    assert_int_equal(counts[0] + counts[1], CROWD);
    for (int i = 0; i < CROWD; i++)
        close(fds[i]);
    assert_int_equal(write(go_on[1], "", 1), 1);
    int status;
    waitpid(server, &status, 0);
    assert_int_equal(status, 0);
    for (int i = 0; i < 2; i++)
        close(report[i]), close(go_on[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connections_are_fitted_to_the_file_limit),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_bad_certificate_is_named),
        cmocka_unit_test(test_two_loops_share_one_port_and_the_limits),
        cmocka_unit_test(test_port_in_use_is_reported),
        cmocka_unit_test(test_out_of_file_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
