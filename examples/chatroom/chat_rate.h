/* Token bucket: `per_10s` messages at once, refilled evenly over ten seconds.
 *
 * Caller's memory, one thread; time is given, so tests need no clock. */
#ifndef CHATROOM_CHAT_RATE_H
#define CHATROOM_CHAT_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct chat_rate {
    int64_t credit_ms; /* 10,000 / per_10s a message; at most 10,000 */
    int64_t last_ms;
};

void chat_rate_init(struct chat_rate *r, int64_t now_ms);
/* Takes one message; false when there is no credit, `*ret_wait_ms` is then the time until there is. */
bool chat_rate_take(struct chat_rate *r, int64_t per_10s, int64_t now_ms, int64_t *ret_wait_ms);

#endif
