/* What the calls of the server API share: their parameters, and how they end. One function a call.
 *
 * A command is the caller's until it is finished; finishing calls `done`, which may free it. Loop threads. */
#ifndef CRIER_API_COMMANDS_H
#define CRIER_API_COMMANDS_H

#include "api/command.h"
#include "hub/hub.h"

/* `detail` NULL: the table's text. Nothing may follow. */
void command_finish(struct command *c, enum crier_error error, const char *detail);
/* With what `result` holds. */
void command_finish_ok(struct command *c);

static inline struct bytes command_params(const struct command *c)
{
    return buf_bytes(&c->params);
}

/* The parameter `channel`; false after finishing with the error. */
bool command_get_channel(struct command *c, struct buf *ret);

/* Parameters that may be absent. False when they are there and of another type. The text is NUL-terminated and on the
 * heap, NULL when absent. */
bool param_text(struct bytes params, const char *name, char **ret);
bool param_buf(struct bytes params, const char *name, struct buf *ret);
bool param_int(struct bytes params, const char *name, int64_t *ret);
bool param_flag(struct bytes params, const char *name, bool *ret);
/* An object; data NULL when absent. */
bool param_object(struct bytes params, const char *name, struct bytes *ret);
/* `name`, any JSON as it stands, or `b64name`, bytes in base64, decoded into `memory`. 0, -ENOENT, -EINVAL. */
int param_payload(struct bytes params, const char *name, const char *b64name, struct buf *memory, struct bytes *ret);

/* Waits of a call that is answered on the hub. */
static inline struct inbox *command_inbox(const struct command *c)
{
    return &c->loop->inbox;
}
void command_post(struct command *c, struct hub_call *call);

/* command_publish.c */
void command_run_publish(struct command *c);
void command_run_broadcast(struct command *c);
void command_run_map_publish(struct command *c);
void command_run_map_remove(struct command *c);
/* command_channel.c */
void command_run_presence(struct command *c);
void command_run_presence_stats(struct command *c);
void command_run_history(struct command *c);
void command_run_history_remove(struct command *c);
void command_run_channels(struct command *c);
void command_run_info(struct command *c);
/* command_map.c */
void command_run_map_read_state(struct command *c);
void command_run_map_read_stream(struct command *c);
void command_run_map_stats(struct command *c);
void command_run_map_clear(struct command *c);
/* command_session.c */
void command_run_subscribe(struct command *c);
void command_run_unsubscribe(struct command *c);
void command_run_disconnect(struct command *c);
void command_run_refresh(struct command *c);
/* command_rpc.c */
void command_run_rpc(struct command *c);

#endif
