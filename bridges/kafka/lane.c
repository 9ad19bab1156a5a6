#include <errno.h>

#include "kafka.h"

/* NULL when the lane is to stop. */
static struct job *lane_take(struct lane *lane)
{
    pthread_mutex_lock(&lane->mutex);
    while (!lane->head && !lane->stopping)
        pthread_cond_wait(&lane->filled, &lane->mutex);
    struct job *job = lane->head;
    if (job) {
        lane->head = job->next;
        if (!lane->head)
            lane->tail = &lane->head;
    }
    pthread_mutex_unlock(&lane->mutex);
    return job;
}

static void *lane_run(void *arg)
{
    struct lane *lane = arg;
    struct job *job;
    while ((job = lane_take(lane))) {
        job->work(job);
        bridge_mailbox_send(lane->mailbox, &job->node);
    }
    return NULL;
}

int lane_start(struct lane *lane, struct bridge_mailbox *mailbox)
{
    pthread_mutex_init(&lane->mutex, NULL);
    pthread_cond_init(&lane->filled, NULL);
    lane->head = NULL;
    lane->tail = &lane->head;
    lane->stopping = false;
    lane->mailbox = mailbox;
    int r = -pthread_create(&lane->thread, NULL, lane_run, lane);
    if (r == 0)
        return 0;
    pthread_cond_destroy(&lane->filled);
    pthread_mutex_destroy(&lane->mutex);
    return r;
}

void lane_submit(struct lane *lane, struct job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&lane->mutex);
    *lane->tail = job;
    lane->tail = &job->next;
    pthread_cond_signal(&lane->filled);
    pthread_mutex_unlock(&lane->mutex);
}

void lane_stop(struct lane *lane)
{
    pthread_mutex_lock(&lane->mutex);
    lane->stopping = true;
    pthread_cond_signal(&lane->filled);
    pthread_mutex_unlock(&lane->mutex);
    pthread_join(lane->thread, NULL);
    pthread_cond_destroy(&lane->filled);
    pthread_mutex_destroy(&lane->mutex);
}
