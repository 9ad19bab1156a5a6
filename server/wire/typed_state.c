#include "typed_wire.h"

#include <stdlib.h>

/* Ids of subscribe messages whose answer is still to come. */
struct waiting_id {
    struct waiting_id *next;
    struct buf id;
    size_t channel_len;
    char channel[];
};

struct typed_state {
    char *client; /* ?client=: scopes message ids, so that a resend over a new connection is known again */
    struct waiting_id *waiting;
};

struct typed_state *typed_state_new(struct bytes client)
{
    struct typed_state *state = xcalloc(1, sizeof *state);
    state->client = client.len ? bytes_dup(client) : NULL;
    return state;
}

void typed_state_free(struct typed_state *state)
{
    if (!state)
        return;
    while (state->waiting) {
        struct waiting_id *w = state->waiting;
        state->waiting = w->next;
        buf_done(&w->id);
        free(w);
    }
    free(state->client);
    free(state);
}

char *typed_message_id(const struct session *s, struct bytes id)
{
    const struct typed_state *state = s->wire_state;
    CLEANUP_BUF text = BUF_INIT;
    if (!id.data)
        return NULL;
    /* Without a client id of its own a message id is unique within this session only. */
    buf_append_str(&text, state && state->client ? state->client : s->id);
    buf_append_str(&text, "/");
    buf_append_bytes(&text, id);
    buf_append(&text, "", 1);
    return buf_take(&text);
}

void typed_note_subscribe_id(struct session *s, struct bytes channel, struct bytes id)
{
    if (!s->wire_state)
        s->wire_state = typed_state_new(BYTES_NULL);
    struct typed_state *state = s->wire_state;
    struct waiting_id *w = xcalloc(1, sizeof *w + channel.len);
    w->channel_len = channel.len;
    memcpy(w->channel, channel.data, channel.len);
    buf_append_bytes(&w->id, id);
    w->next = state->waiting;
    state->waiting = w;
}

void typed_take_subscribe_id(struct session *s, struct bytes channel, struct buf *ret_id)
{
    struct typed_state *state = s->wire_state;
    for (struct waiting_id **at = state ? &state->waiting : NULL; at && *at; at = &(*at)->next) {
        struct waiting_id *w = *at;
        if (w->channel_len != channel.len || memcmp(w->channel, channel.data, channel.len) != 0)
            continue;
        *at = w->next;
        buf_append_bytes(ret_id, buf_bytes(&w->id));
        buf_done(&w->id);
        free(w);
        return;
    }
}
