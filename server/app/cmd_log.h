/* What the sub-commands of `crier log` share: which file, where in a partition, which partitions.
 *
 * A target owns its store and settings until cmdlog_done(). */
#ifndef CRIER_APP_CMD_LOG_H
#define CRIER_APP_CMD_LOG_H

#include "cli.h"
#include "embedded/settings.h"
#include "embedded/store.h"

enum { CMDLOG_SLICE = 512 }; /* records a read: the server's checkpoints go on between two of them */

struct cmdlog_target {
    struct cli_run_options run;
    const char *db; /* NULL: of the configuration's first embedded bridge */
    struct settings settings;
    struct store *store;
};

#define CMDLOG_TARGET_INIT ((struct cmdlog_target){.run = CLI_RUN_OPTIONS_INIT})
#define CMDLOG_TARGET_OPTIONS(t) CLI_CONFIG_OPTIONS(&(t)->run), {"db", 0, CLI_TEXT, &(t)->db}

/* Opens the file. Returns 0, or the exit code after saying why not on standard error. */
int cmdlog_open(struct cmdlog_target *t, bool create);
void cmdlog_done(struct cmdlog_target *t);
/* Says on standard error that `what` failed and why; gives the exit code. */
int cmdlog_failed(const struct cmdlog_target *t, const char *what, int error);
/* The topic, or NULL after saying that there is none and setting *ret_exit. */
struct store_topic *cmdlog_find_topic(struct cmdlog_target *t, const char *name, int *ret_exit);

/* --partition N, or all of them. */
struct cmdlog_range {
    int32_t first, last; /* inclusive */
};

int cmdlog_parse_partition(const struct store_topic *t, const char *text, struct cmdlog_range *ret_range);

/* OFFSET, or TIME: RFC 3339, or a duration before now. */
struct cmdlog_place {
    bool is_time;
    int64_t value;
};

/* Returns 0, or CLI_USAGE after saying what is allowed. */
int cmdlog_parse_place(const char *option, const char *text, struct cmdlog_place *ret_place);
int cmdlog_find_offset(struct cmdlog_target *t, struct store_partition *p, const struct cmdlog_place *place,
                       int64_t *ret_offset);

/* Printable text as it is; what could steer a terminal, and the tabs and line ends that part the fields, as \xNN. */
void cmdlog_put_text(struct buf *out, struct bytes text, const char *absent);

int cmdlog_cat(int argc, char **argv);
int cmdlog_append(int argc, char **argv);

#endif
