#include <jansson.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/auth.h"
#include "auth/jwt.h"
#include "cli.h"
#include "util/clock.h"

struct token_options {
    struct cli_run_options run;
    const char *user, *ttl, *channel, *client, *info;
    const char *key, *algorithm, *key_id;
    struct cli_list claims;
    int64_t ttl_ms;
};

static int complain(const char *what)
{
    fprintf(stderr, "crier token: %s\n", what);
    return CLI_USAGE;
}

static void done_json(json_t **json)
{
    json_decref(*json);
}

#define CLEANUP_JSON __attribute__((cleanup(done_json))) json_t

/* ---- claims ---- */

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

static bool add_text(json_t *claims, const char *name, const char *text)
{
    return !text || json_object_set_new(claims, name, json_string(text)) == 0;
}

/* Claims of the options over those of --claim. Null after saying what is wrong. */
static json_t *build_claims(const struct token_options *o)
{
    json_t *claims = json_object();
    json_t *info = o->info ? json_loads(o->info, JSON_DECODE_ANY, NULL) : NULL;
    int64_t now_s = clock_wall_ms() / 1000;
    size_t i = 0;
    while (i < o->claims.count && add_claim(claims, o->claims.items[i]))
        i++;
    if (i < o->claims.count)
        fprintf(stderr, "crier token: --claim '%s' is not NAME=VALUE\n", o->claims.items[i]);
    else if (o->info && !info)
        complain("--info is JSON");
    else if (!add_text(claims, "sub", o->user) || strlen(o->user) >= sizeof((struct auth_claims *)0)->user)
        complain("the user has to be UTF-8 of 127 bytes at most");
    else if (!add_text(claims, "channel", o->channel) || !add_text(claims, "client", o->client))
        complain("channel and client are UTF-8");
    else {
        if (info)
            json_object_set(claims, "info", info);
        json_object_set_new(claims, "iat", json_integer(now_s));
        json_object_set_new(claims, "exp", json_integer(now_s + o->ttl_ms / 1000));
        json_decref(info);
        return claims;
    }
    json_decref(info);
    json_decref(claims);
    return NULL;
}

/* ---- signing ---- */

static EVP_PKEY *read_key(const char *path)
{
    FILE *file = fopen(path, "re");
    EVP_PKEY *key = file ? PEM_read_PrivateKey(file, NULL, NULL, NULL) : NULL;
    if (!key)
        fprintf(stderr, "crier token: %s holds no private key in PEM, or cannot be read\n", path);
    if (file)
        fclose(file);
    return key;
}

/* What a server with this configuration says of the token: a key that does not fit shows here, not at the client. */
static void warn_unless_accepted(const struct config *config, struct bytes token)
{
    char error[256] = "";
    const char *reason = error;
    struct auth_claims claims = {0};
    struct auth *auth = auth_new(config, error, sizeof error);
    if (!auth || auth_verify(auth, token, clock_wall_ms() / 1000, &claims, &reason) < 0)
        fprintf(stderr, "crier token: note: this configuration refuses the token: %s\n", reason);
    auth_claims_done(&claims);
    auth_free(auth);
}

static int print_token(const struct token_options *o, const struct config *config, const struct jwt_signer *signer)
{
    CLEANUP_JSON *claims = build_claims(o);
    CLEANUP_BUF token = BUF_INIT;
    const char *reason;
    if (!claims)
        return CLI_USAGE;
    char *text = json_dumps(claims, JSON_COMPACT);
    int r = jwt_sign(signer, bytes_of(text), &token, &reason);
    free(text);
    if (r < 0)
        return complain(reason);
    warn_unless_accepted(config, buf_bytes(&token));
    printf("%.*s\n", (int)token.len, token.data);
    return CLI_OK;
}

static int sign(const struct token_options *o, const struct config *config)
{
    struct jwt_signer signer = {.algorithm = o->algorithm, .key_id = o->key_id};
    if (o->key)
        signer.key = read_key(o->key);
    else
        signer.secret = config->hmac_secret;
    if (!o->key && !signer.secret)
        fprintf(stderr, "crier token: %s has no auth.hmac_secret_file, and no private key is given by --key\n",
                o->run.config_path);
    int r = signer.key || signer.secret ? print_token(o, config, &signer) : CLI_CONFIG;
    EVP_PKEY_free(signer.key);
    return r;
}

static int load_and_sign(const struct token_options *o)
{
    CLEANUP_BUF faults = BUF_INIT, notes = BUF_INIT;
    struct config *config = cli_load_config(&o->run, &faults, &notes);
    fwrite(buf_bytes(&faults).data, 1, faults.len, stderr);
    int r = config ? sign(o, config) : CLI_CONFIG;
    config_free(config);
    return r;
}

int cmd_token(int argc, char **argv)
{
    struct token_options o = {.run = CLI_RUN_OPTIONS_INIT, .ttl = "1h"};
    const struct cli_option table[] = {
        CLI_CONFIG_OPTIONS(&o.run),           {"user", 0, CLI_TEXT, &o.user},     {"ttl", 0, CLI_TEXT, &o.ttl},
        {"channel", 0, CLI_TEXT, &o.channel}, {"client", 0, CLI_TEXT, &o.client}, {"info", 0, CLI_TEXT, &o.info},
        {"claim", 0, CLI_LIST, &o.claims},    {"key", 0, CLI_TEXT, &o.key},       {"alg", 0, CLI_TEXT, &o.algorithm},
        {"kid", 0, CLI_TEXT, &o.key_id},
    };
    int r = cli_parse(argc, argv, table, sizeof table / sizeof *table, NULL, 0);
    if (r)
        return r;
    if (!o.user)
        return complain("--user is missing");
    if (config_parse_duration(o.ttl, &o.ttl_ms) < 0 || o.ttl_ms < 1000)
        return complain("--ttl is a duration of 1s and more: 90s, 15m, 24h");
    return load_and_sign(&o);
}
