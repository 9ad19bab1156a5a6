/* A certificate that is read anew while connections live.
 *
 * libwebsockets makes the SSL of each connection from the SSL_CTX of its vhost and hands that out once, while the vhost is
 * made. OpenSSL copies certificate and key into each SSL, so a change touches new handshakes only. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/internal.h"

/* What OpenSSL complains about first; the rest of its queue follows from that. */
static void describe(const char *what, const char *path, char *error, size_t error_size)
{
    unsigned long code = ERR_get_error();
    const char *reason = ERR_GET_LIB(code) == ERR_LIB_SYS ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);
    snprintf(error, error_size, "%s %s: %s", what, path, reason ? reason : "cannot be read");
    ERR_clear_error();
}

struct net_certificate *net_certificate_load(const struct config *config, char *error, size_t error_size)
{
    const char *cert = config->server.tls_cert, *key = config->server.tls_key;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    ERR_clear_error();
    if (!ctx)
        describe("TLS", "context", error, error_size);
    else if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
        describe("cert", cert, error, error_size);
    else if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        describe("key", key, error, error_size); /* also one that does not fit the certificate */
    else
        return (struct net_certificate *)ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

struct net_certificate *net_certificate_ref(struct net_certificate *c)
{
    SSL_CTX_up_ref((SSL_CTX *)c);
    return c;
}

void net_certificate_unref(struct net_certificate *c)
{
    SSL_CTX_free((SSL_CTX *)c);
}

bool net_certificate_use(struct net *n, struct net_certificate *c)
{
    SSL_CTX *from = (SSL_CTX *)c;
    STACK_OF(X509) *chain = NULL;

    SSL_CTX_get0_chain_certs(from, &chain);
    if (n->ssl_ctx && SSL_CTX_use_cert_and_key(n->ssl_ctx, SSL_CTX_get0_certificate(from), SSL_CTX_get0_privatekey(from),
                                               chain, 1) == 1)
        return true;
    ERR_clear_error();
    return false;
}
