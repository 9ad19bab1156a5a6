/* What carries the bytes of a connection: the socket itself, or libwebsockets where TLS is on.
 *
 * A net has one kind for all its connections. A carrier lives from open() to close() or to its own conn_closed(), and tells of
 * what happens by the calls below, from the top of a loop turn and never from inside its own functions but close(). Owner's
 * thread. */
#ifndef CRIER_NET_CARRIER_H
#define CRIER_NET_CARRIER_H

#include <stdbool.h>
#include <stddef.h>

struct conn;
struct net;

struct carrier_ops {
    /* Takes over conn.fd and sets conn.carrier. False when it could not; the socket is closed then. */
    bool (*open)(struct conn *c);
    /* Sends, and keeps what the kernel does not take: `ret_kept` is true while something is kept. 0, or -EPIPE. */
    int (*write)(struct conn *c, const void *data, size_t len, bool *ret_kept);
    /* conn.rx_off has changed. */
    void (*update_rx)(struct conn *c);
    /* Calls conn_closed() before it returns. */
    void (*close)(struct conn *c);
};

extern const struct carrier_ops carrier_socket;
extern const struct carrier_ops carrier_tls;

void conn_received(struct conn *c, char *data, size_t len);
/* Nothing is kept any more. */
void conn_writable(struct conn *c);
void conn_closed(struct conn *c);

#endif
