#include "message_ids.h"

#include <stdlib.h>
#include <utlist.h>

#include "util/clock.h"

#define REMEMBER_MS (5 * 60 * 1000)
#define REMEMBER_MAX 65536

struct message_id *message_ids_find(const struct message_ids *ids, struct bytes channel, struct bytes id)
{
    CLEANUP_BUF key = BUF_INIT;
    struct message_id *m;
    buf_append_bytes(&key, channel);
    buf_append(&key, "", 1);
    buf_append_bytes(&key, id);
    HASH_FIND(hh, ids->by_key, key.data, key.len, m);
    return m;
}

struct message_id *message_ids_begin(struct message_ids *ids, struct bytes channel, struct bytes id)
{
    struct message_id *m = xcalloc(1, sizeof *m + channel.len + 1 + id.len);
    m->pending = true;
    m->key_len = channel.len + 1 + id.len;
    memcpy(m->key, channel.data, channel.len);
    memcpy(m->key + channel.len + 1, id.data, id.len);
    HASH_ADD_KEYPTR(hh, ids->by_key, m->key, m->key_len, m);
    return m;
}

static void forget(struct message_ids *ids, struct message_id *m)
{
    if (!m->pending) {
        DL_DELETE(ids->list, m);
        ids->remembered--;
    }
    HASH_DEL(ids->by_key, m);
    free(m);
}

void message_ids_settle(struct message_ids *ids, struct message_id *m)
{
    m->waiters = NULL;
    if (!m->known) {
        forget(ids, m);
        return;
    }
    if (ids->remembered == REMEMBER_MAX)
        forget(ids, ids->list);
    m->pending = false;
    m->expires_ms = clock_mono_ms() + REMEMBER_MS;
    DL_APPEND(ids->list, m);
    ids->remembered++;
}

void message_ids_note(struct message_ids *ids, struct bytes channel, struct bytes id, const struct message_result *result)
{
    if (id.len == 0 || id.len > MESSAGE_ID_MAX)
        return;
    struct message_id *m = message_ids_find(ids, channel, id);
    if (m && m->known)
        return;
    bool settled = !m;
    if (!m)
        m = message_ids_begin(ids, channel, id);
    m->known = true;
    m->result = *result;
    if (settled)
        message_ids_settle(ids, m);
}

void message_ids_sweep(struct message_ids *ids, uint64_t now_ms)
{
    while (ids->list && ids->list->expires_ms < now_ms)
        forget(ids, ids->list);
}

void message_ids_done(struct message_ids *ids)
{
    struct message_id *m, *next;
    HASH_ITER(hh, ids->by_key, m, next)
        forget(ids, m);
}
