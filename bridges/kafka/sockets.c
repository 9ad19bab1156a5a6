/* The sockets of one librdkafka handle, so that they can be cut.
 *
 * To destroy a handle waits for what it has asked its brokers: one that is frozen makes that five seconds for each request
 * of a group that leaves, and longer for others. A broken connection answers all of them at once. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kafka.h"

/* librdkafka's threads */
static int on_socket(int domain, int type, int protocol, void *opaque)
{
    struct sockets *s = &((struct client *)opaque)->sockets;
    int fd = -1;
    pthread_mutex_lock(&s->lock);
    if (s->cut)
        errno = ECONNABORTED;
    else
        fd = socket(domain, type | SOCK_CLOEXEC, protocol);
    if (fd >= 0) {
        s->fds = xrealloc(s->fds, (s->count + 1) * sizeof *s->fds);
        s->fds[s->count++] = fd;
    }
    pthread_mutex_unlock(&s->lock);
    return fd;
}

static int on_close(int fd, void *opaque)
{
    struct sockets *s = &((struct client *)opaque)->sockets;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->count; i++)
        if (s->fds[i] == fd)
            s->fds[i--] = s->fds[--s->count];
    int r = close(fd);
    pthread_mutex_unlock(&s->lock);
    return r;
}

void sockets_init(struct sockets *s, rd_kafka_conf_t *conf)
{
    pthread_mutex_init(&s->lock, NULL);
    rd_kafka_conf_set_socket_cb(conf, on_socket);
    rd_kafka_conf_set_closesocket_cb(conf, on_close);
}

void sockets_done(struct sockets *s)
{
    free(s->fds);
    pthread_mutex_destroy(&s->lock);
}

void sockets_cut(struct sockets *s)
{
    pthread_mutex_lock(&s->lock);
    s->cut = true;
    for (size_t i = 0; i < s->count; i++)
        shutdown(s->fds[i], SHUT_RDWR);
    pthread_mutex_unlock(&s->lock);
}
