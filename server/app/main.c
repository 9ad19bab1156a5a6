#include <stdio.h>
#include <string.h>

#include "cli.h"

static const struct command {
    const char *name, *arguments, *what;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"run", "[-c FILE] [-s KEY=VALUE]... [--ready-file FILE]", "serve (also without a command)", cmd_run,
     "  -c, --config FILE    configuration, default config.toml\n"
     "  -s, --set KEY=VALUE  replaces one key: server.listen=127.0.0.1:0, bridge.kafka.servers=host:9092\n"
     "  --ready-file FILE    gets the address when every listener is open\n"},
    {"check", "[-c FILE] [-s KEY=VALUE]... [--docs]", "read the configuration and report every fault", cmd_check,
     "  -c, --config FILE    configuration, default config.toml\n"
     "  -s, --set KEY=VALUE  replaces one key\n"
     "  --docs               writes the reference of all keys instead, as Markdown\n"},
    {"drivers", "[-c FILE]", "list the drivers and what they can do", cmd_drivers,
     "  -c, --config FILE    whose server.driver_dir is looked in\n"},
    {"publish", "CHANNEL [--server URL] [--key KEY] [--api-key-file FILE] [-c FILE]",
     "lines of standard input to a running server", cmd_publish,
     "  A line that is JSON goes as it is, any other as a JSON string. Each acknowledged position is printed as\n"
     "  OFFSET EPOCH. Server and API key come from the configuration where they are not given.\n"
     "  --server URL         http://HOST:PORT\n"
     "  --key KEY            of the publications\n"
     "  --api-key-file FILE  what the server has as auth.api_key_file\n"
     "  -c, --config FILE    configuration, default config.toml\n"},
    {"watch", "CHANNEL [--server URL] [--since EPOCH:OFFSET|begin] [--json] [--api-key-file FILE] [-c FILE]",
     "a running server's publications as lines", cmd_watch,
     "  Prints OFFSET KEY PAYLOAD, or one JSON object a publication, until it is stopped.\n"
     "  --server URL         http://HOST:PORT\n"
     "  --since POSITION     EPOCH:OFFSET is the last one already known; begin: all that is kept; default: new ones\n"
     "  --json               whole publications\n"
     "  --api-key-file FILE  for namespaces with rest = false\n"
     "  -c, --config FILE    configuration, default config.toml\n"},
    {"token", "--user NAME [--ttl DURATION] [--channel NAME] [--info JSON] [--claim NAME=VALUE]... [--key FILE] [-c FILE]",
     "a JWT, signed with the configured secret or a private key", cmd_token,
     "  --user NAME          the claim sub\n"
     "  --ttl DURATION       until it expires, default 1h\n"
     "  --channel NAME       for subscribing to this channel, not for a session\n"
     "  --client ID          with --channel: for this session only\n"
     "  --info JSON          what others see of the user by presence\n"
     "  --claim NAME=VALUE   one more claim; VALUE is JSON where it reads as JSON, else a text\n"
     "  --key FILE           private key in PEM (RSA, EC, Ed25519) instead of auth.hmac_secret_file\n"
     "  --alg NAME           HS256, HS384, HS512, RS.., PS.., ES.., EdDSA; default: the first that the key can do\n"
     "  --kid ID             id of the key, for servers with several\n"
     "  -c, --config FILE    configuration, default config.toml\n"},
    {"log", "ls | cat TOPIC | append TOPIC | trim TOPIC [--db FILE] [-c FILE]",
     "topics, records and offsets of the embedded log", cmd_log,
     "  All of it works while the server runs. TIME is like 2026-01-31T08:00:00Z, or an age like 15m.\n"
     "  ls                              topics, partitions, records, offsets, bytes and what is kept\n"
     "  cat TOPIC                       records as PARTITION:OFFSET, time, key and payload\n"
     "    --partition N                 only this one\n"
     "    --since OFFSET|TIME           first record wanted, default the oldest\n"
     "    --limit N                     records at most\n"
     "    --follow                      go on with what comes\n"
     "    --json                        whole records, one object a line\n"
     "  append TOPIC                    lines of standard input; prints PARTITION:OFFSET of each stored one\n"
     "    --key KEY                     of the records\n"
     "    --header NAME=VALUE           of the records; may be repeated\n"
     "  trim TOPIC                      removes records\n"
     "    --before OFFSET|TIME          the oldest record to keep\n"
     "    --partition N                 only there\n"
     "  --db FILE                       the log's file; default: that of the configuration's first embedded bridge\n"
     "  -c, --config FILE               configuration, default config.toml\n"},
};
#define COMMAND_COUNT (sizeof commands / sizeof *commands)

static int print_help(void)
{
    puts("crier " CRIER_VERSION ": message queues to browsers and back\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("  crier %-8s %s\n", commands[i].name, commands[i].what);
    puts("\ncrier COMMAND --help tells more. Exit codes: 0 done, 1 faults found or refused, 64 usage, 69 a server or "
         "broker\n"
         "is away, 78 configuration.");
    return CLI_OK;
}

static int print_command_help(const struct command *command)
{
    printf("usage: crier %s %s\n\n%s.\n\n%s", command->name, command->arguments, command->what, command->help);
    return CLI_OK;
}

static int run(const struct command *command, int argc, char **argv)
{
    char name[32];
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0)
            return print_command_help(command);
    snprintf(name, sizeof name, "crier %s", command->name);
    argv[0] = name;
    return command->run(argc, argv);
}

int main(int argc, char **argv)
{
    const char *first = argc > 1 ? argv[1] : "";
    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0)
        return print_help();
    if (strcmp(first, "--version") == 0)
        return puts("crier " CRIER_VERSION) < 0;
    if (!first[0] || first[0] == '-')
        return run(&commands[0], argc, argv);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(first, commands[i].name) == 0)
            return run(&commands[i], argc - 1, argv + 1);
    fprintf(stderr, "crier: no command '%s'; crier --help lists them\n", first);
    return CLI_USAGE;
}
