#include <stdio.h>

#include "app.h"
#include "bridge_check.h"
#include "cli.h"

int cmd_run(int argc, char **argv)
{
    struct cli_run_options options = CLI_RUN_OPTIONS_INIT;
    CLEANUP_BUF faults = BUF_INIT, notes = BUF_INIT;
    int r = cli_parse_run(argc, argv, &options);
    if (r)
        return r;
    struct config *config = cli_load_config(&options, &faults, &notes);
    if (config)
        bridge_check_all(config, &faults, &notes);
    if (faults.len) {
        fwrite(faults.data, 1, faults.len, stderr);
        config_free(config);
        return CLI_CONFIG;
    }
    log_setup(config->log.level, config->log.format);
    r = app_run(config, options.ready_file);
    config_free(config);
    return r;
}
