#include "options.h"

#include "simulate.h"
#include "replay.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIMULATE = 1, REPLAY = 2, BOTH = 3 };

enum kind { KIND_TEXT, KIND_NUMBER, KIND_FRACTION, KIND_DURATION, KIND_FLAG };

struct option_row {
    const char *name;
    int commands;
    enum kind kind;
    size_t offset;
    double low, high;
    const char *argument, *help;
};

#define AT(field) offsetof(struct tool_options, field)

static const struct option_row rows[] = {
    {"to", BOTH, KIND_TEXT, AT(to), 0, 0, "URL",
     "mqtt://HOST:PORT, or http://HOST:PORT of a crier (mqtt://127.0.0.1:1883)"},
    {"qos", BOTH, KIND_NUMBER, AT(qos), 0, 1, "0|1", "MQTT: 1 waits for the broker's acknowledgements (0)"},
    {"channel", BOTH, KIND_TEXT, AT(channel), 0, 0, "NAME", "HTTP: channel to publish in (hfp:feed)"},
    {"api-key-file", BOTH, KIND_TEXT, AT(api_key_file), 0, 0, "FILE", "HTTP: what the server has as auth.api_key_file"},
    {"duration", BOTH, KIND_DURATION, AT(duration_ms), 0.001, 1e9, "TIME", "end after so long: 30s, 5m, 2h (never)"},
    {"with-parent", BOTH, KIND_FLAG, AT(with_parent), 0, 0, NULL, "end when the process that started this one ends"},
    {"vehicles", SIMULATE, KIND_NUMBER, AT(vehicles), 1, 100000, "N", "how many drive (2000)"},
    {"rate", SIMULATE, KIND_FRACTION, AT(rate), 0.1, 20, "N", "positions of each vehicle per second (1)"},
    {"seed", SIMULATE, KIND_NUMBER, AT(seed), 0, 9e15, "N", "another seed is another day (1)"},
    {"speed", REPLAY, KIND_FRACTION, AT(speed), 0, 1e6, "N", "times as fast as it was; 0: as fast as it goes (1)"},
    {"loop", REPLAY, KIND_FLAG, AT(loop), 0, 0, NULL, "from the beginning again after the end"},
};

#define ROW_COUNT (sizeof rows / sizeof *rows)

static const struct {
    const char *name;
    int bit;
    tool_command_fn run;
    const char *usage, *what;
} commands[] = {
    {"simulate", SIMULATE, simulate_run, "simulate [OPTION]...",
     "vehicles of a made-up Helsinki, as the real feed sends them"},
    {"replay", REPLAY, replay_run, "replay FILE... [OPTION]...",
     "recordings: lines of RECEIVE-TIME TOPIC PAYLOAD, - for standard input"},
};

#define COMMAND_COUNT (sizeof commands / sizeof *commands)

static void print_help(FILE *out)
{
    fputs("usage: crier-hfp COMMAND [OPTION]...\n"
          "Publishes vehicle positions in the form of the High-Frequency Positioning feed, version 2.\n\n",
          out);
    for (size_t c = 0; c < COMMAND_COUNT; c++) {
        fprintf(out, "  crier-hfp %s\n      %s\n", commands[c].usage, commands[c].what);
        for (size_t i = 0; i < ROW_COUNT; i++) {
            char left[40];
            snprintf(left, sizeof left, "--%s%s%s", rows[i].name, rows[i].argument ? " " : "",
                     rows[i].argument ? rows[i].argument : "");
            if (rows[i].commands == commands[c].bit)
                fprintf(out, "      %-20s %s\n", left, rows[i].help);
        }
        fputs("\n", out);
    }
    fputs("  Both:\n", out);
    for (size_t i = 0; i < ROW_COUNT; i++) {
        char left[40];
        snprintf(left, sizeof left, "--%s%s%s", rows[i].name, rows[i].argument ? " " : "",
                 rows[i].argument ? rows[i].argument : "");
        if (rows[i].commands == BOTH)
            fprintf(out, "      %-20s %s\n", left, rows[i].help);
    }
    fputs(
        "\nWhile the server is away, a simulation drops what it would have sent, and a replay waits. SIGINT and "
        "SIGTERM end\n"
        "it cleanly. Exit codes: 0 done, 64 usage, 66 no such file, 69 the server was never there, 77 wrong API key.\n",
        out);
}

/* "90", "30s", "5m", "2h" in seconds; negative when it is none. */
static double parse_duration(const char *text)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"", 1}, {"ms", 0.001}, {"s", 1}, {"m", 60}, {"h", 3600}};
    char *end;
    double number = strtod(text, &end);
    for (size_t i = 0; end != text && i < sizeof units / sizeof *units; i++)
        if (strcmp(end, units[i].unit) == 0)
            return number * units[i].seconds;
    return -1;
}

static double parse_number(const struct option_row *row, const char *text)
{
    char *end;
    if (row->kind == KIND_DURATION)
        return parse_duration(text);
    double number = strtod(text, &end);
    bool fits = end != text && *end == 0 && isfinite(number) && (row->kind == KIND_FRACTION || number == floor(number));
    return fits ? number : -1;
}

static int complain(const char *option, const char *what)
{
    fprintf(stderr, "crier-hfp: %s%s%s\nTry crier-hfp --help\n", option, *option ? ": " : "", what);
    return TOOL_USAGE;
}

static void store_number(struct tool_options *o, const struct option_row *row, double number)
{
    void *target = (char *)o + row->offset;
    if (row->kind == KIND_FRACTION)
        *(double *)target = number;
    else if (row->kind == KIND_DURATION)
        *(int64_t *)target = (int64_t)(number * 1000);
    else if (row->offset == AT(qos))
        *(int *)target = (int)number;
    else if (row->offset == AT(vehicles))
        *(size_t *)target = (size_t)number;
    else
        *(uint64_t *)target = (uint64_t)number;
}

static int store(struct tool_options *o, const struct option_row *row, char *text)
{
    char range[96];
    if (row->kind == KIND_FLAG) {
        *(bool *)((char *)o + row->offset) = true;
        return 0;
    }
    if (row->kind == KIND_TEXT) {
        *(const char **)((char *)o + row->offset) = text;
        return 0;
    }
    double number = parse_number(row, text);
    if (!(number >= row->low && number <= row->high)) {
        snprintf(range, sizeof range, "'%.20s' is not between %g and %g", text, row->low, row->high);
        return complain(row->name, range);
    }
    store_number(o, row, number);
    return 0;
}

static int parse_rest(int argc, char **argv, int command, struct tool_options *o)
{
    struct option longs[ROW_COUNT + 1] = {0};
    for (size_t i = 0; i < ROW_COUNT; i++)
        longs[i] =
            (struct option){rows[i].name, rows[i].kind == KIND_FLAG ? no_argument : required_argument, NULL, (int)i};
    for (int letter; (letter = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        if (letter == '?')
            return complain("", "what follows the command is not understood");
        const struct option_row *row = &rows[letter];
        if (!(row->commands & command))
            return complain(row->name, "belongs to the other command");
        int r = store(o, row, optarg);
        if (r)
            return r;
    }
    o->files = argv + optind;
    o->file_count = (size_t)(argc - optind);
    if (command == SIMULATE && o->file_count > 0)
        return complain(o->files[0], "a simulation reads no files");
    if (command == REPLAY && o->file_count == 0)
        return complain("replay", "FILE is missing");
    return -1;
}

int tool_options_parse(int argc, char **argv, struct tool_options *ret, tool_command_fn *ret_command)
{
    *ret = (struct tool_options){
        .to = "mqtt://127.0.0.1:1883", .channel = "hfp:feed", .vehicles = 2000, .rate = 1, .seed = 1, .speed = 1};
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(stdout);
            return TOOL_OK;
        }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("crier-hfp " CRIER_VERSION);
        return TOOL_OK;
    }
    for (size_t c = 0; argc > 1 && c < COMMAND_COUNT; c++)
        if (strcmp(argv[1], commands[c].name) == 0) {
            *ret_command = commands[c].run;
            argv[1] = argv[0]; /* for the complaints of getopt */
            return parse_rest(argc - 1, argv + 1, commands[c].bit, ret);
        }
    return complain(argc > 1 ? argv[1] : "", argc > 1 ? "no command of this name" : "a command is missing");
}
