/* TLS by libwebsockets, whose raw role also keeps what the kernel does not take. */
#include <errno.h>

#include "internal.h"

static struct lws *wsi_of(const struct conn *c)
{
    return (struct lws *)c->carrier;
}

static bool open_tls(struct conn *c)
{
    struct net *n = c->net;
    lws_adopt_desc_t info = {
        .vh = n->vhost,
        .type = LWS_ADOPT_SOCKET | LWS_ADOPT_ALLOW_SSL,
        .fd.sockfd = c->fd,
        .vh_prot_name = n->protocols[0].name,
        .opaque = c,
    };

    c->adopting = true;
    c->carrier = (struct carrier *)lws_adopt_descriptor_vhost_via_info(&info); /* closes the socket when it fails */
    c->adopting = false;
    return c->carrier != NULL;
}

static int write_tls(struct conn *c, const void *data, size_t len, bool *ret_kept)
{
    if (lws_write(wsi_of(c), (unsigned char *)data, len, LWS_WRITE_RAW) < 0)
        return -EPIPE;
    *ret_kept = lws_partial_buffered(wsi_of(c));
    return 0;
}

/* libwebsockets stops reading while it keeps something, but leaves POLLIN on, which spins: hence this also then. */
static void update_rx(struct conn *c)
{
    lws_rx_flow_control(wsi_of(c), !c->rx_off);
}

static void close_tls(struct conn *c)
{
    lws_set_timeout(wsi_of(c), PENDING_TIMEOUT_AWAITING_PROXY_RESPONSE, LWS_TO_KILL_SYNC);
}

static void on_rx(struct conn *c, char *data, size_t len)
{
    if (!c->greeted) {
        c->greeted = true;
        lws_set_timeout(wsi_of(c), NO_PENDING_TIMEOUT, 0);
    }
    conn_received(c, data, len);
}

int net_on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    struct conn *c = wsi ? lws_get_opaque_user_data(wsi) : NULL;

    if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS) /* while the vhost is made; `user` is its SSL_CTX */
        ((struct net *)lws_context_user(lws_get_context(wsi)))->ssl_ctx = user;
    if (!c)
        return 0;
    if (reason == LWS_CALLBACK_RAW_RX)
        on_rx(c, in, len);
    else if (reason == LWS_CALLBACK_RAW_WRITEABLE && c->blocked && !lws_partial_buffered(wsi))
        conn_writable(c);
    else if (reason == LWS_CALLBACK_RAW_CLOSE && !c->adopting)
        conn_closed(c);
    return 0;
}

const struct carrier_ops carrier_tls = {
    .open = open_tls,
    .write = write_tls,
    .update_rx = update_rx,
    .close = close_tls,
};
