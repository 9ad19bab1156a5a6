#include <stdio.h>

#include "bridge_check.h"
#include "cli.h"

static void print(const struct buf *text)
{
    fwrite(buf_bytes(text).data, 1, text->len, stdout);
}

static int print_docs(void)
{
    CLEANUP_BUF docs = BUF_INIT;
    config_write_docs(&docs);
    print(&docs);
    return CLI_OK;
}

static int check(const struct cli_run_options *o)
{
    CLEANUP_BUF faults = BUF_INIT, notes = BUF_INIT;
    struct config *config = cli_load_config(o, &faults, &notes);
    if (config)
        bridge_check_all(config, &faults, &notes);
    config_free(config);
    print(&faults);
    print(&notes);
    if (faults.len)
        return CLI_FAULTS;
    printf("%s: ok\n", o->config_path);
    return CLI_OK;
}

int cmd_check(int argc, char **argv)
{
    struct cli_run_options options = CLI_RUN_OPTIONS_INIT;
    bool docs = false;
    const struct cli_option table[] = {CLI_CONFIG_OPTIONS(&options), {"docs", 0, CLI_FLAG, &docs}};
    int r = cli_parse(argc, argv, table, sizeof table / sizeof *table, NULL, 0);
    if (r)
        return r;
    return docs ? print_docs() : check(&options);
}
