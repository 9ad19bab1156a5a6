/* C11 threads by POSIX ones, for builds with ThreadSanitizer only.
 *
 * librdkafka uses C11 threads, which gcc's ThreadSanitizer does not know: its threads would crash in the first function
 * that is watched, and its locks would not count as locks. glibc's types are the POSIX ones under other names, so these
 * definitions in the program take the place of those in libc. */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

#include "util/bytes.h"

struct start {
    thrd_start_t run;
    void *arg;
};

_Static_assert(sizeof(mtx_t) >= sizeof(pthread_mutex_t), "a mtx_t holds a pthread_mutex_t");
_Static_assert(sizeof(cnd_t) >= sizeof(pthread_cond_t), "a cnd_t holds a pthread_cond_t");

static int result(int error)
{
    static const struct {
        int error, result;
    } known[] = {{0, thrd_success}, {ENOMEM, thrd_nomem}, {ETIMEDOUT, thrd_timedout}, {EBUSY, thrd_busy}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].error == error)
            return known[i].result;
    return thrd_error;
}

static void *run(void *arg)
{
    struct start start = *(struct start *)arg;
    free(arg);
    return (void *)(intptr_t)start.run(start.arg);
}

CRIER_API int thrd_create(thrd_t *thread, thrd_start_t function, void *arg)
{
    struct start *start = malloc(sizeof *start);
    if (!start)
        return thrd_nomem;
    *start = (struct start){function, arg};
    int error = pthread_create((pthread_t *)thread, NULL, run, start);
    if (error)
        free(start);
    return result(error);
}

CRIER_API int thrd_join(thrd_t thread, int *ret_result)
{
    void *value = NULL;
    int error = pthread_join((pthread_t)thread, &value);
    if (ret_result)
        *ret_result = (int)(intptr_t)value;
    return result(error);
}

CRIER_API int thrd_detach(thrd_t thread)
{
    return result(pthread_detach((pthread_t)thread));
}

CRIER_API int mtx_init(mtx_t *mutex, int type)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    if (type & mtx_recursive)
        pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    int error = pthread_mutex_init((pthread_mutex_t *)mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return result(error);
}

CRIER_API int mtx_lock(mtx_t *mutex)
{
    return result(pthread_mutex_lock((pthread_mutex_t *)mutex));
}

CRIER_API int mtx_trylock(mtx_t *mutex)
{
    return result(pthread_mutex_trylock((pthread_mutex_t *)mutex));
}

CRIER_API int mtx_unlock(mtx_t *mutex)
{
    return result(pthread_mutex_unlock((pthread_mutex_t *)mutex));
}

CRIER_API void mtx_destroy(mtx_t *mutex)
{
    pthread_mutex_destroy((pthread_mutex_t *)mutex);
}

CRIER_API int cnd_init(cnd_t *condition)
{
    return result(pthread_cond_init((pthread_cond_t *)condition, NULL));
}

CRIER_API int cnd_signal(cnd_t *condition)
{
    return result(pthread_cond_signal((pthread_cond_t *)condition));
}

CRIER_API int cnd_broadcast(cnd_t *condition)
{
    return result(pthread_cond_broadcast((pthread_cond_t *)condition));
}

CRIER_API int cnd_wait(cnd_t *condition, mtx_t *mutex)
{
    return result(pthread_cond_wait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex));
}

CRIER_API int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until)
{
    return result(pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, until));
}

CRIER_API void cnd_destroy(cnd_t *condition)
{
    pthread_cond_destroy((pthread_cond_t *)condition);
}
