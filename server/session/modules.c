#include "modules.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "loop/engine.h"

#ifndef CRIER_MODULE_DIR
#define CRIER_MODULE_DIR "/usr/lib/crier/modules"
#endif

/* ---- registering, while a module sets up ---- */

int crier_handle(struct crier *c, uint32_t type, const char *name, enum crier_codec codec, crier_handler_fn fn, void *arg)
{
    struct modules *m = c->engine->modules;
    struct handler *h, *next;
    if (type >= TYPED_RESERVED || strcmp(name, MODULES_RESERVED_NAME) == 0)
        return -EINVAL;
    HASH_ITER(hh, m->handlers, h, next)
        if (h->type == type || strcmp(h->name, name) == 0)
            return -EEXIST;
    h = xcalloc(1, sizeof *h);
    h->module = c;
    h->type = type;
    h->name = xstrdup(name);
    h->codec = codec;
    h->fn = fn;
    h->arg = arg;
    HASH_ADD(hh, m->handlers, type, sizeof h->type, h);
    return 0;
}

int crier_message_schema(struct crier *c, uint32_t type, const void *descriptor)
{
    struct modules *m = c->engine->modules;
    if (modules_schema(m, type))
        return -EEXIST;
    struct schema *s = xcalloc(1, sizeof *s);
    s->type = type;
    s->descriptor = descriptor;
    HASH_ADD(hh, m->schemas, type, sizeof s->type, s);
    return 0;
}

static struct module_hook *add_hook(struct crier *c, struct module_hook **hooks, size_t *count, void *arg)
{
    *hooks = xrealloc(*hooks, (*count + 1) * sizeof **hooks);
    struct module_hook *h = &(*hooks)[(*count)++];
    *h = (struct module_hook){.module = c, .arg = arg};
    return h;
}

void crier_on_connect(struct crier *c, crier_connect_fn fn, void *arg)
{
    struct modules *m = c->engine->modules;
    add_hook(c, &m->connect, &m->connect_count, arg)->fn.connect = fn;
}

void crier_on_open(struct crier *c, crier_session_fn fn, void *arg)
{
    struct modules *m = c->engine->modules;
    add_hook(c, &m->open, &m->open_count, arg)->fn.open = fn;
}

void crier_on_disconnect(struct crier *c, crier_disconnect_fn fn, void *arg)
{
    struct modules *m = c->engine->modules;
    add_hook(c, &m->disconnect, &m->disconnect_count, arg)->fn.disconnect = fn;
}

int crier_route(struct crier *c, const char *method, const char *pattern, crier_http_fn fn, void *arg)
{
    struct modules *m = c->engine->modules;
    m->routes = xrealloc(m->routes, (m->route_count + 1) * sizeof *m->routes);
    m->routes[m->route_count++] =
        (struct module_route){.module = c, .method = xstrdup(method), .pattern = xstrdup(pattern), .fn = fn, .arg = arg};
    return 0;
}

const char *crier_module_option(struct crier *c, const char *key)
{
    for (size_t i = 0; i < c->config->option_count; i++)
        if (strcmp(c->config->options[i].name, key) == 0)
            return c->config->options[i].value;
    return NULL;
}

char *crier_module_path(struct crier *c, const char *key)
{
    const char *value = crier_module_option(c, key);
    CLEANUP_BUF path = BUF_INIT;
    if (!value || *value == '/')
        return xstrdup(value);
    buf_printf(&path, "%s/%s", c->engine->config->dir, value);
    return bytes_dup(buf_bytes(&path));
}

bool crier_channel_known(struct crier *c, const char *channel)
{
    const struct config *config = c->engine->config;
    return channel_name_valid(config, bytes_of(channel)) && config_namespace_of(config, bytes_of(channel));
}

void crier_module_fail(struct crier *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(c->failure, sizeof c->failure, format, args);
    va_end(args);
}

/* ---- loading ---- */

static void beside_binary(struct buf *out)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    while (n > 0 && path[n - 1] != '/')
        n--;
    buf_append(out, path, n > 0 ? (size_t)n : 0);
    buf_append_str(out, "modules");
}

static void *open_library(const struct config *config, const char *name, char *error, size_t error_size)
{
    CLEANUP_BUF beside = BUF_INIT;
    beside_binary(&beside);
    buf_append(&beside, "", 1);
    const char *const dirs[] = {config->server.module_dir && *config->server.module_dir ? config->server.module_dir : beside.data, CRIER_MODULE_DIR};

    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        CLEANUP_BUF path = BUF_INIT;
        buf_printf(&path, "%s/%s.so", dirs[i], name);
        if (access(path.data, R_OK) < 0)
            continue;
        void *library = dlopen(path.data, RTLD_NOW | RTLD_LOCAL);
        if (!library)
            snprintf(error, error_size, "%s", dlerror());
        return library;
    }
    snprintf(error, error_size, "no %s.so in %s or %s", name, dirs[0], dirs[1]);
    return NULL;
}

static int load(struct modules *m, const struct config_module *config, char *error, size_t error_size)
{
    struct crier *c = xcalloc(1, sizeof *c);
    c->engine = m->engine;
    c->config = config;
    c->index = m->count;
    m->loaded = xrealloc(m->loaded, (m->count + 1) * sizeof(struct crier *));
    m->loaded[m->count++] = c;

    c->library = open_library(m->engine->config, config->name, error, error_size);
    if (!c->library)
        return -ENOENT;
    const int *abi = dlsym(c->library, "crier_module_abi");
    union {
        void *object;
        crier_module_init_fn fn;
    } init = {dlsym(c->library, "crier_module_init")};
    if (!abi || *abi != CRIER_MODULE_ABI || !init.fn) {
        snprintf(error, error_size, "%s.so is no module for this version of crier", config->name);
        return -ELIBBAD;
    }
    int r = init.fn(c);
    if (r < 0)
        snprintf(error, error_size, "%s", *c->failure ? c->failure : strerror(-r));
    return r;
}

int modules_load(struct modules *m, struct engine *engine, char *error, size_t error_size)
{
    m->engine = engine;
    for (size_t i = 0; i < engine->config->module_count; i++) {
        const struct config_module *config = &engine->config->modules[i];
        char reason[300];
        int r = load(m, config, reason, sizeof reason);
        if (r < 0) {
            snprintf(error, error_size, "%s:%d module \"%s\": %s", engine->config->path, config->line, config->name, reason);
            return r;
        }
    }
    return 0;
}

void modules_done(struct modules *m)
{
    struct handler *h, *next_handler;
    struct schema *s, *next_schema;
    HASH_ITER(hh, m->handlers, h, next_handler)
    {
        HASH_DEL(m->handlers, h);
        free(h->name);
        free(h);
    }
    HASH_ITER(hh, m->schemas, s, next_schema)
    {
        HASH_DEL(m->schemas, s);
        free(s);
    }
    module_transforms_done(m);
    module_views_done(m);
    for (size_t i = 0; i < m->route_count; i++) {
        free(m->routes[i].method);
        free(m->routes[i].pattern);
    }
    for (size_t i = 0; i < m->count; i++) {
        if (m->loaded[i]->library)
            dlclose(m->loaded[i]->library);
        free(m->loaded[i]);
    }
    free(m->routes);
    free(m->connect);
    free(m->open);
    free(m->disconnect);
    free(m->loaded);
}

const struct handler *modules_handler(const struct modules *m, uint32_t type)
{
    struct handler *h;
    HASH_FIND(hh, m->handlers, &type, sizeof type, h);
    return h;
}

const struct handler *modules_handler_named(const struct modules *m, struct bytes name)
{
    for (const struct handler *h = m->handlers; h; h = h->hh.next)
        if (bytes_eq_str(name, h->name))
            return h;
    return NULL;
}

const void *modules_schema(const struct modules *m, uint32_t type)
{
    struct schema *s;
    HASH_FIND(hh, m->schemas, &type, sizeof type, s);
    return s ? s->descriptor : NULL;
}
