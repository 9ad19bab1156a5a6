/* What came from the broker and waits for the hub: a bounded hand-over between the library's thread and the hub thread.
 *
 * The library acknowledges a message when its callback returns, so the callback puts the message here first; where the
 * inbox is full the callback waits, for a bounded time. The hub takes everything at once, which makes one batch a wake.
 * An inbox lives in its bridge; a message is owned by the inbox until inbox_take(), by the taker afterwards, and counts
 * against the bound until inbox_release(). */
#ifndef CRIER_BRIDGES_MQTT_INBOX_H
#define CRIER_BRIDGES_MQTT_INBOX_H

#include <pthread.h>

#include "bridge.h"

#define INBOX_BYTES_LIMIT (64u << 20)

/* One allocation: the struct, then headers, subscription ids and bytes. */
struct message {
    struct message *next;
    size_t size;   /* of the allocation */
    unsigned refs; /* hub thread: subscriptions that have not handed it over yet */
    struct bytes topic, payload;
    const struct bridge_header *headers;
    size_t header_count;
    const uint32_t *ids; /* MQTT 5: identifiers of the subscriptions it was sent for */
    size_t id_count;
    bool retained;
};

struct inbox {
    pthread_mutex_t lock;
    pthread_cond_t room;
    struct message *first, **last;
    size_t count, limit; /* taken ones count until they are released */
    size_t bytes;
    bool signalled; /* the hub knows that there is something */
    bool open;      /* false: nobody waits any more, everything is let in */
};

void inbox_init(struct inbox *i, size_t limit);
/* Frees messages that were not taken. */
void inbox_done(struct inbox *i);

enum inbox_result {
    INBOX_PUT = 1 << 0,  /* the message is in; always set */
    INBOX_WAKE = 1 << 1, /* the hub has to be told */
    INBOX_OVERRUN = 1 << 2 /* it went in above the bound: the wait ended without room */
};

/* Library thread. Waits up to `wait_ms` while there is no room, then puts the message in whatever the bound: the broker
 * will hear that it was received. */
unsigned inbox_put(struct inbox *i, struct message *m, uint64_t wait_ms);

/* Hub thread. The list of all messages so far, NULL when there are none. */
struct message *inbox_take(struct inbox *i);
/* Hub thread, after `count` messages with `bytes` in all have been freed. */
void inbox_release(struct inbox *i, size_t count, size_t bytes);

/* Any thread. At most half full: time to receive again after an overrun. */
bool inbox_is_relieved(struct inbox *i);
/* Any thread. Ends present and future waits. */
void inbox_open_wide(struct inbox *i);

#endif
