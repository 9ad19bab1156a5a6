#include "chat_rate.h"

#define WINDOW_MS 10000

void chat_rate_init(struct chat_rate *r, int64_t now_ms)
{
    *r = (struct chat_rate){.credit_ms = WINDOW_MS, .last_ms = now_ms};
}

bool chat_rate_take(struct chat_rate *r, int64_t per_10s, int64_t now_ms, int64_t *ret_wait_ms)
{
    int64_t price = WINDOW_MS / per_10s;
    r->credit_ms += now_ms - r->last_ms;
    r->last_ms = now_ms;
    if (r->credit_ms > WINDOW_MS)
        r->credit_ms = WINDOW_MS;
    if (r->credit_ms < price) {
        *ret_wait_ms = price - r->credit_ms;
        return false;
    }
    r->credit_ms -= price;
    return true;
}
