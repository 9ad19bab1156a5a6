/* Message ids of publishes: a repeated id on a channel gets the result of the first.
 *
 * Part of the publish table, hub thread only. An id is pending from message_ids_begin() to message_ids_settle() and then
 * remembered for some minutes; the pending ones are bounded by limits.pending_publishes, the others by a number. */
#ifndef CRIER_HUB_MESSAGE_IDS_H
#define CRIER_HUB_MESSAGE_IDS_H

#include <uthash.h>

#include "hub/channel.h"

#define MESSAGE_ID_MAX 256 /* bytes */

struct hub_publish;

struct message_result {
    int32_t partition;
    int64_t offset;
    char epoch[CHANNEL_EPOCH_SIZE];
};

struct message_id {
    bool known; /* stored: `result` says where */
    bool pending;
    struct message_result result;
    struct hub_publish *waiters; /* pending: all who want the result */
    uint64_t expires_ms;
    struct message_id *prev, *next; /* not pending: oldest first */
    UT_hash_handle hh;
    size_t key_len;
    char key[]; /* channel NUL id */
};

struct message_ids {
    struct message_id *by_key; /* hash */
    struct message_id *list;   /* remembered, oldest first */
    size_t remembered;
};

void message_ids_done(struct message_ids *ids);
/* NULL when the id was not seen in this channel. */
struct message_id *message_ids_find(const struct message_ids *ids, struct bytes channel, struct bytes id);
struct message_id *message_ids_begin(struct message_ids *ids, struct bytes channel, struct bytes id);
/* Remembers what is known by now, else forgets. The waiters are the caller's. */
void message_ids_settle(struct message_ids *ids, struct message_id *m);
/* The id is in the log, there. */
void message_ids_note(struct message_ids *ids, struct bytes channel, struct bytes id, const struct message_result *result);
void message_ids_sweep(struct message_ids *ids, uint64_t now_ms);

#endif
