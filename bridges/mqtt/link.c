/* The worker: keeps both connections, and is the only one to call into the library.
 *
 * It sleeps under the lock until the hub or the library wants something, or a time has come. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "driver.h"
#include "util/clock.h"

/* Counted, because the worker leaves the lock in the middle of its steps. */
void mqtt_link_wake(struct bridge *b)
{
    b->wakes++;
    pthread_cond_signal(&b->wake);
}

static void sleep_until(struct bridge *b, uint64_t at_ms)
{
    if (b->closing && b->close_at_ms < at_ms && b->close_at_ms > clock_mono_ms())
        at_ms = b->close_at_ms;
    struct timespec t = {(time_t)(at_ms / 1000), (long)(at_ms % 1000) * 1000000};
    pthread_cond_timedwait(&b->wake, &b->lock, &t);
}

static uint64_t wake_ms(const struct bridge *b)
{
    uint64_t receiving = mqtt_link_wake_ms(&b->receiving), publishing = mqtt_link_wake_ms(&b->publishing);
    return receiving < publishing ? receiving : publishing;
}

static bool has_ended(const struct bridge *b)
{
    return b->receiving.phase == PHASE_ENDED && b->publishing.phase == PHASE_ENDED;
}

static void *run(void *bridge)
{
    struct bridge *b = bridge;
    struct mail *ended = xcalloc(1, sizeof *ended);
    ended->handle = mqtt_handle_ended;

    mqtt_report_state(&b->receiving, BRIDGE_CONNECTING, NULL);
    pthread_mutex_lock(&b->lock);
    while (!has_ended(b)) {
        unsigned seen = b->wakes;
        bool busy = mqtt_link_step(&b->receiving);
        busy = mqtt_link_step(&b->publishing) || busy;
        if (!busy && seen == b->wakes)
            sleep_until(b, wake_ms(b));
    }
    pthread_mutex_unlock(&b->lock);
    mqtt_client_destroy(&b->publishing);
    mqtt_client_destroy(&b->receiving);
    mqtt_mail(b, ended);
    return NULL;
}

int mqtt_link_start(struct bridge *b)
{
    return -pthread_create(&b->worker, NULL, run, b);
}
