#include "inbox.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

void inbox_init(struct inbox *i, size_t limit)
{
    pthread_condattr_t attr;
    *i = (struct inbox){.limit = limit};
    i->last = &i->first;
    pthread_mutex_init(&i->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&i->room, &attr);
    pthread_condattr_destroy(&attr);
}

void inbox_done(struct inbox *i)
{
    for (struct message *m = i->first, *next; m; m = next) {
        next = m->next;
        free(m);
    }
    pthread_cond_destroy(&i->room);
    pthread_mutex_destroy(&i->lock);
}

static struct timespec deadline_after(uint64_t ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += (time_t)(ms / 1000);
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    return t;
}

static bool is_full(const struct inbox *i)
{
    return !i->open && (i->count >= i->limit || i->bytes >= INBOX_BYTES_LIMIT);
}

unsigned inbox_put(struct inbox *i, struct message *m, uint64_t wait_ms)
{
    unsigned result = INBOX_PUT;
    pthread_mutex_lock(&i->lock);
    if (is_full(i) && wait_ms) {
        struct timespec deadline = deadline_after(wait_ms);
        while (is_full(i) && pthread_cond_timedwait(&i->room, &i->lock, &deadline) != ETIMEDOUT)
            ;
    }
    if (is_full(i))
        result |= INBOX_OVERRUN;
    m->next = NULL;
    *i->last = m;
    i->last = &m->next;
    i->count++;
    i->bytes += m->size;
    if (!i->signalled)
        result |= INBOX_WAKE;
    i->signalled = true;
    pthread_mutex_unlock(&i->lock);
    return result;
}

struct message *inbox_take(struct inbox *i)
{
    pthread_mutex_lock(&i->lock);
    struct message *first = i->first;
    i->first = NULL;
    i->last = &i->first;
    i->signalled = false;
    pthread_mutex_unlock(&i->lock);
    return first;
}

void inbox_release(struct inbox *i, size_t count, size_t bytes)
{
    pthread_mutex_lock(&i->lock);
    i->count -= count;
    i->bytes -= bytes;
    pthread_cond_broadcast(&i->room);
    pthread_mutex_unlock(&i->lock);
}

bool inbox_is_relieved(struct inbox *i)
{
    pthread_mutex_lock(&i->lock);
    bool relieved = i->open || (i->count <= i->limit / 2 && i->bytes <= INBOX_BYTES_LIMIT / 2);
    pthread_mutex_unlock(&i->lock);
    return relieved;
}

void inbox_open_wide(struct inbox *i)
{
    pthread_mutex_lock(&i->lock);
    i->open = true;
    pthread_cond_broadcast(&i->room);
    pthread_mutex_unlock(&i->lock);
}
