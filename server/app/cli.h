/* The command line: one function a sub-command, and what they share.
 *
 * Options point into argv and live as long as the process. */
#ifndef CRIER_APP_CLI_H
#define CRIER_APP_CLI_H

#include "config/config.h"

/* As in sysexits.h; 1 is "looked, and found faults". */
enum cli_exit {
    CLI_OK = 0,
    CLI_FAULTS = 1,
    CLI_USAGE = 64,
    CLI_UNAVAILABLE = 69,
    CLI_CONFIG = 78,
};

enum cli_kind {
    CLI_TEXT, /* const char ** */
    CLI_LIST, /* struct cli_list * */
    CLI_FLAG  /* bool * */
};

struct cli_option {
    const char *name; /* without the dashes */
    char letter;      /* 0: none */
    enum cli_kind kind;
    void *target;
};

struct cli_list {
    const char *items[128];
    size_t count;
};

/* Reads options and exactly `word_count` words after argv[0], which names the sub-command. Returns 0, or CLI_USAGE
 * after saying what is wrong on standard error. */
int cli_parse(int argc, char **argv, const struct cli_option *options, size_t option_count, const char **words,
              size_t word_count);

/* What `run` and everything that reads the configuration accept: -c FILE, -s KEY=VALUE. */
struct cli_run_options {
    const char *config_path; /* preset ./config.toml */
    struct cli_list overrides;
    const char *ready_file; /* NULL: none */
};

#define CLI_RUN_OPTIONS_INIT ((struct cli_run_options){.config_path = "config.toml"})
#define CLI_CONFIG_OPTIONS(o)                                                                                          \
    {"config", 'c', CLI_TEXT, &(o)->config_path},                                                                      \
    {                                                                                                                  \
        "set", 's', CLI_LIST, &(o)->overrides                                                                          \
    }

/* Options of `crier run` into `o`. Returns 0, or the exit code. */
int cli_parse_run(int argc, char **argv, struct cli_run_options *o);
/* config_load() with the overrides; NULL when there are faults. */
struct config *cli_load_config(const struct cli_run_options *o, struct buf *faults, struct buf *notes);

struct http_client;

/* Where `publish` and `watch` go: what is not given comes from the configuration. */
struct cli_server_options {
    struct cli_run_options run;
    const char *url, *api_key_file; /* NULL: not given */
};

#define CLI_SERVER_OPTIONS(o)                                                                                          \
    CLI_CONFIG_OPTIONS(&(o)->run), {"server", 0, CLI_TEXT, &(o)->url},                                                 \
    {                                                                                                                  \
        "api-key-file", 0, CLI_TEXT, &(o)->api_key_file                                                                \
    }

/* Returns 0 and a client for the running server, or the exit code after saying why not on standard error. */
int cli_open_server(const struct cli_server_options *o, struct http_client **ret_client);

int cmd_run(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_drivers(int argc, char **argv);
int cmd_publish(int argc, char **argv);
int cmd_watch(int argc, char **argv);
int cmd_token(int argc, char **argv);
int cmd_log(int argc, char **argv);

#endif
