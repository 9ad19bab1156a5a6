#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli.h"
#include "http_client.h"

static void free_text(char **text)
{
    free(*text);
}

static void free_config(struct config **c)
{
    config_free(*c);
}

#define CLEANUP_TEXT   __attribute__((cleanup(free_text))) char
#define CLEANUP_CONFIG __attribute__((cleanup(free_config))) struct config

/* http://HOST:PORT of a configured listener, as seen from this machine; NULL with a reason on standard error. */
static char *url_of(const struct config *c)
{
    const char *listen = c->server.listen, *port = strrchr(listen, ':') + 1;
    struct buf url = BUF_INIT;
    if (c->server.tls_cert[0] || atoi(port) == 0) {
        fprintf(stderr, "crier: %s: give --server http://HOST:PORT\n",
                c->server.tls_cert[0] ? "the server speaks TLS, which this command does not"
                                      : "the configured port is 0");
        return NULL;
    }
    if (strncmp(listen, "0.0.0.0:", 8) == 0)
        buf_printf(&url, "http://127.0.0.1:%s%c", port, 0);
    else if (strncmp(listen, "[::]:", 5) == 0)
        buf_printf(&url, "http://[::1]:%s%c", port, 0);
    else
        buf_printf(&url, "http://%s%c", listen, 0);
    return buf_take(&url);
}

/* Loads the file when it is asked for something; faults end the command only when nothing else says where to go. */
static int load(const struct cli_server_options *o, struct config **ret)
{
    CLEANUP_BUF faults = BUF_INIT, notes = BUF_INIT;
    *ret = NULL;
    if (o->url && (o->api_key_file || access(o->run.config_path, R_OK) < 0))
        return 0;
    *ret = cli_load_config(&o->run, &faults, &notes);
    if (*ret || o->url)
        return 0;
    fwrite(buf_bytes(&faults).data, 1, faults.len, stderr);
    return CLI_CONFIG;
}

static int read_key(const struct cli_server_options *o, const struct config *config, char **ret)
{
    const char *reason;
    *ret = NULL;
    if (!o->api_key_file) {
        *ret = xstrdup(config ? config->api_key : NULL);
        return 0;
    }
    *ret = config_read_secret(o->api_key_file, &reason);
    if (*ret)
        return 0;
    fprintf(stderr, "crier: %s: %s\n", o->api_key_file, reason);
    return CLI_CONFIG;
}

int cli_open_server(const struct cli_server_options *o, struct http_client **ret_client)
{
    CLEANUP_CONFIG *config = NULL;
    CLEANUP_TEXT *key = NULL, *url = NULL;
    char error[200];
    int r = load(o, &config);
    if (r == 0)
        r = read_key(o, config, &key);
    if (r)
        return r;
    url = o->url ? xstrdup(o->url) : url_of(config);
    if (!url)
        return CLI_USAGE;
    *ret_client = http_client_new(url, key, error, sizeof error);
    if (*ret_client)
        return 0;
    fprintf(stderr, "crier: %s\n", error);
    return CLI_USAGE;
}
