#include "cli.h"

#include <getopt.h>
#include <stdio.h>

#define OPTION_LIMIT 16

static int store(const struct cli_option *option, const char *value)
{
    struct cli_list *list = option->target;
    switch (option->kind) {
    case CLI_TEXT:
        *(const char **)option->target = value;
        return 0;
    case CLI_FLAG:
        *(bool *)option->target = true;
        return 0;
    case CLI_LIST:
        if (list->count == sizeof list->items / sizeof *list->items) {
            fprintf(stderr, "crier: --%s is given too often\n", option->name);
            return CLI_USAGE;
        }
        list->items[list->count++] = value;
        return 0;
    }
    return CLI_USAGE;
}

static const struct cli_option *find_letter(const struct cli_option *options, size_t count, int letter)
{
    for (size_t i = 0; i < count; i++)
        if (letter && options[i].letter == letter)
            return &options[i];
    return NULL;
}

static int take_words(int argc, char **argv, const char **words, size_t word_count)
{
    size_t given = (size_t)(argc - optind);
    if (given > word_count)
        fprintf(stderr, "%s: unexpected argument '%s'\n", argv[0], argv[optind + (int)word_count]);
    else if (given < word_count)
        fprintf(stderr, "%s: an argument is missing\n", argv[0]);
    if (given != word_count)
        return CLI_USAGE;
    for (size_t i = 0; i < word_count; i++)
        words[i] = argv[optind + (int)i];
    return 0;
}

int cli_parse(int argc, char **argv, const struct cli_option *options, size_t option_count, const char **words,
              size_t word_count)
{
    struct option longs[OPTION_LIMIT + 1] = {0};
    char letters[2 * OPTION_LIMIT + 1], *p = letters;
    int letter, index = 0, r = 0;
    for (size_t i = 0; i < option_count && i < OPTION_LIMIT; i++) {
        bool value = options[i].kind != CLI_FLAG;
        longs[i] = (struct option){options[i].name, value ? required_argument : no_argument, NULL, 0};
        if (options[i].letter) {
            *p++ = options[i].letter;
            if (value)
                *p++ = ':';
        }
    }
    *p = 0;
    optind = 1;
    while (r == 0 && (letter = getopt_long(argc, argv, letters, longs, &index)) != -1) {
        const struct cli_option *option = letter == 0 ? &options[index] : find_letter(options, option_count, letter);
        r = option ? store(option, optarg) : CLI_USAGE; /* getopt has said what it does not know */
    }
    return r ? r : take_words(argc, argv, words, word_count);
}

int cli_parse_run(int argc, char **argv, struct cli_run_options *o)
{
    const struct cli_option options[] = {
        CLI_CONFIG_OPTIONS(o),
        {"ready-file", 0, CLI_TEXT, &o->ready_file},
    };
    return cli_parse(argc, argv, options, sizeof options / sizeof *options, NULL, 0);
}

struct config *cli_load_config(const struct cli_run_options *o, struct buf *faults, struct buf *notes)
{
    struct config_override overrides[sizeof o->overrides.items / sizeof *o->overrides.items];
    for (size_t i = 0; i < o->overrides.count; i++)
        overrides[i].text = o->overrides.items[i];
    return config_load(o->config_path, overrides, o->overrides.count, faults, notes);
}
