#include <stdio.h>
#include <unistd.h>

#include "bridges/registry.h"
#include "cli.h"

static void print_driver(const struct bridge_known *known, const char *driver_dir)
{
    const struct bridge_ops *ops;
    char error[512];
    CLEANUP_BUF text = BUF_INIT;
    if (bridge_registry_find(known->name, driver_dir, &ops, error, sizeof error) < 0)
        buf_append_str(&text, error);
    else
        bridge_caps_write(ops->caps, &text);
    printf("%-9s %s\n          %.*s\n", known->name, known->summary, (int)text.len, text.data);
}

int cmd_drivers(int argc, char **argv)
{
    struct cli_run_options options = CLI_RUN_OPTIONS_INIT;
    const struct cli_option table[] = {CLI_CONFIG_OPTIONS(&options)};
    CLEANUP_BUF faults = BUF_INIT, notes = BUF_INIT;
    int r = cli_parse(argc, argv, table, sizeof table / sizeof *table, NULL, 0);
    if (r)
        return r;
    /* A faulty or missing file is no reason to keep the list from anybody. */
    struct config *config = access(options.config_path, R_OK) == 0 ? cli_load_config(&options, &faults, &notes) : NULL;
    for (size_t i = 0; i < bridge_known_count; i++)
        print_driver(&bridge_known_drivers[i], config ? config->server.driver_dir : NULL);
    config_free(config);
    return CLI_OK;
}
