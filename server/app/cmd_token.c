#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"
#include "util/clock.h"
#include "util/token.h"

struct token_options {
    struct cli_run_options run;
    const char *user, *ttl;
    struct cli_list claims;
};

/* NAME=VALUE; VALUE is JSON where it reads as JSON, else a text. */
static bool add_claim(json_t *claims, const char *text)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return false;
    char *name = bytes_dup((struct bytes){text, (size_t)(equals - text)});
    json_t *value = json_loads(equals + 1, JSON_DECODE_ANY, NULL);
    int r = json_object_set_new(claims, name, value ? value : json_string(equals + 1));
    free(name);
    return r == 0;
}

static char *build_claims(const struct token_options *o)
{
    json_t *claims = json_object();
    char *text = NULL;
    size_t i = 0;
    while (i < o->claims.count && add_claim(claims, o->claims.items[i]))
        i++;
    if (i == o->claims.count)
        text = json_dumps(claims, JSON_COMPACT);
    else
        fprintf(stderr, "crier token: --claim '%s' is not NAME=VALUE\n", o->claims.items[i]);
    json_decref(claims);
    return text;
}

static int print_token(const struct token_options *o, const char *secret, int64_t ttl_ms)
{
    char *token, *claims = build_claims(o);
    if (!claims)
        return CLI_USAGE;
    int r = token_sign(secret, o->user, clock_wall_ms() / 1000, ttl_ms / 1000, claims, &token);
    free(claims);
    if (r < 0) {
        fputs("crier token: the user has to be UTF-8 of 127 bytes at most\n", stderr);
        return CLI_USAGE;
    }
    puts(token);
    free(token);
    return CLI_OK;
}

static int sign(const struct token_options *o, int64_t ttl_ms)
{
    CLEANUP_BUF faults = BUF_INIT, notes = BUF_INIT;
    struct config *config = cli_load_config(&o->run, &faults, &notes);
    int r = CLI_CONFIG;
    fwrite(buf_bytes(&faults).data, 1, faults.len, stderr);
    if (config && !config->hmac_secret)
        fprintf(stderr, "crier token: %s has no auth.hmac_secret_file\n", o->run.config_path);
    else if (config)
        r = print_token(o, config->hmac_secret, ttl_ms);
    config_free(config);
    return r;
}

int cmd_token(int argc, char **argv)
{
    struct token_options o = {.run = CLI_RUN_OPTIONS_INIT, .ttl = "1h"};
    const struct cli_option table[] = {
        CLI_CONFIG_OPTIONS(&o.run),
        {"user", 0, CLI_TEXT, &o.user},
        {"ttl", 0, CLI_TEXT, &o.ttl},
        {"claim", 0, CLI_LIST, &o.claims},
    };
    int64_t ttl_ms;
    int r = cli_parse(argc, argv, table, sizeof table / sizeof *table, NULL, 0);
    if (r)
        return r;
    if (!o.user || config_parse_duration(o.ttl, &ttl_ms) < 0 || ttl_ms < 1000) {
        fputs(o.user ? "crier token: --ttl is a duration of 1s and more: 90s, 15m, 24h\n"
                     : "crier token: --user is missing\n",
              stderr);
        return CLI_USAGE;
    }
    return sign(&o, ttl_ms);
}
