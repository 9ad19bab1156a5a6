/* Admission, shared by all loops: connections in all and per address, and the token bucket of handshakes. */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uthash.h>

#include "internal.h"
#include "util/clock.h"

#define FD_SPARE 1024 /* files beside the connections that are asked of the system */
#define FD_RESERVE 64 /* for files, bridges and refusals when the limit of connections is reached */

struct address_count {
    struct net_address key;
    int64_t connections;
    UT_hash_handle hh;
};

struct net_shared {
    pthread_mutex_t lock; /* taken once a connection, when it comes and when it goes */
    int64_t connections, limit, limit_per_address;
    struct address_count *addresses;
    int64_t handshakes_per_second, tokens_milli;
    uint64_t refill_ms;
};

/* The kernel's table of open files doubles when it is full, and where a process has threads each time waits some ten
 * milliseconds for the other cores: here it grows once, before the threads. */
static void grow_file_table(int64_t files)
{
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, (int)files - 1);
    if (fd >= 0)
        close(fd);
}

/* Down, too: with TLS, libwebsockets goes through a table of that size whenever a connection ends. */
static int64_t fit_file_limit(int64_t connections)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)connections + FD_SPARE;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return connections;
    if (limit.rlim_max != RLIM_INFINITY && wanted > limit.rlim_max)
        wanted = limit.rlim_max;
    if (limit.rlim_cur != wanted) {
        limit.rlim_cur = wanted;
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    grow_file_table((int64_t)limit.rlim_cur);
    int64_t room = (int64_t)limit.rlim_cur - FD_RESERVE;
    if (room < 1)
        room = 1;
    return connections < room ? connections : room;
}

struct net_shared *net_shared_new(const struct config *config)
{
    struct net_shared *s = xcalloc(1, sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    s->limit = fit_file_limit(config->limits.connections);
    s->limit_per_address = config->limits.connections_per_address;
    s->handshakes_per_second = config->limits.handshakes_per_second;
    s->tokens_milli = s->handshakes_per_second * 1000;
    s->refill_ms = clock_mono_ms();
    if (s->limit < config->limits.connections)
        log_warn("limit of open files is below limits.connections", LOG_INT("connections", s->limit));
    return s;
}

void net_shared_free(struct net_shared *s)
{
    struct address_count *a, *next;

    if (!s)
        return;
    HASH_ITER(hh, s->addresses, a, next)
    {
        HASH_DEL(s->addresses, a);
        free(a);
    }
    pthread_mutex_destroy(&s->lock);
    free(s);
}

struct net_address net_address_key(const struct net_address *address)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    struct net_address key = *address;
    if (memcmp(key.bytes, mapped, sizeof mapped) != 0)
        memset(key.bytes + 8, 0, 8);
    return key;
}

static enum admission admit_address(struct net_shared *s, const struct net_address *address)
{
    struct net_address key = net_address_key(address);
    struct address_count *a;

    if (s->limit_per_address <= 0)
        return ADMIT;
    HASH_FIND(hh, s->addresses, &key, sizeof key, a);
    if (!a) {
        a = xcalloc(1, sizeof *a);
        a->key = key;
        HASH_ADD(hh, s->addresses, key, sizeof a->key, a);
    }
    if (a->connections >= s->limit_per_address)
        return REFUSE_ADDRESS;
    a->connections++;
    return ADMIT;
}

enum admission net_shared_admit(struct net_shared *s, const struct net_address *address)
{
    pthread_mutex_lock(&s->lock);
    enum admission verdict = s->connections >= s->limit ? REFUSE_TOTAL : admit_address(s, address);
    if (verdict == ADMIT)
        s->connections++;
    pthread_mutex_unlock(&s->lock);
    return verdict;
}

void net_shared_leave(struct net_shared *s, const struct net_address *address)
{
    struct net_address key = net_address_key(address);
    struct address_count *a;

    pthread_mutex_lock(&s->lock);
    s->connections--;
    HASH_FIND(hh, s->addresses, &key, sizeof key, a);
    if (a && --a->connections == 0) {
        HASH_DEL(s->addresses, a);
        free(a);
    }
    pthread_mutex_unlock(&s->lock);
}

bool net_shared_handshake(struct net_shared *s)
{
    bool granted = true;

    if (s->handshakes_per_second <= 0)
        return true;
    pthread_mutex_lock(&s->lock);
    uint64_t now = clock_mono_ms();
    int64_t full = s->handshakes_per_second * 1000;
    int64_t refill = (int64_t)(now - s->refill_ms) < 1000 ? (int64_t)(now - s->refill_ms) * s->handshakes_per_second : full;
    s->refill_ms = now;
    s->tokens_milli = s->tokens_milli + refill > full ? full : s->tokens_milli + refill;
    if (s->tokens_milli < 1000)
        granted = false;
    else
        s->tokens_milli -= 1000;
    pthread_mutex_unlock(&s->lock);
    return granted;
}
