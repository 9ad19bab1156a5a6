/* Files that the configuration names: secrets are read here, certificates only looked at. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_loader.h"
#include "util/key_set.h"

#define SECRET_LIMIT   4096
#define SECRET_ADVISED 32 /* RFC 7518, 3.2: as long as the hash */

static struct config_place place(const struct config_loader *l, const char *section, const char *key)
{
    const struct config_node *table = config_table_at(l, section, 0);
    bool is_table = table && table->kind == CONFIG_TABLE;
    return (struct config_place){section, key, is_table ? config_value_at(table, key) : table, false};
}

static char *read_secret(FILE *file, const char **ret_reason)
{
    char text[SECRET_LIMIT + 1];
    size_t len = fread(text, 1, sizeof text, file);
    struct stat info;
    *ret_reason = NULL;
    if (ferror(file))
        *ret_reason = strerror(errno);
    else if (fstat(fileno(file), &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & S_IROTH))
        *ret_reason = "everybody can read it, allowed: a file that only its owner and group can read (chmod o-r)";
    else if (len > SECRET_LIMIT)
        *ret_reason = "longer than 4096 bytes";
    while (len > 0 && len <= SECRET_LIMIT && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        len--;
    if (!*ret_reason && len == 0)
        *ret_reason = "empty";
    if (!*ret_reason && memchr(text, 0, len))
        *ret_reason = "a NUL byte in it";
    char *secret = *ret_reason ? NULL : bytes_dup((struct bytes){text, len});
    explicit_bzero(text, sizeof text);
    return secret;
}

char *config_read_secret(const char *path, const char **ret_reason)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        *ret_reason = strerror(errno);
        return NULL;
    }
    char *secret = read_secret(file, ret_reason);
    fclose(file);
    return secret;
}

static char *load_secret(struct config_loader *l, const char *key, const char *path)
{
    const char *reason;
    if (!path || !path[0])
        return NULL;
    char *secret = config_read_secret(path, &reason);
    if (!secret)
        config_fault(l, place(l, "auth", key), "\"%s\": %s", path, reason);
    else if (strlen(secret) < SECRET_ADVISED)
        config_note(l, place(l, "auth", key), "the secret has fewer than %d bytes and can be guessed", SECRET_ADVISED);
    return secret;
}

static void check_readable(struct config_loader *l, const char *section, const char *key, const char *path)
{
    if (path && path[0] && access(path, R_OK) < 0)
        config_fault(l, place(l, section, key), "\"%s\" cannot be read: %s", path, strerror(errno));
}

static void check_tls(struct config_loader *l)
{
    const char *cert = l->config->server.tls_cert, *key = l->config->server.tls_key;
    if (!cert || !key)
        return;
    if (cert[0] && !key[0])
        config_fault(l, place(l, "server.tls", "cert"), "without a key, allowed: cert and key, or none of them");
    if (key[0] && !cert[0])
        config_fault(l, place(l, "server.tls", "key"), "without a cert, allowed: cert and key, or none of them");
    check_readable(l, "server.tls", "cert", cert);
    check_readable(l, "server.tls", "key", key);
}

/* Reads what is read again at start, so that a key that nothing can be done with has its line in the report. */
static void check_key_file(struct config_loader *l, const char *key, const char *path,
                           int (*add)(struct key_set *, struct bytes, const char **))
{
    CLEANUP_BUF text = BUF_INIT;
    const char *reason;
    if (!path || !path[0])
        return;
    struct key_set *set = key_set_new();
    if (key_file_read(path, &text, &reason) < 0)
        config_fault(l, place(l, "auth", key), "\"%s\" cannot be read: %s", path, reason);
    else if (add(set, buf_bytes(&text), &reason) < 0)
        config_fault(l, place(l, "auth", key), "\"%s\": %s, allowed: RSA of 2048 bits and more, EC, Ed25519", path,
                     reason);
    key_set_unref(set);
}

static bool is_loopback(const char *url)
{
    static const char *const starts[] = {"http://127.", "http://localhost", "http://[::1]"};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (strncmp(url, starts[i], strlen(starts[i])) == 0)
            return true;
    return false;
}

static void note_keys(struct config_loader *l)
{
    const struct config_auth *auth = &l->config->auth;
    bool keys = (auth->hmac_secret_file && auth->hmac_secret_file[0]) ||
                (auth->public_key_file && auth->public_key_file[0]) || (auth->jwks_file && auth->jwks_file[0]) ||
                (auth->jwks_url && auth->jwks_url[0]);
    if (auth->jwks_url && strncmp(auth->jwks_url, "http://", 7) == 0 && !is_loopback(auth->jwks_url))
        config_note(l, place(l, "auth", "jwks_url"), "without TLS: who is on the way can replace the keys");
    if (!auth->anonymous && !keys)
        config_note(l, place(l, "auth", "anonymous"), "false, and no key for tokens is configured: nobody may connect");
}

static void check_keys(struct config_loader *l)
{
    const struct config_auth *auth = &l->config->auth;
    const char *url = auth->jwks_url;
    check_key_file(l, "public_key_file", auth->public_key_file, key_set_add_pem);
    check_key_file(l, "jwks_file", auth->jwks_file, key_set_add_jwks);
    if (url && url[0] && strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        config_fault(l, place(l, "auth", "jwks_url"), "\"%s\" is no address, allowed: http://... or https://...", url);
}

static void check_web(struct config_loader *l)
{
    struct stat info;
    const char *web = l->config->server.web;
    if (web && web[0] && (stat(web, &info) < 0 || !S_ISDIR(info.st_mode)))
        config_fault(l, place(l, "server", "web"), "\"%s\" is no folder, allowed: a folder, or \"\" for none", web);
}

/* They become part of a header: nothing may end the directive that they are in. Valid: https://tiles.example:8443.
 * Invalid: https://a;script-src, tiles.example, https://a b. */
static bool is_source(const char *text)
{
    size_t scheme = strncmp(text, "https://", 8) == 0 ? 8 : strncmp(text, "http://", 7) == 0 ? 7 : 0;
    const char *host = text + scheme;
    return scheme && *host &&
           host[strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:*-[]")] == 0;
}

static void check_web_sources(struct config_loader *l)
{
    const struct config_server *server = &l->config->server;
    for (size_t i = 0; i < server->web_source_count; i++)
        if (!is_source(server->web_sources[i]))
            config_fault(l, place(l, "server", "web_sources"),
                         "\"%s\" is no origin, allowed: https://host[:port] or http://host[:port]",
                         server->web_sources[i]);
}

/* The servers of an embedded bridge are a path in the folder of the file. */
static void join_embedded(struct config_loader *l)
{
    for (size_t i = 0; i < l->config->bridge_count; i++) {
        struct config_bridge *b = &l->config->bridges[i];
        const struct config_node *table = config_table_at(l, "bridge", i);
        if (!b->driver || !b->servers || strcmp(b->driver, "embedded") != 0)
            continue;
        char *joined = config_path_join(l, config_value_at(table, "servers"), b->servers);
        free(b->servers);
        b->servers = joined;
    }
}

void config_check_files(struct config_loader *l)
{
    struct config *c = l->config;
    join_embedded(l);
    check_tls(l);
    check_keys(l);
    note_keys(l);
    check_web(l);
    check_web_sources(l);
    c->hmac_secret = load_secret(l, "hmac_secret_file", c->auth.hmac_secret_file);
    c->api_key = load_secret(l, "api_key_file", c->auth.api_key_file);
}
